"""The formats that a gallery.db was ever written in, and the steps from each to the next.

A step takes a row as one format has it and returns it as the next one does, so that a file of any age becomes one of
today by the steps from its own on, whether it is migrated or repaired. Nothing here writes an old format.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import encode
from siamese_search.gallery.local.checksums import BITS, TYPES, Row
from siamese_search.gallery.local.connection import damaged
from siamese_search.gallery.local.layout import (
    FORMAT,
    KEYS,
    KINDS,
    Columns,
    as_written,
    columns,
    master,
    our_layout,
)

_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tables of a format are laid out: the names of their columns, and their kinds without the checksum.

    `checked` returns the values of a row as it lies in a table, without its checksum, or None when it is not as it was
    written. `totals` is the table of the numbers of rows and the sums of their checksums, "" where there is none.
    """

    format: int
    columns: Columns
    kinds: dict[str, str]
    checked: Callable[[str, Row], Row | None]
    totals: str

    def agreement(self, found: Columns) -> int:
        """Return how many of its tables are in a file, given the columns of all tables there."""
        return sum(found.get(table) == names for table, names in self.columns.items())


def _checked_by_types(kinds: dict[str, str]) -> Callable[[str, Row], Row | None]:
    """Return what looks at rows that have no checksum."""

    def checked(table: str, row: Row) -> Row | None:
        return row if _typed(kinds[table], row) else None

    return checked


def _checked_by_repr(kinds: dict[str, str]) -> Callable[[str, Row], Row | None]:
    """Return what looks at rows whose checksum is that of what Python shows of them, and of an embedding's bytes."""

    def checked(table: str, row: Row) -> Row | None:
        values = row[:-1]
        if not _typed(kinds[table], values):
            return None
        if table == "embeddings":
            found = xxhash.xxh3_64_intdigest(values[1], seed=values[0] & BITS)
        else:
            found = xxhash.xxh3_64_intdigest(repr(values).encode("utf-8", "surrogatepass"))
        return values if row[-1] == found & BITS else None

    return checked


def _typed(kinds: str, row: Row) -> bool:
    return [type(value) for value in row] == [TYPES[kind] for kind in kinds]


_COLUMNS = {
    "meta": ("key", "value"),
    "roots": ("id", "path"),
    "items": ("id", "root", "path", "size", "mtime_ns", "content_hash", "width", "height", "format"),
    "embeddings": ("item", "vector"),
    "skipped": ("root", "path", "size", "mtime_ns", "reason"),
    "reviewed": ("first", "second", "label", "time"),
}
_SEALED = {table: (*names, "seal") for table, names in _COLUMNS.items()}
_KINDS_2 = {**{table: kinds for table, kinds in KINDS.items() if table != "answers"}, "reviewed": "ttif"}
_KINDS_1 = {**_KINDS_2, "items": "iibiitiit"}

OURS = Layout(FORMAT, {table: our_layout()[1][table] for table in KINDS}, KINDS, as_written, "totals")
_TWO = Layout(2, {**_SEALED, "embeddings": ("item", "code", "seal")}, _KINDS_2, _checked_by_repr(_KINDS_2), "tally")
_ONE = Layout(1, _SEALED, _KINDS_1, _checked_by_repr(_KINDS_1), "tally")
_FIRST = Layout(1, _COLUMNS, _KINDS_1, _checked_by_types(_KINDS_1), "")
_UNANSWERED = Layout(
    1, {table: names for table, names in _COLUMNS.items() if table != "reviewed"}, _KINDS_1, _FIRST.checked, ""
)
LAYOUTS = (OURS, _TWO, _ONE, _FIRST, _UNANSWERED)


def layout_of(connection: sqlite3.Connection, path: Path) -> Layout:
    """Return the layout of a file.

    Raises GalleryError for a format newer than today's, DamagedError for a file that is laid out as none is, or whose
    row `format` is another or is not as it was written. A stranger's view or trigger never runs.
    """
    if master(connection) == our_layout()[0]:
        return _confirmed(OURS, connection, path)
    found = columns(connection)
    for layout in LAYOUTS[1:]:
        if layout.agreement(found) == len(layout.columns) == len(found.keys() - {layout.totals}):
            return _confirmed(layout, connection, path)
    if found.get("meta") == OURS.columns["meta"]:
        _confirmed(OURS, connection, path)
    raise damaged(path, "not laid out as a gallery is")


def closest_layout(connection: sqlite3.Connection) -> tuple[Layout, int]:
    """Return the layout that a damaged file has most of, and how many of its tables are not there."""
    found = columns(connection)
    best = max(LAYOUTS, key=lambda layout: layout.agreement(found))
    return best, len(best.columns) - best.agreement(found)


def carried(layout: Layout, table: str, row: Row) -> tuple[str, Row]:
    """Return the table and the values of a row as they are in today's format; raises ValueError where it cannot be."""
    for number in range(layout.format, FORMAT):
        table, row = _STEPS[number](table, row)
    return table, row


def order_of(table: str) -> str:
    """Return the columns that are the key of a table of any format."""
    return KEYS["answers" if table == "reviewed" else table]


def _to_2(table: str, row: Row) -> tuple[str, Row]:
    """Format 2 takes half the room: hashes are bytes, not digits, and embeddings have twelve bits a number."""
    if table == "items":
        content_hash = bytes.fromhex(row[5])
        if len(content_hash) != _HASH_BYTES:
            raise ValueError("a content hash of another length")
        return table, (*row[:5], content_hash, *row[6:])
    if table == "embeddings":
        return table, (row[0], encode(np.frombuffer(row[1], "<f4")[None]).tobytes())
    return table, row


def _to_3(table: str, row: Row) -> tuple[str, Row]:
    """Format 3 needs no Python to be read: its checksums are of bytes that are defined, and its answers are words."""
    if table == "reviewed":
        first, second, label, time = row
        if label not in {0, 1}:
            raise ValueError("an answer that is none")
        return "answers", (first, second, "different" if label else "same", time)
    return table, row


_STEPS = {1: _to_2, 2: _to_3}  # by the format that each begins with


def _confirmed(layout: Layout, connection: sqlite3.Connection, path: Path) -> Layout:
    """Return the layout of a file when its row `format` says the same."""
    row = connection.execute("SELECT * FROM meta WHERE key = 'format'").fetchone() or ()
    values = layout.checked("meta", row) if len(row) == len(layout.columns["meta"]) else None
    number = int(values[1]) if values and values[1].isdecimal() else 0
    if layout is OURS and number > FORMAT:
        raise GalleryError(
            f"{path}: written in format {number}, this version reads up to format {FORMAT}; upgrade simsearch"
        )
    if number != layout.format:
        raise damaged(path, "its format is not as it was written")
    return layout
