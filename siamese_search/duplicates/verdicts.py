"""The second stage of a run: what lies within the threshold is looked at in detail, and gathered by what that says."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.altered import with_altered
from siamese_search.duplicates.candidates import Candidates
from siamese_search.duplicates.compared import Confirmed
from siamese_search.duplicates.confirm import NEIGHBOURS, confirm
from siamese_search.duplicates.groups import Block, Group, gather_with_equals
from siamese_search.duplicates.scope import Scope
from siamese_search.duplicates.source import Pair, Sources
from siamese_search.gallery.looking import Look
from siamese_search.results import DetailCounts, Item
from siamese_search.vectors import distances


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Groups by details, the scope with only equal files standing for one another, and what was seen of pairs."""

    groups: Sequence[Group]
    scope: Scope
    stands: Mapping[int, int]
    comparisons: Mapping[Pair, Comparison]
    counts: DetailCounts

    def between(self, keeper: int, copy: int) -> Comparison | None:
        """Return what the details say of two pictures, or of those that stand for them, the keeper's first."""
        pair = self.stands.get(keeper, keeper), self.stands.get(copy, copy)
        if found := self.comparisons.get(pair[::-1]):
            return found.reversed()
        return self.comparisons.get(pair)


def look_at(
    candidates: Candidates,
    ranked: Sequence[int],
    items: Mapping[int, Item],
    scope: Scope,
    look: Look,
    *,
    standing: Callable[[int], object],
) -> Looked:
    """Compare the candidates, and gather those that are one picture; altered ones come last, in groups of their own.

    What a person called the same counts as that, whatever its details. `ranked` holds the positions, the one most worth
    keeping first; of those of equal `standing` the source goes first, as far as the details tell.
    """
    by_content, split = _by_content(scope, items)
    equals = _best_first(by_content, ranked)
    stands = {position: one for one, positions in equals.items() for position in positions}
    same = {_pair(stands[one], stands[other]) for one, other in scope.same if one in stands and other in stands}
    always = [(one, other) for one, other in same if one != other]

    def compare(pairs: Sequence[Pair], few: int | None) -> list[Comparison | None]:
        found = look.compare(pairs) if few is None else look.compare_until_confirmed(pairs, few=few)
        return [
            replace(comparison, verdict=Verdict.CONFIRMED, only_first=0, only_second=0)
            if comparison and _pair(*pair) in same
            else comparison
            for pair, comparison in zip(pairs, found, strict=True)
        ]

    one_of_each = [*equals]
    vectors = _vectors(scope)
    confirmed = confirm(
        one_of_each,
        _with_split(candidates, split, across=scope.other is not None),
        compare,
        distances=_distances(vectors),
        sources=Sources(one_of_each, lambda one: standing(equals[one][0]), items, vectors),
        always=always if scope.other is None else (),
        across=scope.other is not None,
    )
    ranked = [position for one in confirmed.ranked for position in equals[one]]
    groups = gather_with_equals(
        ranked,
        [confirmed.same],
        by_content.equals,
        apart=scope.apart,
        are_copies=scope.other is None,
    )
    groups = with_altered(groups, ranked, confirmed)
    return Looked(groups, by_content, stands, confirmed.comparisons, _counts(confirmed))


def _by_content(scope: Scope, items: Mapping[int, Item]) -> tuple[Scope, dict[int, list[int]]]:
    """Let only equal files stand for one another; also return for whom, of other content, a position stood before."""
    equals: dict[int, list[int]] = {}
    split: dict[int, list[int]] = {}
    for one, others in scope.equals.items():
        contents: defaultdict[str, list[int]] = defaultdict(list)
        for position in (one, *others):
            contents[items[position].content_hash if position in items else ""].append(position)
        first_of_each = [first for first, *_ in contents.values()]
        equals |= {first: rest for first, *rest in contents.values() if rest}
        if len(first_of_each) > 1:
            split[one] = first_of_each[1:]
    return replace(scope, equals=equals), split


def _pair(one: int, other: int) -> Pair:
    return min(one, other), max(one, other)


def _best_first(scope: Scope, ranked: Sequence[int]) -> dict[int, list[int]]:
    """Return the positions that stand for equal ones, by the best of these, and all of these, the best first."""
    stands = {position: one for one, others in scope.equals.items() for position in others}
    equals: dict[int, list[int]] = {}
    for position in ranked:
        equals.setdefault(stands.get(position, position), []).append(position)
    return equals


def _with_split(candidates: Candidates, split: Mapping[int, Sequence[int]], *, across: bool) -> Iterator[Block]:
    """Yield the candidates, and those of pictures that another one, with the same embedding, stood for.

    `across`: only pairs of two galleries count, so these are none with that one.
    """
    if not split:
        yield from candidates
        return
    for block in candidates:
        yield block
        rows = [
            (one, other, distance)
            for first, second, distance in _rows_with(block, split)
            for one in (first, *split.get(first, ()))
            for other in (second, *split.get(second, ()))
            if (one, other) != (first, second)
        ]
        yield _block(rows)
    together = [] if across else [[one, *others] for one, others in split.items()]
    yield _block(
        [
            (one, other, 0.0)
            for members in together
            for place, one in enumerate(members)
            for other in members[place + 1 : place + 1 + NEIGHBOURS]
        ]
    )


def _rows_with(block: Block, split: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, int, float]]:
    ones = np.array([*split], np.int64)
    chosen = np.isin(block[0], ones) | np.isin(block[1], ones)
    return zip(*(column[chosen].tolist() for column in block), strict=True)


def _vectors(scope: Scope) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    """Return what gives the embeddings of positions; only those of one gallery are asked for."""
    stands = {position: one for one, others in scope.equals.items() for position in others}

    def vectors(positions: Sequence[int]) -> NDArray[np.float32]:
        return scope.looked_through.vectors(np.array([stands.get(one, one) for one in positions], np.int64))

    return vectors


def _distances(
    vectors: Callable[[Sequence[int]], NDArray[np.float32]],
) -> Callable[[Sequence[Pair]], NDArray[np.float64]]:
    """Return what gives the distances of pairs."""

    def between(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        if not pairs:
            return np.empty(0)
        one, other = (vectors([pair[side] for pair in pairs]) for side in (0, 1))
        return distances(one, other)

    return between


def _counts(confirmed: Confirmed) -> DetailCounts:
    verdicts = [comparison.verdict for comparison in confirmed.comparisons.values()]
    return DetailCounts(
        compared=len(verdicts),
        confirmed=verdicts.count(Verdict.CONFIRMED),
        altered=verdicts.count(Verdict.ALTERED),
        alike=verdicts.count(Verdict.ALIKE),
        unchecked=verdicts.count(Verdict.UNCHECKED),
        left_out=confirmed.left_out,
    )


def _block(rows: Sequence[tuple[int, int, float]]) -> Block:
    first, second = (np.array([row[side] for row in rows], np.int64) for side in (0, 1))
    return first, second, np.array([row[2] for row in rows], np.float64)
