"""Answers of people about pairs: stored by content, given back with what the gallery knows now."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Run
from siamese_search.encoder import Encoder
from siamese_search.errors import DataError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.results import Answer


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index a gallery of the six photos and their three copies."""
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos])
    return gallery


def ids(gallery: Gallery) -> dict[str, int]:
    """Return the ids of the gallery's pictures by file name."""
    return {item.path.name: item.id for item in gallery.items()}


def test_an_answer_is_kept_by_content(gallery: Gallery, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """An answer survives closing and moving, in either order of the two; a later one takes its place."""
    known = ids(gallery)
    gallery.answers.set(known["rocket.png"], known["camera.png"], "different")
    gallery.answers.set(known["camera.png"], known["rocket.png"], "same")
    generation = gallery.info().images
    gallery.close()
    (photos / "rocket.png").rename(photos / "launch.png")
    again = Gallery(tmp_path / "gallery", encoder=encoder)
    again.sync([photos])
    (pair,) = again.answers.all()
    assert (pair.answer, again.info().images) == ("same", generation)
    assert pair.first < pair.second
    assert pair.paths is not None
    assert {path.name for path in pair.paths} == {"launch.png", "camera.png"}
    rocket, camera = again.vectors_of([known["rocket.png"], known["camera.png"]])
    assert pair.distance == pytest.approx(float(np.linalg.norm(rocket - camera)))


def test_an_answer_outlives_its_pictures(gallery: Gallery, photos: Path) -> None:
    """When a picture leaves the gallery the answer stays, without paths and distance; it can be taken back."""
    known = ids(gallery)
    gallery.answers.set(known["rocket.png"], known["camera.png"], "different")
    gallery.answers.set(known["rocket.png"], known["coffee.png"], "different")
    gallery.answers.forget(known["rocket.png"], known["coffee.png"])
    (photos / "rocket.png").unlink()
    gallery.sync([photos])
    (pair,) = gallery.answers.all()
    assert (pair.answer, pair.paths, pair.distance) == ("different", None, None)


def test_answers_that_mean_nothing_are_refused(gallery: Gallery) -> None:
    """Unknown ids, other words, and two files with the same bytes."""
    known = ids(gallery)
    with pytest.raises(OptionError, match="expected same or different"):
        gallery.answers.set(known["rocket.png"], known["camera.png"], "alike")
    with pytest.raises(OptionError, match="no picture"):
        gallery.answers.set(known["rocket.png"], 999, "same")
    with pytest.raises(OptionError, match="same file"):
        gallery.answers.set(known["chelsea.png"], known["chelsea again.png"], "same")
    assert gallery.answers.all() == []


def test_answers_are_written_and_read_in_words(gallery: Gallery, tmp_path: Path) -> None:
    """A file holds the words; one with 0 and 1, as it was written once, is read all the same."""
    known = ids(gallery)
    gallery.answers.set(known["rocket.png"], known["camera.png"], Answer.DIFFERENT)
    gallery.answers.set(known["rocket.png"], known["coffee.png"], Answer.SAME)
    gallery.answers.write(tmp_path / "answers.csv")
    said = gallery.answers.all()
    words = [line.rpartition(",")[2] for line in (tmp_path / "answers.csv").read_text().splitlines()]
    assert words == ["label", "different", "same"]
    older = (tmp_path / "answers.csv").read_text().replace("different", "1").replace("same", "0")
    (tmp_path / "older.csv").write_text(older)
    for name in ("answers.csv", "older.csv"):
        for pair in gallery.answers.all():
            gallery.answers.remove(pair)
        assert gallery.answers.all() == []
        assert gallery.answers.read(tmp_path / name) == 2
        assert {(pair.id, pair.answer) for pair in gallery.answers.all()} == {(pair.id, pair.answer) for pair in said}


def test_an_answer_about_contents_holds_wherever_they_lie(gallery: Gallery, tmp_path: Path) -> None:
    """With checksums the files may have moved; a place that holds another content by now is an error, and no answer."""
    one, other = (gallery.items()[place] for place in (0, 1))
    rows = ["first,second,label,first_hash,second_hash"]
    rows.append(f"/moved/a.png,{other.path},different,{one.content_hash},{other.content_hash}")
    (tmp_path / "answers.csv").write_text("\n".join(rows))
    assert gallery.answers.read(tmp_path / "answers.csv") == 1
    (pair,) = gallery.answers.all()
    assert {pair.first, pair.second} == {one.content_hash, other.content_hash}
    gallery.answers.remove(pair)
    for hashes, message in (
        (f"{other.content_hash},{one.content_hash}", "another content"),
        (f"{other.content_hash},{other.content_hash}", "both are the same file"),
        (f"x,{other.content_hash}", "no checksum"),
    ):
        (tmp_path / "answers.csv").write_text(f"{rows[0]}\n/moved/a.png,{other.path},different,{hashes}\n")
        with pytest.raises(DataError, match=message):
            gallery.answers.read(tmp_path / "answers.csv")
    assert gallery.answers.all() == []


def test_answers_are_listed_and_taken_back(gallery: Gallery, photos: Path, run: Run) -> None:
    """`review --list` names each, `--forget` takes back by paths or by id, also of pictures that are gone."""
    known = ids(gallery)
    gallery.answers.set(known["rocket.png"], known["camera.png"], "different")
    gallery.answers.set(known["rocket.png"], known["coffee.png"], "same")
    gallery.answers.set(known["ihc.png"], known["coffee.png"], "different")
    index = ("--index", gallery.location)
    lines = run("review", "--list", *index).stdout.splitlines()
    assert [line.split("\t")[1] for line in lines[:3]] == ["different", "same", "different"]
    assert lines[3].endswith("3 answers, 1 same, 2 different.")
    finished = run("review", "--forget", photos / "camera.png", photos / "rocket.png", *index)
    assert finished.returncode == 0
    forgotten = [line for line in finished.stdout.splitlines() if line.startswith("forgotten: ")]
    assert [line.split(", of ")[1] for line in forgotten] in (
        [f"{photos / 'camera.png'} and {photos / 'rocket.png'}"],
        [f"{photos / 'rocket.png'} and {photos / 'camera.png'}"],
    )
    (photos / "ihc.png").unlink()
    gallery.sync([photos])
    listed = json.loads(run("review", "--list", "--json", *index).stdout)
    assert (listed["same"], listed["different"]) == (1, 1)
    gone = next(answer for answer in listed["answers"] if answer["first"] is None)
    finished = run("review", "--forget", gone["id"], *index)
    assert finished.returncode == 0
    assert f"of pictures that are no longer there ({gone['id']})" in finished.stdout
    assert [pair.answer for pair in gallery.answers.all()] == ["same"]
    for names, message in (
        ([photos / "camera.png", photos / "rocket.png"], "there is no answer about these two"),
        ([photos / "camera.png"], "name both pictures"),
        ([], "--forget takes back"),
    ):
        refused = run("review", "--forget", *names, *index)
        assert (refused.returncode, message in refused.stderr) == (1, True)
