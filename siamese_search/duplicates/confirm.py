"""Candidates confirmed: which pairs within the threshold are one picture, at a bounded number of comparisons.

Distance proposes, details confirm. A thousand pages of one book all lie within the threshold of one another, and a
million comparisons would say so; so each picture is compared with the few nearest that outrank it. Where it is the
same picture as one that turns out to be a copy itself, it is compared with that one's keeper too: a copy is one of its
keeper, never of another copy.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.groups import Block, Group, gather

NEIGHBOURS = 8  # of a picture that it is compared with

Positions = NDArray[np.int64]
Pair = tuple[int, int]
"""Two positions, the one more worth keeping first."""

Compare = Callable[[Sequence[Pair]], Iterable[Comparison]]
Distances = Callable[[Sequence[Pair]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """What the details say of the pairs that were compared; `left_out` candidates were not."""

    comparisons: Mapping[Pair, Comparison]
    distances: Mapping[Pair, float]
    left_out: int

    def pairs(self, verdict: Verdict) -> Block:
        """Return the pairs of a verdict."""
        found = [pair for pair, comparison in self.comparisons.items() if comparison.verdict is verdict]
        one, other = (np.array([pair[side] for pair in found], np.int64) for side in (0, 1))
        return one, other, np.array([self.distances[pair] for pair in found], np.float64)


def confirm(
    ranked: Sequence[int],
    candidates: Iterable[Block],
    compare: Compare,
    *,
    distances: Distances,
    always: Collection[Pair] = (),
    across: bool = False,
    neighbours: int = NEIGHBOURS,
) -> Confirmed:
    """Compare the details of candidates; `ranked` holds the positions in them, the one most worth keeping first.

    Pairs in `always` are compared however many are nearer. `across`: the pairs are of two galleries, and none is to be
    made within one of them. `distances` gives those of pairs that are no candidates: of copies with the keeper of their
    like.
    """
    rank = {position: place for place, position in enumerate(ranked)}
    nearest, count = _nearest_above(np.array(ranked, np.int64), candidates, neighbours)
    apart: dict[Pair, float] = {(above, below): distance for above, below, distance in _each(nearest)}
    also = [pair if rank[pair[0]] < rank[pair[1]] else (pair[1], pair[0]) for pair in always]
    also = [pair for pair in also if pair not in apart]
    apart |= zip(also, distances(also).tolist(), strict=True)
    known: dict[Pair, Comparison] = dict(zip(apart, compare([*apart]), strict=True))
    unsettled = set() if across else {position for pair in _same(known) for position in pair}
    while families := _families(unsettled, _same(known)):
        keepers = {min(family, key=rank.__getitem__): family for family in families}
        new = [(keeper, other) for keeper, family in keepers.items() for other in family - {keeper}]
        new = [pair for pair in new if pair not in known]
        known |= zip(new, compare(new), strict=True)
        apart |= zip(new, distances(new).tolist(), strict=True)
        for keeper, family in keepers.items():
            unsettled -= {other for other in family if other == keeper or _is_same(known[keeper, other])}
    return Confirmed(known, apart, max(0, count - len(nearest[0])))


def with_altered(groups: Sequence[Group], ranked: Sequence[int], altered: Block) -> list[Group]:
    """Add to groups the pictures that are altered ones of keepers, or of each other, and in no group by themselves."""
    grouped = {position for group in groups for position in group.members}
    copies = grouped - {group.keeper for group in groups}
    wanted = np.array([above not in copies and below not in grouped for above, below, _ in _each(altered)], np.bool_)
    one, other, distance = altered
    added = {group.keeper: group.copies for group in gather(ranked, [(one[wanted], other[wanted], distance[wanted])])}
    whole = [group._replace(copies=(*group.copies, *added.pop(group.keeper, ()))) for group in groups]
    return [*whole, *(Group(keeper, its_copies) for keeper, its_copies in added.items())]


def _is_same(comparison: Comparison) -> bool:
    return comparison.verdict is Verdict.CONFIRMED


def _same(known: Mapping[Pair, Comparison]) -> list[Pair]:
    return [pair for pair, comparison in known.items() if _is_same(comparison)]


def _families(positions: set[int], same: Iterable[Pair]) -> list[set[int]]:
    """Return the pictures that hang together by pairs of one picture, two at least."""
    family_of: dict[int, set[int]] = {}
    for above, below in same:
        if above in positions and below in positions:
            larger, smaller = sorted(
                (family_of.get(above, {above}), family_of.get(below, {below})), key=len, reverse=True
            )
            if larger is not smaller:
                larger |= smaller
            family_of |= dict.fromkeys(smaller | {above, below}, larger)
    return [family for position, family in family_of.items() if min(family) == position]


def _nearest_above(ranked: Positions, candidates: Iterable[Block], neighbours: int) -> tuple[Block, int]:
    """Return for each picture the nearest pairs with one that outranks it, and how many pairs there are in all."""
    by_position = np.argsort(ranked)
    kept: Block = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    count = 0
    for first, second, apart in candidates:
        one, other = (by_position[np.searchsorted(ranked, side, sorter=by_position)] for side in (first, second))
        count += len(one)
        columns = zip(kept, (np.minimum(one, other), np.maximum(one, other), apart), strict=True)
        above, below, distance = (np.concatenate(both) for both in columns)
        order = np.lexsort((above, distance, below))
        starts = np.searchsorted(below[order], below[order])
        few = order[np.arange(len(order)) - starts < neighbours]
        kept = above[few], below[few], distance[few]
    above, below, distance = kept
    return (ranked[above], ranked[below], distance), count


def _each(block: Block) -> Iterator[tuple[int, int, float]]:
    return zip(*(column.tolist() for column in block), strict=True)
