"""One file, held open while a step lasts: what it is, whether a name still leads to it, copied, renamed, removed."""

import base64
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import xxhash

from siamese_search.actions.refusal import Refusal
from siamese_search.actions.system import FILE, call, rename_to_free

_CHUNK = 1 << 20
_ACL = "system.posix_acl_access"
_UNABLE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_LINKS = _UNABLE | {errno.EPERM, errno.EMLINK}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a file is restored with. `path` leads from its root; `xattrs` holds base64.

    Owner and attributes are None where an older journal did not say.
    """

    path: str
    content_hash: str
    size: int
    mode: int
    uid: int | None
    gid: int | None
    atime_ns: int
    mtime_ns: int
    xattrs: dict[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of our own beside a file: set aside by an apply, set aside by an undo, a copy in the making."""

    held: str
    back: str
    part: str

    @classmethod
    def of(cls, token: str) -> "Names":
        """Return the names that hold a token which belongs to one file of one run."""
        return cls(held=f".simsearch-held-{token}", back=f".simsearch-back-{token}", part=f".simsearch-part-{token}")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file, its name in an open folder, and what was known when it was opened."""

    folder: int
    name: str
    descriptor: int
    status: os.stat_result
    content_hash: str

    def is_at(self, folder: int, name: str) -> bool:
        """Tell whether a name leads to this very file."""
        status = status_at(folder, name)
        return status is not None and os.path.samestat(status, self.status)

    def check_unchanged(self) -> None:
        """Refuse when the file was written to since it was opened."""
        status = call(os.fstat, self.descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns):
            raise Refusal("is being written to just now")

    def facts(self, path: str) -> FileFacts:
        """Return all that is needed to make the file anew."""
        return FileFacts(
            path=path,
            content_hash=self.content_hash,
            size=self.status.st_size,
            mode=stat.S_IMODE(self.status.st_mode),
            uid=self.status.st_uid,
            gid=self.status.st_gid,
            atime_ns=self.status.st_atime_ns,
            mtime_ns=self.status.st_mtime_ns,
            xattrs=_xattrs(self.descriptor),
        )


@contextmanager
def open_file(folder: int, name: str, *, flags: int = os.O_RDONLY) -> Iterator[OpenFile]:
    """Open a regular file and read it to its end; raises OSError, and Refusal when it is none or changes meanwhile."""
    descriptor = call(os.open, name, FILE | flags, dir_fd=folder)
    try:
        status = call(os.fstat, descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refusal("is gone or no regular file")
        file = OpenFile(folder, name, descriptor, status, content_hash(descriptor))
        file.check_unchanged()
        yield file
    finally:
        os.close(descriptor)


def content_hash(descriptor: int) -> str:
    """Return the hash of an open file, the same as `images.files.content_hash`."""
    digest = xxhash.xxh3_128()
    position = 0
    while chunk := call(os.pread, descriptor, _CHUNK, position):
        digest.update(chunk)
        position += len(chunk)
    return digest.hexdigest()


def status_at(folder: int, name: str) -> os.stat_result | None:
    """Return the status of what a name leads to, a link itself; None where there is nothing."""
    try:
        return call(os.stat, name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def holds(folder: int, name: str, content: str) -> bool:
    """Tell whether a name leads to a regular file with this content; what cannot be read holds nothing."""
    try:
        with open_file(folder, name) as file:
            return file.content_hash == content
    except (OSError, Refusal):
        return False


def place(source_folder: int, source: str, target_folder: int, target: str) -> None:
    """Rename a file that has a name of our own, where the new name is free; raises FileExistsError where it is taken.

    A file system that cannot do that in one call does it by two names, or, without hard links, after a look.
    """
    try:
        call(rename_to_free, source_folder, source, target_folder, target)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        _place_by_two_names(source_folder, source, target_folder, target)


def _place_by_two_names(source_folder: int, source: str, target_folder: int, target: str) -> None:
    try:
        call(os.link, source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if status_at(target_folder, target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        call(os.rename, source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
    else:
        call(os.unlink, source, dir_fd=source_folder)


def set_aside(file: OpenFile, aside: str) -> None:
    """Rename a file to a name of our own beside it; when another has got its name by now, that one gets it back."""
    call(os.rename, file.name, aside, src_dir_fd=file.folder, dst_dir_fd=file.folder)
    if not file.is_at(file.folder, aside):
        place(file.folder, aside, file.folder, file.name)
        raise Refusal("was replaced just now")


def move(file: OpenFile, folder: int, name: str, *, facts: FileFacts, aside: str, part: str) -> bool:
    """Give a file a free name in another folder; tell whether it still has the name `aside` in its old one.

    That is so where the last call, which removes it, is yet to be made: across disks, and where a file gets its new
    name by a second one. Raises OSError and Refusal, FileExistsError where the name is taken.
    """
    if status_at(folder, name) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    try:
        call(rename_to_free, file.folder, file.name, folder, name)
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in _UNABLE:
            raise
        if error.errno != errno.EXDEV and call(os.fstat, folder).st_dev == file.status.st_dev:
            return _move_by_two_names(file, folder, name, aside)
        _move_across(file, folder, name, facts=facts, aside=aside, part=part)
        return True
    if not file.is_at(folder, name):
        place(folder, name, file.folder, file.name)
        raise Refusal("was replaced just now")
    file.check_unchanged()
    return False


def remove_aside(file: OpenFile, aside: str) -> None:
    """Remove a file that was set aside, when it is the one that was opened and holds what it held."""
    if not file.is_at(file.folder, aside):
        raise Refusal("was replaced just now")
    file.check_unchanged()
    if content_hash(file.descriptor) != file.content_hash:
        raise Refusal("is being written to just now")
    call(os.unlink, aside, dir_fd=file.folder)


def copy_beside(file: OpenFile, folder: int, part: str, facts: FileFacts) -> None:
    """Write a copy of an open file, with its facts, under a name of our own, and compare it."""
    copy = call(os.open, part, FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        position = 0
        while chunk := call(os.pread, file.descriptor, _CHUNK, position):
            write_at(copy, chunk, position)
            position += len(chunk)
        lost = give_facts(copy, facts)
        # The one who undoes it must be able to give it back to its owner.
        if "owner" in lost and os.geteuid() not in {0, facts.uid}:
            raise Refusal("belongs to somebody else, to whom it could not be given back from another disk")
        call(os.fsync, copy)
        if content_hash(copy) != facts.content_hash:
            raise Refusal("was written to, or its copy on the other disk differs")
    finally:
        os.close(copy)


def give_facts(descriptor: int, facts: FileFacts) -> list[str]:
    """Give an open file owner, attributes, mode and times; return in words what could not be given.

    Where the bits of the group would mean other people, they are left out.
    """
    lost = []
    mode = facts.mode
    if not _give_owner(descriptor, facts):
        lost.append("owner")
        status = call(os.fstat, descriptor)
        if status.st_gid != facts.gid:
            mode &= ~(stat.S_IRWXG | stat.S_ISGID)
        if status.st_uid != facts.uid:
            mode &= ~stat.S_ISUID
    unable = [] if facts.xattrs is None else _give_xattrs(descriptor, facts.xattrs)
    if unable:
        lost.append("attributes")
    if _ACL in unable:
        mode &= ~stat.S_IRWXG
    try:
        call(os.fchmod, descriptor, mode)
    except OSError:
        lost.append("mode")
    try:
        call(os.utime, descriptor, ns=(facts.atime_ns, facts.mtime_ns))
    except (OSError, OverflowError):
        lost.append("time")
    return lost


def differing_facts(descriptor: int, facts: FileFacts) -> list[str]:
    """Return in words which facts of an open file are other ones."""
    status = call(os.fstat, descriptor)
    differ = {
        "owner": not _is_owned(status, facts),
        "attributes": facts.xattrs is not None and _xattrs(descriptor) != facts.xattrs,
        "mode": stat.S_IMODE(status.st_mode) != facts.mode,
        "time": status.st_mtime_ns != facts.mtime_ns,
    }
    return [what for what, is_other in differ.items() if is_other]


def write_at(descriptor: int, data: bytes, position: int) -> None:
    """Write all of some bytes to a place in an open file."""
    written = 0
    while written < len(data):
        written += call(os.pwrite, descriptor, data[written:], position + written)


def drop(folder: int, name: str) -> None:
    """Remove a name, if it is there."""
    with suppress(FileNotFoundError):
        call(os.unlink, name, dir_fd=folder)


def _move_across(file: OpenFile, folder: int, name: str, *, facts: FileFacts, aside: str, part: str) -> None:
    try:
        copy_beside(file, folder, part, facts)
        file.check_unchanged()
        copy = call(os.stat, part, dir_fd=folder, follow_symlinks=False)
        place(folder, part, folder, name)
    except (OSError, Refusal):
        with suppress(OSError):
            drop(folder, part)
        raise
    try:
        set_aside(file, aside)
    except (OSError, Refusal):
        there = status_at(folder, name)
        if there is not None and os.path.samestat(there, copy):
            drop(folder, name)
        raise


def _move_by_two_names(file: OpenFile, folder: int, name: str, aside: str) -> bool:
    set_aside(file, aside)
    try:
        call(os.link, aside, name, src_dir_fd=file.folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        place(file.folder, aside, folder, name)
        return False
    return True


def _is_owned(status: os.stat_result, facts: FileFacts) -> bool:
    return facts.uid in {None, status.st_uid} and facts.gid in {None, status.st_gid}


def _give_owner(descriptor: int, facts: FileFacts) -> bool:
    """Give an open file its owner and group, or the group alone; tell whether both are right now."""
    for uid in (facts.uid, None):
        if _is_owned(call(os.fstat, descriptor), facts):
            return True
        with suppress(OSError):
            call(os.fchown, descriptor, -1 if uid is None else uid, -1 if facts.gid is None else facts.gid)
    return _is_owned(call(os.fstat, descriptor), facts)


def _xattrs(descriptor: int) -> dict[str, str]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = call(os.listxattr, descriptor)
    except OSError as error:
        if error.errno in _UNABLE:
            return {}
        raise
    return {name: base64.b64encode(call(os.getxattr, descriptor, name)).decode() for name in sorted(names)}


def _give_xattrs(descriptor: int, wanted: dict[str, str]) -> list[str]:
    """Make the attributes of an open file the wanted ones; return the names of those that could not be."""
    there = _xattrs(descriptor)
    unable = []
    for name in there.keys() - wanted.keys():
        try:
            call(os.removexattr, descriptor, name)
        except OSError:
            unable.append(name)
    for name, value in wanted.items():
        if there.get(name) != value:
            try:
                call(os.setxattr, descriptor, name, base64.b64decode(value))
            except (OSError, AttributeError, ValueError):
                unable.append(name)
    return unable
