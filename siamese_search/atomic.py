"""Files that are either whole or not there."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from siamese_search.errors import FolderError


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
    """Do the same for a file that a user named: the folder is made if need be, and an OSError becomes a FolderError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as half:
            yield half
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror or error}") from error
