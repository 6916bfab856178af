"""What the details said of pairs: the comparisons of a run, and what is known of them in the end."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.groups import Block
from siamese_search.duplicates.source import Pair, Sources

_FIRST = 2  # of the nearest of a picture, before the others

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

    @property
    def same(self) -> Block:
        """The confirmed pairs; what has a source is in none with another picture that outranks it."""
        return self._block(
            (above, below)
            for above, below in self._pairs(Verdict.CONFIRMED)
            if self.source_of.get(below, above) in {above, below}
        )

    @property
    def altered(self) -> Block:
        """The pairs of pictures of which one is an altered one of the other."""
        return self._block(self._pairs(Verdict.ALTERED))

    def _pairs(self, verdict: Verdict) -> Iterator[Pair]:
        return (pair for pair, comparison in self.comparisons.items() if comparison.verdict is verdict)

    def _block(self, pairs: Iterable[Pair]) -> Block:
        found = [*pairs]
        one, other = (np.array([pair[side] for pair in found], np.int64) for side in (0, 1))
        return one, other, np.array([self.distances[pair] for pair in found], np.float64)


class Compared:
    """The comparisons of a run: of each pair, the one that outranked the other at first comes first."""

    def __init__(self, ranked: Sequence[int], compare: Compare, distances: Distances) -> None:
        self._rank = {position: place for place, position in enumerate(ranked)}
        self._compare = compare
        self._distances = distances
        self._known: dict[Pair, Comparison] = {}
        self._apart: dict[Pair, float] = {}

    def compare_until_confirmed(self, nearest: Block) -> None:
        """Compare pictures with their nearest, two at first; those that are the same as one of these are done."""
        new = {(above, below): distance for above, below, distance in each_pair(nearest)}
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


def each_pair(block: Block) -> Iterator[tuple[int, int, float]]:
    """Yield the positions and the distance of each pair."""
    return zip(*(column.tolist() for column in block), strict=True)
