"""Candidates confirmed: which pairs within the threshold are one picture, at a bounded number of comparisons.

Distance proposes, details confirm. A thousand pages of one book all lie within the threshold of one another, and a
million comparisons would say so; so each picture is compared with the few nearest that outrank it, until one of these
is the same picture. Pictures that hang together by such pairs are a family: the few of it that may be its source are
compared with all of it, and the source goes before the others. A copy is one of its keeper, never of another copy.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.groups import Block, Group, gather
from siamese_search.duplicates.source import Pair, Sources, is_confirmed

NEIGHBOURS = 8  # of a picture that it is compared with
_FIRST = 2  # of these, before the others

Positions = NDArray[np.int64]

Compare = Callable[[Sequence[Pair], int | None], Iterable[Comparison | None]]
"""Compares pairs; with a number, of each second picture so many, and the others unless one of those is confirmed."""

Distances = Callable[[Sequence[Pair]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """What the details say of the pairs that were compared; `left_out` candidates were not.

    `ranked` holds the positions, the one most worth keeping first, now that the sources of families are known; of each
    pair the first outranks the second. What shows more than that, or has colours where that has none, is an altered
    picture of it, no copy.
    """

    ranked: Sequence[int]
    comparisons: Mapping[Pair, Comparison]
    distances: Mapping[Pair, float]
    source_of: Mapping[int, int]
    left_out: int

    def pairs(self, verdict: Verdict) -> Block:
        """Return the pairs of a verdict; what has a source is in none with another picture that outranks it."""
        found = [
            (above, below)
            for (above, below), comparison in self.comparisons.items()
            if comparison.verdict is verdict and self.source_of.get(below, above) in {above, below}
        ]
        one, other = (np.array([pair[side] for pair in found], np.int64) for side in (0, 1))
        return one, other, np.array([self.distances[pair] for pair in found], np.float64)


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
    seen = _Seen(ranked, compare, distances)
    seen.compare_until_confirmed(nearest)
    seen.compare(always)
    families = {} if across else _settle(seen, sources, [(above, below) for above, below, _ in _each(nearest)])
    named = {position for pair in always for position in pair}
    return seen.confirmed(families, named, sources, left_out=max(0, count - len(nearest[0])))


class _Seen:
    """The comparisons of a run: of each pair, the one that outranked the other at first comes first."""

    def __init__(self, ranked: Sequence[int], compare: Compare, distances: Distances) -> None:
        self._rank = {position: place for place, position in enumerate(ranked)}
        self._compare = compare
        self._distances = distances
        self._known: dict[Pair, Comparison] = {}
        self._apart: dict[Pair, float] = {}

    def compare_until_confirmed(self, nearest: Block) -> None:
        """Compare pictures with their nearest, two at first; those that are the same as one of these are done."""
        new = {(above, below): distance for above, below, distance in _each(nearest)}
        self._add([*new], few=_FIRST)
        self._apart |= {pair: distance for pair, distance in new.items() if pair in self._known}

    def compare(self, pairs: Iterable[Pair]) -> None:
        """Compare pairs that are not known yet."""
        new = self.unknown(pairs)
        self._apart |= zip(new, self._distances(new).tolist(), strict=True)
        self._add(new)

    def unknown(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return those of the pairs that were not compared, each once."""
        return [pair for pair in dict.fromkeys(map(self._ordered, pairs)) if pair not in self._known]

    def between(self, one: int, other: int) -> Comparison | None:
        """Return what is known of two pictures, the given one first."""
        pair = self._ordered((one, other))
        known = self._known.get(pair)
        return known.reversed() if known and pair[0] != one else known

    def pairs(self, verdict: Verdict) -> list[Pair]:
        """Return the pairs of a verdict."""
        return [pair for pair, comparison in self._known.items() if comparison.verdict is verdict]

    def confirmed(
        self,
        families: Mapping[int, Collection[int]],
        named: Collection[int],
        sources: Sources,
        *,
        left_out: int,
    ) -> Confirmed:
        """Let the sources of families outrank these, and altered pictures of theirs; return what is known then.

        Only what is of equal standing changes places. What is `named` is free to go with another
        than its source.
        """
        place = {position: (rank, 1, 0) for position, rank in self._rank.items()}
        for source, family in families.items():
            place[source] = min(place[source], (min(self._rank[member] for member in family), 0, self._rank[source]))
        members = {member for family in families.values() for member in family}
        for one, other in self.pairs(Verdict.ALTERED):
            for source, single in ((one, other), (other, one)):
                if source in families and single not in members and sources.are_equal(source, single):
                    place[single] = max(place[single], (place[source][0], 2, self._rank[single]))
        known, apart = {}, {}
        for (one, other), comparison in self._known.items():
            swapped = place[other] < place[one]
            pair = (other, one) if swapped else (one, other)
            found = comparison.reversed() if swapped else comparison
            if found.verdict is Verdict.CONFIRMED and sources.would_lose(pair, found):
                found = replace(found, verdict=Verdict.ALTERED)
            known[pair], apart[pair] = found, self._apart[one, other]
        source_of = {member: source for source, family in families.items() for member in family if member not in named}
        return Confirmed(sorted(place, key=place.__getitem__), known, apart, source_of, left_out)

    def _add(self, pairs: Sequence[Pair], *, few: int | None = None) -> None:
        compared = zip(pairs, self._compare(pairs, few), strict=True)
        self._known |= {pair: found for pair, found in compared if found}

    def _ordered(self, pair: Pair) -> Pair:
        one, other = pair
        return (one, other) if self._rank[one] < self._rank[other] else (other, one)


def _settle(seen: _Seen, sources: Sources, nearest: Sequence[Pair]) -> dict[int, set[int]]:
    """Compare what it takes to tell families apart; return them, each by its source.

    Where a picture of one was near, or altered, a picture of another, or one in none, the sources are compared.
    """
    while True:
        families = _compare_families(seen, sources)
        source_of = {member: source for source, family in families.items() for member in family}
        between = (
            (source_of.get(one, one), source_of.get(other, other))
            for one, other in (*seen.unknown(nearest), *seen.pairs(Verdict.ALTERED))
            if one in source_of or other in source_of
        )
        new = seen.unknown(pair for pair in between if pair[0] != pair[1])
        seen.compare(new)
        if not any(is_confirmed(seen.between(*pair)) for pair in new):
            return families


def _compare_families(seen: _Seen, sources: Sources) -> dict[int, set[int]]:
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


def with_altered(groups: Sequence[Group], ranked: Sequence[int], altered: Block) -> list[Group]:
    """Add to groups the pictures that are altered ones of keepers, or of each other, and in no group by themselves."""
    grouped = {position for group in groups for position in group.members}
    copies = grouped - {group.keeper for group in groups}
    wanted = np.array([above not in copies and below not in grouped for above, below, _ in _each(altered)], np.bool_)
    one, other, distance = altered
    added = {group.keeper: group.copies for group in gather(ranked, [(one[wanted], other[wanted], distance[wanted])])}
    whole = [group._replace(copies=(*group.copies, *added.pop(group.keeper, ()))) for group in groups]
    return [*whole, *(Group(keeper, its_copies) for keeper, its_copies in added.items())]


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
