"""Answers of people about pairs: stored by content, given back with what the gallery knows now."""

from pathlib import Path

import numpy as np
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
    gallery.answers.set(known["rocket.png"], known["camera.png"], 1)
    gallery.answers.set(known["camera.png"], known["rocket.png"], 0)
    generation = gallery.info().images
    gallery.close()
    (photos / "rocket.png").rename(photos / "launch.png")
    again = Gallery(tmp_path / "gallery", encoder=encoder)
    again.sync([photos])
    (pair,) = again.answers.all()
    assert (pair.label, again.info().images) == (0, generation)
    assert pair.first < pair.second
    assert pair.paths is not None
    assert {path.name for path in pair.paths} == {"launch.png", "camera.png"}
    rocket, camera = again.vectors_of([known["rocket.png"], known["camera.png"]])
    assert pair.distance == pytest.approx(float(np.linalg.norm(rocket - camera)))


def test_an_answer_outlives_its_pictures(gallery: Gallery, photos: Path) -> None:
    """When a picture leaves the gallery the answer stays, without paths and distance; it can be taken back."""
    known = ids(gallery)
    gallery.answers.set(known["rocket.png"], known["camera.png"], 1)
    gallery.answers.set(known["rocket.png"], known["coffee.png"], 1)
    gallery.answers.forget(known["rocket.png"], known["coffee.png"])
    (photos / "rocket.png").unlink()
    gallery.sync([photos])
    (pair,) = gallery.answers.all()
    assert (pair.label, pair.paths, pair.distance) == (1, None, None)


def test_answers_that_mean_nothing_are_refused(gallery: Gallery) -> None:
    """Unknown ids, other labels, and two files with the same bytes."""
    known = ids(gallery)
    with pytest.raises(OptionError, match="0 means the same"):
        gallery.answers.set(known["rocket.png"], known["camera.png"], 2)
    with pytest.raises(OptionError, match="no picture"):
        gallery.answers.set(known["rocket.png"], 999, 0)
    with pytest.raises(OptionError, match="same file"):
        gallery.answers.set(known["chelsea.png"], known["chelsea again.png"], 0)
    assert gallery.answers.all() == []
