"""The benchmarks: sets are a function of photos and seed, scores are sums that one can do by hand, all commands run."""

import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # its files are run, not installed

from classes import limits, meaning
from edits import EVERYDAY, HEAVY, JPEG_QUALITY_OF, TURNS
from galleries import Judged, groups_of, judged, recall_of_edits
from measures import cost_of, in_turn, plot, slope
from scoring import Truth, distinct, score, scores
from sets import SUITES, Photo, Row, Suite, find_photos, fitted, make_set, read_set
from systems import nearest_by_bits, nearest_by_cosine, nearest_by_turned_bits

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Sample = Callable[[str], Image.Image]
SUITE = Suite(
    {"crop_area50": EVERYDAY["crop_area50"], "pasted_small": HEAVY["pasted_small"]}, bases=1, distractors=1, hosts=1
)
ROWS = [
    Row("a.png", "a", "base", "original"),
    Row("a__1.jpg", "a", "copy", "one"),
    Row("a__2.jpg", "a", "copy", "two"),
    Row("b.png", "b", "distractor", "original"),
]


def fingerprint(folder: Path) -> str:
    """Return the hash of a set's pictures."""
    return str(json.loads((folder / "set.json").read_text())["sha256"])


# ---- sets


def test_sets_are_a_function_of_photos_and_seed(photos: Path, tmp_path: Path) -> None:
    """The same photos and seed make the same bytes, another seed makes others."""
    found = find_photos(photos)
    for name, seed in (("first", 7), ("second", 7), ("third", 8)):
        make_set(found, SUITE, tmp_path / name, seed=seed)
    assert fingerprint(tmp_path / "first") == fingerprint(tmp_path / "second") != fingerprint(tmp_path / "third")
    assert read_set(tmp_path / "first") == read_set(tmp_path / "second")


def test_another_edit_changes_no_other_copy(photos: Path, tmp_path: Path) -> None:
    """Every copy draws from a generator of its own."""
    found = find_photos(photos)
    make_set(found, SUITE, tmp_path / "both")
    make_set(found, Suite({"pasted_small": HEAVY["pasted_small"]}, 1, 1, 1), tmp_path / "one")
    (copy,) = (row.file for row in read_set(tmp_path / "one") if row.kind == "copy")
    one, both = (tmp_path / name / "images" / copy for name in ("one", "both"))
    assert one.read_bytes() == both.read_bytes()


def test_a_set_holds_each_original_once_as_it_was(photos: Path, tmp_path: Path) -> None:
    """Originals keep their bytes, copies name their original and edit, and hosts stay outside."""
    make_set(find_photos(photos), SUITE, tmp_path / "set")
    rows = read_set(tmp_path / "set")
    assert sorted(row.kind for row in rows) == ["base", "copy", "copy", "distractor"]
    base = next(row for row in rows if row.kind == "base")
    original = photos / base.file.replace("__", "/")
    assert (tmp_path / "set" / "images" / base.file).read_bytes() == original.read_bytes()
    assert {row.file for row in rows if row.kind == "copy"} == {f"{base.group}__{edit}.jpg" for edit in SUITE.edits}


@pytest.mark.parametrize("name", [*EVERYDAY, *HEAVY, *TURNS])
def test_an_edit_gives_another_picture(name: str, sample: Sample) -> None:
    """It is RGB and not the same picture once it is saved; the one that was given stays as it is."""
    picture, hosts = sample("coffee.png"), [sample(host) for host in ("astronaut.png", "camera.png") * 2]
    before = picture.tobytes()
    copy = {**EVERYDAY, **HEAVY, **TURNS}[name](picture, Random(name), lambda k: hosts[k].copy())
    assert picture.tobytes() == before
    assert copy.mode == "RGB"
    saved = BytesIO()
    copy.save(saved, "JPEG", quality=JPEG_QUALITY_OF.get(name, 90))
    with Image.open(saved) as after:
        assert after.size != picture.size or after.tobytes() != before


def test_few_photos_make_a_smaller_set() -> None:
    """The suite shrinks in proportion, is never larger than asked for, and refuses what is too little for one base."""
    assert fitted(SUITES["B"], 5000) == SUITES["B"]
    small = fitted(SUITES["C"], 210)
    assert (small.bases, small.distractors) == (10, 160)
    assert small.photos <= 210
    with pytest.raises(SystemExit, match="too few"):
        fitted(SUITES["B"], 3)


def test_a_list_chooses_photos(photos: Path, tmp_path: Path) -> None:
    """Only listed photos are taken; their place becomes their name."""
    listed = tmp_path / "list.txt"
    listed.write_text("copies/astronaut bright.jpg\nchelsea.png\n")
    assert find_photos(photos, listed) == [
        Photo(photos / "chelsea.png", "chelsea"),
        Photo(photos / "copies/astronaut bright.jpg", "copies__astronaut bright"),
    ]


# ---- scores


def ranking(*pairs: tuple[int, int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs as the columns that a system hands over."""
    first, second, likeness = zip(*pairs, strict=True)
    return np.array(first), np.array(second), np.array(likeness)


def test_scores_are_sums_done_by_hand() -> None:
    """Three right pairs; right, wrong, right are returned: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    found = scores(ROWS, distinct(*ranking((1, 0, 0.9), (0, 3, 0.8), (1, 2, 0.7))))
    of_all = found["all"]
    assert of_all.average_precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert of_all.best_f1 == pytest.approx(2 / 3)
    assert of_all.recall_at_p99 == of_all.recall_at_p90 == pytest.approx(1 / 3)
    assert of_all.threshold == pytest.approx(0.9)
    assert of_all.per_edit == {"one": 1.0, "two": 0.0}


def test_ref_counts_pairs_of_an_original_and_a_copy_alone() -> None:
    """Two copies of one photo need not find each other there, and two originals are not compared."""
    found = scores(ROWS, distinct(*ranking((0, 3, 0.95), (1, 0, 0.9), (2, 3, 0.8), (1, 2, 0.7))))["ref"]
    assert found.average_precision == pytest.approx(1 / 2)  # of two right pairs the first is found first
    assert found.per_edit == {"one": 1.0, "two": 0.0}


@pytest.mark.parametrize("order", [1, -1])
def test_ties_are_never_lucky(order: int) -> None:
    """A right and a wrong pair of one score are taken together, in whichever order they come."""
    pairs = [(0, 1, 5.0), (1, 3, 5.0)][::order]
    found = scores(ROWS, distinct(*ranking(*pairs)))["ref"]
    assert found.average_precision == pytest.approx(1 / 2 * 1 / 2)
    assert found.recall_at_p99 == found.recall_at_p90 == 0
    assert found.threshold is None
    assert found.per_edit == {"one": 0.0, "two": 0.0}


def test_nothing_returned_is_nothing_found() -> None:
    """A system that returns no pair scores zero, not an error."""
    nothing = distinct(np.empty(0, int), np.empty(0, int), np.empty(0))
    found = score(Truth.of(ROWS), nothing, scope="all")
    assert (found.average_precision, found.recall_at_p99, found.threshold) == (0, 0, None)


def test_a_pair_counts_once() -> None:
    """Met from both sides a pair keeps its best score; a picture is not paired with itself."""
    found = distinct(*ranking((2, 1, 0.5), (1, 2, 0.7), (3, 3, 1.0), (0, 1, 0.1)))
    assert [found.first.tolist(), found.second.tolist(), found.score.tolist()] == [[0, 1], [1, 2], [0.1, 0.7]]


# ---- nearest others


def test_nearest_pairs_are_those_of_a_slow_search() -> None:
    """Cosines, differing bits, and bits of the best turn agree with sums over all pairs."""
    rng = np.random.default_rng(0)
    features, bits = rng.normal(size=(12, 5)), rng.integers(0, 2, (12, 8, 16))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row, other, likeness in zip(*nearest_by_cosine(features), strict=True):
        assert likeness == pytest.approx(unit[row] @ unit[other], abs=1e-6)
    for row, other, likeness in zip(*nearest_by_bits(bits[:, 0]), strict=True):
        assert likeness == -np.sum(bits[row, 0] != bits[other, 0])
    for row, other, likeness in zip(*nearest_by_turned_bits(bits), strict=True):
        assert likeness == -min(np.sum(bits[row, turn] != bits[other, 0]) for turn in range(8))


def test_every_other_row_is_near_when_there_are_few() -> None:
    """Each of n rows meets the n - 1 others, never itself."""
    first, second, _ = nearest_by_cosine(np.eye(4))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [
        (a, b) for a in range(4) for b in range(4) if a != b
    ]


# ---- galleries and classes


def test_pairs_are_held_against_the_truth(tmp_path: Path) -> None:
    """Pairs of unknown pictures are left out; a picture without a group is its own."""
    (tmp_path / "groundtruth.csv").write_text("path,group_id\na.jpg,x\nb.jpg,x\nc.jpg,\n")
    _, group = groups_of(tmp_path)
    found = judged([("a.jpg", "b.jpg"), ("a.jpg", "c.jpg"), ("a.jpg", "unknown.jpg")], group, there=1)
    assert found == Judged(reported=2, right=1, there=1)
    assert (found.precision, found.recall) == (0.5, 1.0)
    assert (Judged(reported=0, right=0, there=3).precision, Judged(reported=0, right=0, there=0).recall) == (1.0, 1.0)


def test_recall_of_edits_counts_pairs_with_the_original(photos: Path, tmp_path: Path) -> None:
    """Two copies that find each other do not find their original."""
    make_set(find_photos(photos), SUITE, tmp_path / "set")
    base = next(row.file for row in read_set(tmp_path / "set") if row.kind == "base")
    crop, pasted = (row.file for row in read_set(tmp_path / "set") if row.kind == "copy")
    assert recall_of_edits([(crop, base), (crop, pasted)], tmp_path / "set") == {
        "crop_area50": 1.0,
        "pasted_small": 0.0,
    }
    assert recall_of_edits([], photos) == {}


def test_meaning_is_done_by_hand() -> None:
    """Two of class x and a y between them; x alone has answers, and a tie with y comes after it."""
    photos = [Photo(Path(place), place) for place in ("x/1.png", "x/2.png", "y/3.png")]
    angles = np.radians([0.0, 20.0, 10.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = meaning(features, photos)
    assert (found.queries, found.recall_at_1, found.mean_average_precision) == (2, 0.0, 0.5)
    tied = meaning(np.ones((3, 1), np.float32), photos)
    assert (tied.recall_at_1, tied.mean_average_precision) == (0.0, 0.5)


def test_limits_of_likeness_are_counted_by_hand() -> None:
    """Of one class of two and one of one: what lies within a limit, and who has nothing there without its class."""
    photos = [Photo(Path(place), place) for place in ("x/1.png", "x/2.png", "y/3.png")]
    angles = np.radians([0.0, 10.0, 40.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    near, far = limits(features, photos, (0.2, 0.6))
    assert (near.precision, near.answered, near.refused) == pytest.approx((1, 2 / 3, 1))
    assert (far.precision, far.answered, far.refused) == pytest.approx((1 / 2, 1, 1 / 3))


# ---- speed


def test_the_slope_is_the_power_of_the_size() -> None:
    """A cost that grows tenfold when the size grows a hundredfold has slope one half."""
    assert slope([100, 10_000, 1_000_000], [2, 20, 200]) == pytest.approx(0.5)


def test_costs_are_those_of_the_command() -> None:
    """CPU, time and memory are measured of the process that was started; one that fails is an error."""
    work = "held = bytearray(200 << 20); import time; time.sleep(0.2)\nwhile time.process_time() < 0.3: pass"
    costs = in_turn({"idle": (sys.executable, "-c", "pass"), "busy": (sys.executable, "-c", work)}, 1)
    assert costs["busy"].cpu > 0.28 > costs["idle"].cpu
    assert costs["busy"].wall > 0.4
    assert costs["busy"].peak > 200 << 20 > costs["idle"].peak
    with pytest.raises(subprocess.CalledProcessError):
        cost_of((sys.executable, "-c", "raise SystemExit(3)"))


def test_a_plot_is_a_function_of_its_figures(tmp_path: Path) -> None:
    """The same points make the same file, and the slope is written in it."""
    for name in ("first", "second"):
        plot(tmp_path / f"{name}.svg", "Cost", {"ours": ([10, 100], [1.0, 10.0])}, size="pictures", cost="seconds")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    assert "slope 1.00" in (tmp_path / "first.svg").read_text()


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("cold_query", ("--sizes", "40", "--rounds", "1")),
        ("warm_query", ("--sizes", "40", "80", "--queries", "8")),
        ("syncing", ("--sizes", "20", "--rounds", "1", "--new", "2")),
    ],
)
def test_speed_benchmarks_run(script: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """Each prints what it was measured with and a table, and writes its figures and a plot."""
    command = [sys.executable, BENCHMARKS / f"{script}.py", *options, "--out", tmp_path]
    finished = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    assert "siamese-search " in finished.stdout.splitlines()[0]
    assert "| ---: |" in finished.stdout
    assert json.loads((tmp_path / f"{script}.json").read_text())["sizes"][0] == int(options[1])
    assert (tmp_path / f"{script}.svg").read_text().startswith("<?xml")
