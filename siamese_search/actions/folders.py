"""Folders opened from the root down through no link, recognised again, and made no more open than others are."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from siamese_search.actions.system import FOLDER, call

_ACL = "system.posix_acl_access"
_OWNER_ONLY = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A folder that a journal's paths start from: the topmost one that is indexed and on one disk.

    `label` names it among the others, where copies of several roots meet. It is known again by its inode and the file
    system, or, where that has no number, the device; None where an older journal did not say.
    """

    path: Path
    label: str
    device: int | None
    inode: int | None
    filesystem: int | None

    def is_behind(self, folder: int) -> bool:
        """Tell whether an open folder is this one.

        A device that is plugged in again may have another number, and another one the number that it had.
        """
        device, inode, filesystem = identity_of(folder)
        same_disk = self.filesystem == filesystem if self.filesystem and filesystem else self.device == device
        return self.inode == inode and same_disk


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """What a folder is made anew with when it is missing; its owner is None where an older journal did not say."""

    mode: int
    uid: int | None
    gid: int | None


def identity_of(folder: int) -> tuple[int, int, int]:
    """Return device, inode and file system of an open folder."""
    status = call(os.fstat, folder)
    return status.st_dev, status.st_ino, getattr(os.fstatvfs(folder), "f_fsid", 0)


@contextmanager
def opened(path: Path | Sequence[str], *, start: int | None = None) -> Iterator[int]:
    """Open a folder, by its absolute path or by the names below an open one, through no link. Raises OSError.

    A symbolic link on the way raises ELOOP.
    """
    names = path.parts[1:] if isinstance(path, Path) else path
    folder = call(os.open, "/", FOLDER) if start is None else call(os.open, ".", FOLDER, dir_fd=start)
    try:
        for name in names:
            deeper = enter(folder, name)
            os.close(folder)
            folder = deeper
        yield folder
    finally:
        os.close(folder)


def enter(folder: int, name: str) -> int:
    """Open the folder `name` of an open folder; raises OSError, with ELOOP when it is a symbolic link."""
    try:
        return call(os.open, name, FOLDER, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(call(os.stat, name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


def facts_below(root: int, names: Sequence[str]) -> tuple[FolderFacts, ...]:
    """Return the facts of the folders on the way down from an open root."""
    facts = []
    for depth in range(1, len(names) + 1):
        with opened(names[:depth], start=root) as folder:
            status = call(os.fstat, folder)
            mode = stat.S_IMODE(status.st_mode)
            if _may_have_acl(folder):  # then the bits of the group say what the list allows at most
                mode &= ~stat.S_IRWXG
            facts.append(FolderFacts(mode=mode, uid=status.st_uid, gid=status.st_gid))
    return tuple(facts)


@contextmanager
def made_like(start: int, name: str, origin: int, *, mask: int = 0o7777) -> Iterator[int]:
    """Open the folder `name` of an open folder; a missing one is made no more open than `origin`, nor than `mask`."""
    made = _make(start, name)
    folder = enter(start, name)
    try:
        if made:
            _open_up_like(folder, origin, mask)
        yield folder
    finally:
        os.close(folder)


@contextmanager
def made_again(root: int, names: Sequence[str], facts: Sequence[FolderFacts]) -> Iterator[int]:
    """Open a folder below an open root; what is missing on the way is made as it was."""
    folder = call(os.open, ".", FOLDER, dir_fd=root)
    kept = len(names)
    try:
        for depth, (name, fact) in enumerate(zip(names, facts, strict=True)):
            made = _make(folder, name)
            if made:
                kept = min(kept, depth)
            deeper = enter(folder, name)
            os.close(folder)
            folder = deeper
            if made:
                _restore_access(folder, fact)
        yield folder
    except BaseException:
        with opened(names[:kept], start=root) as last:
            drop_empty(last, names[kept:])
        raise
    finally:
        os.close(folder)


def drop_empty(start: int, names: Sequence[str]) -> None:
    """Remove a folder below an open one, and those above it up to that one, as far as they are empty."""
    with suppress(OSError):
        for depth in range(len(names), 0, -1):
            with suppress(FileNotFoundError), opened(names[: depth - 1], start=start) as folder:
                call(os.rmdir, names[depth - 1], dir_fd=folder)


def who_may_enter(path: Path) -> int:
    """Return the mode bits that mean something in a folder, for all that the folders above it let through."""
    mask, group = 0o7777, path.stat().st_gid
    for folder in path.parents:
        status = folder.stat()
        others = status.st_mode & stat.S_IXOTH
        if not others:
            mask &= ~stat.S_IRWXO
        if not (status.st_mode & stat.S_IXGRP if status.st_gid == group else others):
            mask &= ~stat.S_IRWXG
    return mask


def sync(folder: int) -> None:
    """Have a folder's entries on disk before going on; where a folder cannot be synced, that is no failure."""
    with suppress(OSError), _readable(folder) as readable:
        call(os.fsync, readable)


def _make(folder: int, name: str) -> bool:
    try:
        call(os.mkdir, name, _OWNER_ONLY, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _open_up_like(folder: int, origin: int, mask: int) -> None:
    """Give a new folder the owner, access list and mode of another; whatever cannot be given keeps it closed."""
    status = call(os.fstat, origin)
    mode = stat.S_IMODE(status.st_mode) & mask
    with _readable(folder) as new:
        if not _give_owner(new, status.st_uid, status.st_gid):
            mode &= _OWNER_ONLY
        try:
            acl = _acl_of(origin)
            if acl is None:
                _drop_acl(new)
            else:
                call(os.setxattr, new, _ACL, acl)
        except OSError:
            mode &= _OWNER_ONLY
        call(os.fchmod, new, mode)


def _restore_access(folder: int, facts: FolderFacts) -> None:
    with _readable(folder) as new:
        mode = facts.mode if _give_owner(new, facts.uid, facts.gid) else facts.mode & _OWNER_ONLY
        _drop_acl(new)
        call(os.fchmod, new, mode)


@contextmanager
def _readable(folder: int) -> Iterator[int]:
    """Open a folder of our own once more, for what an O_PATH descriptor cannot do."""
    again = call(os.open, ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield again
    finally:
        os.close(again)


def _give_owner(folder: int, uid: int | None, gid: int | None) -> bool:
    """Give a folder the owner that another has; tell whether the bits of its group mean the same people now."""
    for owner in (uid, None):
        status = call(os.fstat, folder)
        if owner in {None, status.st_uid} and gid in {None, status.st_gid}:
            return True
        with suppress(OSError):
            call(os.fchown, folder, -1 if owner is None else owner, -1 if gid is None else gid)
    return gid in {None, call(os.fstat, folder).st_gid}


def _acl_of(folder: int) -> bytes | None:
    """Return the access list of an open folder; None where there is none. Raises OSError when it cannot be told."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        # An O_PATH descriptor has no attributes itself.
        return call(os.getxattr, f"/proc/self/fd/{folder}", _ACL)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return None
        raise


def _may_have_acl(folder: int) -> bool:
    try:
        return _acl_of(folder) is not None
    except OSError:
        return True


def _drop_acl(folder: int) -> None:
    """Take away the access list that a new folder inherits."""
    if hasattr(os, "removexattr"):
        try:
            call(os.removexattr, folder, _ACL)
        except OSError as error:
            if error.errno not in {errno.ENODATA, errno.ENOTSUP}:
                raise
