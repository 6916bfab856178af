"""Figures of merit against sums done by hand and slow obvious versions; ties are never lucky."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from siamese_search.calibration.metrics import (
    accuracy_at,
    average_precision,
    best_threshold,
    contrastive_cost,
    curve,
    equal_error_rate,
    recall_at_precision,
    roc,
    roc_auc,
)
from siamese_search.errors import DataError

# Few distinct values, so that ties are common.
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=25)


def arrays(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return distances and labels."""
    return np.array([d / 4 for d, _ in pairs]), np.array([y for _, y in pairs], np.int8)


def by_hand() -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Three similar and two dissimilar pairs, two of them at the same distance."""
    return np.array([0.1, 0.2, 0.3, 0.3, 0.9]), np.array([0, 1, 0, 1, 0], np.int8)


def test_curve_by_hand() -> None:
    """Pairs at one distance are accepted together."""
    c = curve(*by_hand())
    assert c.distance.tolist() == [0.1, 0.2, 0.3, 0.9]
    assert c.accepted.tolist() == [1, 2, 4, 5]
    assert c.similar.tolist() == [1, 1, 2, 3]
    assert c.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 4, 3 / 5])
    assert c.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert c.accuracy.tolist() == pytest.approx([3 / 5, 2 / 5, 2 / 5, 3 / 5])


def test_curve_counts_pairs_never_listed() -> None:
    """Similar pairs too far apart to be listed lower the recall."""
    assert curve(*by_hand(), all_similar=6).recall.tolist() == pytest.approx([1 / 6, 1 / 6, 2 / 6, 3 / 6])


def test_no_pairs_is_an_error() -> None:
    """There is nothing to judge by."""
    with pytest.raises(DataError, match="no pairs"):
        curve(np.array([]), np.array([], np.int8))


def test_contrastive_cost_by_hand() -> None:
    """The mean of d² for similar and max(1 - d, 0)² for dissimilar pairs."""
    cost = contrastive_cost(np.array([0.5, 0.5, 1.2]), np.array([0, 1, 1], np.int8))
    assert cost == pytest.approx((0.25 + 0.25 + 0) / 3)
    assert contrastive_cost(np.array([0.5]), np.array([1], np.int8), margin=0.4) == 0


@given(PAIRS)
def test_best_threshold_is_best(pairs: list[tuple[int, int]]) -> None:
    """No other threshold, from 0 on, is right more often."""
    distance, label = arrays(pairs)
    best = accuracy_at(best_threshold(distance, label), distance, label)
    for threshold in (0, *distance, *(distance + 1e-3)):
        assert best >= accuracy_at(threshold, distance, label)


def test_threshold_lies_midway() -> None:
    """Between the last accepted and the first refused distance."""
    assert best_threshold(np.array([0.2, 0.6]), np.array([0, 1], np.int8)) == pytest.approx(0.4)


@given(PAIRS)
def test_average_precision_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    """Precision at each distinct distance, weighted with the recall gained there."""
    distance, label = arrays(pairs)
    expected, before, similar = 0.0, 0, int(np.sum(label == 0))
    for d in sorted(set(distance.tolist())):
        found = int(np.sum((distance <= d) & (label == 0)))
        if similar:
            expected += (found - before) / similar * found / int(np.sum(distance <= d))
        before = found
    assert average_precision(curve(distance, label)) == pytest.approx(expected)


@given(PAIRS)
def test_roc_auc_is_the_chance_of_right_order(pairs: list[tuple[int, int]]) -> None:
    """Of all similar-dissimilar couples, those with the similar pair strictly closer."""
    distance, label = arrays(pairs)
    similar, dissimilar = distance[label == 0], distance[label == 1]
    right = [float(s < d) for s in similar for d in dissimilar]
    assert roc_auc(curve(distance, label)) == pytest.approx(np.mean(right) if right else 0)


def test_roc_auc_agrees_with_scikit_learn() -> None:
    """Where no two distances are equal, it is the area everybody else computes."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    rng = np.random.default_rng(0)
    distance, label = rng.random(200), rng.integers(0, 2, 200).astype(np.int8)
    assert roc_auc(curve(distance, label)) == pytest.approx(roc_auc_score(label, distance))


@given(PAIRS)
def test_equal_error_rate_can_be_had(pairs: list[tuple[int, int]]) -> None:
    """Some threshold holds both rates at or below it, and no threshold does better."""
    distance, label = arrays(pairs)
    worse = []
    for threshold in (-1.0, *distance):
        accepted = distance <= threshold
        false = np.mean(accepted[label == 1]) if (label == 1).any() else 0
        missed = np.mean(~accepted[label == 0]) if (label == 0).any() else 1 - 0
        worse.append(max(false, missed))
    assert equal_error_rate(curve(distance, label)) == pytest.approx(min(worse))


def test_an_encoder_that_sees_nothing() -> None:
    """All pairs at one distance: no luck from their order in the list."""
    distance, label = np.full(4, 0.5), np.array([0, 0, 1, 1], np.int8)
    c = curve(distance, label)
    assert roc_auc(c) == 0
    assert equal_error_rate(c) == 1
    assert average_precision(c) == 0.5


def test_roc_starts_with_nothing_accepted() -> None:
    """And ends with everything."""
    false, true = roc(curve(*by_hand()))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert false.tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_recall_at_precision() -> None:
    """The loosest threshold of enough precision; nothing when there is none."""
    c = curve(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 0], np.int8))
    assert recall_at_precision(c, 0.75) == pytest.approx((1.0, 0.4))
    assert recall_at_precision(c, 0.9) == pytest.approx((1 / 3, 0.1))
    assert recall_at_precision(curve(np.array([0.1]), np.array([1], np.int8)), 0.5) == (0, 0)
