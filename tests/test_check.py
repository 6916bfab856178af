"""What details are worth in one gallery: tried on pairs of which it is known what they are."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from siamese_search.calibration.check import upper_bound
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.images.edits import exchanged
from siamese_search.report.words import promise_sentence
from siamese_search.results import DetailCheck

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(("count", "among", "bound"), [(0, 1, 0.95), (0, 10, 0.2589), (0, 40, 0.0722), (1, 40, 0.1132)])
def test_bounds_are_those_of_the_tables(count: int, among: int, bound: float) -> None:
    """Clopper and Pearson's upper bound at 95 %, one-sided; nothing tried bounds nothing."""
    assert upper_bound(count, among) == pytest.approx(bound, abs=1e-4)
    assert upper_bound(0, 0) == 1
    assert upper_bound(3, 3) == 1


def test_a_changed_picture_is_another_one(sample: Callable[[str], Image.Image]) -> None:
    """A part of it looks otherwise, the rest is as it was; a picture of one colour cannot be changed so."""
    picture = sample("astronaut.png")
    other = exchanged(picture, Random(1))
    assert other is not None
    apart = np.abs(np.asarray(other.convert("L"), int) - np.asarray(picture.convert("L"), int))
    assert 0.002 < (apart > 40).mean() < 1 / 8**2 + 0.002
    assert exchanged(Image.new("RGB", (200, 200), "red"), Random(1)) is None
    assert exchanged(Image.new("RGB", (3, 200), "red"), Random(1)) is None


def test_calibrating_tries_the_details(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """Copies are found, changed pictures are not called copies, the same gallery says the same, and it is kept."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos])
        check = gallery.calibrate().details
        assert check is not None
        assert check.mistaken == 0
        assert 0 < check.mistaken_at_most < 1
        assert check.confirmed + check.altered <= check.edited
        assert gallery.calibrate().details == check
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        assert gallery.calibration is not None
        assert gallery.calibration.details == check


def test_calibrate_and_dedupe_say_the_same(photos: Path, run: Run) -> None:
    """What is promised is in the same words in both, for the distance that is in force alone; nothing is at 100 %."""
    assert run("index", photos).returncode == 0
    calibrated = run("calibrate").stdout
    (promise,) = (line for line in calibrated.splitlines() if "of its own pictures" in line)
    assert promise.strip() in run("dedupe").stdout.splitlines()
    for other in (("--no-details",), ("--threshold", "0.3")):
        assert "of its own pictures" not in run("dedupe", *other).stdout
    for line in calibrated.splitlines():
        assert "100" not in line
        assert "1.000" not in line


def test_what_was_not_tried_is_not_said() -> None:
    """Without a check, or without changed pictures, there are no words for them."""
    assert promise_sentence(None) == ""
    check = DetailCheck(edited=2, confirmed=1, altered=0, changed=0, mistaken=0, mistaken_at_most=1.0)
    assert "part" not in promise_sentence(check)
