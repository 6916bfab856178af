"""Where pictures lie on a map: each in a cell of a grid, beside those that are like it, and the regions of one kind.

The grid is sorted as a self-sorting map (Strong and Gong, 2014): each cell is given the mean of its surroundings, which
shrink from a large part of the map to the next cells, and four cells at a time swap their pictures so that these fit
those means best. The cost grows with the number of pictures.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

_DIMS = 64  # principal components that are sorted by: what is beyond them is hardly seen
_WIDE = 1.4  # columns to rows
_SHRINK = 0.98  # of the surroundings, each time
_SWAPS = 12  # rounds between two means
_STAYS = np.float32(1e6)
_ORDERS = np.array([*permutations(range(4))])  # (24, 4): which picture of four comes to each cell
_FEWEST_OF_A_KIND = 60
_MAX_KINDS = 80
_ROUNDS = 12  # of k-means
_NEARNESS = 1.0  # how much more places count than likeness where regions are found


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Neighbouring pictures of one kind: their numbers, the one in their middle, and where they lie on average."""

    pictures: Places
    middle: int
    column: float
    row: float


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A grid of `rows` x `columns`; `cells`, of that shape, holds the number of a picture, or -1."""

    cells: Places
    regions: tuple[Region, ...]


def lay_out(vectors: Vectors, *, seed: int = 0) -> Layout:
    """Lay out pictures by their embeddings `(n, dim)`; equal ones give equal maps."""
    count = len(vectors)
    rng = np.random.default_rng(seed)
    features = _principal(vectors)
    columns = max(1, min(count, round((count * _WIDE) ** 0.5)))
    rows = -(-count // columns)
    order = np.full(rows * columns, -1, np.int64)
    order[:count] = _first_order(features, columns)
    cells = _sorted_map(order.reshape(rows, columns), features, rng)
    return Layout(cells, _regions(cells, features, rng))


def _principal(vectors: Vectors) -> Vectors:
    """Return the principal components of embeddings, `(n, d)`."""
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ axes[:, ::-1][:, :_DIMS], np.float32)


def _first_order(features: Vectors, columns: int) -> Places:
    """Return an order by rows of the grid: along the second component, and in each row along the first."""
    order = np.argsort(features[:, 1], kind="stable")
    rows = [order[start : start + columns] for start in range(0, len(order), columns)]
    return np.concatenate([row[np.argsort(features[row, 0], kind="stable")] for row in rows])


def _sorted_map(cells: Places, features: Vectors, rng: np.random.Generator) -> Places:
    rows, columns = cells.shape
    radius = max(rows, columns) / 3
    while radius >= 1:
        means = _surroundings(cells, features, round(radius))
        for _ in range(_SWAPS):
            reach = max(1, round(radius))
            cells = _swapped(cells, features, means, *rng.integers(1, reach + 1, 2).tolist(), rng=rng)
        radius *= _SHRINK
    return cells


def _surroundings(cells: Places, features: Vectors, radius: int) -> Vectors:
    """Return the mean of what lies within so many cells of each, to the sides and up and down."""
    known = (cells >= 0).astype(np.float32)[..., None]
    here = np.concatenate([features[cells] * known, known], axis=2)
    for axis in (0, 1):
        sums = np.cumsum(here, axis=axis, dtype=np.float64)
        sums = np.insert(sums, 0, 0, axis=axis)
        at = np.arange(here.shape[axis])
        upper = np.minimum(at + radius + 1, here.shape[axis])
        lower = np.maximum(at - radius, 0)
        here = (sums.take(upper, axis) - sums.take(lower, axis)).astype(np.float32)
    return np.asarray(here[..., :-1] / np.maximum(here[..., -1:], 1e-6), np.float32)


def _swapped(
    cells: Places, features: Vectors, means: Vectors, down: int, across: int, *, rng: np.random.Generator
) -> Places:
    """Let cells that lie so many rows and columns apart, four by four, swap their pictures where that fits better."""
    rows, columns = cells.shape
    top, left = rng.integers(0, 2 * down), rng.integers(0, 2 * across)
    row, column = np.arange(rows) - top, np.arange(columns) - left
    row = np.flatnonzero(row % (2 * down) < down)
    column = np.flatnonzero(column % (2 * across) < across)
    y, x = (part.ravel() for part in np.meshgrid(row, column, indexing="ij"))
    # At the edges a cell swaps with itself.
    beyond_y, beyond_x = np.where(y + down < rows, y + down, y), np.where(x + across < columns, x + across, x)
    whole = (beyond_y != y) & (beyond_x != x)
    y, x, beyond_y, beyond_x = (part[whole] for part in (y, x, beyond_y, beyond_x))
    if not len(y):
        return cells
    four = np.stack([y * columns + x, y * columns + beyond_x, beyond_y * columns + x, beyond_y * columns + beyond_x], 1)
    flat = cells.reshape(-1).copy()
    pictures = flat[four]
    there = features[pictures] * (pictures >= 0)[..., None]
    here = means.reshape(-1, means.shape[2])[four]
    # |a - b|^2 without what no order changes; empty cells stay where they are, at the end.
    fit = np.einsum("gid,gpd->gip", there, here) - np.einsum("gpd,gpd->gp", here, here)[:, None, :] / 2
    fit = np.where((pictures >= 0)[..., None], fit, np.eye(4, dtype=np.float32) * _STAYS)
    sums = sum(fit[:, _ORDERS[:, place], place] for place in range(4))
    best = _ORDERS[np.argmax(sums, axis=1)]
    flat[four] = np.take_along_axis(pictures, best, axis=1)
    return flat.reshape(rows, columns)


def _regions(cells: Places, features: Vectors, rng: np.random.Generator) -> tuple[Region, ...]:
    """Part the map into regions whose pictures are like one another, by k-means over likeness and place."""
    rows, columns = np.nonzero(cells >= 0)
    pictures = cells[rows, columns]
    count = int(np.clip(len(pictures) // _FEWEST_OF_A_KIND, 1, _MAX_KINDS))
    spread = float(features.std(0).sum()) / max(1.0, (len(pictures) / count) ** 0.5)
    where = np.stack([rows, columns], 1).astype(np.float32) * np.float32(_NEARNESS * spread / 2)
    kind = _k_means(np.concatenate([features[pictures], where], 1), count, rng)
    found = []
    for number in range(count):
        mine = np.flatnonzero(kind == number)
        if len(mine):
            own = features[pictures[mine]]
            middle = pictures[mine[np.argmin(((own - own.mean(0)) ** 2).sum(1))]]
            found.append(Region(pictures[mine], int(middle), float(columns[mine].mean()), float(rows[mine].mean())))
    return tuple(sorted(found, key=lambda region: -len(region.pictures)))


def _k_means(points: Vectors, count: int, rng: np.random.Generator) -> Places:
    """Return for each point which of so many centres it belongs to (Lloyd, 1982)."""
    centres = points[rng.choice(len(points), count, replace=False)]
    for _ in range(_ROUNDS):
        kind = _nearest(points, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, kind, points)
        sizes = np.bincount(kind, minlength=count)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres).astype(np.float32)
    return _nearest(points, centres)


def _nearest(points: Vectors, centres: Vectors) -> Places:
    return np.asarray(np.argmin((centres**2).sum(1) / 2 - points @ centres.T, axis=1), np.int64)
