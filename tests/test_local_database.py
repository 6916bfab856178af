"""The SQLite file of a local gallery: its checksums, its connections, what its errors are called, and its repair."""

import gc
import math
import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import BusyError, GalleryError
from siamese_search.gallery.local import connection as connection_module
from siamese_search.gallery.local import repair as repair_module
from siamese_search.gallery.local.checksums import checksum, checksum_as, code_checksum
from siamese_search.gallery.local.connection import Connections, connect, explained
from siamese_search.gallery.local.database import Database
from siamese_search.gallery.local.layout import KEYS, KINDS, as_written, with_checksum
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.store import AnswerRow, DamagedError, SkippedFile
from siamese_search.results import Answer, ImageFile

DIM = 8
ENCODER = {"name": "e", "location": "photo", "fingerprint": "f", "dim": DIM}
SETTINGS = {"encoder": ENCODER, "threshold": {"distance": 0.5, "source": "encoder"}}
CALIBRATION = {"threshold": SETTINGS["threshold"], "table": [], "images": 3, "likeness": 1.0, "false_pairs": 0.5}
HOME = Path("/pictures")
BITS = (1 << 61) - 1
ANSWER = AnswerRow("0" * 31 + "1", "0" * 31 + "2", Answer.DIFFERENT, 12.5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    """Make a gallery of six pictures, a skipped file, an answer and a calibration."""
    store = LocalStore(tmp_path / "gallery")
    vectors = np.random.default_rng(0).normal(size=(6, DIM)).astype(np.float32)
    with store.writing():
        store.create(SETTINGS)
        with store.transaction():
            store.add_root(HOME)
            store.set_setting("calibration", CALIBRATION)
            for place, vector in enumerate(vectors):
                add(store, f"n{place}.png", vector / np.linalg.norm(vector), mtime_ns=1_600_000_000_000_000_000)
            store.skip(SkippedFile(file=ImageFile(path=HOME / "bad.png", size=1, mtime_ns=2), reason="no picture"))
    store.set_answer(ANSWER)
    yield store
    store.close()


def add(store: LocalStore, name: str, vector: Any, *, mtime_ns: int) -> None:
    """Add a picture."""
    file = ImageFile(path=HOME / name, size=10, mtime_ns=mtime_ns)
    content = xxhash.xxh3_128_hexdigest(name.encode())
    store.add(file, Embedded(path=file.path, vector=vector, content_hash=content, width=3, height=2, format="PNG"))


def path_of(store: LocalStore) -> Path:
    """Return the file of a gallery, closed."""
    store.close()
    return store.folder / "gallery.db"


def execute(path: Path, *statements: str) -> None:
    """Change a file behind the back of its checksums."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def everything(store: LocalStore) -> object:
    """Return all that a gallery knows."""
    ids, codes = store.embeddings()
    kept = [skipped.file for skipped in store.skipped()]
    return store.settings(), store.roots(), store.items(), kept, store.answers(), ids.tolist(), codes.tolist()


# -- checksums


def test_a_checksum_is_of_defined_bytes() -> None:
    """Letters, then eight bytes a value, then texts and blobs: as written down, whatever Python or machine it is."""
    row = (-2, 1.5, "\u00e9\U0001f600", b"\x00\xff")
    data = (
        b"iftb"
        + struct.pack("<q", -2)
        + bytes.fromhex("000000000000f83f")
        + struct.pack("<q", 6)
        + struct.pack("<q", 2)
        + b"\xc3\xa9\xf0\x9f\x98\x80\x00\xff"
    )
    assert checksum(row) == xxhash.xxh3_64_intdigest(data) & BITS
    assert checksum_as("iftb")(row) == checksum(row)


VALUES = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
)


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_other_rows_have_other_checksums(one: list[Any], other: list[Any]) -> None:
    """Values, their types, their order and where one ends and the next begins all count."""
    same = [(type(value), value, math.copysign(1, value) if type(value) is float else 0) for value in one] == [
        (type(value), value, math.copysign(1, value) if type(value) is float else 0) for value in other
    ]
    assert (checksum(tuple(one)) == checksum(tuple(other))) == same


@pytest.mark.parametrize("row", [(None,), (True,), ([],)])
def test_what_is_not_stored_has_no_checksum(row: tuple[object]) -> None:
    """Only the four kinds of values that a gallery holds have one."""
    with pytest.raises(TypeError):
        checksum(row)


def test_a_value_of_another_kind_is_damage() -> None:
    """A text where bytes belong is not taken for them, though it reads the same, nor a number for a text."""
    stored = with_checksum("roots", (1, b"/pictures"))
    assert as_written("roots", stored) == (1, b"/pictures")
    for other in (
        (1, "/pictures", stored[2]),
        (1.0, b"/pictures", stored[2]),
        (1, None, stored[2]),
        (b"1", *stored[1:]),
    ):
        assert as_written("roots", other) is None
    for made_up in ((1, "/pictures"), (1.0, b"/pictures"), (b"1", b"/pictures")):
        assert as_written("roots", (*made_up, checksum(made_up))) is None


@pytest.mark.parametrize(
    "mtime_ns",
    [-(1 << 63), (1 << 63) - 1, 1 << 63, 10_413_792_000_000_000_000, -(1 << 63) - 1, (1 << 63) * 10**9, -(10**28)],
)
def test_any_time_survives(store: LocalStore, mtime_ns: int) -> None:
    """What a file system gives as a time, the year 2300 or before 1700 too, comes back as it was."""
    with store.writing(), store.transaction():
        add(store, "odd.png", np.ones(DIM, np.float32) / np.sqrt(DIM), mtime_ns=mtime_ns)
        store.skip(SkippedFile(file=ImageFile(path=HOME / "x.png", size=1, mtime_ns=mtime_ns), reason="no picture"))
    path_of(store)
    assert store.items()[-1].mtime_ns == mtime_ns
    assert store.skipped()[-1].file.mtime_ns == mtime_ns
    assert store.verify(repair=False).problems == ()


# -- errors


CODES = {name: getattr(sqlite3, name) for name in dir(sqlite3) if name.startswith("SQLITE_") and name.isupper()}
PRIMARY = [
    "SQLITE_ERROR", "SQLITE_INTERNAL", "SQLITE_PERM", "SQLITE_ABORT", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM",
    "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_FULL", "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL", "SQLITE_SCHEMA", "SQLITE_TOOBIG", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_MISUSE",
    "SQLITE_AUTH", "SQLITE_RANGE", "SQLITE_NOTADB",
]  # fmt: skip


@pytest.mark.parametrize("name", PRIMARY)
def test_only_damage_is_called_damage(name: str) -> None:
    """Of all that SQLite can say, two codes and our own limit of size are damage; what is unknown keeps its name."""
    error = sqlite3.OperationalError("detail")
    error.sqlite_errorcode = CODES[name]
    error.sqlite_errorname = name
    said = explained(Path("gallery.db"), error)
    assert isinstance(said, DamagedError) == (name in {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_TOOBIG"})
    assert isinstance(said, BusyError) == (name in {"SQLITE_BUSY", "SQLITE_LOCKED"})
    assert "delete" not in str(said)
    assert "\n" not in str(said)
    if name in {"SQLITE_ERROR", "SQLITE_MISUSE", "SQLITE_PROTOCOL", "SQLITE_CONSTRAINT"}:
        assert f"SQLite failed with {name} (detail)" in str(said)


def test_an_error_of_the_module_is_no_damage(store: LocalStore) -> None:
    """What Python's own module refuses is told as such; a text that is none is damage."""
    path = path_of(store)
    database = Database(path)
    with pytest.raises(GalleryError, match="SQLite failed") as caught:
        database.rows("SELECT ?", ())
    assert not isinstance(caught.value, DamagedError)
    with pytest.raises(DamagedError):
        database.rows("SELECT CAST(x'ff' AS TEXT)")
    database.close()


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "dangling"])
def test_what_is_no_file_is_one_line(tmp_path: Path, kind: str) -> None:
    """A folder, a named pipe or a loop of links in the place of gallery.db is named before it is read."""
    path = tmp_path / "gallery.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")
    store = LocalStore(tmp_path)
    words = {
        "folder": "is a folder",
        "pipe": "no file but a pipe",
        "loop": "cannot be opened: ",
        "dangling": "no gallery",
    }
    for use in (store.count, lambda: store.verify(repair=True)):
        with pytest.raises(GalleryError, match=words[kind]) as caught:
            use()
        assert "\n" not in str(caught.value)


# -- threads


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do something in several threads at once; raises what they raised."""
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  it is raised again
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_each_thread_has_its_own_moment(store: LocalStore) -> None:
    """A thread inside a snapshot does not see what another commits, which does not see what is not committed."""
    database = Database(path_of(store))
    counted: list[int] = []
    with database.snapshot():
        assert database.totals("skipped")[0] == 1

        def write() -> None:
            with database.transaction():
                database.put("skipped", (1, b"other.png", 1, 1, "no picture"))
                in_threads(1, lambda _: counted.append(database.totals("skipped")[0]))

        in_threads(1, lambda _: write())
        assert database.totals("skipped")[0] == 1
    assert (counted, database.totals("skipped")[0]) == ([1], 2)
    database.close()


def test_connections_of_ended_threads_are_closed(store: LocalStore) -> None:
    """However many threads come and go, no more connections are open than threads are alive."""
    database = Database(path_of(store))
    for _ in range(3):
        in_threads(4, lambda _: database.totals("items") and None)
    in_threads(1, lambda _: database.totals("items") and None)
    assert len(database._connections._open) <= 2  # noqa: SLF001
    database.close()
    assert database._connections._open == {}  # noqa: SLF001


def test_closing_waits_for_the_snapshot_of_another_thread(store: LocalStore) -> None:
    """A thread in the middle of reading is not cut off when another closes; the next use opens the file again."""
    database = Database(path_of(store))
    inside, closed = threading.Event(), threading.Event()
    seen: list[int] = []

    def read() -> None:
        with database.snapshot():
            seen.append(database.totals("items")[0])
            inside.set()
            closed.wait(10)
            seen.append(sum(1 for _ in database.scan("items")))

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait(10)
    database.close()
    closed.set()
    thread.join()
    assert seen == [6, 6]
    assert database._connections._open == {}  # noqa: SLF001
    assert database.totals("items")[0] == 6
    database.close()


@pytest.mark.filterwarnings("error")
def test_nothing_is_left_open(store: LocalStore) -> None:
    """Who lets go of a gallery without closing it, and threads that end, leave no connection behind."""
    path = path_of(store)
    opened: list[Connections] = [Connections(path, lambda _: None)]
    in_threads(2, lambda _: opened[0].mine.execute("SELECT 1") and None)
    held = opened[0].mine
    opened.clear()
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        held.execute("SELECT 1")


def test_an_error_in_a_transaction_is_not_the_gallerys(store: LocalStore) -> None:
    """What the caller's own work raises inside comes out as it was, and nothing is written."""
    database = Database(path_of(store))

    def fail() -> None:
        with database.transaction():
            database.put("skipped", (1, b"new.png", 1, 1, "no picture"))
            b"\xff".decode()

    with pytest.raises(UnicodeDecodeError):
        fail()
    assert database.totals("skipped")[0] == 1
    database.close()


def test_a_file_that_is_replaced_meanwhile_is_opened_anew(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for a repair to end reads the file that it put there."""
    path = path_of(store)
    other = tmp_path / "other.db"
    Database.create(other, {"encoder": "{}", "threshold": "{}"}).close()
    times: list[Path] = []

    def slow(file: Path, **options: bool) -> sqlite3.Connection:
        opened = connect(file, **options)
        if not times:
            other.replace(path)
        times.append(file)
        return opened

    monkeypatch.setattr(connection_module, "connect", slow)
    database = Database(path)
    assert (len(times), database.totals("items")[0]) == (2, 0)
    database.close()


# -- repair


@pytest.mark.parametrize("key", ["format", "encoder", "threshold", "calibration"])
@pytest.mark.parametrize("column", ["key", "value", "checksum"])
def test_a_flipped_bit_about_the_gallery_is_mended(store: LocalStore, key: str, column: str) -> None:
    """In any row about the gallery as a whole it is called damage, and after a repair all is as it was."""
    before = everything(store)
    path = path_of(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (old,) = database.execute(f"SELECT {column} FROM meta WHERE key = ?", (key,)).fetchone()  # noqa: S608
        new = old ^ 1024 if column == "checksum" else f"{chr(ord(old[0]) ^ 4)}{old[1:]}"
        database.execute(f"UPDATE meta SET {column} = ? WHERE key = ?", (new, key))  # noqa: S608
    with pytest.raises(DamagedError, match="verify --repair") as caught:
        everything(store)
    assert "delete" not in str(caught.value)
    report = store.verify(repair=True)
    assert (report.problems, everything(store) == before) == ((), True)


def test_every_flipped_bit_of_the_file_is_told_or_mended(store: LocalStore) -> None:
    """Somewhere in every 499 bytes a bit is flipped: never a wrong answer, and a repair keeps answers or is refused."""
    before = everything(store)
    path = path_of(store)
    data = path.read_bytes()
    lost = 0
    for place in range(0, len(data), 499):
        for rest in path.parent.iterdir():
            rest.unlink()
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        with suppress(GalleryError):
            assert everything(store) == before, place
        try:
            problems = store.verify(repair=True).problems
        except GalleryError:
            lost += 1
            continue
        assert problems == (), place
        lost += store.answers() != [ANSWER]
        assert set(store.items()) <= set(before[2]), place  # type: ignore[index]
        store.close()
    assert lost <= 1


def test_nothing_kept_aside_is_overwritten(store: LocalStore) -> None:
    """Each repair keeps the file that it found under a name of its own."""
    path = path_of(store)
    for number in range(3):
        execute(path, f"UPDATE items SET width = {number + 70} WHERE id = {number + 1}")  # noqa: S608
        assert store.verify(repair=True).problems == ()
        store.close()
    names = ["gallery.db.damaged", "gallery.db.damaged-2", "gallery.db.damaged-3"]
    assert sorted(entry.name for entry in store.folder.glob("*.damaged*")) == names
    for number, name in enumerate(names):
        with closing(sqlite3.connect(store.folder / name)) as database:
            assert database.execute("SELECT width FROM items WHERE id = ?", (number + 1,)).fetchone() == (number + 70,)


def test_a_log_is_kept_with_its_file(tmp_path: Path) -> None:
    """One that could not be brought in has the number of the file that it belongs to, and none had it before."""
    path = tmp_path / "gallery.db"
    for name in ("gallery.db", "gallery.db-wal", "gallery.db.damaged", "gallery.db.damaged-2-wal"):
        (tmp_path / name).write_text(name)
    repair_module._keep_aside(path)  # noqa: SLF001
    found = {entry.name: entry.read_text() for entry in tmp_path.iterdir()}
    assert found == {
        "gallery.db": "gallery.db",
        "gallery.db.damaged": "gallery.db.damaged",
        "gallery.db.damaged-2-wal": "gallery.db.damaged-2-wal",
        "gallery.db.damaged-3": "gallery.db",
        "gallery.db.damaged-3-wal": "gallery.db-wal",
    }


def test_a_log_of_a_damaged_file_is_read(store: LocalStore) -> None:
    """What was committed last lies in the log, and counts, though the file's own header is gone."""
    path = path_of(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE items SET width = 70 WHERE id = 1")
        log = path.with_name("gallery.db-wal").read_bytes()
        data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])
    path.with_name("gallery.db-wal").write_bytes(log)
    assert store.verify(repair=True).problems == ()
    assert [item.id for item in store.items()] == [2, 3, 4, 5, 6]


def test_answers_outlive_the_encoder(store: LocalStore) -> None:
    """Where not even the encoder is known, folders and answers stay, and everything is left to be embedded anew."""
    path = path_of(store)
    execute(path, "DELETE FROM meta WHERE key = 'encoder'")
    with pytest.raises(DamagedError):
        store.search(np.ones((1, DIM), np.float32), 1)
    report = store.verify(repair=True)
    assert report.problems == ()
    assert any("which encoder" in line for line in report.mended)
    assert store.settings()["encoder"]["name"] == "photo"
    assert (store.count(), store.answers(), store.roots()) == (0, [ANSWER], (HOME,))
    with store.writing(), store.transaction():
        add(store, "again.png", np.ones(256, np.float32) / 16, mtime_ns=1)
    assert store.items()[0].id == 7  # no id is given twice


def test_a_lost_threshold_is_found_in_the_calibration(store: LocalStore) -> None:
    """It is kept there too; without either it is the encoder's again, and that is said."""
    path = path_of(store)
    execute(path, "DELETE FROM meta WHERE key = 'threshold'")
    assert store.verify(repair=True).problems == ()
    assert store.settings()["threshold"] == SETTINGS["threshold"]
    execute(path_of(store), "DELETE FROM meta WHERE key IN ('threshold', 'calibration')")
    report = store.verify(repair=True)
    assert any("its threshold could not be read" in line for line in report.mended)
    assert (store.count(), set(store.settings())) == (6, {"encoder", "threshold"})


def test_a_repair_does_not_overtake_who_reads(store: LocalStore) -> None:
    """While another process has the file open, it is not replaced."""
    path = path_of(store)
    execute(path, "UPDATE items SET width = 70 WHERE id = 1")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM items").fetchone()
        with pytest.raises(BusyError, match="in use"):
            store.verify(repair=True)
    assert store.verify(repair=True).problems == ()


def test_a_file_of_which_nothing_is_left_stays(tmp_path: Path) -> None:
    """Where nothing can be read, nothing is changed, and nobody is told to delete it."""
    path = tmp_path / "gallery.db"
    path.write_bytes(bytes(5000))
    store = LocalStore(tmp_path)
    with pytest.raises(DamagedError, match="nothing in it can be read") as caught:
        store.verify(repair=True)
    assert "delete" not in str(caught.value)
    assert path.read_bytes() == bytes(5000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gallery.db"]


def test_every_table_has_its_kinds() -> None:
    """Keys and kinds are those of the tables, and an embedding's checksum is that of its code alone."""
    assert KEYS.keys() == KINDS.keys()
    assert with_checksum("embeddings", (5, b"code")) == (5, b"code", code_checksum(5, b"code"))
    assert code_checksum(5, b"code") == xxhash.xxh3_64_intdigest(b"code", seed=5) & BITS


@pytest.mark.parametrize("damage", ["header", "contents", "cut"])
def test_a_file_that_sqlite_does_not_open_is_read(store: LocalStore, damage: str) -> None:
    """With its header or its table of contents gone, or cut off in the middle, what is whole in it is rescued."""
    before = everything(store)
    path = path_of(store)
    data = path.read_bytes()
    assert data[:6] == b"SQLite"
    path.write_bytes(
        {"header": bytes(100) + data[100:], "contents": bytes(4096) + data[4096:], "cut": data[: -len(data) // 3]}[
            damage
        ]
    )
    with pytest.raises(DamagedError):
        everything(store)
    assert store.verify(repair=True).problems == ()
    if damage == "cut":
        assert store.roots() == (HOME,)
    else:
        assert everything(store) == before
    assert {entry.name for entry in store.folder.iterdir()} <= {
        "gallery.db", "gallery.db-wal", "gallery.db-shm", "gallery.db.damaged", "index.faiss",
    }  # fmt: skip


def test_a_repair_on_a_full_disk_changes_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is one line; the damaged file is still there, alone, and can be repaired later."""
    path = path_of(store)
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(GalleryError, match="cannot be repaired: No space left on device"):
        store.verify(repair=True)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert {entry.name for entry in store.folder.iterdir()} == {"gallery.db", "index.faiss"}
    assert store.verify(repair=True).problems == ()
