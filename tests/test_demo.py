"""The demo: its pictures, its honest count, and the whole command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import Run
from siamese_search.demo import Demo, DemoScore, make_demo, score_demo
from siamese_search.errors import DataError, FolderError, ImageError
from siamese_search.images.decode import Square, load_picture
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Copy, DedupeReport, DuplicateGroup, Relation, Threshold, ThresholdSource


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Make the demo pictures once for all tests here."""
    return make_demo(tmp_path_factory.mktemp("demo"))


def files(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report(*groups: tuple[Path, ...]) -> DedupeReport:
    """Return a report of groups given as (keeper, copies...)."""
    return DedupeReport(
        threshold=Threshold(distance=0.6, source=ThresholdSource.OPTION),
        images=54,
        groups=tuple(
            DuplicateGroup(
                keep=keep,
                copies=tuple(Copy(path=copy, distance=0.1, relation=Relation.NEAR) for copy in copies),
            )
            for keep, *copies in groups
        ),
        skipped=(),
    )


def test_all_pictures_can_be_read_except_the_broken_one(demo: Demo) -> None:
    """The gallery holds real pictures, and one file that shows what skipping looks like."""
    pictures = [*demo.originals, *(planted.path for planted in demo.planted), *demo.queries]
    assert len(set(pictures)) == 13 + 41 + 3
    for path in pictures:
        assert load_picture(path, Square(64)).pixels.std() > 1, path
    with pytest.raises(ImageError):
        load_picture(demo.broken)
    assert sorted(demo.gallery.rglob("*.*")) == sorted({*pictures, demo.broken} - set(demo.queries))


def test_copies_are_what_their_names_say(demo: Demo) -> None:
    """Every edit is there and changes the file; a backup is the same bytes, a lossless copy the same pixels."""
    assert len({planted.edit for planted in demo.planted}) == 10
    with Decoder() as decoder:
        for planted in demo.planted:
            assert (planted.path.read_bytes() == planted.original.read_bytes()) == (planted.edit == "backup")
            if planted.edit != "backup":
                assert decoder.same_picture(planted.path, planted.original) == (planted.edit == "lossless")
    turned = next(planted for planted in demo.planted if planted.edit == "turned" and "rocket" in planted.path.name)
    upright, aside = load_picture(turned.original).pixels, load_picture(turned.path).pixels
    assert np.abs(np.rot90(upright).astype(int) - aside).mean() < 8


def test_queries_are_not_in_the_gallery(demo: Demo) -> None:
    """Searching finds an edited picture's original, not the query itself."""
    indexed = set(files(demo.gallery).values())
    assert not indexed & {query.read_bytes() for query in demo.queries}


def test_making_it_again_changes_nothing(demo: Demo, tmp_path: Path) -> None:
    """The bytes are always the same, files that are right are not touched, and those that are not are mended."""
    again = make_demo(tmp_path)
    assert files(tmp_path) == files(demo.gallery.parent)
    again.originals[0].write_bytes(b"overwritten")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    make_demo(tmp_path)
    changed = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert changed == [again.originals[0]]
    assert files(tmp_path) == files(demo.gallery.parent)


def test_score_counts_what_was_found_missed_and_false(demo: Demo) -> None:
    """Copies count with their own picture or another copy of it; strangers in a group count as false."""
    first, second = demo.originals[:2]
    of_first = [planted.path for planted in demo.planted if planted.original == first]
    of_second = [planted.path for planted in demo.planted if planted.original == second]
    nothing = score_demo(demo, report())
    assert nothing == DemoScore(planted=41, found=0, false=0, missed=demo.planted)
    good = score_demo(demo, report((first, *of_first), (of_second[0], of_second[1])))
    assert (good.found, good.false, len(good.missed)) == (len(of_first) + 2, 0, 41 - len(of_first) - 2)
    bad = score_demo(demo, report((first, of_first[0], of_second[0], second, demo.queries[0])))
    assert (bad.found, bad.false) == (1, 3)


def test_without_scikit_image_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra to install, and nothing is written."""
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match=r"pip install 'siamese-search\[demo\]'"):
        make_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_missing_sample_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scikit-image without one of the pictures is a clear error that names the file."""
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"astronaut\.png"):
        make_demo(tmp_path / "demo")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file"):
        make_demo(tmp_path / "file")


def test_the_command_goes_the_whole_way(run: Run, tmp_path: Path) -> None:
    """Pictures, gallery, search, duplicates and page in one command; a second run embeds nothing and finds the same."""
    first = run("demo", "--folder", tmp_path / "demo", "--index", tmp_path / "index")
    assert (first.returncode, first.stderr) == (0, "")
    assert "skipped broken.jpg" in first.stdout
    assert first.stdout.rstrip().endswith(str(tmp_path / "demo" / "report" / "index.html"))

    second = run("demo", "--folder", tmp_path / "demo", "--index", tmp_path / "index", "--json")
    assert (second.returncode, second.stderr) == (0, "")
    data = json.loads(second.stdout)
    assert (data["index"]["added"], data["index"]["unchanged"], data["index"]["images"]) == (0, 54, 54)
    assert f"{data['found']} of the 41 copies were found" in first.stdout
    assert data["planted"] == 41
    assert data["found"] == 41 - len(data["missed"]) >= 30
    assert data["false"] <= 2
    nearest = [Path(query["hits"][0]["path"]).name.split(".")[0].split()[0] for query in data["query"]["queries"]]
    assert nearest[:2] == ["coffee", "rocket"]
    assert not data["query"]["queries"][2]["hits"][0]["duplicate"]
    page = Path(data["report"]).read_text(encoding="utf-8")
    assert page.count("<article") == len(data["query"]["queries"]) + len(data["dedupe"]["groups"])
    assert "broken.jpg" in page
