"""Which cells beside its own an embedding has to be compared with, so that hardly a near pair is missed.

The two embeddings of a pair in two cells lie on either side of the plane halfway between the centroids. Together they
are no further from that plane than they are apart along the line between the centroids, so one is within half of that.
And near pictures do not differ along just any line: they differ as neighbours in a cell do. Along a direction u,
pictures t apart differ by some t * sqrt(u'Su / trace S), where S is the covariance within cells. So each embedding
probes the cells that lie behind a plane no further away than REACH times this.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

REACH = 2.5  # half of five standard deviations
_MAX_PROBES = 32  # cells that one embedding probes at most
_SPREAD = 20_000  # embeddings that tell the covariance
_MIN_WIDTH = 1e-9
_ROWS = 1024

Places = NDArray[np.int64]
Vectors = NDArray[np.float32]
Read = Callable[[Places], Vectors]


class Probes:
    """Which cells are probed by which of `n` embeddings."""

    def __init__(
        self,
        homes: NDArray[np.int32],
        centroids: Vectors,
        read: Read,
        widths: "Widths",
        *,
        own_cell: bool,
        progress: Callable[[float], None],
    ) -> None:
        """Work out the probes of embeddings, which `read` gives, from the cell nearest to each, its home.

        `own_cell` counts the stay at home as a probe. `progress` is called with the share done.
        """
        self._count = len(homes)
        keys = [np.empty(0, np.int64)]
        half_squares = np.einsum("ij,ij->i", centroids, centroids) / 2
        done = 0
        for home, members in enumerate(by_cell(homes, len(centroids))):
            width = widths.around(home)
            lead = width - half_squares
            for start in range(0, len(members), _ROWS):
                some = members[start : start + _ROWS]
                # x'a - a'a/2 - x'b + b'b/2 is the distance of x from the plane between a and b, times |a - b|.
                reached = read(some) @ centroids.T
                own = reached[:, home] - half_squares[home]
                reached += lead
                reached -= own[:, None]
                probes = reached >= 0
                probes[:, home] = own_cell
                rows, cells = np.divmod(np.flatnonzero(probes), len(centroids))
                if len(rows) and np.bincount(rows).max() > _MAX_PROBES:
                    spare = reached[rows, cells] / np.maximum(width[cells], _MIN_WIDTH)
                    spare[cells == home] = np.inf
                    rows, cells = _best(rows, cells, spare)
                keys.append(cells * self._count + some[rows])
                done += len(some)
                progress(done / self._count)
        self._keys = np.concatenate(keys)
        del keys
        self._keys.sort()

    def of(self, cell: int) -> Places:
        """Return the embeddings that probe a cell, in order."""
        low, high = np.searchsorted(self._keys, (cell * self._count, (cell + 1) * self._count))
        return self._keys[low:high] - cell * self._count

    def made(self, places: Places, cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell for each of some embeddings whether it probes a cell."""
        if not len(self._keys):
            return np.zeros(len(places), np.bool_)
        wanted = cells.astype(np.int64) * self._count + places
        found = np.searchsorted(self._keys, wanted)
        return np.asarray(self._keys[np.minimum(found, len(self._keys) - 1)] == wanted)


class Widths:
    """How far from the plane between two cells an embedding may be and still probe the other one, times |a - b|."""

    def __init__(self, homes: NDArray[np.int32], centroids: Vectors, read: Read, *, reach: float) -> None:
        """Learn from some embeddings how neighbours differ; `reach` is a distance between two of them."""
        some = np.unique(np.linspace(0, max(len(homes) - 1, 0), _SPREAD).astype(np.int64))[: len(homes)]
        apart = (read(some) - centroids[homes[some]]).astype(np.float64)
        covariance = apart.T @ apart
        if not (total := np.trace(covariance)) > 0:  # all lie on their centroids
            covariance, total = np.eye(len(covariance)), float(len(covariance))
        strengths, directions = np.linalg.eigh(covariance / total)
        root = directions * (reach * np.sqrt(np.clip(strengths, 0, None)))
        self._centroids = (centroids @ root).astype(np.float32)
        self._squares = np.einsum("ij,ij->i", self._centroids, self._centroids)

    def around(self, cell: int) -> NDArray[np.float32]:
        """Return the widths `(c,)` between a cell and all."""
        squares = self._squares + self._squares[cell] - 2 * (self._centroids @ self._centroids[cell])
        return np.asarray(np.sqrt(np.clip(squares, 0, None)))


def home_cells(count: int, centroids: Vectors, read: Read) -> NDArray[np.int32]:
    """Return the cell nearest to each of `count` embeddings."""
    homes = np.empty(count, np.int32)
    half_squares = np.einsum("ij,ij->i", centroids, centroids) / 2
    for start in range(0, count, _ROWS):
        some = np.arange(start, min(start + _ROWS, count))
        homes[some] = (read(some) @ centroids.T - half_squares).argmax(axis=1)
    return homes


def by_cell(homes: NDArray[np.int32], cells: int) -> list[Places]:
    """Return the embeddings that live in each cell, in order."""
    order = np.argsort(homes, kind="stable")
    return np.split(order, np.searchsorted(homes[order], np.arange(1, cells)))


def _best(rows: Places, cells: Places, spare: NDArray[np.floating]) -> tuple[Places, Places]:
    """Keep of each row the `_MAX_PROBES` cells that it reaches with most to spare, as a share of the width."""
    order = np.lexsort((-spare, rows))
    rows, cells = rows[order], cells[order]
    starts = np.searchsorted(rows, rows)
    few = np.arange(len(rows)) - starts < _MAX_PROBES
    return rows[few], cells[few]
