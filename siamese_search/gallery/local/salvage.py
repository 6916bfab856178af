"""A damaged SQLite file opened after all: as it is, or a copy in which is put right what is always the same."""

import glob
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path

from siamese_search.errors import BusyError
from siamese_search.gallery.local.connection import alone, connect, guarded, lost
from siamese_search.gallery.local.formats import OURS, Layout, closest_layout
from siamese_search.gallery.local.layout import create_database
from siamese_search.gallery.store import DamagedError

_LOG, _NEW = "-wal", ".new"
# Places in the header, https://sqlite.org/fileformat.html: whether there is a log, and the number of pages, which
# SQLite takes from the size of the file where it is 0.
_KINDS_OF_LOG, _NUMBER_OF_PAGES = 18, 28


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
            with suppress(DamagedError), guarded(path):
                connection = stack.enter_context(closing(opened(path, copy)))
                layout, missing = closest_layout(connection)
                found.append((missing, connection, layout))
                if not missing or layout is not OURS:  # of older ones it is not known where their tables begin
                    break
        if not found:
            raise lost(path)
        _, connection, layout = min(found, key=itemgetter(0))
        yield connection, layout


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
    """Return a connection to a copy in which the header and the table of contents are those of a new gallery.

    They never change, and tables begin at the same pages in every gallery of today's format.
    """
    shutil.copyfile(path, copy)
    log = path.with_name(path.name + _LOG)
    has_log = log.exists() and log.stat().st_size > 0
    if has_log:
        shutil.copyfile(log, copy.with_name(copy.name + _LOG))
    pages = _pages_that_are_always_the_same(copy.with_name(f"{copy.name}{_NEW}"))
    with copy.open("r+b") as file:
        for start, page in pages.items():
            file.seek(start)
            file.write(page)
        for place, data in ((_KINDS_OF_LOG, b"\2\2" if has_log else b"\1\1"), (_NUMBER_OF_PAGES, bytes(4))):
            file.seek(place)
            file.write(data)
    return connect(copy)


def _pages_that_are_always_the_same(new: Path) -> dict[int, bytes]:
    """Return the pages of a new gallery, by their places, in which no table or index begins."""
    create_database(new, {})
    with closing(connect(new)) as connection:
        begins = {page for (page,) in connection.execute("SELECT rootpage FROM sqlite_master")}
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = new.read_bytes()
    return {start: data[start : start + size] for start in range(0, len(data), size) if start // size + 1 not in begins}


def _remove(copy: Path) -> None:
    for rest in copy.parent.glob(f"{glob.escape(copy.name)}*"):
        rest.unlink(missing_ok=True)
