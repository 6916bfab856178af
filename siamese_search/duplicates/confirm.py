"""Candidates confirmed: which pairs within the threshold are one picture, at a bounded number of comparisons.

Distance proposes, details confirm. A thousand pages of one book all lie within the threshold of one another, and a
million comparisons would say so; so each picture is compared with the few nearest that outrank it. Where it is the
same picture as one that turns out to be a copy itself, it is compared with that one's keeper too: a copy is one of its
keeper, never of another copy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_search.duplicates.groups import Block

NEIGHBOURS = 8  # of a picture that it is compared with

Positions = NDArray[np.int64]
Pair = tuple[int, int]
"""Two positions, the one more worth keeping first."""

Compare = Callable[[Sequence[Pair]], Iterable[bool]]
"""Tells of each pair whether its details show one picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """The pairs that are one picture, as a block; `compared` pairs were looked at, `left_out` pairs were not."""

    pairs: Block
    compared: int
    left_out: int

    def __iter__(self) -> Iterator[Block]:
        yield self.pairs


def confirm(
    ranked: Sequence[int],
    candidates: Iterable[Block],
    compare: Compare,
    *,
    distances: Callable[[Sequence[Pair]], NDArray[np.float64]],
    neighbours: int = NEIGHBOURS,
) -> Confirmed:
    """Compare the details of candidates; `ranked` holds the positions in them, the one most worth keeping first.

    `distances` gives those of pairs that are no candidates: of copies with the keeper of their like.
    """
    nearest, count = _nearest_above(np.array(ranked, np.int64), candidates, neighbours)
    apart: dict[Pair, float] = {(above, below): distance for above, below, distance in _each(nearest)}
    known: dict[Pair, bool] = dict(zip(apart, compare([*apart]), strict=True))
    rank = {position: place for place, position in enumerate(ranked)}
    unsettled = {position for pair, same in known.items() if same for position in pair}
    while families := _families(unsettled, known):
        keepers = {min(family, key=rank.__getitem__): family for family in families}
        new = [(keeper, other) for keeper, family in keepers.items() for other in family - {keeper}]
        new = [pair for pair in new if pair not in known]
        known |= zip(new, compare(new), strict=True)
        apart |= zip(new, distances(new).tolist(), strict=True)
        for keeper, family in keepers.items():
            unsettled -= {other for other in family if other == keeper or known[keeper, other]}
    same = [(pair, apart[pair]) for pair, is_same in known.items() if is_same]
    return Confirmed(_block(same), len(known), count - len(nearest[0]))


def _families(positions: set[int], known: Mapping[Pair, bool]) -> list[set[int]]:
    """Return the pictures that hang together by pairs of one picture, two at least."""
    family_of: dict[int, set[int]] = {}
    for (above, below), same in known.items():
        if same and above in positions and below in positions:
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
    kept = _block([])
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


def _block(pairs: Sequence[tuple[Pair, float]]) -> Block:
    first = np.array([pair[0] for pair, _ in pairs], np.int64)
    second = np.array([pair[1] for pair, _ in pairs], np.int64)
    return first, second, np.array([distance for _, distance in pairs], np.float64)
