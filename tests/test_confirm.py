"""Candidates confirmed by comparing details: what is compared, and what is not."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.confirm import Confirmed, Pair, confirm, with_altered
from siamese_search.duplicates.groups import Block, Group, gather


class Pictures:
    """Pictures on a line: those of one origin are the same, unless two are named as `unlike`."""

    def __init__(self, origins: Sequence[int], unlike: Iterable[Pair] = ()) -> None:
        """Place the pictures at positions 0, 1, ..., which is also their rank."""
        self.origins = origins
        self.unlike = {*unlike}
        self.asked: list[Pair] = []

    def compare(self, pairs: Sequence[Pair]) -> list[Comparison]:
        """Tell which pairs are one picture; those named as `unlike` are one that was altered."""
        self.asked += pairs
        same = [self.origins[a] == self.origins[b] for a, b in pairs]
        verdicts = [Verdict.ALTERED if pair in self.unlike else Verdict.CONFIRMED for pair in pairs]
        return [Comparison(verdict if one else Verdict.ALIKE) for one, verdict in zip(same, verdicts, strict=True)]

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
    return gather(range(len(pictures.origins)), [confirmed.pairs(Verdict.CONFIRMED)])


def test_only_what_details_show_is_a_pair() -> None:
    """Of all that lies near, the pairs of one origin remain, with their distances."""
    pictures = Pictures([0, 1, 0, 1, 2])
    first, second, distance = pictures.confirmed(4).pairs(Verdict.CONFIRMED)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (1, 3)]
    assert distance.tolist() == pytest.approx([0.002, 0.002])


def test_a_book_costs_a_few_comparisons_a_page() -> None:
    """Each page is compared with its nearest few, however many lie within the threshold, and the rest is counted."""
    pages = Pictures(range(300))
    confirmed = pages.confirmed(299, neighbours=4)
    assert len(confirmed.comparisons) == len(pages.asked) <= 4 * 300
    assert len(pages.asked) + confirmed.left_out == 300 * 299 // 2
    assert len(confirmed.pairs(Verdict.CONFIRMED)[0]) == 0


def test_copies_find_their_keeper_through_one_another() -> None:
    """A copy whose nearest are other copies is compared with their keeper, and is one of its copies."""
    pictures = Pictures([0] * 60)
    confirmed = pictures.confirmed(5, neighbours=3)
    (group,) = grouped(pictures, confirmed)
    assert group.keeper == 0
    assert sorted(copy for copy, _ in group.copies) == [*range(1, 60)]
    assert len(pictures.asked) < 5 * 60


def test_a_copy_of_a_copy_alone_stays_out() -> None:
    """What is like a copy but not like the keeper is not in the keeper's group."""
    pictures = Pictures([0, 0, 0], unlike=[(0, 2)])
    (group,) = grouped(pictures, pictures.confirmed(1))
    assert (group.keeper, [copy for copy, _ in group.copies]) == (0, [1])
    assert (0, 2) in pictures.asked


def test_altered_ones_join_keepers_last() -> None:
    """A picture that has a copy of its own is no altered one of another keeper; a single one is."""
    pictures = Pictures([0] * 5, unlike=[(a, b) for a in (0, 1) for b in (2, 3, 4)] + [(2, 4), (3, 4)])
    confirmed = pictures.confirmed(4)
    groups = with_altered(grouped(pictures, confirmed), range(5), confirmed.pairs(Verdict.ALTERED))
    assert [(group.keeper, [copy for copy, _ in group.copies]) for group in groups] == [(0, [1]), (2, [3, 4])]


def test_some_pairs_are_always_compared() -> None:
    """What a person said is looked at however many are nearer."""
    pictures = Pictures([0, 1, 2, 3, 4, 0])
    confirmed = confirm(
        range(6), pictures.candidates(1), pictures.compare, distances=pictures.distances, always=[(5, 0)], neighbours=1
    )
    assert confirmed.comparisons[0, 5].verdict is Verdict.CONFIRMED
    assert confirmed.distances[0, 5] == pytest.approx(0.005)


def test_nothing_near_is_nothing_to_compare() -> None:
    """Without candidates there are no comparisons."""
    confirmed = Pictures([0, 1]).confirmed(0)
    assert (len(confirmed.comparisons), confirmed.left_out) == (0, 0)


def test_no_pair_is_compared_twice() -> None:
    """Whatever the rounds."""
    pictures = Pictures([place // 7 for place in range(70)])
    pictures.confirmed(20, neighbours=3)
    assert len(pictures.asked) == len(set(pictures.asked))
