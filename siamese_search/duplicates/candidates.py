"""The pairs within the threshold, in blocks: however many there are, memory stays bounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese_search.duplicates.groups import Block
from siamese_search.duplicates.scope import Positions, Scope, Side
from siamese_search.gallery.join import Join
from siamese_search.results import Coverage
from siamese_search.vectors import distances

_MAX_HELD = 8_000_000  # pairs: 200 MB
_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs of positions; iterated, it yields them in blocks, always the same: from memory where they are few.

    `paired` are the positions that occur in them, ascending; `coverage` tells how complete they are.
    """

    paired: Positions
    coverage: Coverage
    _held: Block | None
    _find: Callable[[], Iterator[Block]]

    def __iter__(self) -> Iterator[Block]:
        if self._held is None:
            yield from self._find()
            return
        first, second, distance = self._held
        for start in range(0, len(first), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            yield first[some], second[some], distance[some]

    def filtered(self, find: Callable[[], Iterator[Block]]) -> "Candidates":
        """Return those of these pairs that `find` yields, in memory if these are."""
        none = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        held = None if self._held is None else _joined([none, *find()])
        return replace(self, _held=held, _find=find)


def find_candidates(
    scope: Scope,
    threshold: float,
    *,
    exact: bool = False,
    progress: Callable[[int, int], None] | None = None,
    max_held: int = _MAX_HELD,
) -> Candidates:
    """Find the pairs at most `threshold` apart, without those called different, and with all those called the same.

    At most `max_held` are kept in memory; where there are more, they are found again whenever they are asked for.
    """
    one, other = scope.looked_through, scope.other
    join = Join(
        one.embeddings, threshold, other=None if other is None else other.embeddings, exact=exact, progress=progress
    )

    def find() -> Iterator[Block]:
        answered = np.array(sorted({position for pair in scope.apart for position in pair}), np.int64)
        for pairs in join:
            first, second = one.positions_of(pairs.first), (other or one).positions_of(pairs.second)
            yield _wanted((first, second, pairs.distance), scope, answered)
        yield _called_the_same(scope)

    seen = np.zeros(len(scope.ids), np.bool_)
    held: list[Block] = []
    count = 0
    for block in find():
        seen[block[0]] = seen[block[1]] = True
        count += len(block[0])
        if count <= max_held:
            held.append(block)
        else:
            held.clear()
    return Candidates(np.flatnonzero(seen), join.coverage, _joined(held) if count <= max_held else None, find)


def _wanted(block: Block, scope: Scope, answered: Positions) -> Block:
    """Leave out pairs that a person called different, and a file paired with itself."""
    first, second, distance = block
    wanted: NDArray[np.bool_] = first != second
    if len(answered):
        for at in np.flatnonzero(np.isin(first, answered) & np.isin(second, answered)).tolist():
            pair = int(first[at]), int(second[at])
            wanted[at] &= (min(pair), max(pair)) not in scope.apart
    return block if wanted.all() else (first[wanted], second[wanted], distance[wanted])


def _called_the_same(scope: Scope) -> Block:
    """Return the pairs that a person called the same: they count whatever their distance."""
    one, other = scope.looked_through, scope.other or scope.looked_through
    pairs = np.array(sorted(scope.same), np.int64).reshape(-1, 2)
    both = np.concatenate([pairs, pairs[:, ::-1]])[: len(pairs) if scope.other is None else None]
    first, second = both[_is_in(both[:, 0], one) & _is_in(both[:, 1], other)].T
    return first, second, distances(one.vectors(first), other.vectors(second))


def _is_in(positions: Positions, side: Side) -> NDArray[np.bool_]:
    return np.isin(positions, side.positions)


def _joined(blocks: list[Block]) -> Block:
    first, second, distance = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return first, second, distance
