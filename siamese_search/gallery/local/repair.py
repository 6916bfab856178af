"""A damaged gallery.db of any format read as far as it can be, and written anew from the rows that are whole."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from siamese_search.errors import GalleryError
from siamese_search.gallery.local.checksums import Row
from siamese_search.gallery.local.connection import guarded, lost
from siamese_search.gallery.local.flips import before_a_flip
from siamese_search.gallery.local.formats import Layout, carried, order_of
from siamese_search.gallery.local.layout import create_database
from siamese_search.gallery.local.salvage import salvaged
from siamese_search.gallery.settings import calibration_in, identity_in, threshold_in
from siamese_search.gallery.store import DamagedError, Settings

_AT_ONCE = 1000  # rows
_MAX_WORK = 2 * 10**10  # bytes: what looking for flipped bits in a table may read, some ten seconds
_OVERHEAD = 1000  # bytes that are read in the time that every look at a row takes
_MAX_IN_A_PAGE = 100  # rows

_SUFFIXES = ("", "-wal", "-shm")

Fallback = Callable[[str | None], Settings]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repaired gallery.db holds: its number of pictures, and in words what could not be kept."""

    images: int
    notes: tuple[str, ...]


def repair(path: Path, fallback: Fallback) -> Repaired:
    """Write a gallery.db anew, in today's format, from its whole rows; the old file is kept beside it.

    A row in which one bit flipped is whole again, since its checksum tells which. A picture counts only with its folder
    and its embedding; answers always do. `fallback` gives the settings of the encoder at a location, or, where not even
    that can be read, of the one for new galleries: then all pictures are left for the next sync to embed. The caller
    holds the writer's lock. Raises BusyError when others have the file open, DamagedError, and changes nothing, when
    nothing in it can be read.
    """
    try:
        with guarded(path), salvaged(path) as (connection, layout):
            return _written_anew(path, _Rows(connection, layout), fallback)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be repaired: {error.strerror or error}; mend that and try again") from error


def _written_anew(path: Path, old: "_Rows", fallback: Fallback) -> Repaired:
    # Whatever lies in the old file, a picture in the new one has a folder and an embedding, and each place is one's.
    meta: dict[str, str] = dict(old.whole("meta"))
    roots = list(old.whole("roots"))
    if not (meta or roots or any(True for _ in old.whole("answers"))):
        raise lost(path)
    settings, notes = _settings(path, meta, fallback)
    known = {row[0] for row in roots}
    kept = old.pictures(known) if _LOST not in notes else {}

    def rows() -> Iterator[tuple[str, Row]]:
        yield from (("roots", row) for row in roots)
        yield from (("items", row) for row in kept.values())
        yield from (("embeddings", row) for row in old.whole("embeddings") if row[0] in kept)
        yield from (("skipped", row) for row in old.whole("skipped") if row[0] in known)
        yield from (("answers", row) for row in old.whole("answers"))

    texts = {name: json.dumps(value) for name, value in settings.items()}
    create_database(path, texts, rows=rows(), last_id=old.last_id, at_last=lambda: _keep_aside(path))
    return Repaired(len(kept), notes)


_LOST = "which encoder made its embeddings cannot be read: index again, to embed every picture anew"
_OTHER_THRESHOLD = "its threshold could not be read, and is that of its encoder now"


def _settings(path: Path, meta: Mapping[str, str], fallback: Fallback) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings of a gallery, of which rows may be missing, and in words what is not as it was."""
    found: dict[str, Any] = {}
    for name in ("encoder", "threshold", "calibration", "former"):
        with suppress(KeyError, ValueError, RecursionError):
            found[name] = json.loads(meta[name])
    location = str(path.parent)
    try:
        encoder = identity_in(found, location)
    except DamagedError:
        return fallback(None), (_LOST,)
    with suppress(DamagedError, KeyError, TypeError):  # the calibration has the threshold too
        found.setdefault("threshold", found["calibration"]["threshold"])
        threshold_in(found, location)
        calibration_in(found, location)
        return found, ()
    return {**fallback(encoder.location), "encoder": found["encoder"]}, (_OTHER_THRESHOLD,)


class _Rows:
    """What can be read of a damaged file, as rows of today's format."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        connection.text_factory = bytes  # what is not UTF-8 is damaged, and must not stop the other rows
        self._connection = connection
        self._layout = layout

    def whole(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table that are as they were written, or can be told, each key once."""
        then = "reviewed" if table == "answers" and "reviewed" in self._layout.columns else table
        if then not in self._layout.columns:
            return
        seen = set()
        width = len(order_of(then).split(","))
        work = _MAX_WORK
        for raw in self._readable(then):
            values = self._checked(then, raw)
            if values is None and self._layout.totals:
                work -= _work(raw)
                if work > 0:
                    kinds = f"{self._layout.kinds[then]}i"
                    values = before_a_flip(raw, kinds, lambda row: self._checked(then, row))
            if values is not None and values[:width] not in seen:
                seen.add(values[:width])
                with suppress(ValueError):
                    yield carried(self._layout, then, values)[1]

    def pictures(self, roots: set[int]) -> dict[int, Row]:
        """Return the items by id that have a root and an embedding, each place once."""
        embedded = {row[0] for row in self.whole("embeddings")}
        places: dict[Row, Row] = {}
        for row in self.whole("items"):
            if row[0] in embedded and row[1] in roots:
                places.setdefault(row[1:3], row)
        return {row[0]: row for row in sorted(places.values())}

    @property
    def last_id(self) -> int:
        """The greatest id that was ever given; 0 where that cannot be read."""
        with suppress(sqlite3.Error):
            for (value,) in self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'"):
                return self._possible(value)
        return 0

    def _checked(self, table: str, raw: Row) -> Row | None:
        """Return the values of a row whose texts came as bytes; None when they do not agree with its checksum."""
        kinds = self._layout.kinds[table]
        try:
            texts = (
                value.decode() if kind == "t" and isinstance(value, bytes) else value
                for kind, value in zip(kinds, raw, strict=False)
            )
            return self._layout.checked(table, (*texts, *raw[len(kinds) :]))
        except (UnicodeError, TypeError, ValueError):
            return None

    def _readable(self, table: str) -> Iterator[Row]:
        keys = order_of(table)
        if table in {"items", "embeddings", "roots"}:
            for start in range(1, self._greatest(table, keys) + 1, _AT_ONCE):
                yield from self._between(table, keys, start, start + _AT_ONCE - 1)
            return
        # Other keys cannot be counted through: read from both ends up to what cannot be read.
        for order in ("ASC", "DESC"):
            ordered = ", ".join(f"{key} {order}" for key in keys.split(", "))
            with suppress(sqlite3.Error):
                rows = self._connection.execute(f"SELECT * FROM {table} ORDER BY {ordered}")  # noqa: S608
                yield from (row for row, _ in zip(rows, range(self._max_rows), strict=False))

    def _between(self, table: str, key: str, first: int, last: int) -> Iterator[Row]:
        """Yield the rows with keys in a range; where that fails, those of its halves."""
        try:
            query = f"SELECT * FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key}"  # noqa: S608
            rows = self._connection.execute(query, (first, last)).fetchmany(last - first + 1)
        except sqlite3.Error:
            if first < last:
                middle = (first + last) // 2
                yield from self._between(table, key, first, middle)
                yield from self._between(table, key, middle + 1, last)
            return
        yield from rows

    def _greatest(self, table: str, key: str) -> int:
        """Return a number that no key in a table exceeds, as far as can be known."""
        found = [self.last_id]
        with suppress(sqlite3.Error):
            for (value,) in self._connection.execute(f"SELECT max({key}) FROM {table}"):  # noqa: S608
                found.append(self._possible(value))
        return max(found) or self._max_rows

    def _possible(self, value: object) -> int:
        """Return an id; 0 for what is none that a gallery of this size can have come to."""
        return value if isinstance(value, int) and 0 < value <= self._max_rows * _MAX_IN_A_PAGE else 0

    @property
    def _max_rows(self) -> int:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        return int(pages) * _MAX_IN_A_PAGE


def _work(row: Row) -> int:
    """Return what it takes to try every bit of a row."""
    size = sum(len(value) if isinstance(value, bytes | str) else 8 for value in row)
    return 8 * size * (size + _OVERHEAD)


def _keep_aside(path: Path) -> None:
    """Give a file, and a log that could not be brought into it, second names that nothing had.

    The log loses its first name: it would be taken for that of the new file.
    """
    for number in count(1):
        aside = path.with_name(f"{path.name}.damaged{f'-{number}' * (number > 1)}")
        if not any(os.path.lexists(f"{aside}{suffix}") for suffix in _SUFFIXES):
            break
    for suffix in _SUFFIXES:
        source, other = path.with_name(path.name + suffix), aside.with_name(aside.name + suffix)
        if source.exists():
            try:
                other.hardlink_to(source)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, other)
            if suffix:
                source.unlink()
