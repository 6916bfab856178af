"""The one door to the system: every call of a step goes through `call`, where tests can stop, fail or disturb it.

Two calls that Python lacks are made through the C library. Where it has none of them, they say so by ENOSYS.
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO must not hold the run up

_RENAME_NOREPLACE = 1  # linux/fs.h
_AT_EMPTY_PATH = 0x1000  # linux/fcntl.h
_AT_STATX_FORCE_SYNC = 0x2000
_STATX_CTIME = 0x80
_STATX_SIZE = 256
_STATX_CTIME_AT = 96  # offset of stx_ctime: seconds (s64), nanoseconds (u32)
_FIDEDUPERANGE = 0xC0189436  # linux/fs.h
_SHARED_AT_ONCE = 16 << 20  # bytes; the kernel takes no more in one call

_library = ctypes.CDLL(None, use_errno=True)


class Door:
    """Makes system calls, one by one."""

    def __call__(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Make a system call."""
        return function(*arguments, **options)


call = Door()


def rename_to_free(source_folder: int, source: str, target_folder: int, target: str) -> None:
    """Rename a file, in one call that fails with EEXIST where the new name is taken.

    ENOSYS, EINVAL or ENOTSUP: the kernel or the file system cannot do that.
    """
    _library_call(
        "renameat2",
        ctypes.c_int(source_folder),
        os.fsencode(source),
        ctypes.c_int(target_folder),
        os.fsencode(target),
        ctypes.c_uint(_RENAME_NOREPLACE),
    )


def change_time(file: int) -> int:
    """Return when the inode of an open file was changed last, in nanoseconds, and not as a cache remembers it.

    Network file systems and those in user space keep what they know of a file for a while; the kernel is told to ask.
    """
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    try:
        _library_call(
            "statx",
            ctypes.c_int(file),
            b"",
            ctypes.c_int(_AT_EMPTY_PATH | _AT_STATX_FORCE_SYNC),
            ctypes.c_uint(_STATX_CTIME),
            buffer,
        )
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EINVAL, errno.EPERM}:
            raise
        return os.fstat(file).st_ctime_ns
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _STATX_CTIME_AT)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def share_blocks(source: int, target: int) -> None:
    """Let an open file use the disk blocks of another with the same bytes; both stay files of their own.

    The kernel compares the bytes itself and shares only what is equal (ioctl FIDEDUPERANGE: Btrfs, XFS, bcachefs), so
    nothing can be lost. Raises OSError where that is impossible.
    """
    size = os.fstat(source).st_size
    done = 0
    while done < size:
        length = min(_SHARED_AT_ONCE, size - done)
        question = struct.pack("=QQHHIqQQiI", done, length, 1, 0, 0, target, done, 0, 0, 0)
        answer = struct.unpack("=QQHHIqQQiI", fcntl.ioctl(source, _FIDEDUPERANGE, question))
        shared, status = answer[7], answer[8]
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        if status > 0 or not shared:
            raise OSError(errno.EBUSY, "its bytes changed just now")
        done += shared


def _library_call(name: str, *arguments: object) -> None:
    function = getattr(_library, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
