"""Which picture of a family is the source of the others, as far as their details tell.

A frame or a collage has more pixels than what it was made of. The source is the one that most of the others agree with,
that shows what they share in most pixels and with its colours, that shows most of the scene, and no border.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.results import FINER, Item, Loss

Pair = tuple[int, int]
"""Two positions, the one more worth keeping first."""

_FULLY = 2
_AGREES = {Verdict.CONFIRMED: _FULLY, Verdict.ALTERED: 1}
_HEADS = 4  # members that are compared with a whole family
_ABLE = 0.6  # of the agreement that the best has
_EQUAL = 0.95  # of that, or all but so much of it: less may be chance
_CHANCE = 2
_FEW = 2  # pictures of one frame, at least, make that the usual one
_WHOLE = 0.93  # of a picture
_LOST = 0.004  # of a picture: a line of text
_RICHER = 16.0  # times as many, whatever the size, has what is not clearly poorer
_PART = 0.5  # of a picture: what shows less of it is not that picture again
_SHARE = 0.05  # of a picture: less is no difference between two that may both be the source


class Likeness(NamedTuple):
    """How a picture relates to another one.

    `finer` is how many pixels it has for one of the other's, on what both show; those of a poorer picture count little.
    `scene` is the share of the other one's
    area that it shows more than that, less where negative, and `border` that of plain bars around it; `is_added` where
    what either shows more was put around the other: a screen, a page.
    """

    finer: float
    scene: float
    border: float
    is_added: bool = False


def likeness(seen: Comparison, picture: Item, other: Item) -> Likeness:
    """Relate a picture, the first of a comparison, to the second."""
    area = _area(seen)
    finer = area * picture.width * picture.height / max(1, other.width * other.height) if area else 1.0
    if seen.poorer:
        finer = 1 / _RICHER if seen.poorer == 1 else _RICHER
    whole = 1 / area if area else 1.0  # the picture's area as a share of the other's
    return Likeness(
        finer,
        seen.only_first * whole - seen.only_second,
        max(0.0, 1 - seen.covers - seen.only_first) * whole - max(0.0, 1 - seen.covered - seen.only_second),
        bool(seen.added),
    )


def loss(seen: Comparison, picture: Item, other: Item) -> Loss | None:
    """Return what would be lost with `other`, the second of a comparison, if `picture` stayed in its place.

    A part of the scene, colours, their depth or transparency, or details: where it has twice as many pixels for the
    same.
    """
    if seen.only_second > _LOST:
        return Loss.SCENE
    is_finer = bool(seen.transform) and likeness(seen, picture, other).finer < 1 / FINER
    return Loss.DETAILS if is_finer else None


class Sources:
    """Chooses the keepers of families; `ranked` holds all positions, the one most worth keeping first.

    `vectors` gives the embeddings `(n, dim)` of some. Only pictures of equal `standing`, the best in the family, may
    change places: what the rules put first stays first.
    """

    def __init__(
        self,
        ranked: Sequence[int],
        standing: Callable[[int], object],
        items: Mapping[int, Item],
        vectors: Callable[[Sequence[int]], NDArray[np.float32]],
    ) -> None:
        self._rank = {position: place for place, position in enumerate(ranked)}
        self._standing = standing
        self._items = items
        self._vectors = vectors

    def are_equal(self, one: int, other: int) -> bool:
        """Tell whether two pictures may change places."""
        return self._standing(one) == self._standing(other)

    def would_lose(self, pair: Pair, seen: Comparison) -> bool:
        """Tell whether something would be lost with the second picture of a pair; see `loss`."""
        return loss(seen, self._items[pair[0]], self._items[pair[1]]) is not None

    def heads(self, family: Collection[int]) -> list[int]:
        """Return the few members worth a comparison with all others: the best by the rules, and those in the middle."""
        best = min(family, key=self._rank.__getitem__)
        standing = self._standing(best)
        able = sorted(position for position in family if position != best and self._standing(position) == standing)
        if len(able) < _HEADS:
            return [best, *able]
        vectors = self._vectors([*sorted(family), *able])
        off = np.linalg.norm(vectors[len(family) :] - vectors[: len(family)].mean(axis=0), axis=1)
        return [best, *(able[place] for place in np.argsort(off, kind="stable")[: _HEADS - 1].tolist())]

    def undecided(
        self, heads: Sequence[int], family: Collection[int], seen: Callable[[int, int], Comparison | None]
    ) -> list[Pair]:
        """Return the pairs to compare, with the first of `heads` compared with all, before a source can be chosen.

        A head that is the same picture as the first is taken to agree with whatever that agrees with. In a small family
        all pairs are looked at: people may want another keeper.
        """
        first, *others = heads
        left = {other for other in family if other != first and _agreement([seen(first, other)]) < _FULLY}
        pairs = []
        for head in others:
            settled = len(family) > _HEADS and is_confirmed(seen(first, head))
            pairs += [(head, other) for other in (left.union(others) if settled else family) if other != head]
        return pairs

    def source(
        self, heads: Sequence[int], family: Collection[int], seen: Callable[[int, int], Comparison | None]
    ) -> int:
        """Return the one of `heads` that is finest, shows most of the scene, and that most others agree with."""
        first = heads[0]

        def known(head: int, other: int) -> Comparison | None:
            return seen(head, other) or seen(first, other)

        others = {head: [known(head, other) for other in family if other != head] for head in heads}
        agreed = {head: _agreement(others[head]) for head in heads}
        framed = {head: sum(map(_is_one_frame, others[head])) for head in heads}
        most = max(agreed.values())
        chance = max(_CHANCE, (1 - _EQUAL) * most)
        centre = min(heads, key=lambda head: (agreed[head] < most - chance, -framed[head], self._rank[head]))
        is_usual = framed[centre] >= max(_FEW, len(family) / 2)
        able = [
            head
            for head in heads
            if head == centre or (agreed[head] >= _ABLE * agreed[centre] and is_confirmed(seen(head, centre)))
        ]

        def order(head: int) -> tuple[object, ...]:
            found = self._likeness(head, centre, seen)
            # A screen or a page around a picture is no scene; nor is what most others, all of one frame, do not show.
            scene = -found.scene if found.is_added else -abs(found.scene) if is_usual else found.scene
            return (
                -round(math.log2(max(found.finer, 1e-6))),
                -round(scene / _SHARE),
                round(found.border / _SHARE),
                agreed[centre] - agreed[head] > chance,
                self._rank[head],
            )

        return min(able, key=order)

    def _likeness(self, head: int, centre: int, seen: Callable[[int, int], Comparison | None]) -> Likeness:
        comparison = None if head == centre else seen(head, centre)
        if comparison is None:
            return Likeness(1.0, 0.0, 0.0)
        return likeness(comparison, self._items[head], self._items[centre])


def words(seen: Comparison, keeper: Item, other: Item) -> tuple[str, str]:
    """Say in what a keeper is the source of another picture, of both; `seen` is a comparison of the first with that.

    Where it is not better itself, it is because the others of the family show more of it.
    """
    found = likeness(seen, keeper, other)
    if seen.poorer == 2:  # noqa: PLR2004  the second
        return "more detail, or colours", "compressed, blurred or burnt out"
    if found.finer > math.sqrt(2):
        return f"{found.finer:.1f} pixels", "1 pixel for the same"
    if found.scene > _SHARE / 2:
        return "more of the scene, or its colours", "less"
    if found.border < -_SHARE / 2:
        return "less of a border", "more"
    return "most of the others agree with it", "fewer"


def _is_one_frame(seen: Comparison | None) -> bool:
    """Tell whether two pictures show all of each other, and nothing around that."""
    return is_confirmed(seen) and seen is not None and min(seen.covers, seen.covered) >= _WHOLE


def _agreement(comparisons: Iterable[Comparison | None]) -> int:
    """Return how far pictures agree with one; in a negative or another colour they do so only half."""
    return sum(
        _AGREES.get(seen.verdict, 0) - (seen.verdict is Verdict.CONFIRMED and (seen.inverted or seen.recoloured))
        for seen in comparisons
        if seen
    )


def is_confirmed(seen: Comparison | None) -> bool:
    """Tell whether two pictures were compared, and are one."""
    return seen is not None and seen.verdict is Verdict.CONFIRMED


def is_part(seen: Comparison | None) -> bool:
    """Tell whether the second of two pictures shows but a part of the first."""
    return seen is not None and 0 < seen.covers < _PART


def _area(seen: Comparison) -> float:
    """Return which share of the first picture's area the second's takes up, 0 where that is not known."""
    if not seen.transform:
        return 0.0
    matrix = np.array(seen.transform)
    return float(abs(np.linalg.det(matrix[:2, :2] / matrix[2, 2])))
