"""Stars: pairs gathered around the pictures worth keeping."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Star = tuple[int, tuple[tuple[int, float], ...]]
"""A keeper's id, and its copies as (id, distance from the keeper), nearest first."""

Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Some pairs: two ids each, and the distance."""

_HELD = 16_000_000  # pairs: 400 MB
_OPEN, _KEEPER, _COPY = range(3)


class _Ranked(NamedTuple):
    """Some pairs by rank, the better one first."""

    above: NDArray[np.int64]
    below: NDArray[np.int64]
    distance: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "_Ranked":
        """Return some of them, or all in another order."""
        return _Ranked(self.above[chosen], self.below[chosen], self.distance[chosen])


def star_groups(
    ranked: Sequence[int],
    pairs: Iterable[Block],
    *,
    apart: Collection[tuple[int, int]] = frozenset(),
    held: int = _HELD,
) -> list[Star]:
    """Gather pairs into stars; `ranked` holds every id that occurs in them, the one most worth keeping first.

    Down the ranking, an id becomes a keeper unless it is paired with a keeper above it; the others then join the
    nearest of those keepers above them, the better one at equal distance. So a keeper always outranks its copies,
    keepers are never paired with each other, and nothing is in two groups. Two ids that are `apart` (lesser first)
    never share a group: the nearer to the keeper stays. Ids without a partner are left out.

    `pairs` are iterated, and must be the same, time and again while more of them matter than can be `held`.
    """
    ids = np.array(ranked, np.int64)
    found = _that_matter(ids, pairs, held)
    keeps = _keepers(found, len(ids))
    wishes = found.take(keeps[found.above] & ~keeps[found.below])
    strangers: defaultdict[int, set[int]] = defaultdict(set)
    rank_of = dict(zip(ranked, range(len(ranked)), strict=True)) if apart else {}
    for first, second in apart:
        if first in rank_of and second in rank_of:
            strangers[rank_of[first]].add(rank_of[second])
            strangers[rank_of[second]].add(rank_of[first])
    choosy = np.isin(wishes.below, np.array([*strangers], np.int64))
    stars: dict[int, list[tuple[int, float]]] = {}
    for star, copy, distance in _joined(_nearest(wishes.take(~choosy)), _without(wishes.take(choosy), strangers)):
        stars.setdefault(ranked[star], []).append((ranked[copy], distance))
    return [(keeper, tuple(copies)) for keeper, copies in stars.items()]


def _that_matter(ids: NDArray[np.int64], pairs: Iterable[Block], held: int) -> _Ranked:
    """Return the pairs that decide: those of which the better one may be a keeper.

    Which cannot be, one look at all pairs tells only in part. Who has nobody above that may be a keeper, is one; who is
    paired with a keeper above, is a copy; and about the others the next look tells more. Mostly one look will do, since
    all pairs can be held.
    """
    by_id = np.argsort(ids)
    state = np.full(len(ids), _OPEN)
    none = _Ranked(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    while True:
        all_told = not (state == _OPEN).any()
        best = np.arange(len(ids))  # for each, the best that may be a keeper, of those paired with it
        kept, count = [none], 0
        for first, second, distance in pairs:
            ranks = [by_id[np.searchsorted(ids, side, sorter=by_id)] for side in (first, second)]
            some = _Ranked(np.minimum(*ranks), np.maximum(*ranks), distance)
            state[some.below[state[some.above] == _KEEPER]] = _COPY
            some = some.take(state[some.above] != _COPY)
            np.minimum.at(best, some.below, some.above)
            count += len(some.above)
            if count <= held or all_told:
                kept.append(some)
            else:
                kept.clear()
        if count <= held or all_told:
            return _Ranked(*(np.concatenate(column) for column in zip(*kept, strict=True)))
        alone = best == np.arange(len(ids))
        is_open = state == _OPEN
        state[is_open & alone] = _KEEPER
        state[is_open & ~alone & (state[best] == _KEEPER)] = _COPY


def _keepers(pairs: _Ranked, count: int) -> NDArray[np.bool_]:
    """Tell of each rank whether it is a keeper: whether no keeper above is paired with it."""
    keeps = np.ones(count, np.bool_)
    by_copy = pairs.take(np.argsort(pairs.below, kind="stable"))
    copies, starts = np.unique(by_copy.below, return_index=True)
    for copy, above in zip(copies.tolist(), np.split(by_copy.above, starts[1:]), strict=False):
        keeps[copy] = not keeps[above].any()
    return keeps


def _nearest(wishes: _Ranked) -> _Ranked:
    """Choose for each copy the nearest keeper, the better one at equal distance."""
    wishes = wishes.take(np.lexsort((wishes.above, wishes.distance, wishes.below)))
    return wishes.take(np.diff(wishes.below, prepend=-1) > 0)


def _without(wishes: _Ranked, strangers: Mapping[int, set[int]]) -> _Ranked:
    """Choose likewise, the nearest pairs first, but never a keeper that a stranger of the copy has."""
    wishes = wishes.take(np.lexsort((wishes.below, wishes.above, wishes.distance)))
    home: dict[int, int] = {}
    chosen = np.zeros(len(wishes.above), np.bool_)
    for at, (keeper, copy) in enumerate(zip(wishes.above.tolist(), wishes.below.tolist(), strict=True)):
        if copy not in home and not any(home.get(other) == keeper for other in strangers[copy]):
            home[copy] = keeper
            chosen[at] = True
    return wishes.take(chosen)


def _joined(*homes: _Ranked) -> Iterable[tuple[int, int, float]]:
    """Return copies with their keepers, by keeper, distance and rank."""
    every = _Ranked(*(np.concatenate(column) for column in zip(*homes, strict=True)))
    every = every.take(np.lexsort((every.below, every.distance, every.above)))
    return zip(every.above.tolist(), every.below.tolist(), every.distance.tolist(), strict=True)
