"""A gallery written out for other programs: a table and an array, row by row the same pictures."""

import csv
from pathlib import Path

import numpy as np

from siamese_search.atomic import is_ours, made_folder, output_file, whole_file
from siamese_search.errors import FolderError
from siamese_search.gallery.codes import Codes, decode
from siamese_search.gallery.store import Store
from siamese_search.results import Item

ITEMS, EMBEDDINGS = "items.csv", "embeddings.npy"
COLUMNS = ("path", "size", "mtime_ns", "content_hash", "width", "height", "format")
_AT_ONCE = 16_384  # embeddings


def export(store: Store, folder: Path, *, dim: int) -> int:
    """Write all items and embeddings of one moment into a folder; return their number. Raises FolderError."""
    items = store.items()
    _, codes = store.embeddings()
    made_folder(folder)
    if (folder / EMBEDDINGS).exists() and not is_ours(folder / ITEMS):
        raise FolderError(
            f"{folder / EMBEDDINGS}: is there already, and simsearch did not write it; choose another folder"
        )
    with output_file(folder / ITEMS) as half:
        _write_items(items, half)
    with whole_file(folder / EMBEDDINGS) as half:
        _write_embeddings(codes, dim, half)
    return len(items)


def _write_items(items: list[Item], path: Path) -> None:
    # surrogateescape: a name that is not UTF-8 keeps its bytes.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows([getattr(item, column) for column in COLUMNS] for item in items)


def _write_embeddings(codes: Codes, dim: int, path: Path) -> None:
    with path.open("wb") as file:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (len(codes), dim)}
        np.lib.format.write_array_header_1_0(file, shape)
        for start in range(0, len(codes), _AT_ONCE):
            file.write(decode(codes[start : start + _AT_ONCE], dim).astype("<f4").data)
