"""A gallery's own threshold."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_search.calibration.table import distinct_quantiles
from siamese_search.calibration.threshold import (
    DistinctPairs,
    corrected,
    likeness_of,
    nearest_as_good,
    pairs_within,
    rows,
)
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.errors import FolderError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.results import Answer, AnsweredPair, ThresholdSource

Run = Callable[..., subprocess.CompletedProcess[str]]
DISTANCES = np.arange(0.002, 1.2, 0.002)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows at unit length."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def strangers(n: int, seed: int, *, alike: float = 0.0) -> np.ndarray:
    """Return vectors of different pictures; `alike` pulls them towards one direction, as pictures of one class are."""
    vectors = np.random.default_rng(seed).normal(size=(n, 24))
    vectors[:, 0] += alike
    return unit(vectors)


@pytest.fixture(scope="module")
def known() -> DistinctPairs:
    """How near 1,500 strangers come."""
    vectors = strangers(1500, seed=1)
    return DistinctPairs(*np.array(distinct_quantiles(vectors, np.arange(len(vectors)))).T)


def slow_distances(vectors: np.ndarray) -> np.ndarray:
    """Return all distances, one pair at a time."""
    return np.array([np.linalg.norm(a - b) for i, a in enumerate(vectors) for b in vectors[i + 1 :]])


def test_pairs_within_counts_every_pair_once() -> None:
    """The histogram gives the count of two nested loops at every distance, exact copies included."""
    vectors = strangers(120, seed=2)
    vectors = np.concatenate([vectors, vectors[:7]])
    slow = slow_distances(vectors)
    fast = pairs_within(vectors, DISTANCES, np.random.default_rng(0))
    for at in (0, 50, 300, 590):
        near = np.abs(slow - DISTANCES[at]).min() < 1e-5  # rounding may put such a pair on either side
        assert near or fast[at] == (slow <= DISTANCES[at]).sum()


def test_shares_of_different_pictures_are_those_measured(known: DistinctPairs) -> None:
    """The table gives back its own points, and falls on beyond the nearest."""
    np.testing.assert_allclose(known.within(known.distance, 1.0), known.share, rtol=1e-6)
    np.testing.assert_allclose(known.within(known.distance * 0.8, 0.8), known.share, rtol=1e-6)
    beyond = known.within(known.distance[-1] * np.array([1.0, 0.9, 0.5]), 1.0)
    assert (np.diff(beyond) < 0).all()
    assert known.distance_at(1e-2) == pytest.approx(
        float(np.quantile(slow_distances(strangers(1500, 1)[:400]), 1e-2)), abs=0.02
    )


def test_likeness_is_one_for_ordinary_galleries_and_less_for_look_alikes(known: DistinctPairs) -> None:
    """Strangers have likeness 1, with copies among them too; pictures of one class have less."""
    rng = np.random.default_rng(0)
    vectors = strangers(400, seed=3)
    copies = unit(np.repeat(vectors[:60], 5, axis=0) + rng.normal(0, 0.01, (300, 24)))
    assert likeness_of(vectors, known, 0.3, rng) == pytest.approx(1, abs=0.03)
    assert likeness_of(np.concatenate([vectors, copies]), known, 0.3, rng) == pytest.approx(1, abs=0.03)
    assert likeness_of(strangers(400, seed=3, alike=4), known, 0.3, rng) < 0.85
    assert likeness_of(vectors[:1], known, 0.3, rng) == 1
    assert 0.9 < likeness_of(vectors[:4], known, 0.3, rng) < 1.1  # four pictures say little


def test_answers_correct_the_estimate() -> None:
    """False pairs where true ones were expected raise the factor, true ones lower it, and more answers narrow it."""
    reported, false = 1000 * DISTANCES, 300 * DISTANCES**2

    def answers(labels: list[int], distance: float = 0.5) -> list[AnsweredPair]:
        return [
            AnsweredPair(
                first="a",
                second="b",
                answer=(Answer.SAME, Answer.DIFFERENT)[label],
                time=0.0,
                paths=("a", "b"),
                distance=distance,
            )
            for label in labels
        ]

    assert corrected([], DISTANCES, reported, false) == (1, 1, 1)
    low, middle, high = corrected(answers([1] * 20), DISTANCES, reported, false)
    assert 1 < low < middle < high
    # of pairs about 0.5 apart, 30 % were expected to be false
    assert corrected(answers([1] * 3 + [0] * 7), DISTANCES, reported, false)[1] == pytest.approx(1, abs=0.02)
    assert corrected(answers([0] * 20), DISTANCES, reported, false)[2] < 1
    few, many = (corrected(answers([1, 0, 0] * n), DISTANCES, reported, false) for n in (2, 40))
    assert many[2] / many[0] < few[2] / few[0]


def test_rows_are_the_loosest_for_each_precision() -> None:
    """A row's threshold is the largest distance that keeps the precision."""
    precisions = np.linspace(1, 0.5, len(DISTANCES))
    table = rows(DISTANCES, precisions, DISTANCES / 2, wanted=(0.9, 0.7))
    assert [row.threshold for row in table] == pytest.approx(
        [DISTANCES[np.flatnonzero(precisions >= p)[-1]] for p in (0.9, 0.7)]
    )


def test_threshold_goes_no_farther_than_copies_lie() -> None:
    """Of distances that keep the precision, the nearest that finds nearly all copies is in force, not the loosest."""
    distances = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    precisions = np.array([1.0, 1.0, 0.999, 0.99, 0.9])
    assert nearest_as_good(distances, precisions, np.array([0.2, 0.7, 0.895, 0.9, 1.0])).threshold == 0.3
    assert nearest_as_good(distances, precisions, np.array([0.2, 0.7, 0.8, 0.9, 1.0])).threshold == 0.4
    assert nearest_as_good(distances, precisions, np.array([0.0, 0.0, 0.0, 0.0, 0.0])).threshold == 0.1
    best = nearest_as_good(distances, np.array([0.5, 0.8, 0.7, 0.6, 0.5]), np.array([0.2, 0.7, 0.8, 0.9, 1.0]))
    assert (best.threshold, best.precision, best.recall) == (0.2, 0.8, 0.7)


def test_estimated_false_pairs_are_about_the_true_ones(known: DistinctPairs) -> None:
    """On look-alikes that the table has not seen, the estimate of false pairs is right within a factor of two."""
    for alike in (0.0, 2.0, 3.0):
        vectors = strangers(700, seed=9, alike=alike)
        likeness = likeness_of(vectors, known, 0.2, np.random.default_rng(0))
        true = pairs_within(vectors, DISTANCES, np.random.default_rng(0))
        estimated = known.within(DISTANCES, likeness) * 700 * 699 / 2
        at = int(np.searchsorted(true, 100))  # where a hundred pairs lie within
        assert 0.5 < estimated[at] / true[at] < 2


def test_gallery_calibrates_itself_when_it_changed(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """A new gallery gets a threshold of its own, which says so; without a change it is not measured again."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos], calibrate=False)
        before = gallery.threshold
        calibration = gallery.sync().calibrated
        assert calibration is not None
        assert before.source is ThresholdSource.ENCODER
        assert gallery.threshold == calibration.threshold
        assert gallery.threshold.source is ThresholdSource.GALLERY
        assert (gallery.threshold.expected_precision or 0) >= 0.99
        assert gallery.calibration == calibration
        assert gallery.sync().calibrated is None
        strict, loose = (gallery.calibrate(precision=p).threshold.distance for p in (0.999, 0.99))
        assert strict <= loose
        assert calibration.threshold.distance <= loose
        with pytest.raises(OptionError, match="between 0 and 1"):
            gallery.calibrate(precision=1.0)


def test_the_same_pictures_give_the_same_threshold(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """In whatever order they were indexed, and whatever their folder is called."""
    there = tmp_path / "there"
    shutil.copytree(photos, there)
    one, other = (Gallery(tmp_path / name, encoder=encoder) for name in ("one", "other"))
    one.sync([photos])
    other.sync([there / "copies"], calibrate=False)
    other.sync([there])
    assert other.calibration == one.calibration


def test_a_stricter_wish_is_never_looser(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """The threshold moves nearer, or stays, as the precision rises, with the default in between."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos])
        default = gallery.threshold.distance
        found = [gallery.calibrate(precision=p).threshold.distance for p in (0.8, 0.95, 0.99, 0.999, 0.9999)]
        assert found == sorted(found, reverse=True)
        assert found[1] >= default >= found[2]


def test_what_cannot_be_read_changes_no_threshold(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """With the drive away calibrating ends in one line, and indexing leaves the threshold alone."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos])
        before = gallery.threshold
        photos.rename(tmp_path / "away")
        with pytest.raises(FolderError, match="the threshold stays as it was"):
            gallery.calibrate()
        assert gallery.threshold == before


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tiny_galleries_get_an_answer(photos: Path, tmp_path: Path, encoder: Encoder, count: int) -> None:
    """One, two or five pictures are no reason to fail, and no reason for a loose threshold."""
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(photos.glob("*.png"))[:count]:
        (few / path.name).write_bytes(path.read_bytes())
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([few])
        nearest_allowed = encoder.spec.distinct[0][1]  # within it lies a tenth of all pairs of strangers
        assert 0 < gallery.threshold.distance < nearest_allowed


def test_without_a_pair_there_is_nothing_to_learn_from(photos: Path, tmp_path: Path, encoder: Encoder) -> None:
    """A gallery of no picture or one is not calibrated, and its threshold stays."""
    (tmp_path / "few").mkdir()
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        for photo in (None, photos / "rocket.png"):
            if photo:
                (tmp_path / "few" / photo.name).write_bytes(photo.read_bytes())
            gallery.sync([tmp_path / "few"])
            before = gallery.threshold
            with pytest.raises(OptionError, match="two pictures"):
                gallery.calibrate()
            assert gallery.threshold == before


def test_labelled_pairs_move_the_threshold(photos: Path, tmp_path: Path, run: Run) -> None:
    """`calibrate --pairs` keeps the labels, says how they changed the estimate, and names a pair it cannot find."""
    assert run("index", photos, "--json").returncode == 0
    alone = json.loads(run("calibrate", "--json").stdout)
    stems = ("astronaut", "camera", "chelsea", "coffee")
    lines = [f"photos/{a}.png,photos/{b}.png,1" for a in stems for b in stems if a < b]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,label", *lines]) + "\n")
    judged = json.loads(run("calibrate", "--pairs", "pairs.csv", "--json").stdout)
    assert judged["answers"] == 6
    assert judged["threshold"]["source"] == "pairs"
    assert judged["correction_low"] < judged["correction"] < judged["correction_high"]
    assert judged["before"] == alone["threshold"]
    told = run("calibrate")
    assert "6 answers" in told.stdout
    assert "finds" in told.stdout
    (tmp_path / "pairs.csv").write_text("first,second,label\nphotos/none.png,photos/coffee.png,1\n")
    failed = run("calibrate", "--pairs", "pairs.csv")
    assert failed.returncode == 1
    assert "none.png is not in the gallery" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_acting_and_undoing_change_no_threshold(photos: Path, run: Run) -> None:
    """With the copies gone and back again, calibrating finds what it found before."""
    assert run("index", photos).returncode == 0
    before = json.loads(run("calibrate", "--json").stdout)
    assert run("dedupe", "--plan", "plan.json").returncode == 0
    applied = run("apply", "plan.json", "--to", "trash", "--json")
    assert applied.returncode == 0, applied.stderr
    assert run("undo", json.loads(applied.stdout)["journal"]).returncode == 0
    assert run("index").returncode == 0
    after = json.loads(run("calibrate", "--json").stdout)
    assert after == before | {"before": before["threshold"]}


def test_a_small_gallery_of_copies_finds_them(
    sample: Callable[[str], Image.Image], tmp_path: Path, encoder: Encoder
) -> None:
    """One photo and ten copies of it are one group."""
    folder = tmp_path / "small"
    folder.mkdir()
    picture = sample("astronaut.png")
    picture.save(folder / "photo.png")
    for number in range(10):
        size = (picture.width - 6 * number, picture.height - 6 * number)
        picture.resize(size).save(folder / f"{number}.jpg", quality=90 - 5 * number)
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([folder])
        (group,) = find_duplicates(gallery)
        assert len(group) == 10
