"""A gallery.db of an older format brought to today's, in its place: whole, or as it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from siamese_search.errors import BusyError, GalleryError
from siamese_search.gallery.local.checksums import BITS, Row
from siamese_search.gallery.local.connection import alone, connect, damaged, guarded
from siamese_search.gallery.local.formats import OURS, Layout, carried, layout_of, order_of
from siamese_search.gallery.local.layout import create_database
from siamese_search.gallery.local.lock import is_mine, writing

_GONE = {"format", "generation"}  # of `meta`: the one is written anew, the other is a sum of checksums since


def migrate(path: Path) -> None:
    """Write a file of an older format anew in today's, as the only writer; one of today's stays as it is.

    A kill leaves the old file or the new one. Raises DamagedError, and changes nothing, when a row is not as it was
    written, GalleryError where the folder cannot be written.
    """
    folder = path.parent
    try:
        with nullcontext() if is_mine(folder) else writing(folder), guarded(path), closing(connect(path)) as old:
            layout = layout_of(old, path)
            if layout is not OURS:  # otherwise another process was faster
                alone(old, path)
                _write_anew(path, old, layout)
    except BusyError:
        raise
    except GalleryError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise GalleryError(
            f"{path}: in an older format, which has to be written anew, and cannot be here:"
            f" {error.__cause__.strerror}; use a copy of {folder}, or use it once from where it can be written"
        ) from error


def _write_anew(path: Path, old: sqlite3.Connection, layout: Layout) -> None:
    if trouble := [row[0] for row in old.execute("PRAGMA integrity_check (1)") if row[0] != "ok"]:
        raise damaged(path, trouble[0])

    def rows() -> Iterator[tuple[str, Row]]:
        for table in layout.columns:
            if table != "meta":
                yield from (_carried(path, layout, table, row) for row in _read(path, old, layout, table))

    meta = {key: value for key, value in _read(path, old, layout, "meta") if key not in _GONE}
    create_database(path, meta, rows=rows(), last_id=last_id(old))


def _read(path: Path, old: sqlite3.Connection, layout: Layout, table: str) -> Iterator[Row]:
    """Yield the rows of a table; raises DamagedError when one is not as it was written, or is missing."""
    rows = total = 0
    for row in old.execute(f"SELECT * FROM {table} ORDER BY {order_of(table)}"):  # noqa: S608
        values = layout.checked(table, row)
        if values is None:
            raise damaged(path, f"row {row[0]} of {table} is not as it was written")
        rows += 1
        total += row[-1] if layout.totals else 0
        yield values
    if layout.totals and table != "meta":
        written = old.execute(f"SELECT * FROM {layout.totals} WHERE name = ?", (table,)).fetchone()  # noqa: S608
        if written != (table, rows, total & BITS):
            raise damaged(path, f"{table} has {rows} rows, not those that were written")


def _carried(path: Path, layout: Layout, table: str, row: Row) -> tuple[str, Row]:
    try:
        return carried(layout, table, row)
    except ValueError as error:
        raise damaged(path, f"row {row[0]} of {table}: {error}") from error


def last_id(connection: sqlite3.Connection) -> int:
    """Return the greatest id that was ever given to an item."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
    return row[0] if row and isinstance(row[0], int) else 0
