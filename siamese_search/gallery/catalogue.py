"""The catalogue of a gallery: one SQLite file that is the single truth about its pictures and their embeddings."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from siamese_search.embed import Embedded
from siamese_search.errors import GalleryError
from siamese_search.files import lies_in
from siamese_search.results import (
    Calibration,
    CalibrationRow,
    ImageFile,
    Item,
    Skipped,
    Threshold,
    ThresholdSource,
)

FORMAT = 1
_BUSY_SECONDS = 10.0

# Paths are BLOBs, since a file name is bytes and need not be UTF-8. Ids are never used twice (AUTOINCREMENT), so an
# index that is one generation behind cannot name the wrong picture. Embeddings lie apart: syncing reads only items.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER NOT NULL REFERENCES roots (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    format TEXT NOT NULL,
    UNIQUE (root, path)
);
CREATE TABLE embeddings (
    item INTEGER PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE TABLE skipped (
    root INTEGER NOT NULL REFERENCES roots (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (root, path)
) WITHOUT ROWID;
"""
# What a person said about two contents, the lesser hash first: 0 the same picture, 1 different ones.
_REVIEWED = """
CREATE TABLE IF NOT EXISTS reviewed (
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    label INTEGER NOT NULL CHECK (label IN (0, 1)),
    time REAL NOT NULL,
    PRIMARY KEY (first, second),
    CHECK (first < second)
) WITHOUT ROWID;
"""
_ITEM = """
SELECT items.id, roots.path, items.path, size, mtime_ns, content_hash, width, height, format
FROM items JOIN roots ON roots.id = items.root
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderIdentity:
    """The encoder whose embeddings a gallery holds; `location` is what `load_encoder` takes to find it again."""

    name: str
    location: str
    fingerprint: str
    dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that could not be embedded, as it was then, so that it is tried again only when it changed."""

    file: ImageFile
    reason: str

    @property
    def skipped(self) -> Skipped:
        """The same as a result for people."""
        return Skipped(path=str(self.file.path), reason=self.reason)


class Catalogue:
    """An open gallery.db. All methods raise GalleryError when the file is damaged, or locked by another process.

    Writing methods belong inside `with catalogue.transaction():`, which is atomic and counts the generation up.
    """

    def __init__(self, path: Path) -> None:
        if not self.exists(path):
            raise GalleryError(
                f"{path.parent}: no gallery here; make one with: simsearch index FOLDER --index {path.parent}"
            )
        self._path = path
        with _guarded(path):
            self._connection = _connect(path)
        try:
            self._check_format()
        except GalleryError:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, encoder: EncoderIdentity, threshold: Threshold) -> Self:
        """Make a new, empty catalogue in an existing folder."""
        meta = {
            "format": str(FORMAT),
            "generation": "0",
            "encoder": json.dumps(asdict(encoder)),
            "threshold": json.dumps(asdict(threshold)),
        }
        with _guarded(path), closing(_connect(path)) as connection:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {_REVIEWED}")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")  # last: until here a kill leaves an empty file behind
        return cls(path)

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a catalogue; an empty file is the rest of one that was never finished."""
        return path.is_file() and path.stat().st_size > 0

    def close(self) -> None:
        """Close the file; the catalogue is unusable afterwards."""
        self._connection.close()

    # -- reading

    @property
    def generation(self) -> int:
        """A number that grows with every committed change."""
        return int(self._meta("generation"))

    @property
    def encoder(self) -> EncoderIdentity:
        """The encoder that made every embedding in here."""
        return EncoderIdentity(**json.loads(self._meta("encoder")))

    @property
    def threshold(self) -> Threshold:
        """The threshold in force."""
        values = json.loads(self._meta("threshold"))
        return Threshold(**{**values, "source": ThresholdSource(values["source"])})

    @property
    def calibration(self) -> Calibration | None:
        """How the threshold in force was found; None while it is the encoder's own."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'calibration'")
        if not rows:
            return None
        values = json.loads(rows[0][0])
        table = tuple(CalibrationRow(**row) for row in values["table"])
        return Calibration(**{**values, "threshold": self.threshold, "table": table})

    def roots(self) -> tuple[Path, ...]:
        """Return the indexed folders in order; none lies inside another."""
        return tuple(sorted(_path(root) for (root,) in self._rows("SELECT path FROM roots")))

    def count(self) -> int:
        """Return the number of items."""
        return int(self._rows("SELECT count(*) FROM items")[0][0])

    def items(self) -> list[Item]:
        """Return all items in the order of their ids."""
        return [_item(row) for row in self._rows(f"{_ITEM} ORDER BY items.id")]

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the named items; ids that are not there are left out."""
        found = {}
        for start in range(0, len(ids), 500):  # SQLite limits the number of placeholders
            some = ids[start : start + 500]
            marks = ",".join("?" * len(some))
            found.update({row[0]: _item(row) for row in self._rows(f"{_ITEM} WHERE items.id IN ({marks})", some)})
        return found

    def skipped(self) -> list[SkippedFile]:
        """Return the files that could not be embedded, by path."""
        rows = self._rows(
            "SELECT roots.path, skipped.path, size, mtime_ns, reason FROM skipped JOIN roots ON roots.id = skipped.root"
        )
        entries = [
            SkippedFile(file=ImageFile(path=_path(root, path), size=size, mtime_ns=mtime_ns), reason=reason)
            for root, path, size, mtime_ns, reason in rows
        ]
        return sorted(entries, key=lambda entry: entry.file.path)

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Return all ids in ascending order, their embeddings `(n, dim)`, and the generation both belong to."""
        dim = self.encoder.dim
        with _guarded(self._path):
            self._connection.execute("BEGIN")  # one snapshot, whatever another process commits meanwhile
            try:
                generation, count = self.generation, self._rows("SELECT count(*) FROM embeddings")[0][0]
                ids = np.empty(count, np.int64)
                vectors = np.empty((count, dim), np.float32)
                cursor = self._connection.execute("SELECT item, vector FROM embeddings ORDER BY item")
                for row, (item, blob) in enumerate(cursor):
                    if len(blob) != 4 * dim:
                        raise sqlite3.DatabaseError(f"embedding of item {item} has {len(blob)} bytes, not {4 * dim}")
                    ids[row] = item
                    vectors[row] = np.frombuffer(blob, "<f4")
            finally:
                self._connection.execute("COMMIT")
        return ids, vectors, generation

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of the named items `(n, dim)`, in their order; raises KeyError for an unknown id."""
        blobs: dict[int, bytes] = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ",".join("?" * len(some))
            blobs.update(self._rows(f"SELECT item, vector FROM embeddings WHERE item IN ({marks})", some))  # noqa: S608
        dim = self.encoder.dim
        return np.frombuffer(b"".join(blobs[item] for item in ids), "<f4").reshape(len(ids), dim)

    # -- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside, or, when anything is raised, nothing."""
        with _guarded(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def set_calibration(self, calibration: Calibration) -> None:
        """Put a threshold in force, with the table that it is a row of."""
        values = {"calibration": asdict(calibration), "threshold": asdict(calibration.threshold)}
        self._connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, json.dumps(value)) for key, value in values.items()]
        )

    def add_root(self, folder: Path) -> None:
        """Make sure that `folder` lies in a root; roots inside it become part of it."""
        roots = self.roots()
        if lies_in(folder, roots):
            return
        inner = [root for root in roots if lies_in(root, [folder])]
        (new,) = self._connection.execute(
            "INSERT INTO roots (path) VALUES (?) RETURNING id", (os.fsencode(folder),)
        ).fetchone()
        for root in inner:
            ((old,),) = self._rows("SELECT id FROM roots WHERE path = ?", (os.fsencode(root),))
            prefix = os.fsencode(root.relative_to(folder).as_posix()) + b"/"
            for table in ("items", "skipped"):
                paths = self._rows(f"SELECT path FROM {table} WHERE root = ?", (old,))  # noqa: S608  our own names
                self._connection.executemany(
                    f"UPDATE {table} SET root = ?, path = ? WHERE root = ? AND path = ?",  # noqa: S608
                    [(new, prefix + path, old, path) for (path,) in paths],
                )
            self._connection.execute("DELETE FROM roots WHERE id = ?", (old,))

    def put(self, file: ImageFile, embedded: Embedded) -> None:
        """Add the picture at `file.path`, or replace what was known of it; its id stays the same."""
        place = self._place(file.path)
        columns = (
            *place,
            file.size,
            file.mtime_ns,
            embedded.content_hash,
            embedded.width,
            embedded.height,
            embedded.format,
        )
        (item,) = self._connection.execute(
            "INSERT INTO items (root, path, size, mtime_ns, content_hash, width, height, format)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET size = excluded.size,"
            " mtime_ns = excluded.mtime_ns, content_hash = excluded.content_hash, width = excluded.width,"
            " height = excluded.height, format = excluded.format RETURNING id",
            columns,
        ).fetchone()
        blob = embedded.vector.astype("<f4").tobytes()
        self._connection.execute("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", (item, blob))
        self._connection.execute("DELETE FROM skipped WHERE root = ? AND path = ?", place)

    def move(self, item: int, file: ImageFile) -> None:
        """Record where an item's unchanged content is now, and its size and time there."""
        self._connection.execute(
            "UPDATE items SET root = ?, path = ?, size = ?, mtime_ns = ? WHERE id = ?",
            (*self._place(file.path), file.size, file.mtime_ns, item),
        )

    def remove(self, items: Iterable[int]) -> None:
        """Forget items and their embeddings."""
        self._connection.executemany("DELETE FROM items WHERE id = ?", [(item,) for item in items])

    def skip(self, entry: SkippedFile) -> None:
        """Record that a file cannot be embedded; an item at its path is forgotten."""
        place = self._place(entry.file.path)
        self._connection.execute("DELETE FROM items WHERE root = ? AND path = ?", place)
        self._connection.execute(
            "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?, ?)",
            (*place, entry.file.size, entry.file.mtime_ns, entry.reason),
        )

    def unskip(self, paths: Iterable[Path]) -> None:
        """Forget skipped files."""
        self._connection.executemany(
            "DELETE FROM skipped WHERE root = ? AND path = ?", [self._place(path) for path in paths]
        )

    # -- what a person said about pairs; no part of the generation, since the index does not depend on it

    def reviewed(self) -> list[tuple[str, str, int, float]]:
        """Return the answers as (lesser hash, greater hash, label, seconds since 1970), oldest first."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'reviewed'"):
            return []
        return self._rows("SELECT first, second, label, time FROM reviewed ORDER BY time, first, second")

    def review(self, hashes: tuple[str, str], label: int, *, time: float) -> None:
        """Store an answer at once, in place of an earlier one about the same two contents."""
        with _guarded(self._path):
            self._connection.execute(_REVIEWED)
            self._connection.execute(
                "INSERT OR REPLACE INTO reviewed VALUES (?, ?, ?, ?)", (*sorted(hashes), label, time)
            )

    def unreview(self, hashes: tuple[str, str]) -> None:
        """Take an answer back at once."""
        if self.reviewed():
            with _guarded(self._path):
                self._connection.execute("DELETE FROM reviewed WHERE first = ? AND second = ?", sorted(hashes))

    # -- inside

    def _check_format(self) -> None:
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'meta'"):
            raise _damaged(self._path, "another program's database")
        found = int(self._meta("format"))
        if found > FORMAT:
            raise GalleryError(
                f"{self._path}: written in format {found}, this version reads up to {FORMAT}; upgrade simsearch"
            )

    def _meta(self, key: str) -> str:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        if not rows:
            raise _damaged(self._path, f"no {key} in it")
        return str(rows[0][0])

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with _guarded(self._path):
            return self._connection.execute(query, values).fetchall()

    def _place(self, path: Path) -> tuple[int, bytes]:
        for root, folder in self._rows("SELECT id, path FROM roots"):
            if lies_in(path, [_path(folder)]):
                return root, os.fsencode(path.relative_to(_path(folder)).as_posix())
        raise ValueError(f"{path} lies in none of the gallery's roots")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log this survives a kill; a power cut may cost the last batches, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _damaged(path: Path, detail: object) -> GalleryError:
    return GalleryError(f"{path}: damaged or not a gallery ({detail}); delete {path.parent} and index again")


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise GalleryError(f"{path}: busy, another process is writing to it; try again later") from error
        raise GalleryError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error


def _path(root: bytes, path: bytes = b"") -> Path:
    return Path(os.fsdecode(root), os.fsdecode(path))


def _item(row: tuple[Any, ...]) -> Item:
    item, root, path, size, mtime_ns, content_hash, width, height, format_ = row
    return Item(
        id=item,
        path=_path(root, path),
        size=size,
        mtime_ns=mtime_ns,
        content_hash=content_hash,
        width=width,
        height=height,
        format=format_,
    )
