"""Answers of people about pairs: stored by content, given back with what the gallery knows now."""

from pathlib import Path

import pytest

from siamese_search.encoder import Encoder
from siamese_search.errors import OptionError
from siamese_search.gallery import Gallery


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
    gallery.review(known["rocket.png"], known["camera.png"], 1)
    gallery.review(known["camera.png"], known["rocket.png"], 0)
    generation = gallery.info().images
    gallery.close()
    (photos / "rocket.png").rename(photos / "launch.png")
    again = Gallery(tmp_path / "gallery", encoder=encoder)
    again.sync([photos])
    (pair,) = again.reviewed()
    assert (pair.label, again.info().images) == (0, generation)
    assert pair.first < pair.second
    assert pair.paths is not None
    assert {path.name for path in pair.paths} == {"launch.png", "camera.png"}
    assert pair.distance == pytest.approx(again.distances([(known["rocket.png"], known["camera.png"])])[0])


def test_an_answer_outlives_its_pictures(gallery: Gallery, photos: Path) -> None:
    """When a picture leaves the gallery the answer stays, without paths and distance; it can be taken back."""
    known = ids(gallery)
    gallery.review(known["rocket.png"], known["camera.png"], 1)
    gallery.review(known["rocket.png"], known["coffee.png"], 1)
    gallery.unreview(known["rocket.png"], known["coffee.png"])
    (photos / "rocket.png").unlink()
    gallery.sync([photos])
    (pair,) = gallery.reviewed()
    assert (pair.label, pair.paths, pair.distance) == (1, None, None)


def test_answers_that_mean_nothing_are_refused(gallery: Gallery) -> None:
    """Unknown ids, other labels, and two files with the same bytes."""
    known = ids(gallery)
    with pytest.raises(OptionError, match="0 means the same"):
        gallery.review(known["rocket.png"], known["camera.png"], 2)
    with pytest.raises(OptionError, match="no picture"):
        gallery.review(known["rocket.png"], 999, 0)
    with pytest.raises(OptionError, match="same file"):
        gallery.review(known["chelsea.png"], known["chelsea again.png"], 0)
    assert gallery.reviewed() == []


def test_borderline_pairs_are_those_nearest_the_threshold(gallery: Gallery) -> None:
    """They come nearest first, one for each two contents, without identical files and without what was reviewed."""
    everything = {(pair.first, pair.second): pair.distance for pair in gallery.pairs(2.0)}
    names = {item.id: item.path.name for item in gallery.items()}
    found = gallery.borderline(1000, around=1.0)
    off = [abs(pair.distance - 1.0) for pair in found]
    assert off == sorted(off)
    twins = {"chelsea.png", "chelsea again.png"}
    assert all({names[pair.first], names[pair.second]} != twins for pair in found)
    assert len(found) == 36 - 1 - 7  # all pairs of nine, without the twins', and each of theirs once
    assert off[0] == min(abs(distance - 1.0) for distance in everything.values())
    gallery.review(found[0].first, found[0].second, 1)
    assert [(pair.first, pair.second) for pair in gallery.borderline(2, around=1.0)] == [
        (pair.first, pair.second) for pair in found[1:3]
    ]
