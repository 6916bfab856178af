"""A damaged SQLite file opened after all: as it is, or a copy in which is put right what is always the same."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from operator import itemgetter
from pathlib import Path

from siamese_search.errors import BusyError
from siamese_search.gallery.local.connection import alone, connect, damaged, explained
from siamese_search.gallery.local.formats import Layout, closest_layout
from siamese_search.gallery.local.layout import new_in_memory
from siamese_search.gallery.store import DamagedError

_LOG, _SHARED = "-wal", "-shm"
# Of the header, https://sqlite.org/fileformat.html: its name, pages of 4096 bytes, whether there is a log, no reserved
# bytes, and three constants; then the format of the schema, and that texts are UTF-8.
_HEAD = b"SQLite format 3\0\x10\x00%c%c\x00\x40\x20\x20"
_SCHEMA_FORMAT, _UTF8 = (44, b"\0\0\0\4"), (56, b"\0\0\0\1")


@contextmanager
def salvaged(path: Path) -> Iterator[tuple[sqlite3.Connection, Layout]]:
    """Yield a connection by which most of a damaged file can be read, and the layout that it has most of.

    Nobody else can use the file meanwhile. Raises BusyError when others have it open, DamagedError when nothing of it
    can be read.
    """
    copy = path.with_name(f"{path.name}.copy")
    with ExitStack() as stack:
        stack.callback(_remove, copy)
        found = []
        for opened in (_as_it_is, _put_right):
            with _passing_over_damage(path):
                connection = stack.enter_context(closing(opened(path, copy)))
                layout, missing = closest_layout(connection)
                found.append((missing, connection, layout))
                if not missing:
                    break
        if not found:
            raise damaged(path, "nothing in it can be read")
        _, connection, layout = min(found, key=itemgetter(0))
        yield connection, layout


@contextmanager
def _passing_over_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if not isinstance(explained(path, error), DamagedError):
            raise


def _as_it_is(path: Path, _copy: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        alone(connection, path)
    except BusyError:
        connection.close()
        raise
    except sqlite3.Error:  # the file is damaged beyond that; its log is read where it lies
        pass
    return connection


def _put_right(path: Path, copy: Path) -> sqlite3.Connection:
    """Return a connection to a copy that has the header and the table of contents of a gallery of today's format."""
    shutil.copyfile(path, copy)
    log = path.with_name(path.name + _LOG)
    has_log = log.exists() and log.stat().st_size > 0
    if has_log:
        shutil.copyfile(log, copy.with_name(copy.name + _LOG))
    kind = 2 if has_log else 1
    with copy.open("r+b") as file:
        file.write(_HEAD % (kind, kind))
        for place, data in (_SCHEMA_FORMAT, _UTF8):
            file.seek(place)
            file.write(data)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")  # also passes over what is wrong with it
        with closing(new_in_memory()) as ours:
            rows = ours.execute("SELECT type, name, tbl_name, sql, rowid FROM sqlite_master").fetchall()
        connection.executemany(
            "UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?", rows
        )
    return connect(copy)


def _remove(copy: Path) -> None:
    for suffix in ("", _LOG, _SHARED, "-journal"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
