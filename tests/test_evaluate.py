"""Retrieval and pairs of a finished encoder, against slow obvious versions; ties are never lucky."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from siamese_search.calibration.metrics import accuracy_at, best_threshold, contrastive_cost
from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.export import save_encoder
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.training.data import load_folder
from siamese_search.training.digits import load_digits
from siamese_search.training.evaluation import Spread, embed_all, evaluate, with_channels
from siamese_search.training.retrieval import Embedded, average_precisions, first_ranks, retrieval
from siamese_search.training.scores import pair_distances, pairs_of

# Few places, so that ties are common.
PLACES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=12)


def on_axes(items: list[tuple[int, int]]) -> Embedded:
    """Return unit vectors up and down three axes, whose distances are 0, the root of 2, or 2; and who they show."""
    places = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    vectors = places[[place for place, _ in items]]
    return Embedded(embeddings=vectors, identity=np.array([shown for _, shown in items], np.int64))


def worst_ranking(query: NDArray[np.float32], wanted: int, gallery: Embedded) -> list[bool]:
    """Return for each rank whether it is right, the wrong ones first at equal distances."""
    distance = np.linalg.norm(gallery.embeddings.astype(np.float64) - query, axis=1).round(6)
    order = sorted(range(len(gallery)), key=lambda i: (distance[i], gallery.identity[i] == wanted))
    return [bool(gallery.identity[i] == wanted) for i in order]


@given(PLACES, PLACES)
def test_retrieval_is_its_definition(asked: list[tuple[int, int]], searched: list[tuple[int, int]]) -> None:
    """Recall and mean average precision of the worst possible ranking, over the queries that have an answer."""
    queries, gallery = on_axes(asked), on_axes(searched)
    found = retrieval(queries, gallery, ranks=(1, 2, 5))
    recall: dict[int, list[bool]] = {1: [], 2: [], 5: []}
    precisions = []
    for vector, wanted in zip(queries.embeddings, queries.identity.tolist(), strict=True):
        right = worst_ranking(vector, wanted, gallery)
        if not any(right):
            continue
        ranks = [rank for rank, hit in enumerate(right, start=1) if hit]
        precisions.append(np.mean([(place + 1) / rank for place, rank in enumerate(ranks)]))
        for k, hits in recall.items():
            hits.append(ranks[0] <= k)
    assert found.queries == len(precisions)
    assert found.without_answer == len(asked) - len(precisions)
    assert found.gallery == len(searched)
    assert found.mean_average_precision == pytest.approx(np.mean(precisions) if precisions else 0)
    for k, hits in recall.items():
        assert found.recall_at[k] == pytest.approx(np.mean(hits) if hits else 0)


def test_a_tie_at_the_last_rank_is_not_lucky() -> None:
    """Of twenty equal vectors one is right; it is not among the first ten of the worst ranking."""
    gallery = on_axes([(0, 1)] + [(0, 2)] * 19)
    query = on_axes([(0, 1)])
    assert first_ranks(query, gallery, deepest=10).tolist() == [11]
    assert average_precisions(query, gallery).tolist() == [1 / 20]


def test_a_perfect_encoder() -> None:
    """Everything alike in one place, everything else elsewhere."""
    gallery = on_axes([(shown, shown) for shown in (0, 1, 2) for _ in range(5)])
    found = retrieval(on_axes([(0, 0), (1, 1), (2, 2)]), gallery)
    assert found.recall_at == {1: 1, 5: 1, 10: 1}
    assert found.mean_average_precision == 1


def test_queries_without_an_answer_do_not_count() -> None:
    """They are counted apart; when there are no others, all shares are 0."""
    gallery = on_axes([(0, 0), (1, 1)])
    found = retrieval(on_axes([(0, 0), (3, 7)]), gallery)
    assert (found.queries, found.without_answer, found.recall_at[1]) == (1, 1, 1)
    nothing = retrieval(on_axes([(3, 7)]), gallery)
    assert (nothing.queries, nothing.recall_at[1], nothing.mean_average_precision) == (0, 0, 0)


def test_spread() -> None:
    """Mean and sample standard deviation; one value has no spread."""
    found = Spread.of([1.0, 3.0])
    assert (found.mean, found.values) == (2, (1.0, 3.0))
    assert found.deviation == pytest.approx(2**0.5)
    assert Spread.of([0.5]).deviation == 0


def test_channels_are_adapted() -> None:
    """Grey becomes RGB of three equal planes, RGB its luminance."""
    grey = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    rgb = with_channels(grey, 3)
    assert rgb.shape == (2, 2, 2, 3)
    assert (with_channels(rgb, 1) == grey).all()
    assert with_channels(grey, 1) is grey


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A grey encoder with random weights: good enough to be scored, far from perfect."""
    torch.manual_seed(0)
    spec = EncoderSpec(
        name="untrained", architecture="small-grey", input_size=8, channels=1, mean=33.3, std=78.6, dim=16
    )
    folder = tmp_path_factory.mktemp("encoders") / "untrained"
    save_encoder(EncoderNetwork(spec), spec, folder)
    return load_encoder(folder)


def test_evaluate_is_what_its_parts_are(untrained: Encoder) -> None:
    """The threshold is the validation part's, the figures are those of the test pairs at it."""
    dataset = load_digits()
    found, results = evaluate(untrained, dataset, seeds=3)
    validation, test = embed_all(untrained, [dataset.validation.pictures, dataset.test.pictures])
    first = pairs_of(dataset.validation)
    assert found.threshold == best_threshold(pair_distances(validation, first), first.label)
    for seed in range(3):
        pairs = pairs_of(dataset.test, seed=seed)
        distance = pair_distances(test, pairs)
        assert found.accuracy.values[seed] == accuracy_at(found.threshold, distance, pairs.label)
        assert found.loss.values[seed] == contrastive_cost(distance, pairs.label)
    assert found.pairs == 1000
    assert [r.part.name for r in results] == ["validation", "test"]
    assert found.retrieval is not None
    assert (found.retrieval.queries, found.retrieval.gallery) == (500, 1297)
    assert 0.3 < found.retrieval.recall_at[1] < 1
    assert found.retrieval.recall_at[1] <= found.retrieval.recall_at[5] <= found.retrieval.recall_at[10]


def test_evaluate_reports_progress(untrained: Encoder) -> None:
    """Up to the number of all pictures, never backwards."""
    calls: list[tuple[int, int]] = []
    evaluate(untrained, load_digits(), seeds=1, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (1797, 1797)
    assert calls == sorted(calls)


def test_evaluate_at_a_given_threshold(untrained: Encoder) -> None:
    """At 2 every pair counts as similar: half of them are."""
    found, _ = evaluate(untrained, load_digits(), seeds=1, threshold=2.0)
    assert (found.threshold, found.accuracy.mean) == (2.0, 0.5)


def test_evaluate_without_labels(untrained: Encoder, photos: Path) -> None:
    """Edited views of the test pictures search for their originals among all pictures, whatever their colours."""
    for number in range(24):  # enough pictures for three parts
        with Image.open(photos / "chelsea.png") as cat:
            cat.crop((number, number, number + 100, number + 90)).save(photos / f"piece {number}.png")
    dataset = load_folder(photos)
    found, _ = evaluate(untrained, dataset, seeds=1)
    assert found.retrieval is not None
    assert found.retrieval.queries == len(dataset.test)
    assert found.retrieval.gallery == len(dataset.train) + len(dataset.validation) + len(dataset.test)


def test_the_command_prints_json(
    untrained: Encoder, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """One object with the figures; the pairs are kept; errors are one line."""
    pairs, figures = tmp_path / "pairs.csv", tmp_path / "figures"
    files = ("--save-pairs", pairs, "--figures", figures)
    done = run("evaluate", untrained.folder, "digits", "--seeds", "2", "--json", *files)
    found = json.loads(done.stdout)
    assert len(found["accuracy"]["values"]) == 2
    assert set(found["retrieval"]["recall_at"]) == {"1", "5", "10"}
    assert len(pairs.read_text(encoding="utf-8").splitlines()) == 1 + 400 + 1000
    drawn = {path.stem for path in figures.glob("*.png")}
    assert drawn == {"pairs-validation", "pairs-test", "distances", "roc", "map", "mistakes"}
    failed = run("evaluate", untrained.folder, "digits", "--classes", "11")
    assert failed.returncode == 1
    assert failed.stderr.startswith("simsearch: digits: its train part has fewer than two of the classes 11")
    assert failed.stderr.count("\n") == 1
