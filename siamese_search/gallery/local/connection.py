"""SQLite files opened as if a stranger had made them, one connection a thread, every failure told in one clear line."""

import os
import sqlite3
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread, current_thread

from siamese_search.errors import BusyError, GalleryError
from siamese_search.gallery.store import DamagedError

BUSY_SECONDS = 10.0
_MAX_VALUE = 16 << 20  # bytes; far above any path, reason or embedding


class Connections:
    """The connections to one file: one for each thread, since a transaction belongs to its connection.

    `check` sees each before it is used. One whose thread has ended is closed when the next is opened, and all are when
    the last reference to this object goes.
    """

    def __init__(self, path: Path, check: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._check = check
        self._open: dict[Thread, sqlite3.Connection] = {}  # by thread, not by its number, which is used again
        self._leaving: set[sqlite3.Connection] = set()
        self._opening = Lock()
        weakref.finalize(self, _close_all, self._open)

    @property
    def mine(self) -> sqlite3.Connection:
        """The connection of this thread; its first use opens the file, which raises sqlite3.Error or GalleryError."""
        thread = current_thread()
        return self._open.get(thread) or self._opened(thread)

    def close(self) -> None:
        """Close all of them; one within a transaction of another thread is closed when that ends."""
        for thread, connection in list(self._open.items()):
            if thread is current_thread() or not connection.in_transaction:
                del self._open[thread]
                connection.close()
            else:
                self._leaving.add(connection)

    def done(self, connection: sqlite3.Connection) -> None:
        """Close a connection whose transaction has ended, if all were closed meanwhile."""
        if connection in self._leaving:
            self._leaving.discard(connection)
            del self._open[current_thread()]
            connection.close()

    def _opened(self, thread: Thread) -> sqlite3.Connection:
        connection = open_database(self._path)
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        with self._opening:
            for other in [other for other in self._open if not other.is_alive()]:
                self._open.pop(other).close()
            self._open[thread] = connection
        return connection


def _close_all(connections: dict[Thread, sqlite3.Connection]) -> None:
    for connection in connections.values():
        connection.close()


def is_database(path: Path) -> bool:
    """Tell whether there is a file that may be one: not where nothing is, or an empty file.

    Raises GalleryError for what cannot be looked at and for what is no file, before anything tries to read it.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise GalleryError(f"{path}: cannot be opened: {error.strerror}; mend that, or name another --index") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no file but a pipe, a socket or a device"
        raise GalleryError(f"{path}: is {kind}, not a gallery's file; move it away, or name another --index")
    return status.st_size > 0


def open_database(path: Path) -> sqlite3.Connection:
    """Open a gallery.db, which may lie where nobody may write, or be replaced just now."""
    while True:
        before = _identity(path)
        connection = _open(path)
        if _identity(path) == before:
            return connection
        connection.close()  # whoever replaces a file holds the old one locked: this waited for it


def _open(path: Path) -> sqlite3.Connection:
    try:
        return connect(path)
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        unwritable = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
        if not unwritable or (log.exists() and log.stat().st_size):
            raise
    # In a folder that nobody may write, a write-ahead log cannot even be looked for: read the file as it stands.
    return connect(path, immutable=True)


def connect(path: Path, *, immutable: bool = False, create: bool = False) -> sqlite3.Connection:
    """Open an SQLite file that may come from a stranger, and see that it can be read; raises sqlite3.Error.

    One thread at a time may use the connection.
    """
    query = "mode=ro&immutable=1" if immutable else f"mode={'rwc' if create else 'rw'}"
    # The name goes into a URI as bytes: it need not be UTF-8.
    name = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02x}" for byte in os.fsencode(path))  # noqa: PLR2004
    connection = sqlite3.connect(
        f"file:{name}?{query}", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
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


def alone(connection: sqlite3.Connection, path: Path) -> None:
    """Shut everybody else out of a file until the connection is closed, and bring its log in, before it is replaced.

    A log that stayed behind would be taken for that of the new file. Raises BusyError when others have it open.
    """
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise BusyError(f"{path}: in use; close what has it open (review, serve), then try again") from error
        raise


def damaged(path: Path, detail: object) -> DamagedError:
    """Return the error that names a damaged file and the ways out."""
    return DamagedError(path, path.parent, detail)


def lost(path: Path) -> DamagedError:
    """Return the error for a file of which a repair can read nothing."""
    way_out = "no repair helps and it stays as it is; index your folders into another --index, or bring back a backup"
    return DamagedError(path, path.parent, "nothing in it can be read", way_out=way_out)


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(path, error) from error
    except UnicodeDecodeError as error:  # SQLite's Python module stumbles over a text that is none
        raise damaged(path, error) from error


# What is not in here has no name that we know, and is told as what SQLite calls it; see https://sqlite.org/rescode.html
_WORDS: dict[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run it again, nothing is lost",
    sqlite3.SQLITE_IOERR: "the disk failed or is full ({error}); mend that and run it again",
    sqlite3.SQLITE_NOMEM: "not enough memory; close other programs and run it again",
    **dict.fromkeys(
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH),
        "cannot be opened or written ({error}); check its permissions",
    ),
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A value longer than `_MAX_VALUE`, which is our own limit, was never written by us.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG}


def explained(path: Path, error: sqlite3.Error) -> GalleryError:
    """Return the error for people that an error of SQLite is; only what is known to be damage is called so."""
    code = _code(error)
    if code in _BUSY:
        return BusyError(f"{path}: busy, another process is writing to it; try again later")
    if code in _DAMAGED or (code is None and "Could not decode to UTF-8" in str(error)):  # said by Python's module
        return damaged(path, error)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    words = _WORDS.get(code or 0, "SQLite failed with {name} ({error}); run it again, and report it if it stays")
    return GalleryError(f"{path}: {words.format(name=name, error=error)}")


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code, None where Python's module itself raised the error."""
    extended = getattr(error, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xFF


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
