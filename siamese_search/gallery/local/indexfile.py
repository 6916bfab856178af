"""How an index lies on disk: a line that describes it, then plain numbers.

No library parses any of it, so that a stranger's file can do no harm. The line ends with the checksum of the head: of
the line before that, and of the first of the numbers. Whoever reads more than the head checks the rest.
"""

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from siamese_search.atomic import replacing

FORMAT = 3
_MAGIC = b"simsearch index "
_MAX_LINE = 4096
_ALIGNED = 64  # bytes: the numbers that follow may be used where they lie


class StaleIndexError(Exception):
    """An index file that is "missing", "damaged" or "out of date"; never leaves the gallery package."""


def open_index(path: Path) -> BinaryIO:
    """Open an index file to read; raises StaleIndexError where there is none, or something that is no file.

    Raises OSError as `unreadable` says.
    """
    try:
        # What is a pipe by that name must not be waited for.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise StaleIndexError("missing") from None
    except OSError as error:
        raise unreadable(error) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise StaleIndexError("damaged")
    return file


def unreadable(error: Exception) -> Exception:
    """Return what to raise for an error while an index is read: it is damaged, unless too many files are open."""
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return error
    return StaleIndexError("damaged")


def describe(about: Mapping[str, Any], head: bytes | memoryview) -> bytes:
    """Return the line with which the file of an index begins, given its description and the head that follows."""
    plain = {"format": FORMAT, **about}
    line = _MAGIC + json.dumps({**plain, "checksum": _checksum(plain, head)}).encode()
    return line.ljust(-len(line) // _ALIGNED * -_ALIGNED + _ALIGNED - 1) + b"\n"


def read_description(file: BinaryIO, *, kind: str) -> dict[str, Any]:
    """Read that line; raises StaleIndexError unless it is one, and of this kind and format."""
    try:
        about = json.loads(file.readline(_MAX_LINE).removeprefix(_MAGIC))
        if (about["format"], about["kind"]) != (FORMAT, kind):
            raise StaleIndexError("out of date")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise unreadable(error) from error
    return dict(about)


def check_head(about: Mapping[str, Any], head: bytes | memoryview) -> None:
    """Raise StaleIndexError unless description and head are as they were written."""
    plain = {key: value for key, value in about.items() if key != "checksum"}
    if about.get("checksum") != _checksum(plain, head):
        raise StaleIndexError("damaged")


def write_index(path: Path, blocks: Iterable[bytes | memoryview]) -> None:
    """Write atomically: a reader sees the old file or the new one. Raises OSError."""
    with replacing(path) as half, half.open("wb") as file:
        file.writelines(blocks)


def _checksum(plain: Mapping[str, Any], head: bytes | memoryview) -> str:
    checksum = xxhash.xxh3_128(json.dumps(plain).encode())
    checksum.update(head)
    return checksum.hexdigest()
