"""The gallery: in step with its folders, safe against accidents, searchable."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import siamese_search
from conftest import counts
from siamese_search.encoder import Encoder
from siamese_search.errors import FingerprintError, FolderError, GalleryError, ImageError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.gallery.local.catalogue import Catalogue
from siamese_search.gallery.local.layout import with_checksum
from siamese_search.gallery.settings import EncoderIdentity
from siamese_search.gallery.store import SkippedFile
from siamese_search.images.reasons import NO_PERMISSION
from siamese_search.results import CalibrationRow, Hit, Threshold, ThresholdSource

Sample = Callable[[str], Image.Image]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def found_near(gallery: Gallery, path: Path, *, threshold: float | None = None) -> list[Hit]:
    """Return all pictures of a gallery by their distance from one of them, which alone says what they are."""
    result = gallery.search(path, k=99, threshold=threshold, details=False, include_self=True)
    return sorted(result.files(copies=True), key=lambda hit: hit.distance)


def vectors_by_name(gallery: Gallery) -> dict[str, bytes]:
    """Return the stored embedding of every picture by its path."""
    catalogue = Catalogue(Path(gallery.location) / "gallery.db")
    ids, vectors, _ = catalogue.vectors()
    catalogue.close()
    names = {item.id: str(item.path) for item in gallery.items()}
    return {names[int(number)]: vector.tobytes() for number, vector in zip(ids, vectors, strict=True)}


# -- keeping in step


def test_indexing_again_embeds_nothing(gallery: Gallery, photos: Path) -> None:
    """With nothing changed nothing is written, and no encoder is loaded."""
    before = contents(Path(gallery.location))
    again = Gallery(gallery.location)
    report = again.sync([photos], calibrate=False, progress=lambda _done, _total: pytest.fail("something was embedded"))
    assert counts(report) == {"unchanged": 9}
    assert report.images == 9
    assert again._encoder is None  # noqa: SLF001
    again.close()
    assert contents(Path(gallery.location)) == before


def test_items_know_their_pictures(gallery: Gallery, photos: Path) -> None:
    """Path, size, dimensions and format are those of the file."""
    item = next(item for item in gallery.items() if item.path.name == "coffee.bmp")
    assert item.path == photos / "copies" / "coffee.bmp"
    assert (item.width, item.height, item.format) == (256, 171, "BMP")
    assert item.size == item.path.stat().st_size
    assert [item.id for item in gallery.items()] == sorted(item.id for item in gallery.items())
    assert len(gallery.items([photos / "copies"])) == 3


def test_every_change_is_followed(gallery: Gallery, photos: Path, sample: Sample) -> None:
    """Added, changed, moved, removed and touched files are told apart, and each vector ends with its picture."""
    before = vectors_by_name(gallery)
    sample("cell.png").save(photos / "cell.png")
    sample("brick.png").save(photos / "camera.png")
    (photos / "rocket.png").rename(photos / "copies" / "space.png")
    (photos / "ihc.png").unlink()
    os.utime(photos / "chelsea.png", (1, 1))
    assert counts(gallery.sync([photos])) == {"added": 1, "changed": 1, "moved": 1, "removed": 1, "unchanged": 6}

    after = vectors_by_name(gallery)
    assert after.keys() == {str(path) for path in photos.rglob("*.*")}
    assert after[str(photos / "copies" / "space.png")] == before[str(photos / "rocket.png")]
    assert after[str(photos / "camera.png")] != before[str(photos / "camera.png")]
    for name, vector in after.items():
        assert gallery.search(name, k=1, include_self=True)[0].distance < 1e-3, name
        assert len(vector) == 4 * gallery.encoder.dim
    assert counts(gallery.sync([photos])) == {"unchanged": 9}


def test_only_the_named_folders_are_touched(gallery: Gallery, photos: Path, tmp_path: Path, sample: Sample) -> None:
    """What is outside the named folder stays, even when its file is gone."""
    other = tmp_path / "other"
    other.mkdir()
    sample("cell.png").save(other / "cell.png")
    (photos / "coffee.png").unlink()
    report = gallery.sync([other])
    assert counts(report) == {"added": 1}
    assert report.images == 10
    assert gallery.roots == (other, photos)
    assert counts(gallery.sync([photos])) == {"removed": 1, "unchanged": 8}


def test_a_subfolder_alone_can_be_brought_in_step(gallery: Gallery, photos: Path) -> None:
    """A folder inside an indexed one belongs to it."""
    (photos / "coffee.png").unlink()
    (photos / "copies" / "coffee.bmp").unlink()
    assert counts(gallery.sync([photos / "copies"])) == {"removed": 1, "unchanged": 2}
    assert gallery.roots == (photos,)
    assert len(gallery.items()) == 8


def test_a_folder_above_takes_in_what_is_inside(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Indexing a folder after its subfolder keeps the subfolder's embeddings, skipped files included."""
    (photos / "copies" / "broken.jpg").write_bytes(b"no picture")
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos / "copies"])
    ids = {item.path: item.id for item in gallery.items()}
    assert counts(gallery.sync([photos])) == {"added": 6, "unchanged": 3, "skipped": 1}
    assert gallery.roots == (photos,)
    assert ids.items() <= {item.path: item.id for item in gallery.items()}.items()


def test_bad_files_are_listed_and_not_tried_again(gallery: Gallery, photos: Path) -> None:
    """A file that failed is remembered with its reason, and tried again when it changed."""
    bad = photos / "bad.jpg"
    bad.write_bytes(b"no picture")
    os.utime(bad, (1000, 1000))
    report = gallery.sync([photos])
    assert counts(report) == {"unchanged": 9, "skipped": 1}
    assert (report.skipped[0].path, report.skipped[0].reason) == (bad, "not an image that can be read")

    def fail(_done: int, _total: int) -> None:
        pytest.fail("tried again")

    assert counts(gallery.sync([photos], progress=fail)) == {"unchanged": 9, "skipped": 1}
    bad.write_bytes((photos / "coffee.png").read_bytes())
    assert counts(gallery.sync([photos])) == {"added": 1, "unchanged": 9}
    assert gallery.skipped == ()
    bad.write_bytes(b"broken again")
    assert counts(gallery.sync([photos])) == {"removed": 1, "unchanged": 9, "skipped": 1}
    bad.unlink()
    assert counts(gallery.sync([photos])) == {"unchanged": 9}


def test_passing_troubles_are_tried_again(gallery: Gallery, photos: Path) -> None:
    """A file that was not permitted, or lacked an extra, is tried again although it did not change."""
    bad = photos / "bad.jpg"
    bad.write_bytes(b"no picture")
    gallery.sync([photos])
    catalogue = Catalogue(Path(gallery.location) / "gallery.db")
    with catalogue.transaction():
        catalogue.skip(SkippedFile(file=catalogue.skipped()[0].file, reason=NO_PERMISSION))
    catalogue.close()
    tried: list[int] = []
    report = gallery.sync([photos], progress=lambda done, _total: tried.append(done))
    assert tried == [1]
    assert report.skipped[0].reason == "not an image that can be read"


def test_a_folder_that_cannot_be_listed_keeps_its_pictures(
    gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be seen is not gone; the folder is reported."""
    scandir = os.scandir

    def scandir_unless_copies(path: Path) -> object:
        if Path(path).name == "copies":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scandir_unless_copies)
    report = gallery.sync([photos])
    assert counts(report) == {"unchanged": 6, "skipped": 1}
    assert report.skipped[0].path == photos / "copies"
    assert report.images == 9


def test_a_wrong_path_changes_nothing(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """With one folder missing nothing happens to the others, and no gallery appears."""
    (photos / "coffee.png").unlink()
    before = contents(Path(gallery.location))
    with pytest.raises(FolderError, match="no such folder"):
        gallery.sync([photos, tmp_path / "typo"])
    assert contents(Path(gallery.location)) == before
    with pytest.raises(FolderError):
        Gallery(tmp_path / "new" / "gallery").sync([tmp_path / "typo"])
    assert not (tmp_path / "new").exists()


def test_names_that_are_not_utf8_survive(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """A picture whose name is not UTF-8 is indexed, found by its name, and not embedded twice."""
    name = photos / os.fsdecode(b"caf\xe9 \xff.png")
    (photos / "coffee.png").rename(name)
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos])
    assert name in {hit.path for hit in gallery.search(name, k=3, include_self=True)}
    assert counts(gallery.sync([photos])) == {"unchanged": 9}


def test_an_empty_folder_makes_an_empty_gallery(tmp_path: Path, encoder: Encoder, photos: Path) -> None:
    """Without pictures there is nothing to find, and no error."""
    (tmp_path / "empty").mkdir()
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    assert gallery.sync([tmp_path / "empty"]).images == 0
    assert gallery.search(photos / "coffee.png").hits == ()
    assert list(gallery.pairs(2.0)) == []


# -- accidents


def test_a_kill_loses_at_most_a_batch(tmp_path: Path, sample: Sample, encoder: Encoder) -> None:
    """After kill -9 in the middle the gallery is sound, and the next run embeds only the rest."""
    folder = tmp_path / "many"
    folder.mkdir()
    image = sample("coffee.png")
    total = 200
    for number in range(total):
        image.rotate(number / 2).crop((32, 32, 96, 96)).save(folder / f"{number:03}.png")
    code = f"from siamese_search.gallery import Gallery; Gallery({str(tmp_path / 'gallery')!r}).sync([{str(folder)!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])},
        start_new_session=True,
    )
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if len(gallery):
                break
        except GalleryError:  # not begun yet
            gallery.close()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    survived = len(gallery)
    assert 0 < survived < total
    assert survived % 64 == 0
    assert counts(gallery.sync([folder])) == {"added": total - survived, "unchanged": survived}
    with sqlite3.connect(Path(gallery.location) / "gallery.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM embeddings").fetchone() == (total,)
    database.close()


def test_a_failed_transaction_leaves_nothing(gallery: Gallery) -> None:
    """Whatever is raised inside, none of it happened, and the generation stays."""
    catalogue = Catalogue(Path(gallery.location) / "gallery.db")
    generation = catalogue.generation

    def interrupted() -> None:
        with catalogue.transaction():
            catalogue.remove(item.id for item in gallery.items())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (catalogue.count(), catalogue.generation) == (9, generation)
    catalogue.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped", "old"])
def test_a_bad_index_file_is_rebuilt(gallery: Gallery, photos: Path, damage: str) -> None:
    """The index is derived: missing, damaged or stale, it is made anew and answers as before."""
    path = Path(gallery.location) / "index.faiss"
    whole = path.read_bytes()
    expected = [hit.path for hit in gallery.search(photos / "coffee.png")]
    gallery.close()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    else:
        data = (photos / "ihc.png").read_bytes()
        (photos / "ihc.png").unlink()
        Gallery(gallery.location).sync([photos])
        old = path.read_bytes()
        (photos / "ihc.png").write_bytes(data)
        Gallery(gallery.location).sync([photos])
        path.write_bytes(old)
    told: list[str] = []
    fresh = Gallery(gallery.location, encoder=gallery.encoder, notice=told.append)
    assert [hit.path for hit in fresh.search(photos / "coffee.png")] == expected
    words = {"missing": "missing", "empty": "damaged", "flipped": "damaged", "old": "out of date"}
    assert told == [f"{path}: was {words[damage]}; built anew from gallery.db"]
    Gallery(gallery.location, encoder=gallery.encoder, notice=told.append).search(photos / "coffee.png")
    assert len(told) == 1


def test_the_index_follows_another_process(gallery: Gallery, photos: Path, sample: Sample) -> None:
    """An open gallery sees what someone else indexed meanwhile."""
    assert len(found_near(gallery, photos / "coffee.png")) == 9
    sample("cell.png").save(photos / "cell.png")
    other = Gallery(gallery.location)
    other.sync([photos])
    other.close()
    assert len(found_near(gallery, photos / "coffee.png")) == 10


def test_a_gallery_that_may_not_be_written_still_answers(gallery: Gallery, photos: Path) -> None:
    """Without room or permission for the index file the search goes on in memory."""
    gallery.close()
    (Path(gallery.location) / "index.faiss").unlink()
    (Path(gallery.location) / "index.faiss").mkdir()  # whatever is written cannot take its name
    assert gallery.search(photos / "coffee.png", k=1)[0].path
    assert [path.name for path in Path(gallery.location).iterdir() if "tmp" in path.name] == []


def test_missing_and_damaged_galleries_are_told(tmp_path: Path, photos: Path) -> None:
    """Each gets a message with the way out, and nothing is created by looking."""
    with pytest.raises(GalleryError, match="no gallery here; make one with: simsearch index"):
        Gallery(tmp_path / "none").search(photos / "coffee.png")
    assert not (tmp_path / "none").exists()
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "gallery.db").write_bytes(b"this is no database, but long enough to be one" * 100)
    with pytest.raises(GalleryError, match=r"damaged or not a gallery.*verify --repair"):
        Gallery(folder).items()
    with pytest.raises(GalleryError, match="damaged or not a gallery"):
        Gallery(folder).sync([photos])


def test_pages_lost_inside_are_told(gallery: Gallery, photos: Path) -> None:
    """A database damaged in its middle gives a GalleryError, not wrong answers or a traceback."""
    list(gallery.items())
    gallery.close()
    path = Path(gallery.location) / "gallery.db"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    (Path(gallery.location) / "index.faiss").unlink()
    with pytest.raises(GalleryError, match=r"gallery\.db"):
        Gallery(gallery.location, encoder=gallery._encoder).search(photos / "coffee.png")  # noqa: SLF001


def test_a_newer_format_is_refused_by_name(gallery: Gallery) -> None:
    """A gallery of a later version is not touched."""
    gallery.close()
    with sqlite3.connect(Path(gallery.location) / "gallery.db") as database:
        row = with_checksum("meta", ("format", "99"))
        database.execute("UPDATE meta SET value = ?, checksum = ? WHERE key = 'format'", row[1:])
    database.close()
    with pytest.raises(GalleryError, match="in format 99, this version reads up to format 3; upgrade simsearch"):
        Gallery(gallery.location).items()


def test_an_interrupted_beginning_is_finished(tmp_path: Path, photos: Path, encoder: Encoder) -> None:
    """A kill while the catalogue is created leaves an empty file, which the next run fills."""
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gallery.db").touch()
    assert Gallery(tmp_path / "gallery", encoder=encoder).sync([photos]).images == 9


def test_other_peoples_folders_are_left_alone(photos: Path, encoder: Encoder) -> None:
    """A gallery is not made among other files."""
    before = contents(photos)
    with pytest.raises(GalleryError, match="holds other files"):
        Gallery(photos, encoder=encoder).sync([photos])
    assert contents(photos) == before


def test_a_busy_gallery_is_told(gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes for long, the message says so."""
    monkeypatch.setattr("siamese_search.gallery.local.connection.BUSY_SECONDS", 0.05)
    gallery.close()
    (photos / "coffee.png").unlink()
    writer = sqlite3.connect(Path(gallery.location) / "gallery.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryError, match="busy"):
        gallery.sync([photos])
    writer.close()


# -- encoders


def test_embeddings_of_another_encoder_are_refused(tmp_path: Path, photos: Path, encoder: Encoder) -> None:
    """Searching and, unasked, indexing with another encoder names both and changes nothing."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    own = shutil.copytree(encoder.folder, tmp_path / "own")
    identity = EncoderIdentity(name="holiday", location=str(own), fingerprint="f" * 32, dim=encoder.dim)
    threshold = Threshold(distance=0.5, source=ThresholdSource.ENCODER)
    Catalogue.create(folder / "gallery.db", {"encoder": asdict(identity), "threshold": asdict(threshold)})
    for action in (
        lambda: Gallery(folder, encoder=encoder).sync([photos]),
        lambda: Gallery(folder, encoder=encoder).search(photos / "coffee.png"),
        lambda: Gallery(folder).search(photos / "coffee.png"),
    ):
        with pytest.raises(FingerprintError) as caught:
            action()
        assert "holiday" in str(caught.value)
        assert encoder.name in str(caught.value)
    assert len(Gallery(folder)) == 0


def test_a_gallery_finds_its_encoder_again(gallery: Gallery, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """A gallery made with an encoder folder loads that folder by itself; a shipped encoder is known by its name."""
    own = shutil.copytree(encoder.folder, tmp_path / "own encoder")
    from siamese_search.encoder import load_encoder  # noqa: PLC0415

    Gallery(tmp_path / "g2", encoder=load_encoder(own)).sync([photos])
    assert Gallery(tmp_path / "g2").encoder.folder == own
    gallery.close()
    with sqlite3.connect(Path(gallery.location) / "gallery.db") as database:
        (text,) = database.execute("SELECT value FROM meta WHERE key = 'encoder'").fetchone()
    database.close()
    assert json.loads(text)["location"] == "photo"


def test_the_threshold_for_a_precision_comes_from_the_table(gallery: Gallery) -> None:
    """The loosest row that keeps the precision is taken; beyond the best row there is none."""
    rows = (
        CalibrationRow(threshold=0.3, precision=0.999, recall=0.5),
        CalibrationRow(threshold=0.5, precision=0.99, recall=0.8),
        CalibrationRow(threshold=0.7, precision=0.9, recall=0.9),
    )
    from dataclasses import replace  # noqa: PLC0415

    known = gallery.encoder
    spec = replace(known.spec, calibration=rows)
    calibrated = Gallery(gallery.location, encoder=Encoder(known.folder, spec, known._backend))  # noqa: SLF001
    assert calibrated.threshold_for(precision=0.95) == Threshold(
        distance=0.5, source=ThresholdSource.ENCODER, expected_precision=0.99, expected_recall=0.8
    )
    with pytest.raises(OptionError, match=r"reaches at most 0\.999"):
        calibrated.threshold_for(precision=1.0)


# -- searching


def test_a_picture_finds_itself_and_its_copies(gallery: Gallery, photos: Path) -> None:
    """Rank 1 is the picture itself at distance 0, its copies follow, ranks count from 1, distances ascend."""
    for source in (photos / "chelsea.png", str(photos / "chelsea.png"), BytesIO((photos / "chelsea.png").read_bytes())):
        hits = gallery.search(source, k=9, include_self=True)
        (copy,) = hits[0].copies
        assert {hits[0].path, copy.path} == {photos / "chelsea.png", photos / "copies/chelsea again.png"}
        assert copy.distance < 1e-3
        assert hits[0].duplicate
        assert copy.duplicate
        assert [hit.rank for hit in hits] == list(range(1, 7))
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)


def test_an_edited_copy_finds_its_original(gallery: Gallery, photos: Path, sample: Sample, tmp_path: Path) -> None:
    """A cropped, shrunk, re-encoded picture that is not in the gallery has its original at rank 1."""
    for name in ("astronaut", "coffee", "rocket"):
        image = sample(f"{name}.jpg" if name == "rocket" else f"{name}.png")
        width, height = image.size
        image.crop((width // 12, 0, width, height * 11 // 12)).resize((180, 140)).save(tmp_path / "q.jpg", quality=60)
        path = gallery.search(tmp_path / "q.jpg", k=1)[0].path
        assert path.is_relative_to(photos)
        assert path.stem.startswith(name)


def test_the_threshold_decides_what_is_a_duplicate(gallery: Gallery, photos: Path) -> None:
    """By distance alone, at or below the threshold a hit is a duplicate; 2 takes all, the usual is in force."""
    hits = found_near(gallery, photos / "coffee.png", threshold=2.0)
    assert all(hit.duplicate for hit in hits)
    limit = hits[4].distance
    hits = found_near(gallery, photos / "coffee.png", threshold=limit)
    assert [hit.duplicate for hit in hits] == [hit.distance <= limit for hit in hits]
    assert hits[4].duplicate
    limit = gallery.threshold.distance
    assert all(hit.duplicate == (hit.distance <= limit) for hit in found_near(gallery, photos / "coffee.png"))


def test_vectors_can_be_searched_with(gallery: Gallery, encoder: Encoder) -> None:
    """Several embeddings are answered at once; wrong shapes and values are refused."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, encoder.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = gallery.search_vectors(vectors, k=2)
    assert [len(hits) for hits in found] == [2, 2, 2]
    assert all(0 < hit.distance <= 2 for hits in found for hit in hits)
    for wrong in (vectors[0], vectors[:, 1:], vectors * np.float32("nan")):
        with pytest.raises(OptionError, match="expected finite numbers of shape"):
            gallery.search_vectors(wrong)


def test_bad_queries_are_refused(gallery: Gallery, tmp_path: Path, photos: Path) -> None:
    """An unreadable image, no hits asked for, or an impossible distance."""
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(ImageError, match=r"bad\.jpg: not an image"):
        gallery.search(tmp_path / "bad.jpg")
    with pytest.raises(OptionError, match="at least one"):
        gallery.search(photos / "coffee.png", k=0)
    with pytest.raises(OptionError, match=r"\[0, 2\]"):
        gallery.search(photos / "coffee.png", threshold=3)


def test_info_tells_what_is_there(gallery: Gallery, photos: Path, encoder: Encoder) -> None:
    """Counts, folders, encoder and bytes are those on disk."""
    about = gallery.info()
    assert (about.images, about.skipped, about.roots) == (9, 0, (photos,))
    assert (about.encoder, about.fingerprint, about.dim) == (encoder.name, encoder.fingerprint, encoder.dim)
    assert about.threshold == encoder.threshold
    assert about.size_on_disk == sum(len(data) for data in contents(Path(gallery.location)).values())
