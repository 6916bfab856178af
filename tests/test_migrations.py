"""Galleries of older formats, made as they were made then, are brought to today's with all that is in them."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray

import siamese_search
from siamese_search.errors import GalleryError
from siamese_search.gallery import Gallery
from siamese_search.gallery.codes import decode, encode
from siamese_search.gallery.local.layout import FORMAT, with_checksum
from siamese_search.gallery.local.lock import writing
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.store import AnswerRow, DamagedError
from siamese_search.results import Answer

DIM = 8
ENCODER = {"name": "e", "location": "photo", "fingerprint": "f", "dim": DIM}
THRESHOLD = {"distance": 0.5, "source": "encoder", "expected_precision": 0.99, "expected_recall": 0.8}
HASHES = [f"{number:032x}" for number in (7, 8, 9)]
ANSWERS = [(HASHES[0], HASHES[1], 0, 1_700_000_000.25), (HASHES[1], HASHES[2], 1, 1_700_000_001.5)]
BITS = (1 << 61) - 1


def answer_row(first: str, second: str, label: int, time: float) -> AnswerRow:
    """Return what an older gallery's answer is today."""
    return AnswerRow(first, second, (Answer.SAME, Answer.DIFFERENT)[label], time)


# Format 1 as it began: without checksums. `reviewed` came with the first answer.
FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, root INTEGER NOT NULL REFERENCES roots (id), path BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL, UNIQUE (root, path)
);
CREATE TABLE embeddings (item INTEGER PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE, vector BLOB NOT NULL);
CREATE TABLE skipped (
    root INTEGER NOT NULL REFERENCES roots (id), path BLOB NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (root, path)
) WITHOUT ROWID;
"""
REVIEWED = """
CREATE TABLE reviewed (
    first TEXT NOT NULL, second TEXT NOT NULL, label INTEGER NOT NULL CHECK (label IN (0, 1)), time REAL NOT NULL,
    PRIMARY KEY (first, second), CHECK (first < second)
) WITHOUT ROWID;
"""
# Format 1 with checksums, and format 2, in which hashes are bytes and embeddings codes.
SEALED = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tally (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, seal INTEGER NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, root INTEGER NOT NULL REFERENCES roots (id), path BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash {hash} NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL, seal INTEGER NOT NULL{unique}
);
CREATE TABLE embeddings (
    item INTEGER PRIMARY KEY REFERENCES items (id), {vector} BLOB NOT NULL, seal INTEGER NOT NULL
);
CREATE TABLE skipped (
    root INTEGER NOT NULL REFERENCES roots (id), path BLOB NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL, seal INTEGER NOT NULL, PRIMARY KEY (root, path)
) WITHOUT ROWID;
CREATE TABLE reviewed (
    first TEXT NOT NULL, second TEXT NOT NULL, label INTEGER NOT NULL CHECK (label IN (0, 1)), time REAL NOT NULL,
    seal INTEGER NOT NULL, PRIMARY KEY (first, second), CHECK (first < second)
) WITHOUT ROWID;
"""
SEALED_1 = SEALED.format(hash="TEXT", vector="vector", unique=", UNIQUE (root, path)")
SEALED_2 = SEALED.format(hash="BLOB", vector="code", unique="")
SCHEMAS = {
    "1 without answers": (1, FIRST),
    "1 without checksums": (1, FIRST + REVIEWED),
    "1": (1, SEALED_1),
    "2 with an index": (2, SEALED.format(hash="BLOB", vector="code", unique=", UNIQUE (root, path)")),
    "2": (2, SEALED_2),
}


def vectors() -> NDArray[np.float32]:
    """Return three unit vectors."""
    some = np.random.default_rng(3).normal(size=(3, DIM)).astype(np.float32)
    return some / np.linalg.norm(some, axis=1, keepdims=True)


def rows(number: int) -> list[tuple[str, tuple[Any, ...]]]:
    """Return what was in a gallery: three pictures, one that was removed, a file that is none, two answers."""
    found: list[tuple[str, tuple[Any, ...]]] = [
        ("meta", ("format", str(number))),
        ("meta", ("encoder", json.dumps(ENCODER))),
        ("meta", ("threshold", json.dumps(THRESHOLD))),
        ("roots", (1, b"/pictures")),
    ]
    for item, content, vector in zip((1, 2, 5), HASHES, vectors(), strict=True):
        known = content if number == 1 else bytes.fromhex(content)
        kept = vector.astype("<f4").tobytes() if number == 1 else encode(vector[None]).tobytes()
        found.append(
            ("items", (item, 1, f"n{item}\udcff.png".encode(errors="surrogateescape"), 10, 5, known, 3, 2, "PNG"))
        )
        found.append(("embeddings", (item, kept)))
    found.append(("skipped", (1, b"bad.png", 3, 4, "no picture \u00e9")))
    return found + [("reviewed", row) for row in ANSWERS]


def seal(table: str, row: tuple[Any, ...]) -> int:
    """Return the checksum that formats 1 and 2 had."""
    if table == "embeddings":
        return xxhash.xxh3_64_intdigest(row[1], seed=row[0]) & BITS
    return xxhash.xxh3_64_intdigest(repr(row).encode()) & BITS


def make(folder: Path, kind: str) -> Path:
    """Make a gallery of an old format, in which ids up to 7 were given."""
    number, schema = SCHEMAS[kind]
    folder.mkdir(exist_ok=True)
    path = folder / "gallery.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(schema)
        sums: dict[str, list[int]] = {}
        for table, row in rows(number):
            if f"CREATE TABLE {table} " not in schema:
                continue
            whole = (*row, seal(table, row)) if "seal" in schema else row
            database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(whole))})", whole)  # noqa: S608
            sums.setdefault(table, []).append(seal(table, row))
        if "tally" in schema:
            for table in ("roots", "items", "embeddings", "skipped", "reviewed"):
                database.execute(
                    "INSERT INTO tally VALUES (?, ?, ?)", (table, len(sums[table]), sum(sums[table]) & BITS)
                )
        else:
            database.execute("INSERT INTO meta VALUES ('generation', '12')")
        database.execute("UPDATE sqlite_sequence SET seq = 7 WHERE name = 'items'")
        database.execute("PRAGMA journal_mode = WAL")
    return path


def check_contents(store: LocalStore, kind: str) -> None:
    """Hold a gallery to what was in the old one."""
    assert store.settings() == {"encoder": ENCODER, "threshold": THRESHOLD}
    assert store.roots() == (Path("/pictures"),)
    items = store.items()
    assert [item.id for item in items] == [1, 2, 5]
    assert [os.fsencode(item.path) for item in items] == [b"/pictures/n%d\xff.png" % n for n in (1, 2, 5)]
    assert [item.content_hash for item in items] == HASHES
    assert {(item.size, item.mtime_ns, item.width, item.height, item.format) for item in items} == {
        (10, 5, 3, 2, "PNG")
    }
    assert np.array_equal(store.vectors_of([1, 2, 5]), decode(encode(vectors()), DIM))
    (skipped,) = store.skipped()
    assert (skipped.file.path, skipped.reason) == (Path("/pictures/bad.png"), "no picture \u00e9")
    assert store.answers() == ([] if kind == "1 without answers" else [answer_row(*row) for row in ANSWERS])
    assert store.verify(repair=False).problems == ()


def dump(path: Path) -> str:
    """Return all that a file says, as SQL."""
    with closing(sqlite3.connect(path)) as database:
        return "\n".join(database.iterdump())


def stored_format(path: Path) -> str:
    """Return the format that a file says it has."""
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0])


@pytest.mark.parametrize("kind", SCHEMAS)
def test_an_older_format_is_brought_to_todays(tmp_path: Path, kind: str) -> None:
    """Every picture, embedding, skipped file and answer is there, no id is given again, nothing is left beside it."""
    path = make(tmp_path, kind)
    store = LocalStore(tmp_path)
    check_contents(store, kind)
    assert stored_format(path) == str(FORMAT)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT seq FROM sqlite_sequence").fetchall() == [(7,)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()
    assert {entry.name for entry in tmp_path.iterdir()} <= {"gallery.db", "index.faiss"}


@pytest.mark.parametrize("kind", ["1 without checksums", "2"])
def test_a_writer_migrates_too(tmp_path: Path, kind: str) -> None:
    """The one who holds the lock already does not wait for itself."""
    make(tmp_path, kind)
    store = LocalStore(tmp_path)
    with store.writing():
        assert store.count() == 3
    store.close()


def test_a_migration_waits_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes, nothing is migrated, and the message says who it is."""
    path = make(tmp_path, "2")
    monkeypatch.setattr("siamese_search.gallery.local.lock.WAIT_SECONDS", 0.05)
    command = f"""
import os, pathlib, sys
from siamese_search.gallery.local.lock import writing
with writing(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(GalleryError, match="is writing to it"):
            LocalStore(tmp_path).count()
        other.communicate("")
    assert stored_format(path) == "2"
    assert LocalStore(tmp_path).count() == 3


def test_a_reader_of_the_old_file_is_not_overtaken(tmp_path: Path) -> None:
    """What is open elsewhere stays as it is: the log of one file must not be taken for that of another."""
    path = make(tmp_path, "2")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM items").fetchone()
        with pytest.raises(GalleryError, match="in use"):
            LocalStore(tmp_path).count()
    assert stored_format(path) == "2"


def test_what_was_in_the_log_is_migrated(tmp_path: Path) -> None:
    """An answer that a process committed before it was killed is there afterwards."""
    path = make(tmp_path / "made", "2")
    other = sqlite3.connect(path, isolation_level=None)
    row = ("0" * 32, HASHES[0], 1, 1.5)
    whole = (*row, seal("reviewed", row))
    other.execute("INSERT INTO reviewed VALUES (?, ?, ?, ?, ?)", whole)
    other.execute(
        "UPDATE tally SET rows = rows + 1, total = (total + ?) & ? WHERE name = 'reviewed'", (whole[-1], BITS)
    )
    shutil.copytree(tmp_path / "made", tmp_path / "killed")
    other.close()
    assert (tmp_path / "killed" / "gallery.db-wal").stat().st_size > 0
    assert answer_row(*row) in LocalStore(tmp_path / "killed").answers()


@pytest.mark.parametrize("moment", ["new.replace(path)", 'connection.execute("COMMIT")'])
def test_a_kill_leaves_the_old_file(tmp_path: Path, moment: str) -> None:
    """Killed at any moment before the last one, the old gallery is there, and is migrated the next time."""
    path = make(tmp_path, "2")
    source = Path(siamese_search.__file__).parent / "gallery" / "local" / "layout.py"
    assert moment in source.read_text(encoding="utf-8")
    command = f"""
import os, pathlib, sqlite3
from siamese_search.gallery.local import layout
source = pathlib.Path(layout.__file__).read_text().replace({moment!r}, "killed()")
layout.killed = lambda: os.kill(os.getpid(), 9)
exec(compile(source, layout.__file__, "exec"), layout.__dict__)
from siamese_search.gallery.local import migration
migration.create_database = layout.create_database
migration.migrate(pathlib.Path({str(path)!r}))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])}
    finished = subprocess.run([sys.executable, "-c", command], env=environment, check=False)
    assert finished.returncode == -9
    assert stored_format(path) == "2"
    check_contents(LocalStore(tmp_path), "2")


@pytest.mark.parametrize("kind", ["1", "2"])
@pytest.mark.parametrize(
    ("statement", "words", "pictures", "answers"),
    [
        ("UPDATE items SET width = 77 WHERE id = 2", "row 2 of items is not as it was written", 2, 2),
        ("DELETE FROM reviewed WHERE label = 1", "reviewed has 1 rows", 3, 1),
        ("UPDATE meta SET value = '3' WHERE key = 'format'", "its format is not as it was written", 3, 2),
        ("UPDATE meta SET value = replace(value, 'photo', 'phot0') WHERE key = 'encoder'", "row encoder of meta", 0, 2),
        ("CREATE VIEW other AS SELECT 1", "not laid out", 3, 2),
        ("DROP TABLE skipped", "not laid out", 3, 2),
    ],
)
def test_a_damaged_older_file_is_called_so(
    tmp_path: Path, kind: str, statement: str, words: str, pictures: int, answers: int
) -> None:
    """It is left as it was, and a repair keeps what is whole, and all answers that are still there."""
    path = make(tmp_path, kind)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)
    before = dump(path)
    store = LocalStore(tmp_path)
    with pytest.raises(DamagedError, match=re.escape(words)) as caught:
        store.count()
    assert "delete" not in str(caught.value)
    assert dump(path) == before
    report = store.verify(repair=True)
    assert report.problems == ()
    assert store.count() == pictures
    assert len(store.answers()) == answers
    assert stored_format(path) == str(FORMAT)
    assert stored_format(tmp_path / "gallery.db.damaged") in "123"


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    """Whatever else a later version changed, its number is where it always was; nothing is touched."""
    path = make(tmp_path, "2")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("DROP TABLE meta; CREATE TABLE meta (key TEXT, value TEXT, checksum INTEGER)")
        database.execute("INSERT INTO meta VALUES (?, ?, ?)", with_checksum("meta", ("format", "12")))
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=f"written in format 12, .* up to format {FORMAT}; upgrade simsearch"):
        LocalStore(tmp_path).count()
    assert path.read_bytes() == before


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On read-only media an older gallery is one line that says what to do, and stays as it is."""
    path = make(tmp_path, "2")
    os_open = os.open

    def read_only(name: Any, flags: int, *rest: int, **more: Any) -> int:
        if flags & os.O_CREAT and Path(name).parent == tmp_path:
            raise OSError(30, "Read-only file system", str(name))
        return os_open(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(GalleryError, match=r"in an older format, .*: Read-only file system; use a copy"):
        LocalStore(tmp_path).count()
    monkeypatch.undo()
    assert stored_format(path) == "2"


def test_two_at_once_migrate_once(tmp_path: Path) -> None:
    """Who waited for another to migrate finds the work done."""
    make(tmp_path, "2")
    first, second = LocalStore(tmp_path), LocalStore(tmp_path)
    with writing(tmp_path):
        assert first.count() == 3
        assert second.count() == 3


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_pictures_of_an_older_gallery_are_embedded_anew(tmp_path: Path, photos: Path, kind: str) -> None:
    """A gallery from before any of today's encoders waits for its folder, and loses no answer on the way."""
    make(tmp_path / "gallery", kind)
    with Gallery(tmp_path / "gallery") as gallery:
        assert gallery.sync(calibrate=False).re_embedded == 0
        assert (len(gallery), gallery.waiting, gallery.roots) == (0, 3, (Path("/pictures"),))
        there = tmp_path / "there"
        there.mkdir()
        (there / os.fsdecode(b"n1\xff.png")).write_bytes(b"".ljust(10))
        shutil.copy(photos / "coffee.png", there / os.fsdecode(b"n2\xff.png"))
        assert gallery.relocate("/pictures", there) == 3
        report = gallery.sync(calibrate=False)
        assert (report.re_embedded, report.removed, len(gallery), gallery.waiting) == (1, 1, 1, 0)
        assert [os.fsencode(entry.path.name) for entry in report.skipped] == [b"n1\xff.png"]
        assert len(gallery.answers.all()) == (0 if kind == "1 without answers" else 2)
