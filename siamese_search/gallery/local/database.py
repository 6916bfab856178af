"""The SQLite file of a gallery: every row sealed, every read checked.

SQLite does not notice a flipped bit inside a value, and little of what a stranger may have prepared. So each row ends
with a seal, the checksum of its other columns, and each table has its number of rows and the sum of their seals kept by
triggers: a row that was altered, lost, doubled or made up is noticed when it is read.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import xxhash

from siamese_search.errors import GalleryError
from siamese_search.gallery.local.connection import connect, damaged, guarded, open_database
from siamese_search.gallery.store import DamagedError

FORMAT = 2
_SEAL_BITS = (1 << 61) - 1  # two of them added up still fit into SQLite's integers
_LEAST_ROW = 8  # bytes; no row is stored in fewer
_AT_ONCE = 4096  # rows
_MOST_NAMED = 500  # SQLite limits the number of placeholders in a query

# The order in which tables are read, which is that of their keys. `meta` has no fixed number of rows.
KEYS = {"roots": "id", "items": "id", "embeddings": "item", "skipped": "root, path", "reviewed": "first, second"}
# Paths are BLOBs, since a file name is bytes and need not be UTF-8. No index finds them, which would take a tenth of
# the file: who changes items has read them all, and reading them checks that no path is there twice. Ids are never used
# twice (AUTOINCREMENT), so an index that is behind cannot name the wrong picture. Embeddings lie apart: syncing reads
# only items. They are kept as codes.py says. `reviewed` holds what a person said about two contents, the lesser hash
# first: 0 the same picture, 1 different ones.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tally (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, seal INTEGER NOT NULL);
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
    seal INTEGER NOT NULL
);
CREATE TABLE embeddings (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    code BLOB NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE skipped (
    root INTEGER NOT NULL REFERENCES roots (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (root, path)
) WITHOUT ROWID;
CREATE TABLE reviewed (
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    label INTEGER NOT NULL CHECK (label IN (0, 1)),
    time REAL NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (first, second),
    CHECK (first < second)
) WITHOUT ROWID;
"""
_TALLIED = """
INSERT INTO tally VALUES ('{table}', 0, 0);
CREATE TRIGGER {table}_in AFTER INSERT ON {table} BEGIN
    UPDATE tally SET rows = rows + 1, total = (total + NEW.seal) & {bits} WHERE name = '{table}';
END;
CREATE TRIGGER {table}_out AFTER DELETE ON {table} BEGIN
    UPDATE tally SET rows = rows - 1, total = (total - OLD.seal) & {bits} WHERE name = '{table}';
END;
CREATE TRIGGER {table}_anew AFTER UPDATE ON {table} BEGIN
    UPDATE tally SET total = (total - OLD.seal + NEW.seal) & {bits} WHERE name = '{table}';
END;
"""
_SCHEMA = _TABLES + "".join(_TALLIED.format(table=table, bits=_SEAL_BITS) for table in KEYS)


class Database:
    """An open gallery.db. All methods raise GalleryError when the file is damaged, locked, or cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with guarded(path):
            self._connection = open_database(path)
        try:
            with guarded(path):
                self._check_schema()
        except GalleryError:
            self.close()
            raise

    @classmethod
    def create(
        cls,
        path: Path,
        meta: dict[str, str],
        *,
        rows: Iterable[tuple[str, tuple[Any, ...]]] = (),
        kept: Path | None = None,
    ) -> Self:
        """Make a new one with some rows, whole or not at all; the caller holds the writer's lock.

        A file that has its place already stays under the name `kept`.
        """
        new = path.with_name(f"{path.name}.new")
        for rest in path.parent.glob(f"{new.name}*"):  # of a creation that was killed
            rest.unlink()
        with guarded(path), closing(connect(new)) as connection:
            connection.executescript(f"BEGIN; {_SCHEMA}")
            for key, value in {"format": str(FORMAT), **meta}.items():
                connection.execute("INSERT INTO meta VALUES (?, ?, ?)", sealed("meta", (key, value)))
            for table, some in groupby(rows, key=itemgetter(0)):
                marks = ", ".join("?" * len(_columns()[table]))
                whole = (sealed(table, row) for _, row in some)
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", whole)  # noqa: S608
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        if kept:
            kept.unlink(missing_ok=True)
            kept.hardlink_to(path)
        new.replace(path)
        return cls(path)

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a database; an empty file is none."""
        return path.is_file() and path.stat().st_size > 0

    def close(self) -> None:
        """Close the file; the database is unusable afterwards."""
        self._connection.close()

    # -- reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside belong to one moment, whatever another process commits meanwhile."""
        if self._connection.in_transaction:
            yield
            return
        with guarded(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("COMMIT")

    def tally(self, table: str) -> tuple[int, int]:
        """Return the number of rows of a table and the sum of their seals, which changes whenever a row does."""
        for rows, total in self.rows("SELECT rows, total FROM tally WHERE name = ?", (table,)):
            if isinstance(rows, int) and isinstance(total, int) and 0 <= rows * _LEAST_ROW <= self.size:
                return rows, total
        raise self.damaged(f"an impossible number of rows in {table}")

    @property
    def size(self) -> int:
        """Bytes on disk, with what was not written back from the log: nothing in it can be larger."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def scan(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield all rows in the order of their keys, without the seals; raises at the first that is not as written."""
        with self.snapshot():
            most, total = self.tally(table)
            rows = found = 0
            with guarded(self.path):
                for row in self._connection.execute(f"SELECT * FROM {table} ORDER BY {KEYS[table]}"):  # noqa: S608
                    rows += 1
                    if rows > most:  # also ends a table that a stranger knotted into a loop
                        break
                    whole = self.checked(table, row)
                    found += row[-1]
                    yield whole
            if (rows, found & _SEAL_BITS) != (most, total):
                raise self.damaged(f"{table} has {rows} rows, not those {most} that were written")

    def codes(self) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """Yield all embeddings as `scan` does, many at once and in less time: their items, and their codes in a row.

        All codes have the same length, or it is damaged.
        """
        with self.snapshot():
            most, total = self.tally("embeddings")
            rows = found = 0
            lengths: set[int] = set()
            with guarded(self.path):
                cursor = self._connection.execute("SELECT item, code, seal FROM embeddings ORDER BY item")
                while (some := cursor.fetchmany(_AT_ONCE)) and rows + len(some) <= most:
                    items, codes, seals = zip(*some, strict=True)
                    for item, code, seal in some:
                        self._sealed_code(item, code, seal)
                    lengths.update(map(len, codes))
                    if len(lengths) > 1:
                        raise self.damaged("embeddings of different lengths")
                    rows += len(some)
                    found += sum(seals)
                    yield items, b"".join(codes)
            if some or (rows, found & _SEAL_BITS) != (most, total):
                raise self.damaged(f"embeddings has {rows} rows, not those {most} that were written")

    def codes_of(self, items: Sequence[int]) -> dict[int, bytes]:
        """Return the codes of the named items, as far as they have one."""
        found = {}
        for start in range(0, len(items), _MOST_NAMED):
            some = items[start : start + _MOST_NAMED]
            marks = ",".join("?" * len(some))
            for item, code, seal in self.rows(f"SELECT item, code, seal FROM embeddings WHERE item IN ({marks})", some):  # noqa: S608
                found[item] = self._sealed_code(item, code, seal)
        return found

    def seals(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the items of all embeddings in order, each with its seal, many at once; the codes are not looked at."""
        with self.snapshot():
            most, _ = self.tally("embeddings")
            rows = 0
            with guarded(self.path):
                cursor = self._connection.execute("SELECT item, seal FROM embeddings ORDER BY item")
                while some := cursor.fetchmany(_AT_ONCE):
                    rows += len(some)
                    if rows > most or not all(type(seal) is int for _, seal in some):
                        raise self.damaged("embeddings that were not written")
                    yield some

    def select(self, table: str, where: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows that meet a condition, without the seals."""
        return [
            self.checked(table, row)
            for row in self.rows(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608
        ]

    def checked(self, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row without its seal, which must be that of its values."""
        if row != sealed(table, row[:-1]):
            raise self.damaged(f"row {row[0]} of {table} is not as it was written")
        return row[:-1]

    def meta(self, key: str) -> str | None:
        """Return one of the values kept about the gallery as a whole."""
        for row in self.select("meta", "key = ?", (key,)):
            return str(row[1])
        return None

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of any query, unchecked."""
        with guarded(self.path):
            return self._connection.execute(query, values).fetchall()

    def integrity(self) -> list[str]:
        """Return what SQLite itself finds wrong with the file's structure, at most ten lines."""
        try:
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check (10)")]
            found += [f"{row[0]}: row {row[1]} refers to nothing" for row in self._connection.execute(_REFERENCES)]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [line for line in found if line != "ok"]

    def damaged(self, detail: object) -> DamagedError:
        """Return the error that says so."""
        return damaged(self.path, detail)

    # -- writing, inside `with database.transaction():`

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside, or, when anything is raised, nothing."""
        with guarded(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # what went wrong first is what counts
                    self._connection.rollback()
                raise

    def put(self, table: str, row: tuple[Any, ...]) -> None:
        """Write a row, in place of one with the same key."""
        marks = ", ".join("?" * (len(row) + 1))
        columns = _columns()[table]
        anew = ", ".join(f"{column} = excluded.{column}" for column in columns)
        key = KEYS.get(table, "key")
        self._connection.execute(
            f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {anew}",  # noqa: S608
            sealed(table, row),
        )

    def delete(self, table: str, where: str, values: Iterable[Sequence[Any]]) -> None:
        """Delete the rows that meet a condition, for each of several sets of values."""
        self._connection.executemany(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608

    # -- inside

    def _sealed_code(self, item: int, code: object, seal: object) -> bytes:
        if type(code) is not bytes or seal != _code_seal(item, code):
            raise self.damaged(f"row {item} of embeddings is not as it was written")
        return code

    def _check_schema(self) -> None:
        """Refuse every file that is not laid out exactly as ours: a stranger's view or trigger never runs."""
        query = "SELECT name, type, sql FROM sqlite_master WHERE sql NOT NULL"
        found = {name: (kind, sql) for name, kind, sql in self._connection.execute(query)}
        kind, sql = found.get("meta", ("", ""))
        if kind == "table" and sql.startswith("CREATE TABLE"):
            (version,) = self._connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() or ("",)
            if str(version).isdigit() and int(version) != FORMAT:
                older = int(version) < FORMAT
                way_out = f"delete {self.path.parent} and index again" if older else "upgrade simsearch"
                raise GalleryError(
                    f"{self.path}: written in format {version}, this version reads format {FORMAT}; {way_out}"
                )
        if found != _schema():
            raise self.damaged("not laid out as a gallery is")


def sealed(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with its seal as the last column."""
    if table == "embeddings" and isinstance(row[1], bytes):
        return (*row, _code_seal(row[0], row[1]))
    return (*row, xxhash.xxh3_64_intdigest(repr(row).encode("utf-8", "surrogatepass")) & _SEAL_BITS)


def _code_seal(item: int, code: bytes) -> int:
    return xxhash.xxh3_64_intdigest(code, seed=item & _SEAL_BITS) & _SEAL_BITS


@cache
def _reference() -> tuple[dict[str, tuple[str, str]], dict[str, list[str]]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        query = "SELECT name, type, sql FROM sqlite_master WHERE sql NOT NULL"
        schema = {name: (kind, sql) for name, kind, sql in connection.execute(query)}
        tables = ("meta", *KEYS)
        columns = {table: [row[1] for row in connection.execute(f"PRAGMA table_info ({table})")] for table in tables}
    return schema, columns


def _schema() -> dict[str, tuple[str, str]]:
    return _reference()[0]


def _columns() -> dict[str, list[str]]:
    return _reference()[1]


_REFERENCES = "PRAGMA foreign_key_check"
