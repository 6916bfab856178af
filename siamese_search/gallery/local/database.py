"""The SQLite file of a gallery: every row with its checksum, every read checked against it."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from siamese_search.gallery.local.checksums import BITS, Row, code_checksum
from siamese_search.gallery.local.connection import Connections, damaged, explained, guarded, is_database
from siamese_search.gallery.local.formats import OURS, layout_of
from siamese_search.gallery.local.layout import (
    KEYS,
    as_written,
    create_database,
    marks,
    our_layout,
    with_checksum,
)
from siamese_search.gallery.local.migration import migrate
from siamese_search.gallery.store import DamagedError

_MIN_ROW = 8  # bytes; no row is stored in fewer
_AT_ONCE = 4096  # rows
_MAX_NAMED = 500  # SQLite limits the number of placeholders in a query


class _OlderFormatError(Exception):
    """The file has to be migrated; never leaves this module."""


class Database:
    """An open gallery.db. All methods raise GalleryError when the file is damaged, locked, or cannot be written."""

    def __init__(self, path: Path) -> None:
        """Open a file; one of an older format is migrated first."""
        self.path = path
        self._connections = Connections(path, self._check_layout)
        with guarded(path):
            try:
                _ = self._connection
            except _OlderFormatError:
                migrate(path)
                _ = self._connection

    @classmethod
    def create(cls, path: Path, meta: dict[str, str], *, rows: Iterable[tuple[str, Row]] = ()) -> Self:
        """Make a new one with some rows, whole or not at all; the caller holds the writer's lock."""
        create_database(path, meta, rows=rows)
        return cls(path)

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a database; an empty file is none. Raises GalleryError for what is no file."""
        return is_database(path)

    def close(self) -> None:
        """Let go of the file in all threads; the next use opens it again."""
        self._connections.close()

    # -- reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that this thread reads inside belong to one moment, whatever others commit meanwhile."""
        with guarded(self.path):
            connection = self._connection
        if connection.in_transaction:
            yield
            return
        with guarded(self.path):
            connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                connection.execute("COMMIT")
            self._connections.done(connection)

    def totals(self, table: str) -> tuple[int, int]:
        """Return the number of rows of a table and the sum of their checksums, which changes whenever a row does."""
        for rows, total in self.rows("SELECT rows, checksums FROM totals WHERE name = ?", (table,)):
            if isinstance(rows, int) and isinstance(total, int) and 0 <= rows * _MIN_ROW <= self.size:
                return rows, total
        raise self.damaged(f"an impossible number of rows in {table}")

    @property
    def size(self) -> int:
        """Bytes on disk, with what was not written back from the log: nothing in it can be larger."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def scan(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield all rows in the order of their keys, without checksums; raises at the first that is not as written."""
        with self.snapshot():
            max_rows, total = self.totals(table)
            rows = found = 0
            with guarded(self.path):
                for row in self._connection.execute(f"SELECT * FROM {table} ORDER BY {KEYS[table]}"):  # noqa: S608
                    rows += 1
                    if rows > max_rows:  # also ends a table that a stranger knotted into a loop
                        break
                    whole = self.checked(table, row)
                    found += row[-1]
                    yield whole
            if (rows, found & BITS) != (max_rows, total):
                raise self.damaged(f"{table} has {rows} rows, not those {max_rows} that were written")

    def codes(self) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """Yield all embeddings as `scan` does, many at once and in less time: their items, and their codes in a row.

        All codes have the same length, or it is damaged.
        """
        with self.snapshot():
            max_rows, total = self.totals("embeddings")
            rows = found = 0
            lengths: set[int] = set()
            with guarded(self.path):
                cursor = self._connection.execute("SELECT item, code, checksum FROM embeddings ORDER BY item")
                while (some := cursor.fetchmany(_AT_ONCE)) and rows + len(some) <= max_rows:
                    items, codes, checksums = zip(*some, strict=True)
                    for item, code, checksum in some:
                        self._checked_code(item, code, checksum)
                    lengths.update(map(len, codes))
                    if len(lengths) > 1:
                        raise self.damaged("embeddings of different lengths")
                    rows += len(some)
                    found += sum(checksums)
                    yield items, b"".join(codes)
            if some or (rows, found & BITS) != (max_rows, total):
                raise self.damaged(f"embeddings has {rows} rows, not those {max_rows} that were written")

    def codes_of(self, items: Sequence[int]) -> dict[int, bytes]:
        """Return the codes of the named items, as far as they have one."""
        found = {}
        for start in range(0, len(items), _MAX_NAMED):
            some = items[start : start + _MAX_NAMED]
            query = f"SELECT item, code, checksum FROM embeddings WHERE item IN ({','.join('?' * len(some))})"  # noqa: S608
            for item, code, checksum in self.rows(query, some):
                found[item] = self._checked_code(item, code, checksum)
        return found

    def checksums(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the items of all embeddings in order with their checksums, many at once; no code is looked at."""
        with self.snapshot():
            max_rows, _ = self.totals("embeddings")
            rows = 0
            with guarded(self.path):
                cursor = self._connection.execute("SELECT item, checksum FROM embeddings ORDER BY item")
                while some := cursor.fetchmany(_AT_ONCE):
                    rows += len(some)
                    if rows > max_rows or not all(type(checksum) is int for _, checksum in some):
                        raise self.damaged("embeddings that were not written")
                    yield some

    def select(self, table: str, where: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows that meet a condition, without the checksums."""
        return [
            self.checked(table, row)
            for row in self.rows(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608
        ]

    def checked(self, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row without its checksum, which must be that of its values."""
        values = as_written(table, row)
        if values is None:
            raise self.damaged(f"row {row[0]} of {table} is not as it was written")
        return values

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of any query, unchecked."""
        with self.snapshot(), guarded(self.path):
            return self._connection.execute(query, values).fetchall()

    def stream(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of any query, unchecked, as they are read; inside `snapshot`."""
        with guarded(self.path):
            yield from self._connection.execute(query, values)

    def integrity(self) -> list[str]:
        """Return what SQLite itself finds wrong with the file's structure, at most ten lines."""
        try:
            rows = self._connection.execute("PRAGMA integrity_check (10)")
            found = [" ".join(str(row[0]).removeprefix("*** in database main ***").split()) for row in rows]
            lonely = self._connection.execute("PRAGMA foreign_key_check")
            found += [f"{row[0]}: row {row[1]} refers to nothing" for row in lonely]
        except sqlite3.DatabaseError as error:
            said = explained(self.path, error)
            if not isinstance(said, DamagedError):
                raise said from error
            return [said.detail]
        return [line for line in found if line != "ok"]

    def damaged(self, detail: object) -> DamagedError:
        """Return the error that says so."""
        return damaged(self.path, detail)

    # -- writing, inside `with database.transaction():`

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that this thread does inside, or, when anything is raised, nothing."""
        with guarded(self.path):
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with guarded(self.path):
                connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # what went wrong first is what counts
                connection.rollback()
            raise
        finally:
            self._connections.done(connection)

    def put(self, table: str, row: Row) -> None:
        """Write a row, in place of one with the same key."""
        anew = ", ".join(f"{column} = excluded.{column}" for column in our_layout()[1][table])
        query = f"INSERT INTO {table} VALUES ({marks(table)}) ON CONFLICT ({KEYS[table]}) DO UPDATE SET {anew}"  # noqa: S608
        with guarded(self.path):
            self._connection.execute(query, with_checksum(table, row))

    def delete(self, table: str, where: str, values: Iterable[Sequence[Any]]) -> None:
        """Delete the rows that meet a condition, for each of several sets of values."""
        with guarded(self.path):
            self._connection.executemany(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608

    # -- inside

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._connections.mine

    def _checked_code(self, item: int, code: object, checksum: object) -> bytes:
        if type(code) is not bytes or checksum != code_checksum(item, code):
            raise self.damaged(f"row {item} of embeddings is not as it was written")
        return code

    def _check_layout(self, connection: sqlite3.Connection) -> None:
        with guarded(self.path):
            if layout_of(connection, self.path) is not OURS:
                raise _OlderFormatError
