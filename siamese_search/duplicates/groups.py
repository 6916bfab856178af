"""Groups: pairs gathered around the pictures worth keeping, each copy within reach of its keeper, never in a chain."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Some pairs: two positions each, and the distance."""

_MAX_HELD = 16_000_000  # pairs: 400 MB
_OPEN, _KEEPER, _COPY = range(3)


class Group(NamedTuple):
    """A keeper's position, and its copies as (position, distance from the keeper), nearest first.

    `others` are pictures equal to the keeper that are kept with it, and no copies.
    """

    keeper: int
    copies: tuple[tuple[int, float], ...]
    others: tuple[int, ...] = ()

    @property
    def members(self) -> tuple[int, ...]:
        """All positions, the keeper's first."""
        return (self.keeper, *(copy for copy, _ in self.copies))


class _Ranked(NamedTuple):
    """Some pairs by rank, the better one first."""

    above: NDArray[np.int64]
    below: NDArray[np.int64]
    distance: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "_Ranked":
        """Return some of them, or all in another order."""
        return _Ranked(self.above[chosen], self.below[chosen], self.distance[chosen])


def gather(
    ranked: Sequence[int],
    pairs: Iterable[Block],
    *,
    apart: Collection[tuple[int, int]] = frozenset(),
    max_held: int = _MAX_HELD,
) -> list[Group]:
    """Gather pairs into groups; `ranked` holds every position that occurs in them, the one most worth keeping first.

    Down the ranking, a picture becomes a keeper unless it is paired with a keeper above it; the others then join the
    nearest of those keepers above them, the better one at equal distance. So a keeper always outranks its copies,
    keepers are never paired with each other, and nothing is in two groups. Two that are `apart` (lesser first) never
    share a group: the nearer to the keeper stays. Pictures without a partner are left out.

    `pairs` are iterated, and must be the same, time and again while more of them matter than can be held.
    """
    by_rank = np.array(ranked, np.int64)
    found = _that_matter(by_rank, pairs, max_held)
    keeps = _keepers(found, len(by_rank))
    offers = found.take(keeps[found.above] & ~keeps[found.below])
    strangers: defaultdict[int, set[int]] = defaultdict(set)
    rank_of = dict(zip(ranked, range(len(ranked)), strict=True)) if apart else {}
    for first, second in apart:
        if first in rank_of and second in rank_of:
            strangers[rank_of[first]].add(rank_of[second])
            strangers[rank_of[second]].add(rank_of[first])
    choosy = np.isin(offers.below, np.array([*strangers], np.int64))
    groups: dict[int, list[tuple[int, float]]] = {}
    for keeper, copy, distance in _joined(_nearest(offers.take(~choosy)), _without(offers.take(choosy), strangers)):
        groups.setdefault(ranked[keeper], []).append((ranked[copy], distance))
    return [Group(keeper, tuple(copies)) for keeper, copies in groups.items()]


def gather_with_equals(
    ranked: Sequence[int],
    pairs: Iterable[Block],
    equals: Mapping[int, Sequence[int]],
    *,
    apart: Collection[tuple[int, int]] = frozenset(),
    are_copies: bool = True,
) -> list[Group]:
    """Gather likewise where a position may stand for its `equals`, which are ranked too but in no pair.

    Of equals the best stands for all, and the others go with it: as copies of it, where `are_copies` says so, or not
    at all, and as copies of its keeper.
    """
    rank_of = {position: rank for rank, position in enumerate(ranked)}
    best_first = {
        one: sorted((one, *others), key=rank_of.__getitem__) for one, others in equals.items() if one in rank_of
    }
    stands = {position: one for one, positions in best_first.items() for position in positions}
    groups = gather(list(dict.fromkeys(stands.get(position, position) for position in ranked)), pairs, apart=apart)
    if are_copies:
        grouped = {position for group in groups for position in group.members}
        groups += [Group(one, ()) for one in best_first if one not in grouped]
    whole = []
    for group in groups:
        keeper, *others = best_first.get(group.keeper, [group.keeper])
        copies = [(other, 0.0) for other in others] if are_copies else []
        copies += [(each, distance) for copy, distance in group.copies for each in best_first.get(copy, [copy])]
        copies.sort(key=lambda copy: (copy[1], rank_of[copy[0]]))
        whole.append(Group(keeper, tuple(copies), () if are_copies else tuple(others)))
    return whole


def _that_matter(by_rank: NDArray[np.int64], pairs: Iterable[Block], max_held: int) -> _Ranked:
    """Return the pairs that decide: those of which the better one may be a keeper.

    Which cannot be, one look at all pairs tells only in part. Who has nobody above that may be a keeper, is one; who is
    paired with a keeper above, is a copy; and about the others the next look tells more. Mostly one look will do, since
    all pairs can be held.
    """
    order = np.argsort(by_rank)
    state = np.full(len(by_rank), _OPEN)
    none = _Ranked(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    while True:
        all_known = not (state == _OPEN).any()
        best = np.arange(len(by_rank))  # for each, the best that may be a keeper, of those paired with it
        kept, count = [none], 0
        for first, second, distance in pairs:
            ranks = [order[np.searchsorted(by_rank, side, sorter=order)] for side in (first, second)]
            some = _Ranked(np.minimum(*ranks), np.maximum(*ranks), distance)
            state[some.below[state[some.above] == _KEEPER]] = _COPY
            some = some.take(state[some.above] != _COPY)
            np.minimum.at(best, some.below, some.above)
            count += len(some.above)
            if count <= max_held or all_known:
                kept.append(some)
            else:
                kept.clear()
        if count <= max_held or all_known:
            return _Ranked(*(np.concatenate(column) for column in zip(*kept, strict=True)))
        alone = best == np.arange(len(by_rank))
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


def _nearest(offers: _Ranked) -> _Ranked:
    """Choose for each copy the nearest keeper, the better one at equal distance."""
    offers = offers.take(np.lexsort((offers.above, offers.distance, offers.below)))
    return offers.take(np.diff(offers.below, prepend=-1) > 0)


def _without(offers: _Ranked, strangers: Mapping[int, set[int]]) -> _Ranked:
    """Choose likewise, the nearest pairs first, but never a keeper that a stranger of the copy has."""
    offers = offers.take(np.lexsort((offers.below, offers.above, offers.distance)))
    keeper_of: dict[int, int] = {}
    chosen = np.zeros(len(offers.above), np.bool_)
    for at, (keeper, copy) in enumerate(zip(offers.above.tolist(), offers.below.tolist(), strict=True)):
        if copy not in keeper_of and not any(keeper_of.get(other) == keeper for other in strangers[copy]):
            keeper_of[copy] = keeper
            chosen[at] = True
    return offers.take(chosen)


def _joined(*chosen: _Ranked) -> Iterable[tuple[int, int, float]]:
    """Return copies with their keepers, by keeper, distance and rank."""
    every = _Ranked(*(np.concatenate(column) for column in zip(*chosen, strict=True)))
    every = every.take(np.lexsort((every.below, every.distance, every.above)))
    return zip(every.above.tolist(), every.below.tolist(), every.distance.tolist(), strict=True)
