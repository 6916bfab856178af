"""All pairs of embeddings within a threshold, without comparing all with all.

The cells of a large gallery (k-means) keep near embeddings together. So each embedding is compared with those in its
cell and in the few others that it probes, see `probes`. Whether that finds all is measured: some are compared with
all, and how many of their pairs were found is told with the result.

Distances are computed from the difference of the two vectors, as everywhere: the matrix products, which do the work,
only propose pairs. Equal embeddings are compared once, one of them standing for the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from siamese_search.gallery.codes import Codes, decode
from siamese_search.gallery.probes import REACH, Probes, Widths, by_cell, home_cells
from siamese_search.gallery.store import Cells
from siamese_search.results import Coverage
from siamese_search.vectors import SLACK, distances

_SAMPLED = 2000  # embeddings that are compared with all, to measure what is found
_ROWS, _COLUMNS = 1024, 1024  # embeddings on the two sides of one matrix product: 4 MB
_PAIRS = 1024  # pairs whose distances are computed at once
_MANY = 32_768  # pairs of a block; with more of them it is cheaper to compute all its distances
_ZERO = 1e-13  # more than float64 can be wrong in a squared distance, and far less than those of codes that differ

Ids = NDArray[np.int64]
Places = NDArray[np.int64]  # positions among the embeddings of one side
Vectors = NDArray[np.float32]
Distances = NDArray[np.float64]
Near = Callable[[Vectors, float], list[list[tuple[int, float]]]]
"""What a store finds within a distance of each of some vectors: ids and distances."""
_Keep = Callable[[Places, Places], NDArray[np.bool_]]


class Pairs(NamedTuple):
    """Some pairs: the ids on both sides, and the distances."""

    first: Ids
    second: Ids
    distance: Distances

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Pairs":
        """Return some of them, or all in another order."""
        return Pairs(self.first[chosen], self.second[chosen], self.distance[chosen])

    def each(self) -> Iterator[tuple[int, int, float]]:
        """Yield them as plain numbers."""
        return zip(self.first.tolist(), self.second.tolist(), self.distance.tolist(), strict=True)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Embeddings of a gallery, equal ones once: those in the `rows` of `codes`, with their `ids`, ascending.

    `equals` `(m, 2)` holds the ids of all others, each beside that of the one that stands for it. `cells` says which of
    the `centroids` is nearest to each; `near` asks the store that they come from, where that is the way to find pairs.
    Without either, all are compared with all.
    """

    ids: Ids
    rows: NDArray[np.int64]
    codes: Codes
    dim: int
    equals: Ids
    cells: NDArray[np.int32]
    centroids: Vectors
    near: Near | None = None

    @classmethod
    def of(
        cls,
        ids: Ids,
        codes: Codes,
        dim: int,
        *,
        cells: Cells | None = None,
        near: Near | None = None,
        only: Ids | None = None,
        kinds: Mapping[int, int] | None = None,
    ) -> Self:
        """Gather a gallery's embeddings `(n, code_bytes)`, or `only` those with some ids.

        `kinds` gives numbers to ids, 0 to those not in it; what is of two kinds does not stand for one another.
        """
        rows = np.arange(len(ids)) if only is None else np.flatnonzero(np.isin(ids, only))
        kind = np.array([kinds.get(id_, 0) for id_ in ids[rows].tolist()]) if kinds else np.zeros(len(rows), np.int64)
        stands = _first_equals(codes, rows, kind)
        distinct = stands == np.arange(len(rows))
        equals = np.stack([ids[rows[~distinct]], ids[rows[stands[~distinct]]]], axis=1)
        rows = rows[distinct]
        return cls(
            ids=ids[rows],
            rows=rows,
            codes=codes,
            dim=dim,
            equals=equals[np.lexsort((equals[:, 0], equals[:, 1]))],
            cells=cells.cell_of_row[rows] if cells else np.zeros(len(rows), np.int32),
            centroids=cells.centroids if cells else np.empty((0, dim), np.float32),
            near=near,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def can_be_searched(self) -> bool:
        """Tell whether what is near can be found without comparing all."""
        return self.near is not None or len(self.centroids) > 0

    def vectors(self, places: Places) -> Vectors:
        """Return the vectors `(m, dim)` of some."""
        return decode(self.codes[self.rows[places]], self.dim)

    def alike(self, id_: int) -> Ids:
        """Return the ids of all embeddings equal to one, its own first."""
        low, high = np.searchsorted(self.equals[:, 1], (id_, id_ + 1))
        return np.concatenate([[id_], self.equals[low:high, 0]])


class Join:
    """The pairs of embeddings at most `threshold` apart, in blocks; iterated again, it finds the same again.

    Of equal embeddings the one that stands for all is in the pairs. Memory does not depend on the number of pairs.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        threshold: float,
        *,
        other: Embeddings | None = None,
        exact: bool = False,
        sampled: int = _SAMPLED,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Join embeddings with themselves, or with `other`: then `first` is one of these, `second` of those.

        `exact` compares all with all although there are cells. `progress` is called with per cent and 100.
        """
        self._threshold = threshold
        self._progress = progress
        self._alone = other is None
        sides = embeddings, embeddings if other is None else other
        # The side on the right is searched for the other. It can be; if both can, it is the larger one.
        searched = [side.can_be_searched for side in sides]
        self._turned = searched[0] and not (searched[1] and len(sides[1]) >= len(sides[0]))
        self._left, self._right = sides[::-1] if self._turned else sides
        self._exact = exact or not self._right.can_be_searched
        count = 0 if self._exact else min(sampled, len(self._left))
        self._sample = np.sort(np.random.default_rng(0).choice(len(self._left), count, replace=False))
        self._known: int | None = None
        self._found = 0
        self._paired = np.zeros(len(self._left), np.bool_), np.zeros(len(self._right), np.bool_)

    @property
    def coverage(self) -> Coverage:
        """Tell how complete the pairs are that were found, when all were."""
        if self._exact:
            return Coverage()
        if self._known is None:
            self._known = self._pairs_of_sample()
        return Coverage(exact=False, sampled=len(self._sample), known=self._known, found=self._found)

    @property
    def paired(self) -> tuple[Ids, Ids]:
        """Return the ids that were in a pair, on both sides."""
        left, right = self._left.ids[self._paired[0]], self._right.ids[self._paired[1]]
        return (right, left) if self._turned else (left, right)

    def __iter__(self) -> Iterator[Pairs]:
        sampled = np.zeros(len(self._left), np.bool_)
        sampled[self._sample] = True
        self._found = 0
        for left, right, distance in self._places():
            self._paired[0][left] = True
            self._paired[1][right] = True
            self._found += int(np.count_nonzero(sampled[left] | sampled[right] if self._alone else sampled[left]))
            first, second = self._left.ids[left], self._right.ids[right]
            if self._alone:
                yield Pairs(np.minimum(first, second), np.maximum(first, second), distance)
            else:
                yield Pairs(second, first, distance) if self._turned else Pairs(first, second, distance)

    def all_pairs(self) -> Iterator[Pairs]:
        """Yield the pairs of all embeddings, those too for which others stand."""
        one, other = (self._right, self._left) if self._turned else (self._left, self._right)
        if self._alone:
            for stands in np.unique(one.equals[:, 1]):
                alike = one.alike(stands)
                for at in range(len(alike) - 1):
                    yield from _paired(alike[at], alike[at + 1 :], 0.0)
        for pairs in self:
            several = np.isin(pairs.first, one.equals[:, 1]) | np.isin(pairs.second, other.equals[:, 1])
            yield pairs.take(~several)
            for first, second, distance in pairs.take(several).each():
                for id_ in one.alike(first):
                    for some in _paired(id_, other.alike(second), distance):
                        yield _in_order(some) if self._alone else some

    # -- inside: places rather than ids

    def _places(self) -> Iterator[tuple[Places, Places, Distances]]:
        if self._right.near and not self._exact:
            yield from self._by_asking(self._right.near)
            return
        for left, rights, keep in self._by_all() if self._exact else self._by_cells():
            vectors = self._left.vectors(left)
            for right in rights:
                others = self._right.vectors(right)
                rows, columns = _proposed(vectors, others, self._threshold)
                if keep:
                    kept = keep(left[rows], right[columns])
                    rows, columns = rows[kept], columns[kept]
                apart = _distances(vectors, others, rows, columns)
                within = apart <= self._threshold
                if within.any():
                    yield left[rows[within]], right[columns[within]], apart[within]

    def _by_asking(self, near: Near) -> Iterator[tuple[Places, Places, Distances]]:
        """Yield what the store of the right side finds; what is not among these embeddings, such as equals, is none."""
        for some in _parts(np.arange(len(self._left)), _ROWS):
            found = near(self._left.vectors(some), self._threshold)
            left = np.repeat(some, [len(hits) for hits in found])
            hits = np.array([hit for hits in found for hit in hits], np.float64).reshape(-1, 2)
            ids, apart = hits[:, 0].astype(np.int64), hits[:, 1]
            right = np.minimum(np.searchsorted(self._right.ids, ids), len(self._right) - 1)
            kept = self._right.ids[right] == ids
            if self._alone:  # each is found from both sides
                kept &= left < right
            yield left[kept], right[kept], apart[kept]
            self._report((some[-1] + 1) / len(self._left))

    def _by_all(self) -> Iterator[tuple[Places, Sequence[Places], _Keep | None]]:
        """Yield places that are to be compared with each of several others."""
        count, others = len(self._left), np.arange(len(self._right))
        for left in _parts(np.arange(count), _ROWS):
            yield left, _parts(others[left[0] if self._alone else 0 :], _COLUMNS), np.less if self._alone else None
            rest = 1 - (left[-1] + 1) / count
            self._report(1 - rest**2 if self._alone else 1 - rest)

    def _by_cells(self) -> Iterator[tuple[Places, Sequence[Places], _Keep | None]]:
        """Yield the same of those that live in or probe a cell, and of those that live there, for each cell."""
        cells, centroids = self._right.cells, self._right.centroids
        # Where both sides of a pair may probe the other's cell, half the way is enough.
        reach = self._threshold * (REACH if self._alone else 2 * REACH)
        widths = Widths(cells, centroids, self._right.vectors, reach=reach)
        homes = cells if self._alone else home_cells(len(self._left), centroids, self._left.vectors)
        probes = Probes(
            homes,
            centroids,
            self._left.vectors,
            widths,
            own_cell=not self._alone,
            progress=lambda share: self._report(0.5 * share),
        )

        for cell, members in enumerate(by_cell(cells, len(centroids))):

            def new(left: Places, right: Places, cell: int = cell) -> NDArray[np.bool_]:
                """Tell which pairs are not found in a lower cell too: in the prober's own."""
                return (homes[left] > cell) | ~probes.made(right, homes[left])

            if self._alone:
                for start in range(0, len(members), _ROWS):
                    yield members[start : start + _ROWS], _parts(members[start:], _COLUMNS), np.less
            for left in _parts(probes.of(cell), _ROWS):
                yield left, _parts(members, _COLUMNS), new if self._alone else None
            self._report(0.5 + 0.5 * (cell + 1) / len(centroids))

    def _pairs_of_sample(self) -> int:
        """Count the pairs of the sampled embeddings among all."""
        vectors = self._left.vectors(self._sample)
        known = 0
        for places in _parts(np.arange(len(self._right)), _COLUMNS):
            others = self._right.vectors(places)
            rows, columns = _proposed(vectors, others, self._threshold)
            if self._alone:  # two in the sample meet twice, and each meets itself
                left, right = self._sample[rows], places[columns]
                once = (left < right) | ~np.isin(right, self._sample)
                rows, columns = rows[once], columns[once]
            known += int(np.count_nonzero(_distances(vectors, others, rows, columns) <= self._threshold))
        return known

    def _report(self, share: float) -> None:
        if self._progress:
            self._progress(round(100 * share), 100)


def _first_equals(codes: Codes, rows: NDArray[np.int64], kind: NDArray[np.int64]) -> Places:
    """Return for each row the place of the first with the same code and kind."""
    digests = (xxhash.xxh3_64_intdigest(codes[row], seed=seed) for row, seed in zip(rows, kind.tolist(), strict=True))
    _, first, inverse = np.unique(np.fromiter(digests, np.uint64, len(rows)), return_index=True, return_inverse=True)
    stands = first[inverse]
    for some in _parts(np.flatnonzero(stands != np.arange(len(rows))), _PAIRS):
        others = stands[some]
        equal = (codes[rows[some]] == codes[rows[others]]).all(axis=1) & (kind[some] == kind[others])
        stands[some[~equal]] = some[~equal]
    return stands


def _proposed(vectors: Vectors, others: Vectors, threshold: float) -> tuple[Places, Places]:
    """Return the row numbers of all pairs that may be within the threshold."""
    least = 1 - (threshold**2 + SLACK) / 2  # |a - b|² = 2 - 2ab for unit vectors
    near = np.flatnonzero(vectors @ others.T >= least)
    return np.divmod(near, len(others))


def _distances(vectors: Vectors, others: Vectors, rows: Places, columns: Places) -> Distances:
    """Return the Euclidean distances of pairs, named by their row numbers: equal vectors are 0.0 apart."""
    if len(rows) > _MANY:
        a, b = vectors.astype(np.float64), others.astype(np.float64)
        squares = (a @ b.T)[rows, columns]
        squares *= -2
        squares += np.einsum("ij,ij->i", a, a)[rows]
        squares += np.einsum("ij,ij->i", b, b)[columns]
        squares[squares < _ZERO] = 0
        return np.asarray(np.sqrt(squares))
    apart = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS):
        some = slice(start, start + _PAIRS)
        apart[some] = distances(vectors[rows[some]], others[columns[some]])
    return apart


def _parts(places: Places, size: int) -> list[Places]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _paired(first: int, seconds: Ids, distance: float) -> Iterator[Pairs]:
    for some in _parts(seconds, _PAIRS):
        yield Pairs(np.full(len(some), first), some, np.full(len(some), distance))


def _in_order(pairs: Pairs) -> Pairs:
    return Pairs(np.minimum(pairs.first, pairs.second), np.maximum(pairs.first, pairs.second), pairs.distance)
