"""A gallery whose encoder was replaced: its pictures are embedded anew, and nothing that people did is lost."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Run, counts
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.export import save_encoder
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError, FingerprintError
from siamese_search.gallery import Gallery
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.store import WAITING, SkippedFile
from siamese_search.results import ImageFile
from siamese_search.web.app import Access
from siamese_search.web.service import Service
from visiting import KEY, Client, served

GREY = EncoderSpec(name="grey", architecture="small-grey", input_size=16, channels=1, mean=33.0, std=78.0, dim=8)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of eight numbers: whatever were taken for one of the photo encoder would be noticed."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("grey")
    save_encoder(EncoderNetwork(GREY), GREY, folder)
    return load_encoder(folder)


def of_an_earlier_photo_encoder(folder: Path, grey: Encoder, *roots: Path) -> Gallery:
    """Index some folders as an earlier version of the photo encoder might have, and answer about a pair."""
    with Gallery(folder, encoder=grey) as gallery:
        gallery.sync(roots, calibrate=False)
        by_name = {item.path.name: item.id for item in gallery.items()}
        gallery.answers.set(by_name["coffee.png"], by_name["rocket.png"], "different")
    store = LocalStore(folder)
    with store.writing(), store.transaction():
        store.set_setting("encoder", {**store.settings()["encoder"], "name": "photo", "location": "photo"})
    store.close()
    return Gallery(folder)


@pytest.fixture
def former(tmp_path: Path, photos: Path, grey: Encoder) -> Gallery:
    """Index the nine pictures so."""
    return of_an_earlier_photo_encoder(tmp_path / "gallery", grey, photos)


def check_like_new(gallery: Gallery, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Hold the embeddings, and all that is derived from them, to those of a gallery made now."""
    with Gallery(tmp_path / "new", encoder=encoder) as new:
        new.sync([photos], calibrate=False)
        for one, other in zip(by_path(gallery), by_path(new), strict=True):
            assert one[0] == other[0]
            np.testing.assert_array_equal(one[1], other[1])
        assert gallery.threshold == new.threshold
        assert gallery.calibration is None
    assert gallery.verify().problems == ()
    assert gallery.search(photos / "coffee.png", k=1)[0].path in {photos / "coffee.png", photos / "copies/coffee.bmp"}


def by_path(gallery: Gallery) -> list[tuple[Path, np.ndarray]]:
    """Return the pictures in the order of their paths, with their embeddings."""
    items = sorted(gallery.items(), key=lambda item: item.path)
    return [*zip([item.path for item in items], gallery.vectors_of([item.id for item in items]), strict=True)]


def check_answer(gallery: Gallery) -> None:
    """Hold a gallery to what was answered."""
    (answer,) = gallery.answers.all()
    assert answer.answer == "different"
    assert answer.paths is not None
    assert {path.name for path in answer.paths} == {"coffee.png", "rocket.png"}


def test_an_upgrade_and_index_is_all_it_takes(former: Gallery, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Every picture is embedded by the new encoder, the answer is there, and the threshold is that of a new gallery."""
    report = former.sync(calibrate=False)
    assert (report.re_embedded, counts(report)) == (9, {})
    assert former.waiting == 0
    assert former.roots == (photos,)
    check_answer(former)
    check_like_new(former, photos, encoder, tmp_path)
    assert counts(former.sync(calibrate=False)) == {"unchanged": 9}


def test_a_gallery_is_calibrated_again(former: Gallery) -> None:
    """What was calibrated with the earlier encoder is replaced in the same run."""
    report = former.sync()
    assert report.calibrated is not None
    assert former.calibration == report.calibrated
    assert report.calibrated.answers == 1


def test_until_then_old_embeddings_meet_only_their_own_kind(former: Gallery, photos: Path) -> None:
    """A query says what to do; duplicates, which need no encoder, are found as before."""
    with pytest.raises(FingerprintError, match=r"embed its pictures anew.*: simsearch index --index"):
        former.search(photos / "coffee.png")
    assert find_duplicates(former, threshold=0.1).groups
    assert former.waiting == 0


def test_what_changed_meanwhile_is_seen(former: Gallery, photos: Path) -> None:
    """A file that is gone is forgotten, one that changed is embedded as it is now, a new one is added."""
    (photos / "camera.png").unlink()
    (photos / "ihc.png").write_bytes((photos / "rocket.png").read_bytes())
    shutil.copy(photos / "coffee.png", photos / "another.png")
    os.utime(photos / "rocket.png", (1_600_000_000, 1_600_000_000))
    report = former.sync(calibrate=False)
    assert (report.re_embedded, counts(report)) == (8, {"added": 1, "removed": 1})
    assert {item.path.name for item in former.items()} >= {"ihc.png", "another.png"}
    assert counts(former.sync(calibrate=False)) == {"unchanged": 9}


def test_a_folder_that_is_named_does_not_leave_the_others(tmp_path: Path, photos: Path, grey: Encoder) -> None:
    """All pictures of the gallery are embedded anew, whichever folder is brought in step."""
    shutil.move(photos / "copies", tmp_path / "copies")
    gallery = of_an_earlier_photo_encoder(tmp_path / "gallery", grey, photos, tmp_path / "copies")
    report = gallery.sync([tmp_path / "copies"], calibrate=False)
    assert (report.re_embedded, gallery.waiting, len(gallery)) == (9, 0, 9)


class Killed(BaseException):
    """The end of a run from one moment to the next."""


def test_a_killed_run_goes_on(
    former: Gallery, photos: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was embedded is kept and found, what was not is never found by its old embedding, and no answer is lost."""
    monkeypatch.setattr("siamese_search.gallery.sync.BATCH", 2)

    def die(done: int, _total: int) -> None:
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        former.sync(progress=die, calibrate=False)
    former.close()
    gallery = Gallery(former.location)
    assert (len(gallery), gallery.waiting, gallery.info().waiting) == (6, 3, 3)
    assert gallery.verify().problems == ()
    assert gallery.skipped == ()
    found = gallery.search(photos / "coffee.png", k=9, details=False, include_self=True)
    assert len([*found.files(copies=True)]) == 6
    assert len(gallery.answers.all()) == 1
    said: list[tuple[int, int]] = []
    report = gallery.sync(progress=lambda done, total: said.append((done, total)), calibrate=False)
    assert (report.re_embedded, counts(report), said[-1]) == (3, {"unchanged": 6}, (3, 3))
    check_answer(gallery)
    check_like_new(gallery, photos, encoder, tmp_path)


def test_a_stop_ends_it_well(former: Gallery) -> None:
    """What was embedded is committed, the report says that it stopped, and nothing counts as skipped."""
    asked = iter([False, False, False, True])
    report = former.sync(stop=lambda: next(asked), calibrate=False)
    assert (report.stopped, report.re_embedded, report.skipped, former.waiting) == (True, 4, (), 5)
    assert former.sync(calibrate=False).re_embedded == 5


def test_a_drive_that_is_away_waits(tmp_path: Path, photos: Path, grey: Encoder) -> None:
    """Its pictures are kept, in however many runs, are found by nobody, and are embedded when it returns."""
    drive = tmp_path / "drive"
    shutil.move(photos / "copies", drive)
    gallery = of_an_earlier_photo_encoder(tmp_path / "gallery", grey, photos, drive)
    shutil.move(drive, tmp_path / "away")
    for anew, rest in ((6, {"skipped": 1}), (0, {"unchanged": 6, "skipped": 1})):
        report = gallery.sync(calibrate=False)
        assert (report.re_embedded, counts(report), gallery.waiting) == (anew, rest, 3)
        assert "Its 3 pictures are kept" in report.skipped[0].reason
    assert gallery.roots == (drive, photos)
    assert {hit.path.parent for hit in gallery.search(photos / "coffee.png", k=9).hits} == {photos}
    shutil.move(tmp_path / "away", drive)
    report = gallery.sync(calibrate=False)
    assert (report.re_embedded, counts(report), gallery.waiting) == (3, {"unchanged": 6}, 0)
    assert gallery.search(photos / "coffee.png", k=1)[0].path == drive / "coffee.bmp"


def test_a_drive_that_returns_elsewhere(tmp_path: Path, photos: Path, grey: Encoder) -> None:
    """Waiting pictures move with their folder, like others."""
    gallery = of_an_earlier_photo_encoder(tmp_path / "gallery", grey, photos)
    shutil.move(photos, tmp_path / "elsewhere")
    gallery.sync(calibrate=False)
    assert gallery.relocate(photos, tmp_path / "elsewhere") == 9
    assert gallery.sync(calibrate=False).re_embedded == 9
    check_answer(gallery)


def test_a_picture_that_cannot_be_read_any_more_is_told(former: Gallery, photos: Path) -> None:
    """It is among the skipped, with its reason, and the others are embedded."""
    (photos / "camera.png").write_bytes(b"no picture")
    report = former.sync(calibrate=False)
    assert (report.re_embedded, [entry.path.name for entry in report.skipped]) == (8, ["camera.png"])
    assert former.waiting == 0


def test_another_encoder_takes_a_word(gallery: Gallery, grey: Encoder, photos: Path) -> None:
    """An encoder that is not the gallery's own needs `re_embed`, and so does the way back."""
    other = Gallery(gallery.location, encoder=grey)
    with pytest.raises(FingerprintError, match=f"--encoder {grey.folder} --re-embed"):
        other.sync([photos], calibrate=False)
    assert len(gallery) == 9
    assert other.sync([photos], re_embed=True, calibrate=False).re_embedded == 9
    assert other.sync([photos], re_embed=True, calibrate=False).re_embedded == 0
    assert other.info().dim == GREY.dim
    with pytest.raises(FingerprintError):
        gallery.sync([photos], calibrate=False)
    assert gallery.sync([photos], re_embed=True, calibrate=False).re_embedded == 9


def test_two_versions_do_not_take_turns(former: Gallery, grey: Encoder) -> None:
    """An encoder that a gallery had before does not get it back by itself, though it lies where the gallery's does."""
    former.sync(calibrate=False)
    store = LocalStore(Path(former.location))
    before = store.settings()["encoder"]
    with store.writing(), store.transaction():
        store.set_setting("encoder", {**before, "location": str(grey.folder), "name": "grey"})
    store.close()
    with pytest.raises(FingerprintError, match="was indexed by encoder grey"):
        Gallery(former.location).sync(calibrate=False)
    with pytest.raises(FingerprintError, match="was indexed by encoder grey"):
        Gallery(former.location, encoder=grey).sync(calibrate=False)
    assert len(former) == 9


def test_an_encoder_that_is_gone_changes_nothing(former: Gallery, photos: Path, tmp_path: Path) -> None:
    """Without its encoder a gallery stays as it is."""
    store = LocalStore(Path(former.location))
    with store.writing(), store.transaction():
        store.set_setting("encoder", {**store.settings()["encoder"], "location": str(tmp_path / "gone")})
    store.close()
    (photos / "another.png").write_bytes((photos / "coffee.png").read_bytes() + b"!")
    with pytest.raises(EncoderError):
        Gallery(former.location).sync(calibrate=False)
    assert (len(former), former.waiting) == (9, 0)


def test_a_long_open_gallery_takes_the_new_encoder(gallery: Gallery, grey: Encoder, photos: Path) -> None:
    """Who loaded the earlier encoder by itself loads the new one once another process embedded everything anew."""
    reader = Gallery(gallery.location)
    assert reader.search(photos / "coffee.png", k=1).hits
    Gallery(gallery.location, encoder=grey).sync(re_embed=True, calibrate=False)
    assert reader.search(photos / "coffee.png", k=1).hits
    assert reader.encoder.fingerprint == grey.fingerprint


def test_cells_are_found_anew(tmp_path: Path, photos: Path, grey: Encoder, encoder: Encoder) -> None:
    """The cells of a large gallery are those of its new embeddings, not the old ones filled."""
    for folder in ("one", "two"):
        of_an_earlier_photo_encoder(tmp_path / folder, grey, photos).close()
    store = LocalStore(tmp_path / "one", exact_up_to=4)
    with Gallery(store) as gallery:
        assert store.cells() is not None
        gallery.sync(calibrate=False)
        assert store.info().index_recall == 1.0
        cells = store.cells()
        assert cells is not None
        assert cells.centroids.shape[1] == encoder.dim


def test_a_server_is_upgraded_too(former: Gallery, photos: Path) -> None:
    """It starts, says of a search what to do, and indexing from the page embeds everything anew."""
    with Service(former.location) as service, served(service.app(Access(KEY))) as address:
        client = Client(address)
        picture = (photos / "coffee.png").read_bytes()
        refused = client.picture(picture, "?k=1", status=409)
        assert "embed its pictures anew" in str(refused)
        started = client.json("api/jobs", {"kind": "sync"}, status=202)
        client.get(f"api/jobs/{started['id']}/events")
        assert client.json(f"api/jobs/{started['id']}")["result"]["re_embedded"] == 9
        assert client.picture(picture, "?k=1")["queries"][0]["hits"]


def test_commands_say_so(former: Gallery, photos: Path, run: Run) -> None:
    """`index` says what it is about, and queries say what they leave out."""
    index = ("--index", former.location)
    (photos / "camera.png").unlink()
    done = run("index", *index)
    assert "its encoder is another one since; pictures to embed anew: 8\n" in done.stderr
    assert "8 embedded anew" in done.stdout
    store = LocalStore(Path(former.location))
    with store.writing(), store.transaction():
        item = store.items()[0]
        store.remove([item.id])
        file = ImageFile(path=item.path, size=item.size, mtime_ns=item.mtime_ns)
        store.skip(SkippedFile(file=file, reason=WAITING))
    store.close()
    for command in (("query", str(photos / "coffee.png")), ("dedupe",)):
        assert "1 picture left out" in run(*command, *index).stderr
    assert "waiting" in run("info", *index).stdout
