"""From distances between pictures whose relation is known to thresholds with an expected precision and recall."""

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.metrics import Curve, Floats, curve, recall_at_precision
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR
from siamese_search.results import CalibrationRow

PRECISIONS = (0.999, 0.998, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5)
PROMISED = 0.99  # precision at the threshold in force
MIN_PAIRS = 30  # that a share is measured by; the few nearest of any collection are often copies nobody noticed


def calibration_table(c: Curve) -> tuple[CalibrationRow, ...]:
    """Return the loosest threshold for each of `PRECISIONS` that can be had, smallest distance first."""
    rows: dict[float, CalibrationRow] = {}
    for wanted in PRECISIONS:
        _, threshold = recall_at_precision(c, wanted)
        if threshold and threshold not in rows:
            at = int(np.searchsorted(c.distance, threshold))
            rows[threshold] = CalibrationRow(
                threshold=threshold, precision=float(c.precision[at]), recall=float(c.recall[at])
            )
    return tuple(rows[t] for t in sorted(rows))


def promised_row(table: tuple[CalibrationRow, ...], precision: float = PROMISED) -> CalibrationRow | None:
    """Return the loosest operating point of at least this precision; None when there is none."""
    enough = [row for row in table if row.precision >= precision]
    return max(enough, key=lambda row: row.threshold, default=None)


def distinct_quantiles(embeddings: NDArray[np.float32], identity: NDArray[np.int64]) -> tuple[tuple[float, float], ...]:
    """Return (share, distance) for shares from a tenth down to that of a few pairs: how near different pictures come.

    Pairs of equal identity do not count. Half a decade a step, down to the nearest `MIN_PAIRS` pairs.
    """
    rows, columns = np.triu_indices(len(embeddings), 1)
    different = identity[rows] != identity[columns]
    dot = (embeddings @ embeddings.T)[rows, columns][different]
    nearest = np.sort(
        np.sqrt(np.clip(2 - 2 * np.partition(dot, -(len(dot) // 10 + 1))[-(len(dot) // 10 + 1) :], 0, None))
    )
    shares = [10.0 ** (-1 - step / 2) for step in range(13)]
    return tuple((share, float(nearest[int(share * len(dot))])) for share in shares if share * len(dot) >= MIN_PAIRS)


def all_pairs_curve(embeddings: NDArray[np.float32], identity: NDArray[np.int64], *, widest: float = 1.2) -> Curve:
    """Return the curve over all pairs closer than `widest`: what a dedupe run over these pictures would report.

    Works in blocks, so its memory grows with the close pairs, not with all of them.
    """
    distances: list[Floats] = []
    labels: list[NDArray[np.int8]] = []
    block = 1024
    for start in range(0, len(embeddings), block):
        rows = embeddings[start : start + block]
        squared = np.clip(2 - 2 * rows @ embeddings[start:].T, 0, None)
        i, j = np.nonzero(np.triu(squared <= widest**2, k=1))
        distances.append(np.sqrt(squared[i, j]))
        labels.append(np.where(identity[start + i] == identity[start + j], SIMILAR, DISSIMILAR).astype(np.int8))
    counts = np.unique(identity, return_counts=True)[1].astype(np.int64)
    return curve(np.concatenate(distances), np.concatenate(labels), all_similar=int((counts * (counts - 1) // 2).sum()))
