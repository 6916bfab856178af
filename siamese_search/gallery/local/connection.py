"""SQLite files opened as if a stranger had made them, and every failure told in one clear line."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from siamese_search.errors import BusyError, GalleryError
from siamese_search.gallery.store import DamagedError

BUSY_SECONDS = 10.0
_LONGEST_VALUE = 16 << 20  # bytes; far above any path, reason or embedding


def open_database(path: Path) -> sqlite3.Connection:
    """Open a gallery.db, which may lie where nobody may write."""
    try:
        return connect(path)
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        unwritable = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
        if not unwritable or (log.exists() and log.stat().st_size):
            raise
    # In a folder that nobody may write, a write-ahead log cannot even be looked for: read the file as it stands.
    return connect(path, immutable=True)


def connect(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open an SQLite file that may come from a stranger, and see that it can be read; raises sqlite3.Error."""
    query = "mode=ro&immutable=1" if immutable else "mode=rwc"
    # The name goes into a URI as bytes: it need not be UTF-8.
    name = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02x}" for byte in os.fsencode(path))  # noqa: PLR2004
    connection = sqlite3.connect(f"file:{name}?{query}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        # With a write-ahead log this survives a kill; a power cut may cost the last batches, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # opening alone reads nothing
    except BaseException:
        connection.close()
        raise
    return connection


def damaged(path: Path, detail: object) -> DamagedError:
    """Return the error that names a damaged file and the ways out."""
    return DamagedError(path, path.parent, detail)


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(path, error) from error
    except UnicodeDecodeError as error:  # SQLite's Python module stumbles over a text that is none
        raise damaged(path, error) from error


def _told(path: Path, error: sqlite3.Error) -> GalleryError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BusyError(f"{path}: busy, another process is writing to it; try again later")
        case sqlite3.SQLITE_FULL:
            return GalleryError(f"{path}: the disk is full; free some space and run it again, nothing is lost")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return GalleryError(f"{path}: cannot be opened or written ({error}); check its permissions")
        case sqlite3.SQLITE_IOERR:
            return GalleryError(f"{path}: the disk failed or is full ({error}); mend that and run it again")
        case sqlite3.SQLITE_NOMEM:
            return GalleryError(f"{path}: not enough memory; close other programs and run it again")
        case _:
            return damaged(path, error)
