"""What keeps a gallery whole: one writer, absent drives, stops, moves, repairs, strangers."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from PIL import Image

import siamese_search
from conftest import counts
from siamese_search.encoder import Encoder
from siamese_search.encoder.folder import read_spec
from siamese_search.errors import EncoderError, FolderError, GalleryError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.gallery.local import lock as lock_module
from siamese_search.gallery.local.catalogue import Catalogue
from siamese_search.gallery.local.database import Database
from siamese_search.gallery.local.layout import with_checksum
from siamese_search.gallery.local.lock import is_written, writing

Sample = Callable[[str], Image.Image]
Run = Callable[..., subprocess.CompletedProcess[str]]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])}


def not_embedding(_done: int, _total: int) -> None:
    """Fail when anything is embedded."""
    pytest.fail("something was embedded")


def kept(gallery: Gallery) -> dict[str, tuple[str, bytes]]:
    """Return content hash and embedding of every picture by its path."""
    items = gallery.items()
    vectors = gallery.vectors_of([item.id for item in items])
    return {str(item.path): (item.content_hash, vector.tobytes()) for item, vector in zip(items, vectors, strict=True)}


# -- drives and folders


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_an_absent_drive_keeps_its_pictures(gallery: Gallery, photos: Path, how: str) -> None:
    """A root that is gone, or an empty mount point, loses nothing and is told; back again, all is unchanged."""
    before = kept(gallery)
    photos.rename(photos.with_name("unplugged"))
    if how == "empty":
        photos.mkdir()
    for folders in ([photos], []):
        report = gallery.sync(folders)
        assert counts(report) == {"skipped": 1}
        assert report.skipped[0].path == photos
        assert "a drive that is not connected? Its 9 pictures are kept" in report.skipped[0].reason
    if how == "empty":
        photos.rmdir()
    photos.with_name("unplugged").rename(photos)
    assert counts(gallery.sync(progress=not_embedding)) == {"unchanged": 9}
    assert kept(gallery) == before


def test_a_folder_lost_inside_a_present_one_is_a_slip(gallery: Gallery, photos: Path) -> None:
    """Only a whole root counts as a drive; with the root there, a missing folder was misspelt."""
    with pytest.raises(FolderError, match="no such folder"):
        gallery.sync([photos / "typo"])


def test_a_file_out_of_sight_is_kept(gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose file cannot be looked at, as on a failing disk, is not taken for gone."""
    scandir = os.scandir

    class Failing:
        def __init__(self, entry: "os.DirEntry[str]") -> None:
            self.name, self.path = entry.name, entry.path
            self.is_symlink, self.is_dir = entry.is_symlink, entry.is_dir

        def stat(self) -> os.stat_result:
            raise OSError(5, "Input/output error")

    class Listing(list[object]):
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def scan(path: Path) -> Listing:
        with scandir(path) as entries:
            return Listing(Failing(entry) if entry.name == "coffee.png" else entry for entry in entries)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr("siamese_search.gallery.sync.folder_trouble", lambda _folder: None)
    monkeypatch.setattr("siamese_search.gallery.sync.resolve_folders", lambda folders: tuple(map(Path, folders)))
    report = gallery.sync([photos])
    assert counts(report) == {"unchanged": 8, "skipped": 1}
    assert report.images == 9


def test_a_picture_that_cannot_be_read_just_now_is_kept(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known file that changed and is not permitted keeps its embedding, is told, and is tried again."""
    (photos / "coffee.png").write_bytes((photos / "ihc.png").read_bytes() + b" ")
    path_open = Path.open

    def denied(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "coffee.png":
            raise PermissionError(13, "Permission denied")
        return path_open(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    assert counts(gallery.sync([photos])) == {"unchanged": 8, "skipped": 1}
    assert len(gallery) == 9
    monkeypatch.undo()
    assert counts(gallery.sync([photos])) == {"changed": 1, "unchanged": 8}


def test_a_folder_that_moved_is_told_so(gallery: Gallery, photos: Path) -> None:
    """After `relocate` every picture has its new path, and nothing is embedded; slips change nothing."""
    before = kept(gallery)
    new = photos.with_name("elsewhere")
    photos.rename(new)
    (new.with_name("other")).mkdir()
    for old, target, words in (
        (photos / "copies", new, "is not an indexed folder"),
        (photos, new.with_name("other"), "holds none of the 9 pictures"),
        (photos, new.with_name("typo"), "no such folder"),
    ):
        with pytest.raises(FolderError, match=words):
            gallery.relocate(old, target)
    assert gallery.relocate(photos, new) == 9
    assert kept(gallery) == {path.replace(str(photos), str(new)): value for path, value in before.items()}
    assert counts(gallery.sync(progress=not_embedding)) == {"unchanged": 9}


def test_known_content_is_not_embedded_again(gallery: Gallery, photos: Path) -> None:
    """Pictures moved to a new place while the old one is away, or copied, get the embedding of their content."""
    before = kept(gallery)
    new = photos.with_name("elsewhere")
    photos.rename(new)
    assert counts(gallery.sync([new], progress=not_embedding)) == {"added": 9}
    after = kept(gallery)
    for path, value in before.items():
        assert after[path] == after[path.replace(str(photos), str(new))] == value


def test_what_is_removed_is_forgotten(gallery: Gallery, photos: Path) -> None:
    """A picture, a folder, a root: forgotten with a count, files untouched; what is not there is a slip."""
    assert gallery.remove([photos / "coffee.png"]) == 1
    assert gallery.remove([photos / "copies"]) == 3
    assert len(gallery) == 5
    with pytest.raises(FolderError, match="no indexed pictures there"):
        gallery.remove([photos, photos / "typo.png"])
    assert len(gallery) == 5
    assert gallery.remove([photos]) == 5
    assert gallery.roots == ()
    assert sum(path.is_file() for path in photos.rglob("*")) == 9
    assert gallery.search(photos / "coffee.png").hits == ()
    assert counts(gallery.sync([photos])) == {"added": 9}


def test_a_file_written_just_now_is_looked_at_again(gallery: Gallery, photos: Path) -> None:
    """A time too fresh to tell a second change is not trusted: the same size and time, yet other content, is seen."""
    path = photos / "coffee.bmp"
    path.write_bytes((photos / "copies" / "coffee.bmp").read_bytes())
    now = time.time_ns() + 2_000_000_000  # as on a disk with a coarse clock that is ahead
    os.utime(path, ns=(now // 10**9 * 10**9,) * 2)
    gallery.sync([photos])
    status = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-1000] + bytes(1000))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts(gallery.sync([photos])) == {"changed": 1, "unchanged": 9}


# -- stopping and watching


def test_a_stop_keeps_what_was_embedded(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Told to stop, a run commits the pictures it has, says so, and the next one embeds the rest."""
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    done: list[int] = []
    report = gallery.sync([photos], progress=lambda count, _total: done.append(count), stop=lambda: len(done) >= 4)
    assert (counts(report), report.stopped) == ({"added": 4}, True)
    assert len(gallery) == 4
    report = gallery.sync([photos])
    assert (counts(report), report.stopped) == ({"added": 5, "unchanged": 4}, False)


def test_ctrl_c_ends_with_a_summary(photos: Path, tmp_path: Path, sample: Sample) -> None:
    """SIGINT in the middle of indexing: a line of what was done, exit code 130, no traceback, a sound gallery."""
    for number in range(300):
        sample("coffee.png").rotate(number).save(photos / f"{number}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "siamese_search.cli.app", "index", str(photos), "--index", str(tmp_path / "g")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "g" / "gallery.db").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "stopped before the end; the same command goes on from here" in out
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.verify().problems == ()
        assert len(gallery) < 309


def test_changes_are_followed(gallery: Gallery, photos: Path, sample: Sample) -> None:
    """While watching, new, renamed and deleted pictures are in the gallery soon after; hidden ones never."""
    pytest.importorskip("watchfiles")
    stop = threading.Event()
    reports = gallery.watch(stop=stop)
    assert counts(next(reports)) == {"unchanged": 9}
    (photos / "new folder").mkdir()
    sample("cell.png").save(photos / "new folder" / "cell.png")
    sample("cell.png").save(photos / ".hidden.png")
    added = next(report for report in reports if report.added)
    assert added.images == 10
    (photos / "new folder").rename(photos / "renamed")
    moved = next(report for report in reports if report.moved or report.added or report.removed)
    assert moved.moved == 1
    (photos / "renamed" / "cell.png").unlink()
    assert next(report for report in reports if report.removed).images == 9
    stop.set()
    assert list(reports) == []


def test_watching_needs_its_extra(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without watchfiles the message names the extra to install."""
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(OptionError, match=r"siamese-search\[watch\]"):
        next(gallery.watch())


# -- two at once


def test_a_second_writer_is_told_who_holds_the_gallery(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, then names the process and since when; reading goes on meanwhile."""
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.1)
    with writing(Path(gallery.location)):
        assert is_written(Path(gallery.location))
        for action in (lambda: gallery.sync([photos]), lambda: gallery.remove([photos])):
            with pytest.raises(GalleryError, match=rf"busy, process {os.getpid()}, since 20\d\d-.* is writing to it"):
                action()
        assert len([*gallery.search(photos / "coffee.png", k=99, include_self=True).files(copies=True)]) == 9
    assert not is_written(Path(gallery.location))
    assert counts(gallery.sync([photos])) == {"unchanged": 9}


def test_a_second_writer_waits_its_turn(gallery: Gallery, photos: Path) -> None:
    """When the first is done in time, the second goes on as if nothing had been."""
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(Path(gallery.location)):
            holds.set()
            done.wait(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    assert counts(gallery.sync([photos])) == {"unchanged": 9}
    thread.join()


def test_the_lock_of_a_dead_process_is_no_obstacle(gallery: Gallery, photos: Path) -> None:
    """After kill -9 of the holder the next writer goes on at once."""
    code = (
        "import pathlib, os, signal\nfrom siamese_search.gallery.local.lock import writing\n"
        f"with writing(pathlib.Path({str(Path(gallery.location))!r})):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, env=ENVIRONMENT)
    assert (Path(gallery.location) / "gallery.lock").exists()
    assert not is_written(Path(gallery.location))
    begin = time.monotonic()
    assert counts(gallery.sync([photos])) == {"unchanged": 9}
    assert time.monotonic() - begin < lock_module.WAIT_SECONDS
    assert not (Path(gallery.location) / "gallery.lock").exists()


def test_a_reader_sees_one_moment(gallery: Gallery, photos: Path) -> None:
    """Inside a snapshot nothing changes, whatever another process commits."""
    with gallery.snapshot():
        before = len(gallery)
        with Gallery(gallery.location) as other:
            other.remove([photos / "copies"])
            assert len(other) == 6
        assert len(gallery) == before == 9
        assert len([*gallery.search(photos / "coffee.png", k=99, include_self=True).files(copies=True)]) == 9
    assert len([*gallery.search(photos / "coffee.png", k=99, include_self=True).files(copies=True)]) == 6


# -- faults


def test_a_full_disk_loses_nothing(gallery: Gallery, photos: Path, sample: Sample) -> None:
    """When SQLite finds no room the run ends in one line, and the gallery is as it was."""
    before = kept(gallery)
    sample("cell.png").save(photos / "cell.png")
    database = gallery._store._catalogue._database  # noqa: SLF001
    pages = database.rows("PRAGMA page_count")[0][0]
    opened = Database.__init__

    def cramped(self: Database, path: Path) -> None:
        opened(self, path)
        self.rows(f"PRAGMA max_page_count = {pages}")

    gallery.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "__init__", cramped)
        for number in range(40):
            sample("cell.png").rotate(number).save(photos / f"cell {number}.png")
        with pytest.raises(GalleryError, match="the disk is full; free some space"):
            gallery.sync([photos])
    gallery.close()
    assert gallery.verify().problems == ()
    assert before.items() <= kept(gallery).items()
    assert gallery.sync([photos]).images == 50


def without_powers(*arguments: str) -> list[str]:
    """Return a command line under which even root must keep to permissions."""
    if os.geteuid() != 0:
        return list(arguments)
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *arguments]


def test_a_gallery_that_may_only_be_read_answers(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """In a folder without write permission a query answers, and indexing ends in one line."""
    gallery.close()
    Path(gallery.location).chmod(0o555)
    (Path(gallery.location) / "gallery.db").chmod(0o444)
    command = without_powers(sys.executable, "-m", "siamese_search.cli.app")
    try:
        if os.geteuid() == 0 and subprocess.run([*command[:3], "true"], check=False).returncode:
            pytest.skip("root here cannot give up its powers")
        for arguments, code in ((("query", str(photos / "coffee.png")), 0), (("index", str(photos)), 1)):
            finished = subprocess.run(
                [*command, *arguments, "--index", str(Path(gallery.location))],
                check=False,
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                cwd=tmp_path,
            )
            assert finished.returncode == code, finished.stderr
            if code:
                assert "cannot be written: Permission denied" in finished.stderr
                assert finished.stderr.count("\n") == 1
    finally:
        Path(gallery.location).chmod(0o755)


# -- looked over and mended


def use_all(gallery: Gallery, photos: Path) -> None:
    """Read everything."""
    gallery.sync([photos])
    gallery.search(photos / "coffee.png", k=9)
    gallery.vectors_of([item.id for item in gallery.items()])


def damage(gallery: Gallery, *statements: str) -> None:
    """Change the catalogue behind the back of its checksums."""
    gallery.close()
    database = sqlite3.connect(Path(gallery.location) / "gallery.db", isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def test_a_sound_gallery_is_called_sound(gallery: Gallery, photos: Path) -> None:
    """Nothing to say about a fresh gallery; with `files`, each one that differs is named with how."""
    report = gallery.verify(files=True)
    assert (report.problems, report.mended, report.notes, report.files) == ((), (), (), ())
    (photos / "coffee.png").unlink()
    (photos / "ihc.png").write_bytes(b"changed")
    rotten = photos / "rocket.png"
    status, data = rotten.stat(), bytearray(rotten.read_bytes())
    data[-50] ^= 1
    rotten.write_bytes(data)
    os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    files = gallery.verify(files=True).files
    assert files is not None
    found = {Path(entry.path).name: entry.reason for entry in files}
    assert found == {
        "coffee.png": "is gone; index again",
        "ihc.png": "was changed; index again",
        "rocket.png": "has another content, though size and time are those indexed: damaged on disk?",
    }


@pytest.mark.parametrize(
    ("statement", "lost"),
    [
        ("UPDATE items SET path = 'elsewhere.png' WHERE id = 3", 1),
        ("UPDATE items SET width = 1 WHERE id IN (1, 2)", 2),
        ("UPDATE embeddings SET code = zeroblob(1024) WHERE item = 4", 1),
        ("UPDATE embeddings SET code = 'short' WHERE item = 4", 1),
        ("DELETE FROM embeddings WHERE item = 5", 1),
        ("UPDATE totals SET rows = rows - 1 WHERE name = 'items'", 0),
        ("UPDATE totals SET checksums = 'none' WHERE name = 'embeddings'", 0),
        ("UPDATE items SET content_hash = x'ff' WHERE id = 9", 1),
    ],
)
def test_damage_is_noticed_and_mended(
    gallery: Gallery, photos: Path, encoder: Encoder, statement: str, lost: int
) -> None:
    """No altered row is ever used; a repair keeps all others and answers, and the next sync embeds what was lost."""
    ids = [item.id for item in gallery.items()]
    gallery.answers.set(ids[0], ids[3], "different")
    before = kept(gallery)
    damage(gallery, statement)
    broken = Gallery(gallery.location, encoder=encoder)
    assert broken.verify().problems != ()
    with pytest.raises(GalleryError, match="verify --repair"):
        use_all(broken, photos)
    report = broken.verify(repair=True)
    assert (report.problems, report.images) == ((), 9 - lost)
    assert report.mended
    assert broken.verify().problems == ()
    assert broken.sync([photos]).added == lost
    assert kept(broken) == before
    assert [answer.answer for answer in broken.answers.all()] == ["different"]
    assert (Path(gallery.location) / "gallery.db.damaged").exists()


def test_a_threshold_that_was_altered_is_not_used(gallery: Gallery, photos: Path) -> None:
    """A changed digit in the threshold is noticed, not believed."""
    damage(gallery, "UPDATE meta SET value = replace(value, '0.', '1.') WHERE key = 'threshold'")
    with pytest.raises(GalleryError, match="not as it was written"):
        gallery.search(photos / "coffee.png")


def test_verify_on_the_command_line(gallery: Gallery, photos: Path, run: Run) -> None:
    """It exits 0 when all is well, 1 when not, 0 again after a repair."""
    gallery.close()
    finished = run("verify", "--index", Path(gallery.location))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "9 images, all is well" in finished.stdout
    damage(gallery, "DELETE FROM items WHERE id = 1")
    finished = run("verify", "--index", Path(gallery.location))
    assert finished.returncode == 1
    assert "problem: gallery.db is damaged: " in finished.stdout
    assert f"damaged; to mend it: simsearch verify --repair --index {gallery.location}" in finished.stdout
    finished = run("verify", "--repair", "--index", Path(gallery.location), "--json")
    assert finished.returncode == 0
    assert json.loads(finished.stdout)["images"] == 8
    assert run("index", photos, "--index", Path(gallery.location)).returncode == 0
    assert run("verify", "--files", "--index", Path(gallery.location)).returncode == 0


def test_a_damaged_index_is_named_and_the_pictures_are_counted(gallery: Gallery, run: Run) -> None:
    """The pictures are those in gallery.db; what comes next builds the index anew, and nothing has to be deleted."""
    gallery.close()
    index = Path(gallery.location, "index.faiss")
    index.write_bytes(index.read_bytes()[:100])
    finished = run("verify", "--index", Path(gallery.location))
    assert finished.returncode == 1
    assert "problem: index.faiss is damaged; the next query, or simsearch index, builds it anew" in finished.stdout
    assert f"{gallery.location}: 9 images, damaged; to mend it: simsearch verify --repair" in finished.stdout
    assert "delete" not in finished.stdout
    assert run("index", "--index", Path(gallery.location)).returncode == 0
    assert "9 images, all is well" in run("verify", "--index", Path(gallery.location)).stdout


def test_what_no_repair_mends_is_said(gallery: Gallery, run: Run) -> None:
    """A file of which nothing is left is called that; the way out is not the repair that failed, nor to delete it."""
    gallery.close()
    Path(gallery.location, "gallery.db").write_bytes(b"nothing that SQLite knows")
    finished = run("verify", "--index", Path(gallery.location))
    assert (finished.returncode, "0 images" in finished.stdout) == (1, False)
    assert "its pictures cannot be counted, damaged" in finished.stdout
    finished = run("verify", "--repair", "--index", Path(gallery.location))
    assert finished.returncode == 1
    assert "nothing in it can be read); no repair helps and it stays as it is; index your folders" in finished.stderr
    assert not any(word in finished.stderr for word in ("delete", "--repair"))


# -- strangers


@pytest.mark.parametrize(
    "path", [b"../outside.png", b"/etc/passwd", b"a/../../b.png", b"./x.png", b"a\0b", b"copies/.."]
)
def test_paths_never_lead_out(gallery: Gallery, photos: Path, path: bytes) -> None:
    """A path with a checksum that leaves its root is refused wherever it would be used."""
    gallery.close()
    database = Database(Path(gallery.location) / "gallery.db")
    (row,) = database.select("items", "id = ?", (1,))
    with database.transaction():
        database.put("items", (*row[:2], path, *row[3:]))
    database.close()
    for use in (gallery.items, lambda: gallery.search(photos / "coffee.png", k=9), lambda: gallery.sync([photos])):
        with pytest.raises(GalleryError, match="leads out of"):
            use()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON items BEGIN DELETE FROM embeddings; END",
        "CREATE VIEW evil AS SELECT 1",
        "DROP TABLE answers",
    ],
)
def test_only_our_own_layout_is_opened(gallery: Gallery, statement: str) -> None:
    """A database with triggers, views or tables of a stranger is refused before any of it runs."""
    damage(gallery, statement)
    with pytest.raises(GalleryError, match="not laid out as a gallery is"):
        gallery.items()


def test_endless_tables_end(gallery: Gallery) -> None:
    """A view in the place of a table, that never ends, is never read."""
    damage(
        gallery,
        "DROP TABLE embeddings",
        "CREATE VIEW embeddings AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    )
    with pytest.raises(GalleryError, match="not laid out"):
        len(gallery)


def test_sizes_are_checked_before_memory_is_taken(gallery: Gallery) -> None:
    """A catalogue that claims more pictures or longer embeddings than its bytes can hold is refused at once."""
    damage(gallery, "UPDATE totals SET rows = 1 << 40 WHERE name = 'items'")
    with pytest.raises(GalleryError, match="impossible number of rows"):
        len(gallery)
    gallery.close()
    database = sqlite3.connect(Path(gallery.location) / "gallery.db", isolation_level=None)
    database.execute("UPDATE totals SET rows = 9 WHERE name = 'items'")
    about = json.loads(database.execute("SELECT value FROM meta WHERE key = 'encoder'").fetchone()[0])
    row = with_checksum("meta", ("encoder", json.dumps({**about, "dim": 1 << 30})))
    database.execute("UPDATE meta SET value = ?, checksum = ? WHERE key = 'encoder'", row[1:])
    database.close()
    with pytest.raises(GalleryError, match="impossible encoder"):
        Gallery(gallery.location).info()


@pytest.mark.parametrize(
    "entry",
    [
        {"std": float("nan")},
        {"mean": 10**400},
        {"dim": True},
        {"name": "a\x1b[2J"},
        {"name": "x" * 1000},
        {"provenance": []},
        {"distinct": [[float("inf"), 0.1], [0.5, 0.2]]},
        {"threshold": {"threshold": "near", "precision": 1.0, "recall": 1.0}},
        {"calibration": [{"threshold": 0.5, "precision": 7, "recall": 1.0}]},
    ],
)
def test_a_strangers_encoder_is_looked_at_first(encoder: Encoder, tmp_path: Path, entry: dict[str, object]) -> None:
    """Numbers that are none, text that steers a terminal and shares beyond 1 are refused before anything is loaded."""
    about = {**json.loads((encoder.folder / "encoder.json").read_text()), **entry}
    (tmp_path / "encoder.json").write_text(json.dumps(about))
    with pytest.raises(EncoderError, match=r"encoder\.json"):
        read_spec(tmp_path)


def test_what_is_exported_is_what_is_kept(gallery: Gallery, tmp_path: Path) -> None:
    """Rows of the table and of the array belong together."""
    assert gallery.export(tmp_path / "out") == 9
    vectors = np.load(tmp_path / "out" / "embeddings.npy")
    with (tmp_path / "out" / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = kept(gallery)
    assert {row["path"]: (row["content_hash"], v.tobytes()) for row, v in zip(rows, vectors, strict=True)} == expected


def test_troubles_name_everything(gallery: Gallery) -> None:
    """Each kind of damage is found in one pass, not only the first."""
    damage(gallery, "UPDATE items SET width = 1 WHERE id = 1", "UPDATE embeddings SET code = x'00' WHERE item = 2")
    catalogue = Catalogue(Path(gallery.location) / "gallery.db")
    text = " ".join(catalogue.troubles())
    catalogue.close()
    assert "row 1 of items" in text
    assert "row 2 of embeddings" in text
