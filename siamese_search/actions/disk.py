"""Files moved, linked and shared so that a kill at any moment loses none and nothing is ever overwritten."""

import errno
import fcntl
import os
import shutil
import stat
import struct
from contextlib import suppress
from pathlib import Path

from siamese_search.images.files import hash_file, lies_in

TRASH = ".simsearch-trash"
_PART = ".simsearch-part"
_FIDEDUPERANGE = 0xC0189436  # linux/fs.h
_SHARED_AT_ONCE = 16 << 20  # bytes; the kernel takes no more in one call


def regular_file(path: Path) -> os.stat_result | None:
    """Return the status of a regular file that no symbolic link leads to; None for anything else."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return None
    straight = os.path.realpath(path) == str(path)
    return status if straight and stat.S_ISREG(status.st_mode) else None


def trash_place(path: Path, root: Path, run: str) -> Path:
    """Return where a file under `root` goes: the same path below the trash of the topmost folder on its own disk."""
    device = path.lstat().st_dev
    between = [folder for folder in path.parents if lies_in(folder, [root])]
    top = next(folder for folder in reversed(between) if folder.stat().st_dev == device)
    return top / TRASH / run / path.relative_to(top)


def transfer(source: Path, target: Path, content_hash: str) -> None:
    """Give a file another name, on another disk by a checked copy; raises OSError, FileExistsError if it is taken.

    At every moment one of the names leads to the whole file.
    """
    _make_folder(target.parent)
    try:
        _rename_to_free(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_across(source, target, content_hash)
        source.unlink()
    _settle_folder(target.parent)
    _settle_folder(source.parent)


def finish_transfer(source: Path, target: Path, content_hash: str) -> bool:
    """Bring a transfer that may have been interrupted to its end or its beginning; tell whether it took place.

    The source goes only while the target holds the very content that was to be transferred.
    """
    drop_part(target)
    if regular_file(target) is None or hash_file(target) != content_hash:
        return False
    if regular_file(source) and hash_file(source) == content_hash:
        source.unlink()
        _settle_folder(source.parent)
    return True


def link_in_place(copy: Path, keep: Path) -> None:
    """Make `copy`, whose bytes are those of `keep`, another name of it; raises OSError, also when the bytes differ."""
    part = _part_of(copy)
    drop_part(copy)
    os.link(keep, part, follow_symlinks=False)
    try:
        if not _same_bytes(copy, keep):
            raise OSError(errno.EBUSY, "its bytes changed just now")
        part.replace(copy)
    finally:
        drop_part(copy)
    _settle_folder(copy.parent)


def unlink_in_place(copy: Path, content_hash: str, *, mode: int, mtime_ns: int) -> None:
    """Make `copy` a file of its own again, with its mode and time; raises OSError when its content is another."""
    part = _part_of(copy)
    drop_part(copy)
    try:
        shutil.copyfile(copy, part)
        part.chmod(stat.S_IMODE(mode))
        os.utime(part, ns=(mtime_ns, mtime_ns))
        _settle_file(part)
        if hash_file(part) != content_hash:
            raise OSError(errno.EBUSY, "its bytes changed since it was linked")
        part.replace(copy)
    finally:
        drop_part(copy)
    _settle_folder(copy.parent)


def share_blocks(copy: Path, keep: Path) -> None:
    """Let `copy` use the disk blocks of `keep`; both stay files of their own. Raises OSError where that is impossible.

    The kernel compares the bytes itself and shares only what is equal (ioctl FIDEDUPERANGE: Btrfs, XFS, bcachefs), so
    nothing can be lost.
    """
    with keep.open("rb", buffering=0) as source, copy.open("r+b", buffering=0) as target:
        size = os.fstat(source.fileno()).st_size
        for start in range(0, size, _SHARED_AT_ONCE):
            length = min(_SHARED_AT_ONCE, size - start)
            done = 0
            while done < length:
                question = struct.pack(
                    "=QQHHIqQQiI", start + done, length - done, 1, 0, 0, target.fileno(), start + done, 0, 0, 0
                )
                answer = struct.unpack("=QQHHIqQQiI", fcntl.ioctl(source, _FIDEDUPERANGE, question))
                shared, status = answer[7], answer[8]
                if status < 0:
                    raise OSError(-status, os.strerror(-status))
                if status > 0 or not shared:
                    raise OSError(errno.EBUSY, "its bytes changed just now")
                done += shared


def drop_part(path: Path) -> None:
    """Remove what an interrupted step left beside a file."""
    with suppress(OSError):
        _part_of(path).unlink()


def same_file(first: Path, second: Path) -> bool:
    """Tell whether two names lead to one file on disk, neither by a symbolic link."""
    one, other = regular_file(first), regular_file(second)
    return one is not None and other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def drop_empty_folders(folder: Path) -> None:
    """Remove a folder of a trash, and those above it up to the trash itself, as far as they are empty."""
    while lies_in_trash(folder):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def lies_in_trash(path: Path) -> bool:
    """Tell whether a path is a trash or inside one."""
    return TRASH in path.parts


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(folder) != str(folder):
        raise OSError(errno.ELOOP, f"{folder} lies behind a symbolic link")


def _rename_to_free(source: Path, target: Path) -> None:
    """Rename, but never over another file: a hard link cannot replace one, a rename would without a word."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in {errno.EXDEV, errno.ENOSPC, errno.ENOENT, errno.EACCES, errno.EROFS}:
            raise
        if os.path.lexists(target):  # a file system without hard links
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def _copy_across(source: Path, target: Path, content_hash: str) -> None:
    part = _part_of(target)
    try:
        shutil.copy2(source, part, follow_symlinks=False)
        _settle_file(part)
        if hash_file(part) != content_hash:
            raise OSError(errno.EIO, "the copy on the other disk differs")
        _rename_to_free(part, target)
    finally:
        drop_part(target)
    _settle_folder(target.parent)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PART}")


def _same_bytes(first: Path, second: Path) -> bool:
    with first.open("rb") as one, second.open("rb") as other:
        while True:
            a, b = one.read(_SHARED_AT_ONCE), other.read(_SHARED_AT_ONCE)
            if a != b:
                return False
            if not a:
                return True


def _settle_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _settle_folder(folder: Path) -> None:
    """Have a folder's entries on disk before going on; where a folder cannot be synced, that is no failure."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
