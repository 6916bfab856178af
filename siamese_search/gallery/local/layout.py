"""How a gallery.db is laid out: its tables, the kinds of their columns, and a new one written from rows.

SQLite does not notice a flipped bit inside a value, and little of what a stranger may have prepared. So each row ends
with the checksum of its other columns, and each table has its number of rows and the sum of their checksums kept by
triggers: a row that was altered, lost, doubled or made up is noticed when it is read.
"""

import glob
import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from siamese_search.errors import GalleryError
from siamese_search.gallery.local.checksums import BITS, TYPES, Row, checksum, checksum_as, code_checksum
from siamese_search.gallery.local.connection import connect, guarded

# 1: `content_hash` in hexadecimal digits, embeddings in 32 bits a number; at first without checksums, or answers.
# 2: hashes as bytes, embeddings in twelve bits a number; at first with an index of the paths.
# 3: checksums of defined bytes, where they were of Python's `repr`; answers in words; times of any size.
FORMAT = 3

# The order in which tables are read, which is that of their keys.
KEYS = {
    "meta": "key",
    "roots": "id",
    "items": "id",
    "embeddings": "item",
    "skipped": "root, path",
    "answers": "first, second",
}
# The kinds of the columns, checksum left out, as checksums.py names them.
KINDS = {"meta": "tt", "roots": "ib", "items": "iibiibiit", "embeddings": "ib", "skipped": "ibiit", "answers": "tttf"}
# Paths are BLOBs, since a file name is bytes and need not be UTF-8. No index finds them, which would take a tenth of
# the file: who changes items has read them all, and reading them checks that no path is there twice. Ids are never used
# twice (AUTOINCREMENT), so an index that is behind cannot name the wrong picture. Embeddings lie apart: syncing reads
# only items. They are kept as codes.py says. `answers` holds what a person said about two contents, the lesser hash
# first. The row `format` of `meta` stays what it is in every format to come: it tells which one it is.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE totals (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, checksums INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, checksum INTEGER NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER NOT NULL REFERENCES roots (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    format TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE embeddings (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    code BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE skipped (
    root INTEGER NOT NULL REFERENCES roots (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (root, path)
) WITHOUT ROWID;
CREATE TABLE answers (
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('same', 'different')),
    time REAL NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (first, second),
    CHECK (first < second)
) WITHOUT ROWID;
"""
_TRIGGERS = """
INSERT INTO totals VALUES ('{table}', 0, 0);
CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN
    UPDATE totals SET rows = rows + 1, checksums = (checksums + NEW.checksum) & {bits} WHERE name = '{table}';
END;
CREATE TRIGGER {table}_removed AFTER DELETE ON {table} BEGIN
    UPDATE totals SET rows = rows - 1, checksums = (checksums - OLD.checksum) & {bits} WHERE name = '{table}';
END;
CREATE TRIGGER {table}_changed AFTER UPDATE ON {table} BEGIN
    UPDATE totals SET checksums = (checksums - OLD.checksum + NEW.checksum) & {bits} WHERE name = '{table}';
END;
"""
_SCHEMA = _TABLES + "".join(_TRIGGERS.format(table=table, bits=BITS) for table in KEYS)
_MASTER = "SELECT name, type, sql FROM sqlite_master WHERE sql NOT NULL"

Master = dict[str, tuple[str, str]]
"""What a file holds, by name: its type and the SQL that made it."""
Columns = dict[str, tuple[str, ...]]
"""The names of the columns of each table, by its name."""


def create_database(
    path: Path,
    meta: dict[str, str],
    *,
    rows: Iterable[tuple[str, Row]] = (),
    last_id: int = 0,
    at_last: Callable[[], None] = lambda: None,
) -> None:
    """Write a gallery.db with some rows, in the place of one there, whole or not at all; as the only writer.

    `last_id` is the greatest id that was ever given, if no item among the rows has it. `at_last` is called when the new
    file is whole and about to get its name.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        _remove_all(new)  # of a creation that was killed
        try:
            with guarded(path), closing(connect(new, create=True)) as connection:
                _fill(connection, meta, rows, last_id)
            at_last()
            new.replace(path)
        finally:
            _remove_all(new)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written: {error.strerror or error}; mend that and run it again"
        ) from error


def _fill(connection: sqlite3.Connection, meta: dict[str, str], rows: Iterable[tuple[str, Row]], last_id: int) -> None:
    connection.executescript(f"BEGIN; {_SCHEMA}")
    for entry in {"format": str(FORMAT), **meta}.items():
        connection.execute("INSERT INTO meta VALUES (?, ?, ?)", with_checksum("meta", entry))
    for table, some in groupby(rows, key=itemgetter(0)):
        whole = (with_checksum(table, row) for _, row in some)
        connection.executemany(f"INSERT INTO {table} VALUES ({marks(table)})", whole)  # noqa: S608
    if last_id:
        connection.execute("DELETE FROM sqlite_sequence WHERE seq < ?", (last_id,))
        connection.execute(
            "INSERT INTO sqlite_sequence SELECT 'items', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence)", (last_id,)
        )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _remove_all(new: Path) -> None:
    for rest in new.parent.glob(f"{glob.escape(new.name)}*"):
        rest.unlink(missing_ok=True)


def with_checksum(table: str, row: Row) -> Row:
    """Return a row as it is stored: integers that SQLite has no room for as their digits, its checksum at the end."""
    if table == "embeddings":
        return (*row, code_checksum(*row))
    stored = tuple(str(value).encode() if type(value) is int and not _fits(value) else value for value in row)
    return (*stored, checksum(stored))


def as_written(table: str, row: Row) -> Row | None:
    """Return the values of a stored row without its checksum; None unless it is as `with_checksum` made it."""
    values, found = row[:-1], row[-1]
    if table == "embeddings":
        return values if type(values[1]) is bytes and found == code_checksum(*values) else None
    try:
        return values if found == checksum_as(KINDS[table])(values) else None
    except (TypeError, AttributeError, struct.error):  # a number as its digits, or damage
        return _with_digits(table, values, found)


def _with_digits(table: str, values: Row, found: object) -> Row | None:
    with suppress(TypeError, ValueError):
        if found == checksum(values):
            numbers = tuple(
                _number(value) if kind == "i" and type(value) is bytes else value
                for kind, value in zip(KINDS[table], values, strict=True)
            )
            if all(type(value) is TYPES[kind] for kind, value in zip(KINDS[table], numbers, strict=True)):
                return numbers
    return None


def marks(table: str) -> str:
    """Return as many placeholders as a table has columns."""
    return ", ".join("?" * (len(KINDS[table]) + 1))


def master(connection: sqlite3.Connection) -> Master:
    """Return what is in a file."""
    return {name: (kind, sql) for name, kind, sql in connection.execute(_MASTER)}


def new_in_memory() -> sqlite3.Connection:
    """Return an empty gallery.db that is no file."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    return connection


@cache
def our_layout() -> tuple[Master, Columns]:
    """Return what is in a gallery.db of today's format."""
    with closing(new_in_memory()) as connection:
        return master(connection), columns(connection)


def columns(connection: sqlite3.Connection) -> Columns:
    """Return the names of the columns of each table in a file, () where that is no plain one with plain columns."""
    found: Columns = {}
    for name, (kind, sql) in master(connection).items():
        if kind in {"table", "view"} and not name.startswith("sqlite_"):
            quoted = name.replace('"', '""')
            rows = connection.execute(f'PRAGMA table_xinfo ("{quoted}")').fetchall()
            plain = kind == "table" and str(sql).startswith("CREATE TABLE") and not any(row[-1] for row in rows)
            found[name] = tuple(row[1] for row in rows) if plain else ()
    return found


def _fits(value: int) -> bool:
    return -(1 << 63) <= value < 1 << 63


def _number(digits: bytes) -> int:
    """Return the integer that was stored as its digits; raises ValueError for other bytes."""
    number = int(digits[:40])
    if _fits(number) or str(number).encode() != digits:
        raise ValueError(digits)
    return number
