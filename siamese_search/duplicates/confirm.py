"""Candidates confirmed: which pairs within the threshold are one picture, at a bounded number of comparisons.

Distance proposes, details confirm. A thousand pages of one book all lie within the threshold of one another, and a
million comparisons would say so; so each picture is compared with the few nearest that outrank it, until one of these
is the same picture. Pictures that hang together by such pairs are a family: the few of it that may be its source are
compared with all of it, and the source goes before the others. A copy is one of its keeper, never of another copy.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Verdict
from siamese_search.duplicates.compared import Compare, Compared, Confirmed, Distances, each_pair
from siamese_search.duplicates.groups import Block
from siamese_search.duplicates.source import Pair, Sources, is_confirmed, is_part

NEIGHBOURS = 8  # of a picture that it is compared with

Positions = NDArray[np.int64]


def confirm(
    ranked: Sequence[int],
    candidates: Iterable[Block],
    compare: Compare,
    *,
    distances: Distances,
    sources: Sources,
    always: Collection[Pair] = (),
    across: bool = False,
    neighbours: int = NEIGHBOURS,
) -> Confirmed:
    """Compare the details of candidates; `ranked` holds the positions in them, the one most worth keeping first.

    Pairs in `always` are compared however many are nearer. `across`: the pairs are of two galleries, and none is to be
    made within one of them. `distances` gives those of pairs that are no candidates.
    """
    nearest, count = _nearest_above(np.array(ranked, np.int64), candidates, neighbours)
    seen = Compared(ranked, compare, distances)
    seen.compare_until_confirmed(nearest)
    seen.compare(always)
    families = {} if across else _settle(seen, sources, [(above, below) for above, below, _ in each_pair(nearest)])
    named = {position for pair in always for position in pair}
    return seen.confirmed(families, named, sources, left_out=max(0, count - len(nearest[0])))


def _settle(seen: Compared, sources: Sources, nearest: Sequence[Pair]) -> dict[int, set[int]]:
    """Compare what it takes to tell families apart; return them, each by its source.

    Where a picture of one was near, or altered, a picture of another, or one in none, the sources are compared; and
    where these are altered ones of each other, with what is but a part of the other.
    """
    while True:
        families = _compare_families(seen, sources)
        source_of = {member: source for source, family in families.items() for member in family}
        between = (
            (source_of.get(one, one), source_of.get(other, other))
            for one, other in (*seen.unknown(nearest), *seen.pairs(Verdict.ALTERED))
            if one in source_of or other in source_of
        )
        parts = (
            (source, member)
            for source, other in seen.pairs(Verdict.ALTERED)
            if source in families
            for member in families.get(other, ())
            if is_part(seen.between(other, member))
        )
        new = seen.unknown(pair for pair in (*between, *parts) if pair[0] != pair[1])
        seen.compare(new)
        if not any(is_confirmed(seen.between(*pair)) for pair in new):
            return families


def _compare_families(seen: Compared, sources: Sources) -> dict[int, set[int]]:
    """Compare the likely sources of families with all of these; return the families, each by its source.

    What is not the same as the source of its family may be a family by itself.
    """
    found: dict[int, set[int]] = {}
    unsettled = {position for pair in seen.pairs(Verdict.CONFIRMED) for position in pair}
    while families := _families(unsettled, seen.pairs(Verdict.CONFIRMED)):
        heads = [sources.heads(family) for family in families]
        seen.compare(_with_all([few[0] for few in heads], families))
        seen.compare(
            pair
            for family, few in zip(families, heads, strict=True)
            for pair in sources.undecided(few, family, seen.between)
        )
        chosen = [sources.source(few, family, seen.between) for family, few in zip(families, heads, strict=True)]
        seen.compare(_with_all(chosen, families))
        for family, source in zip(families, chosen, strict=True):
            alike = {other for other in family if other == source or is_confirmed(seen.between(source, other))}
            found[source] = alike
            unsettled -= alike
    return found


def _with_all(ones: Sequence[int], families: Sequence[Collection[int]]) -> Iterator[Pair]:
    """Yield the pairs of one of each family and the others."""
    for one, family in zip(ones, families, strict=True):
        yield from ((one, other) for other in family if other != one)


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
