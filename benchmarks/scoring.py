"""Scores of a ranking of pairs: what a threshold finds of the copies, and what else it brings along.

A pair of one photo's pictures is right, any other pair is wrong. Two scopes are scored: `all` counts every pair of
pictures, as a dedupe run does; `ref` only pairs of an original or distractor with a copy: "is this upload a copy of
something I have?". Pairs that a system did not return count as never found. Ties are never lucky: pairs of equal score
are taken together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sets import Row
from siamese_search.calibration.metrics import Curve, average_precision, curve, recall_at_precision
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR


@dataclass(frozen=True, slots=True)
class Ranking:
    """Distinct pairs of pictures `first < second` of a set, by number, and how alike they are: higher is more."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    def only(self, chosen: NDArray[np.bool_]) -> "Ranking":
        """Return some of the pairs."""
        return Ranking(self.first[chosen], self.second[chosen], self.score[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is right about a set: `group` (n,) says who shows the same photo, `copy` (n,) who is an edited copy."""

    group: NDArray[np.int64]
    copy: NDArray[np.bool_]
    edit: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Truth":
        """Read it off the rows of a set."""
        return cls(
            group=np.unique([row.group for row in rows], return_inverse=True)[1].astype(np.int64),
            copy=np.array([row.kind == "copy" for row in rows]),
            edit=np.array([row.transform for row in rows]),
        )

    def right(self, pairs: Ranking) -> NDArray[np.bool_]:
        """Tell for each pair whether it is right."""
        return np.equal(self.group[pairs.first], self.group[pairs.second])

    def of_original(self, pairs: Ranking) -> NDArray[np.bool_]:
        """Tell for each pair whether it is in the scope `ref`."""
        return self.copy[pairs.first] ^ self.copy[pairs.second]

    def right_pairs(self, scope: str) -> int:
        """Return how many right pairs there are to find."""
        if scope == "ref":
            return int(self.copy.sum())
        sizes = np.bincount(self.group)
        return int((sizes * (sizes - 1) // 2).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A ranking in one scope; all are shares in [0, 1].

    `recall_at_p99` is the recall at the loosest threshold of precision 0.99. That threshold is `threshold`, and
    `per_edit` the share of the (original, copy) pairs of each edit that it finds; None and zeros where no threshold
    has that precision.
    """

    average_precision: float
    best_f1: float
    recall_at_p99: float
    recall_at_p90: float
    threshold: float | None
    per_edit: dict[str, float] = field(default_factory=dict)


def distinct(first: NDArray[np.int64], second: NDArray[np.int64], score: NDArray[np.float64]) -> Ranking:
    """Return pairs as a ranking: each once, with its best score, and no picture paired with itself."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second).astype(np.int64)
    pairs = Ranking(low, high, score.astype(np.float64)).only(low != high)
    order = np.lexsort((-pairs.score, pairs.second, pairs.first))
    pairs = Ranking(pairs.first[order], pairs.second[order], pairs.score[order])
    again = (np.diff(pairs.first) == 0) & (np.diff(pairs.second) == 0)
    return pairs.only(np.r_[np.ones(min(1, len(pairs)), np.bool_), ~again])


def scores(rows: Sequence[Row], ranking: Ranking) -> dict[str, Score]:
    """Score a ranking in both scopes."""
    truth = Truth.of(rows)
    return {
        "all": score(truth, ranking, scope="all"),
        "ref": score(truth, ranking.only(truth.of_original(ranking)), scope="ref"),
    }


def score(truth: Truth, ranking: Ranking, *, scope: str) -> Score:
    """Score the pairs of one scope."""
    edits = dict.fromkeys(truth.edit[truth.copy].tolist(), 0.0)
    if not len(ranking):
        return Score(average_precision=0, best_f1=0, recall_at_p99=0, recall_at_p90=0, threshold=None, per_edit=edits)
    label = np.where(truth.right(ranking), SIMILAR, DISSIMILAR).astype(np.int8)
    c = curve(-ranking.score, label, all_similar=truth.right_pairs(scope))
    recall, distance = recall_at_precision(c, 0.99)
    threshold = -distance if recall else None
    return Score(
        average_precision=average_precision(c),
        best_f1=best_f1(c),
        recall_at_p99=recall,
        recall_at_p90=recall_at_precision(c, 0.9)[0],
        threshold=threshold,
        per_edit=edits if threshold is None else found_per_edit(truth, ranking.only(ranking.score >= threshold)),
    )


def best_f1(c: Curve) -> float:
    """Return the highest harmonic mean of precision and recall, over all thresholds."""
    return float(np.max(2 * c.precision * c.recall / np.maximum(c.precision + c.recall, 1e-12)))


def found_per_edit(truth: Truth, accepted: Ranking) -> dict[str, float]:
    """Return the share of each edit's copies whose pair with their original is accepted."""
    hits = accepted.only(truth.right(accepted) & truth.of_original(accepted))
    found = truth.edit[np.where(truth.copy[hits.first], hits.first, hits.second)]
    edits = dict.fromkeys(truth.edit[truth.copy].tolist())
    return {edit: float(np.sum(found == edit) / np.sum(truth.copy & (truth.edit == edit))) for edit in edits}
