"""A damaged gallery.db read as far as it can be, and written anew from the rows that are as they were written."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from siamese_search.errors import GalleryError
from siamese_search.gallery.local.connection import connect, damaged, guarded
from siamese_search.gallery.local.database import KEYS, Database, sealed

KEPT = ".damaged"  # the suffix under which the old file stays
_META = ("encoder", "threshold", "calibration")
_AT_ONCE = 1000  # rows
# The columns that hold text; bytes in others are BLOBs.
_TEXTS: dict[str, set[int]] = {"meta": {0, 1}, "items": {8}, "skipped": {4}, "reviewed": {0, 1}}

Row = tuple[Any, ...]


def rescue(path: Path) -> int:
    """Write a gallery.db anew from its whole rows; return how many pictures are in the new one.

    The old file is kept beside it. A picture counts only with its folder and its embedding. The caller holds the
    writer's lock. Raises GalleryError when not even the encoder's name can be read, or when the file is in use.
    """
    with guarded(path), closing(connect(path)) as old:
        _leave_log(old, path)
        old.text_factory = bytes  # what is not UTF-8 is damaged, and must not stop the other rows
        meta = {row[0]: row[1] for row in _whole(old, "meta") if row[0] in _META}
        if not {"encoder", "threshold"} <= meta.keys():
            raise damaged(path, "not even its encoder can be read, so it cannot be mended")
        embedded = {row[0] for row in _whole(old, "embeddings")}
        roots = list(_whole(old, "roots"))
        known = {row[0] for row in roots}
        places: dict[Row, Row] = {}
        for row in _whole(old, "items"):
            if row[0] in embedded and row[1] in known:
                places.setdefault(row[1:3], row)
        kept = {row[0] for row in places.values()}

        def rows() -> Iterator[tuple[str, Row]]:
            yield from (("roots", row) for row in roots)
            yield from (("items", row) for row in sorted(places.values()))
            yield from (("embeddings", row) for row in _whole(old, "embeddings") if row[0] in kept)
            yield from (("skipped", row) for row in _whole(old, "skipped") if row[0] in known)
            yield from (("reviewed", row) for row in _whole(old, "reviewed"))

        Database.create(path, meta, rows=rows(), kept=path.with_name(f"{path.name}{KEPT}")).close()
    return len(kept)


def _leave_log(connection: sqlite3.Connection, path: Path) -> None:
    """Bring what the write-ahead log holds into the file: a log left behind would be taken for the new file's."""
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise GalleryError(f"{path}: in use; close what has it open (review, serve), then repair it") from error
    for suffix in ("-wal", "-shm"):
        log = path.with_name(f"{path.name}{suffix}")
        if log.exists():  # it could not be brought in: the file is damaged beyond that
            os.replace(log, f"{path}{KEPT}{suffix}")  # noqa: PTH105  a suffix, not another name


def _whole(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yield the rows, without seals, that can be read and are as they were written, each key once."""
    seen = set()
    width = 2 if table in {"skipped", "reviewed"} else 1
    for raw in _readable(connection, table):
        row = _decoded(table, raw)
        if row is not None and row[:width] not in seen:
            seen.add(row[:width])
            yield row


def _decoded(table: str, raw: Row) -> Row | None:
    """Return a row whose texts came as bytes, without its seal, when the seal agrees; None otherwise."""
    texts = _TEXTS.get(table, set())
    try:
        row = tuple(
            value.decode() if place in texts and isinstance(value, bytes) else value for place, value in enumerate(raw)
        )
        return row[:-1] if row == sealed(table, row[:-1]) else None
    except (UnicodeError, TypeError):
        return None


def _readable(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    keys = KEYS.get(table, "key")
    if table in {"items", "embeddings", "roots"}:
        for start in range(1, _last(connection, table, keys) + 1, _AT_ONCE):
            yield from _between(connection, table, start, start + _AT_ONCE - 1)
        return
    # Other keys cannot be counted through: read from both ends up to what cannot be read.
    for order in ("ASC", "DESC"):
        columns = ", ".join(f"{key} {order}" for key in keys.split(", "))
        with suppress(sqlite3.Error):
            yield from connection.execute(f"SELECT * FROM {table} ORDER BY {columns}")  # noqa: S608


def _between(connection: sqlite3.Connection, table: str, first: int, last: int) -> Iterator[Row]:
    """Yield the rows with keys in a range; where that fails, those of its halves."""
    key = KEYS[table]
    try:
        query = f"SELECT * FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key}"  # noqa: S608
        rows = connection.execute(query, (first, last)).fetchmany(last - first + 1)
    except sqlite3.Error:
        if first < last:
            middle = (first + last) // 2
            yield from _between(connection, table, first, middle)
            yield from _between(connection, table, middle + 1, last)
        return
    yield from rows


def _last(connection: sqlite3.Connection, table: str, key: str) -> int:
    """Return a number that no key in a table exceeds, as far as can be known."""
    found = []
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'items'", f"SELECT max({key}) FROM {table}"):  # noqa: S608
        with suppress(sqlite3.Error):
            found += [row[0] for row in connection.execute(query).fetchmany(1)]
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    fallback = pages * 100  # no page holds as many rows
    known = [value for value in found if isinstance(value, int) and 0 < value <= 100 * fallback]
    return max(known, default=fallback)
