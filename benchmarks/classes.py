"""Likeness of meaning: whether the nearest other photos show the same class, its folder, beside raw ImageNet features.

Every photo asks among all the others. Ties are never lucky: at one score, photos of other classes come first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sets import Photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """`recall_at_1`: how often the nearest other is of the class; `mean_average_precision` counts all ranks."""

    queries: int
    recall_at_1: float
    mean_average_precision: float


def meaning(features: NDArray[np.float32], photos: Sequence[Photo]) -> Meaning:
    """Ask with every photo that is not alone in its class; rows (n, d) of unit length belong to the photos in order."""
    classes = np.unique([str(photo.path.parent) for photo in photos], return_inverse=True)[1]
    nearness = features @ features.T
    np.fill_diagonal(nearness, -np.inf)
    first, precision = [], []
    for row, own in enumerate(classes):
        alike = classes == own
        alike[row] = False
        if not alike.any():
            continue
        unlike = ~alike
        unlike[row] = False
        right = np.sort(-nearness[row, alike])
        ahead = np.searchsorted(np.sort(-nearness[row, unlike]), right, side="right")
        found = np.arange(1, len(right) + 1)
        first.append(ahead[0] == 0)
        precision.append(np.mean(found / (found + ahead)))
    return Meaning(
        queries=len(first), recall_at_1=float(np.mean(first)), mean_average_precision=float(np.mean(precision))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a distance is worth as the limit of what looks alike.

    All are shares. `precision`: of the five nearest within it, of the same class. `answered`: photos that have one
    there. `refused`: photos that have none there, once all others of their class are taken away.
    """

    distance: float
    precision: float
    answered: float
    refused: float


def limits_by_size(
    features: NDArray[np.float32], photos: Sequence[Photo], distance: float, sizes: Sequence[int], *, draws: int = 5
) -> list[Limit]:
    """Try one distance in galleries of some sizes, drawn by lot, each several times; the mean of each size."""
    found = []
    for size in sizes:
        tried = []
        for seed in range(1 if size >= len(photos) else draws):
            rows = np.random.default_rng(seed).permutation(len(photos))[:size]
            tried += limits(features[rows], [photos[row] for row in rows], [distance])
        means = [float(np.mean([getattr(one, name) for one in tried])) for name in ("precision", "answered", "refused")]
        found.append(Limit(distance=distance, precision=means[0], answered=means[1], refused=means[2]))
    return found


def limits(features: NDArray[np.float32], photos: Sequence[Photo], distances: Sequence[float]) -> list[Limit]:
    """Try distances as limits; rows (n, d) of unit length belong to the photos in order."""
    classes = np.unique([str(photo.path.parent) for photo in photos], return_inverse=True)[1]
    apart = np.sqrt(np.maximum(0, 2 - 2 * features @ features.T))
    np.fill_diagonal(apart, np.inf)
    same = classes[:, None] == classes[None]
    nearest = np.argsort(apart, axis=1)[:, :5]
    near, right = (np.take_along_axis(table, nearest, axis=1) for table in (apart, same))
    stranger = np.where(same, np.inf, apart).min(axis=1)
    return [
        Limit(
            distance=distance,
            precision=float(right[near <= distance].mean()) if (near <= distance).any() else float("nan"),
            answered=float((near[:, 0] <= distance).mean()),
            refused=float((stranger > distance).mean()),
        )
        for distance in distances
    ]
