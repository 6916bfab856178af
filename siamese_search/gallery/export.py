"""A gallery written out for other programs: a table and an array, row by row the same pictures."""

import csv
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import decode
from siamese_search.gallery.store import Store

ITEMS, EMBEDDINGS = "items.csv", "embeddings.npy"
COLUMNS = ("path", "size", "mtime_ns", "content_hash", "width", "height", "format")
_AT_ONCE = 16_384  # embeddings


def export(store: Store, folder: Path, *, dim: int) -> int:
    """Write all items and embeddings of one moment into a folder; return their number. Raises GalleryError."""
    items = store.items()
    _, codes, _ = store.embeddings()

    def write_items(path: Path) -> None:
        # surrogateescape: a name that is not UTF-8 keeps its bytes.
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows([getattr(item, column) for column in COLUMNS] for item in items)

    def write_embeddings(path: Path) -> None:
        with path.open("wb") as file:
            shape = {"descr": "<f4", "fortran_order": False, "shape": (len(codes), dim)}
            np.lib.format.write_array_header_1_0(file, shape)
            for start in range(0, len(codes), _AT_ONCE):
                file.write(decode(codes[start : start + _AT_ONCE], dim).astype("<f4").data)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ITEMS, write_items)
        _write(folder / EMBEDDINGS, write_embeddings)
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be written: {error.strerror}") from error
    return len(items)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
