"""Figures of merit of distances and labels, in plain numpy. Distances: smaller is more alike; labels: 0 similar, 1 not.

Ties are never lucky: pairs at one distance are accepted together, or not at all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.pairs import SIMILAR
from siamese_search.errors import DataError

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What accepting all pairs up to a distance gives, at each distinct distance, ascending; all arrays (m,)."""

    distance: NDArray[np.float64]
    similar: NDArray[np.int64]  # similar pairs accepted
    accepted: NDArray[np.int64]  # pairs accepted
    all_similar: int
    all_pairs: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """The share of accepted pairs that are similar, in [0, 1]."""
        return self.similar / self.accepted

    @property
    def recall(self) -> NDArray[np.float64]:
        """The share of similar pairs that are accepted, in [0, 1]."""
        return self.similar / max(self.all_similar, 1)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """The share of all pairs on their right side when this distance is the threshold, in [0, 1]."""
        wrong = (self.accepted - self.similar) + (self.all_similar - self.similar)
        return 1 - wrong / self.all_pairs


def curve(distance: Floats, label: NDArray[np.int8], *, all_similar: int | None = None) -> Curve:
    """Sort pairs by distance and count; `all_similar` counts similar pairs that are not listed as never found.

    Raises `DataError` without pairs.
    """
    if len(distance) == 0:
        raise DataError("no pairs to measure by")
    order = np.argsort(distance, kind="stable")
    d, similar = np.asarray(distance, np.float64)[order], label[order] == SIMILAR
    last = np.r_[np.flatnonzero(np.diff(d)), len(d) - 1]  # of each run of equal distances
    return Curve(
        distance=d[last],
        similar=np.cumsum(similar)[last],
        accepted=last + 1,
        all_similar=int(similar.sum()) if all_similar is None else all_similar,
        all_pairs=len(d),
    )


def contrastive_cost(distance: Floats, label: NDArray[np.int8], *, margin: float = 1.0) -> float:
    """Return `mean((1 - y) d^2 + y max(margin - d, 0)^2)`: what `losses.contrastive_loss` computes, on plain arrays."""
    d, y = np.asarray(distance, np.float64), np.asarray(label, np.float64)
    return float(np.mean((1 - y) * d**2 + y * np.maximum(margin - d, 0) ** 2))


def best_threshold(distance: Floats, label: NDArray[np.int8]) -> float:
    """Return the threshold of highest accuracy, midway between the last accepted and the first refused distance."""
    c = curve(distance, label)
    # Accepting nothing comes first; no threshold does so where pairs lie at distance 0.
    nothing = 1 - c.all_similar / c.all_pairs if c.distance[0] > 0 else 0.0
    accuracy = np.r_[nothing, c.accuracy]
    best = int(accuracy.argmax())
    edges = np.r_[0.0, c.distance, c.distance[-1]]
    return float((edges[best] + edges[best + 1]) / 2)


def accuracy_at(threshold: float, distance: Floats, label: NDArray[np.int8]) -> float:
    """Return the share of pairs on their right side of a threshold, in [0, 1]."""
    return float(np.mean((np.asarray(distance) <= threshold) == (label == SIMILAR)))


def average_precision(c: Curve) -> float:
    """Return the area under precision over recall, summed in steps, in [0, 1]; 0 without similar pairs."""
    return float(np.sum(np.diff(np.r_[0.0, c.recall]) * c.precision))


def recall_at_precision(c: Curve, precision: float) -> tuple[float, float]:
    """Return the recall, and the threshold, at the loosest threshold of at least this precision; (0, 0) if none is."""
    enough = np.flatnonzero(c.precision >= precision)
    return (float(c.recall[enough[-1]]), float(c.distance[enough[-1]])) if len(enough) else (0.0, 0.0)


def roc(c: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of dissimilar and of similar pairs accepted, each (m + 1,) in [0, 1]; first, accepting none."""
    false = np.r_[0, c.accepted - c.similar] / max(c.all_pairs - c.all_similar, 1)
    return false, np.r_[0.0, c.recall]


def roc_auc(c: Curve) -> float:
    """Return the chance that a similar pair lies closer than a dissimilar one, in [0, 1]; equally close counts as not.

    0 without pairs of one kind. Without ties it is the usual area under the ROC curve.
    """
    false, true = roc(c)
    return float(np.sum(np.diff(false) * true[:-1]))


def equal_error_rate(c: Curve) -> float:
    """Return the lowest value that both error rates can be held at or below, in [0, 1].

    The rates: dissimilar pairs accepted, similar pairs refused. No value between two thresholds is made up.
    """
    false, true = roc(c)
    return float(np.min(np.maximum(false, 1 - true)))
