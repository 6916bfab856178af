"""What dedupe looks at: some folders, one picture, one gallery against another; and answers that it respects."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from siamese_search.duplicates.find import find_duplicates
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.encoder import Encoder
from siamese_search.errors import FingerprintError, FolderError
from siamese_search.gallery import Gallery
from siamese_search.results import DedupeReport, Rule

NEAR = 0.3


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index the six photos and their three copies."""
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos])
    return gallery


def groups(report: DedupeReport) -> dict[str, set[str]]:
    """Return the file names of copies by keeper."""
    return {Path(group.keep).name: {Path(copy.path).name for copy in group.copies} for group in report.groups}


def test_one_picture(gallery: Gallery, photos: Path) -> None:
    """A picture in place of a folder gives the groups that hold it; one that is not indexed is an error."""
    report = find_duplicates(gallery, threshold=NEAR, folders=[photos / "copies" / "chelsea again.png"])
    assert (groups(report), report.images) == ({"chelsea.png": {"chelsea again.png"}}, 1)
    assert groups(find_duplicates(gallery, threshold=NEAR, folders=[photos / "rocket.png"])) == {}
    (photos / "new.png").write_bytes((photos / "rocket.png").read_bytes())
    with pytest.raises(FolderError, match="simsearch query"):
        find_duplicates(gallery, folders=[photos / "new.png"])


def test_pictures_of_a_folder_that_is_away_neither_keep_nor_go(gallery: Gallery, photos: Path) -> None:
    """A renamed folder, indexed under its new name: its pairs are found again, and none with what is not there."""
    before = groups(find_duplicates(gallery, threshold=NEAR))
    moved = photos.rename(photos.with_name("moved"))
    with pytest.raises(FolderError, match="relocate"):
        find_duplicates(gallery)
    gallery.sync([moved])
    report = find_duplicates(gallery, threshold=NEAR)
    assert groups(report) == before != {}
    assert all(path.is_relative_to(moved) for group in report for path in (group.keep, *(copy.path for copy in group)))
    assert [entry.path for entry in report.skipped if "left out" in entry.reason] == [photos]


def test_a_renamed_folder_is_told_from_a_new_one(
    photos: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Who indexes a folder by its new name is told how the gallery learns of it, and what is away."""
    assert run("index", photos, "-q").returncode == 0
    moved = photos.rename(photos.with_name("moved"))
    said = run("index", moved)
    assert f"{photos}: folder is not there" in said.stderr
    assert f"simsearch relocate {photos}" in said.stderr


def test_against_another_gallery(
    gallery: Gallery, photos: Path, encoder: Encoder, sample: Callable[[str], Image.Image], tmp_path: Path
) -> None:
    """Only pairs across count, the other gallery's pictures are the keepers, whatever their worth."""
    stick = tmp_path / "stick"
    stick.mkdir()
    sample("coffee.png").save(stick / "huge.bmp")
    sample("coffee.png").save(stick / "again.jpg", quality=60)
    sample("rocket.jpg").resize((200, 133)).save(stick / "small.png")
    Image.effect_noise((64, 64), 90).save(stick / "new.png")
    other = Gallery(tmp_path / "other", encoder=encoder)
    other.sync([stick])
    report = find_duplicates(other, against=gallery, threshold=0.6)
    found = {Path(copy.path).name: Path(group.keep).stem for group in report.groups for copy in group.copies}
    assert found == {"huge.bmp": "coffee", "again.jpg": "coffee", "small.png": "rocket"}
    assert {group.reason.rule for group in report.groups if group.reason} == {Rule.AGAINST}
    assert (report.images, report.against) == (4, str(Path(gallery.location)))
    assert all(Path(group.keep).is_relative_to(photos) for group in report.groups)


def test_a_file_in_both_galleries_is_not_its_own_copy(gallery: Gallery, photos: Path) -> None:
    """Folder A of a gallery against the same gallery finds what A has that is elsewhere too."""
    report = find_duplicates(gallery, against=gallery, folders=[photos / "copies"], threshold=NEAR)
    assert groups(report) == {
        "astronaut.png": {"astronaut bright.jpg"},
        "chelsea.png": {"chelsea again.png"},
        "coffee.png": {"coffee.bmp"},
    }


@pytest.fixture
def best(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index the three copies alone, which are in `gallery` too."""
    best = Gallery(tmp_path / "best", encoder=encoder)
    best.sync([photos / "copies"])
    return best


def test_a_gallery_of_a_subfolder_keeps_its_pictures(gallery: Gallery, best: Gallery, photos: Path) -> None:
    """What is in both galleries is the other one's: copies elsewhere are found, and it is kept whatever the rules."""
    (photos / "copies" / "chelsea third.png").write_bytes((photos / "chelsea.png").read_bytes())
    for each in (gallery, best):
        each.sync([])
    report = find_duplicates(gallery, against=best, threshold=NEAR)
    assert groups(report) == {
        "astronaut bright.jpg": {"astronaut.png"},
        "chelsea again.png": {"chelsea.png"},
        "coffee.bmp": {"coffee.png"},
    }
    assert report.images == 10
    named = find_duplicates(gallery, against=best, threshold=NEAR, folders=[photos / "copies" / "chelsea third.png"])
    assert groups(named) == {"chelsea again.png": {"chelsea.png", "chelsea third.png"}}


def test_what_is_named_is_looked_through(gallery: Gallery, best: Gallery, photos: Path) -> None:
    """Pictures that are in both galleries too, when they are named: they may be copies, of others that are there."""
    (photos / "copies" / "chelsea third.png").write_bytes((photos / "chelsea.png").read_bytes())
    for each in (gallery, best):
        each.sync([])
    report = find_duplicates(gallery, against=best, threshold=NEAR, folders=[photos / "copies"])
    assert groups(report) == {"chelsea again.png": {"chelsea third.png"}}


def test_a_gallery_against_itself(gallery: Gallery, encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    """It finds what it finds alone, and so does another gallery of the same folder."""
    twin = Gallery(tmp_path / "twin", encoder=encoder)
    twin.sync([photos])
    alone = groups(find_duplicates(gallery, threshold=NEAR))
    for other in (gallery, twin):
        assert groups(find_duplicates(gallery, against=other, threshold=NEAR)) == alone


def test_answers_count_across_galleries(gallery: Gallery, best: Gallery) -> None:
    """Called the same, two pictures are copies at any distance; called different, at none."""
    ids = {item.path.name: item.id for item in gallery.items()}
    gallery.answers.set(ids["rocket.png"], ids["coffee.bmp"], "same")
    gallery.answers.set(ids["chelsea.png"], ids["astronaut bright.jpg"], "same")
    gallery.answers.set(ids["astronaut.png"], ids["astronaut bright.jpg"], "different")
    report = find_duplicates(gallery, against=best, threshold=NEAR)
    assert groups(report) == {"chelsea again.png": {"chelsea.png"}, "coffee.bmp": {"coffee.png", "rocket.png"}}
    assert {Path(copy.path).name for group in report.groups for copy in group.copies if copy.reviewed} == {"rocket.png"}


def test_galleries_of_two_encoders_are_never_compared(gallery: Gallery, tmp_path: Path) -> None:
    """The message names both encoders."""

    class Other:
        """An encoder with the same interface and another fingerprint."""

    made = gallery.encoder
    other = Other()
    other.__dict__.update(name="other", fingerprint="f" * 32, dim=made.dim, folder=tmp_path, threshold=made.threshold)
    empty = Gallery(tmp_path / "other", encoder=other)
    (tmp_path / "nothing").mkdir()
    empty.sync([tmp_path / "nothing"])
    with pytest.raises(FingerprintError, match=r"photo .*other "):
        find_duplicates(gallery, against=empty)


def test_rules_choose_the_keeper(gallery: Gallery, photos: Path) -> None:
    """Preferred folders and rules change what is kept, and the report says why."""
    rules = KeeperRules(prefer=(photos / "copies",))
    report = find_duplicates(gallery, threshold=NEAR, rules=rules)
    assert set(groups(report)) == {"astronaut bright.jpg", "chelsea again.png", "coffee.bmp"}
    assert {group.reason.rule for group in report.groups if group.reason} == {Rule.PREFERRED}


def test_pairs_called_different_never_come_back(gallery: Gallery, photos: Path) -> None:
    """The answer holds for every file with those contents, also new ones, until it is taken back."""
    ids = {item.path.name: item.id for item in gallery.items()}
    gallery.answers.set(ids["coffee.png"], ids["coffee.bmp"], "different")
    assert set(groups(find_duplicates(gallery, threshold=NEAR))) == {"astronaut.png", "chelsea.png"}
    (photos / "coffee third.bmp").write_bytes((photos / "copies" / "coffee.bmp").read_bytes())
    gallery.sync([photos])
    found = groups(find_duplicates(gallery, threshold=NEAR))
    assert found["coffee.bmp"] == {"coffee third.bmp"}
    gallery.answers.forget(ids["coffee.png"], ids["coffee.bmp"])
    assert groups(find_duplicates(gallery, threshold=NEAR))["coffee.bmp"] == {"coffee third.bmp", "coffee.png"}


def test_pairs_called_the_same_are_grouped_whatever_their_distance(gallery: Gallery) -> None:
    """A person knows better than the threshold, and the report says that a person did."""
    ids = {item.path.name: item.id for item in gallery.items()}
    gallery.answers.set(ids["rocket.png"], ids["camera.png"], "same")
    (group,) = (
        group
        for group in find_duplicates(gallery, threshold=NEAR).groups
        if Path(group.keep).stem in {"rocket", "camera"}
    )
    (copy,) = group.copies
    assert copy.reviewed
    assert copy.distance > NEAR


def test_on_the_command_line(
    photos: Path, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Rules, scopes, plan, apply and undo, as a person would type them."""
    assert run("index", photos, "--quiet").returncode == 0
    result = run(
        "dedupe", "--threshold", "0.3", "--keep", "oldest,pixels", "--prefer", photos / "copies", "--plan", "p.json",
        "--sheet", "group.png", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    assert {group["rule"] for group in data["groups"]} == {"preferred"}
    assert (tmp_path / "group.png").read_bytes().startswith(b"\x89PNG")
    assert "would be put in the trash" in run("apply", "p.json", "--to", "trash", "--dry-run").stdout
    assert "3 put in the trash" in run("apply", "p.json", "--to", "trash").stdout
    refused = run("dedupe", "--plan", "p.json")
    assert (refused.returncode, "choose another name" in refused.stderr) == (1, True)
    assert "3 restored" in run("undo", "p.journal").stdout
    bad = run("dedupe", "--keep", "prettiest")
    assert (bad.returncode, "there are camera" in bad.stderr) == (1, True)
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "x.png").write_bytes((photos / "rocket.png").read_bytes())
    against = run("dedupe", stick, "--against", "indexes/default", "--threshold", "0.3", "--csv")
    assert "rocket.png" in against.stdout
    assert "index" in run("dedupe", stick, "--against", "indexes/default", "--plan", "q.json").stderr


def test_a_run_sees_one_moment(gallery: Gallery, encoder: Encoder, photos: Path) -> None:
    """What another process removes and adds while pictures are compared changes nothing in the report."""
    before = find_duplicates(gallery, threshold=NEAR)
    other = Gallery(gallery.location, encoder=encoder)

    def meanwhile(_done: int, _total: int) -> None:
        (photos / "rocket.png").unlink(missing_ok=True)
        (photos / "copies" / "chelsea again.png").unlink(missing_ok=True)
        other.sync([])

    report = find_duplicates(gallery, threshold=NEAR, progress=meanwhile)
    assert (groups(report), report.images) == (groups(before), 9)
    assert set(groups(find_duplicates(gallery, threshold=NEAR))) == {"astronaut.png", "coffee.bmp"}
