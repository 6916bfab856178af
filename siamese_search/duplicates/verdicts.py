"""The second stage of a run: what lies within the threshold is looked at in detail, and gathered by what that says."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.candidates import Candidates
from siamese_search.duplicates.confirm import NEIGHBOURS, Confirmed, Pair, confirm, with_altered
from siamese_search.duplicates.groups import Block, Group, gather_with_equals
from siamese_search.duplicates.scope import Scope
from siamese_search.gallery.looking import Look
from siamese_search.results import DetailCounts, Item
from siamese_search.vectors import distances


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Groups by details, the scope with only equal files standing for one another, and what was seen of pairs."""

    groups: Sequence[Group]
    scope: Scope
    comparisons: Mapping[Pair, Comparison]
    counts: DetailCounts


def look_at(
    candidates: Candidates, ranked: Sequence[int], items: Mapping[int, Item], scope: Scope, look: Look
) -> Looked:
    """Compare the candidates, and gather those that are one picture; altered ones come last, in groups of their own.

    What a person called the same counts as that, whatever its details.
    """
    by_content, split = _by_content(scope, items)
    always = [pair for pair in scope.same if pair[0] in items and pair[1] in items]

    def compare(pairs: Sequence[Pair]) -> list[Comparison]:
        found = look.compare(pairs)
        return [
            replace(comparison, verdict=Verdict.CONFIRMED) if (min(pair), max(pair)) in scope.same else comparison
            for pair, comparison in zip(pairs, found, strict=True)
        ]

    confirmed = confirm(
        ranked,
        _with_split(candidates, split, across=scope.other is not None),
        compare,
        distances=_distances(scope),
        always=always if scope.other is None else (),
        across=scope.other is not None,
    )
    groups = gather_with_equals(
        ranked,
        [confirmed.pairs(Verdict.CONFIRMED)],
        by_content.equals,
        apart=scope.apart,
        are_copies=scope.other is None,
    )
    groups = with_altered(groups, ranked, confirmed.pairs(Verdict.ALTERED))
    return Looked(groups, by_content, confirmed.comparisons, _counts(confirmed))


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


def _distances(scope: Scope) -> Callable[[Sequence[Pair]], NDArray[np.float64]]:
    """Return what gives the distances of pairs; only those of one gallery are asked for."""
    stands = {position: one for one, others in scope.equals.items() for position in others}
    vectors = scope.looked_through.vectors

    def between(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        if not pairs:
            return np.empty(0)
        sides = ([stands.get(pair[side], pair[side]) for pair in pairs] for side in (0, 1))
        one, other = (vectors(np.array(side, np.int64)) for side in sides)
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
