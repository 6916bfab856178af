"""Report files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from siamese_search.errors import FolderError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a neighbour of `path` to write to, and give it that name once it is whole; the folder is made if need be.

    On any failure nothing of it is left, and a file that was there before stays. OSErrors become FolderError.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield half
        half.replace(path)
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            half.unlink()
