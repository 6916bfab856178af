"""Files that are either whole or not there, in folders that a person can find again, and never in another's place."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from siamese_search.errors import FolderError

_HEAD = 4096  # bytes
# What is near the beginning of all that this program writes where a user says: plans, pages, sheets and tables.
_OURS = (
    b'"simsearch": "plan"',
    b"simsearch</title>",
    b"Software\0simsearch",
    b"first,second,label",
    b"path,size,mtime_ns,content_hash",
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a neighbour of `path` to write to, and give it that name once it is whole, on the disk.

    On any failure nothing of it is left, and a file that was there before stays. Raises OSError.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield half
        with half.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut might leave the name without what belongs under it
        half.replace(path)
    finally:
        with suppress(OSError):
            half.unlink()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Do the same for a file in a folder that a user named; FolderError for an OSError, and where that is not there."""
    _check_place(path)
    try:
        with replacing(path) as half:
            yield half
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Do the same for a file that a user named, and never in the place of another one; see `check_file`."""
    check_file(path)
    with whole_file(path) as half:
        yield half


def made_folder(path: Path) -> Path:
    """Make a folder that a user named, unless it is there, in one that has to be; raises FolderError."""
    check_folder(path)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise FolderError(f"{path}: cannot be made: {error.strerror or error}") from error
    return path


def check_file(path: Path) -> None:
    """Raise FolderError where no file could be written, or another one would be lost: a picture, or somebody's notes.

    A slip in a path makes no folders either. What this program wrote before may be replaced, and what is empty.
    """
    if path.is_dir():
        raise FolderError(f"{path}: is a folder; name a file in it")
    _check_place(path)
    if path.is_file() and path.stat().st_size and not is_ours(path):
        raise FolderError(f"{path}: is there already, and simsearch did not write it; choose another name")


def is_ours(path: Path) -> bool:
    """Tell whether this program wrote a file, as far as its beginning tells."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(mark in head for mark in _OURS)


def check_folder(path: Path) -> None:
    """Raise FolderError where a folder neither is nor could be made in one that is there."""
    if path.is_dir():
        return
    if path.exists():
        raise FolderError(f"{path}: is a file; name a folder")
    _check_place(path)


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        what = "is no folder" if path.parent.exists() else "is not there; make that folder first, or check the name"
        raise FolderError(f"{path}: cannot be written: {path.parent} {what}")
