"""Candidates confirmed by comparing details: what is compared, and what is not."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from siamese_search.duplicates.confirm import Confirmed, Pair, confirm
from siamese_search.duplicates.groups import Block, Group, gather


class Pictures:
    """Pictures on a line: those of one origin are the same, unless two are named as `unlike`."""

    def __init__(self, origins: Sequence[int], unlike: Iterable[Pair] = ()) -> None:
        """Place the pictures at positions 0, 1, ..., which is also their rank."""
        self.origins = origins
        self.unlike = {*unlike}
        self.asked: list[Pair] = []

    def compare(self, pairs: Sequence[Pair]) -> list[bool]:
        """Tell which pairs are one picture."""
        self.asked += pairs
        return [self.origins[a] == self.origins[b] and (a, b) not in self.unlike for a, b in pairs]

    def distances(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Return how far apart they lie."""
        return np.array([abs(a - b) / 1000 for a, b in pairs], np.float64)

    def candidates(self, reach: int, *, blocks: int = 3) -> list[Block]:
        """Return all pairs at most so many places apart, in several blocks."""
        count = len(self.origins)
        pairs = [(a, b) for a in range(count) for b in range(a + 1, min(a + reach + 1, count))]
        parts = np.array_split(np.array(pairs, np.int64).reshape(-1, 2), blocks)
        return [(part[:, 0], part[:, 1], self.distances(part.tolist())) for part in parts]

    def confirmed(self, reach: int, **options: int) -> Confirmed:
        """Confirm them all."""
        ranked = range(len(self.origins))
        return confirm(ranked, self.candidates(reach), self.compare, distances=self.distances, **options)


def grouped(pictures: Pictures, confirmed: Confirmed) -> list[Group]:
    """Gather what was confirmed."""
    return gather(range(len(pictures.origins)), confirmed)


def test_only_what_details_show_is_a_pair() -> None:
    """Of all that lies near, the pairs of one origin remain, with their distances."""
    pictures = Pictures([0, 1, 0, 1, 2])
    first, second, distance = pictures.confirmed(4).pairs
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (1, 3)]
    assert distance.tolist() == pytest.approx([0.002, 0.002])


def test_a_book_costs_a_few_comparisons_a_page() -> None:
    """Each page is compared with its nearest few, however many lie within the threshold, and the rest is counted."""
    pages = Pictures(range(300))
    confirmed = pages.confirmed(299, neighbours=4)
    assert confirmed.compared == len(pages.asked) <= 4 * 300
    assert confirmed.compared + confirmed.left_out == 300 * 299 // 2
    assert len(confirmed.pairs[0]) == 0


def test_copies_find_their_keeper_through_one_another() -> None:
    """A copy whose nearest are other copies is compared with their keeper, and is one of its copies."""
    pictures = Pictures([0] * 60)
    confirmed = pictures.confirmed(5, neighbours=3)
    (group,) = grouped(pictures, confirmed)
    assert group.keeper == 0
    assert sorted(copy for copy, _ in group.copies) == [*range(1, 60)]
    assert confirmed.compared < 5 * 60


def test_a_copy_of_a_copy_alone_stays_out() -> None:
    """What is like a copy but not like the keeper is not in the keeper's group."""
    pictures = Pictures([0, 0, 0], unlike=[(0, 2)])
    (group,) = grouped(pictures, pictures.confirmed(1))
    assert (group.keeper, [copy for copy, _ in group.copies]) == (0, [1])
    assert (0, 2) in pictures.asked


def test_nothing_near_is_nothing_to_compare() -> None:
    """Without candidates there are no comparisons."""
    confirmed = Pictures([0, 1]).confirmed(0)
    assert (confirmed.compared, confirmed.left_out, len(confirmed.pairs[0])) == (0, 0, 0)


def test_no_pair_is_compared_twice() -> None:
    """Whatever the rounds."""
    pictures = Pictures([place // 7 for place in range(70)])
    pictures.confirmed(20, neighbours=3)
    assert len(pictures.asked) == len(set(pictures.asked))
