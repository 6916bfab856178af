"""Candidates confirmed by comparing details: what is compared, and what is not."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.altered import with_altered
from siamese_search.duplicates.compared import Confirmed
from siamese_search.duplicates.confirm import confirm
from siamese_search.duplicates.groups import Block, Group, gather
from siamese_search.duplicates.source import Pair, Sources, likeness, words
from siamese_search.results import Item


class Pictures:
    """Pictures on a line: those of one origin are the same, unless two are named as `unlike`."""

    def __init__(self, origins: Sequence[int], unlike: Iterable[Pair] = ()) -> None:
        """Place the pictures at positions 0, 1, ..., which is also their rank."""
        self.origins = origins
        self.unlike = {*unlike}
        self.sizes: Sequence[tuple[int, int]] = [(400, 300)] * len(origins)
        self.asked: list[Pair] = []

    def compare(self, pairs: Sequence[Pair], few: int | None) -> list[Comparison | None]:
        """Compare pairs, of each second picture `few` and, if none of these is confirmed, the others."""
        found: list[Comparison | None] = []
        before: defaultdict[int, list[Verdict]] = defaultdict(list)
        for pair in pairs:
            verdicts = before[pair[1]]
            if few is not None and len(verdicts) >= few and Verdict.CONFIRMED in verdicts[:few]:
                found.append(None)
                continue
            comparison = self.compared(pair)
            verdicts.append(comparison.verdict)
            found.append(comparison)
            self.asked.append(pair)
        return found

    def compared(self, pair: Pair) -> Comparison:
        """Tell whether a pair is one picture; those named as `unlike` are one that was altered."""
        one, other = pair
        if self.origins[one] != self.origins[other]:
            return Comparison(Verdict.ALIKE)
        return Comparison(Verdict.ALTERED if pair in self.unlike else Verdict.CONFIRMED)

    def distances(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Return how far apart they lie."""
        return np.array([abs(a - b) / 1000 for a, b in pairs], np.float64)

    def vectors(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """Return where they lie."""
        return np.array([[position / 1000] for position in positions], np.float32)

    def candidates(self, reach: int, *, blocks: int = 3) -> list[Block]:
        """Return all pairs at most so many places apart, in several blocks."""
        count = len(self.origins)
        pairs = [(a, b) for a in range(count) for b in range(a + 1, min(a + reach + 1, count))]
        parts = np.array_split(np.array(pairs, np.int64).reshape(-1, 2), blocks)
        return [(part[:, 0], part[:, 1], self.distances(part.tolist())) for part in parts]

    def confirmed(self, reach: int, *, standing: Sequence[int] | None = None, **options: Any) -> Confirmed:
        """Confirm them all; by default each picture has a standing of its own, and no other takes its place."""
        ranked = range(len(self.origins))
        standing = ranked if standing is None else standing
        items = {position: item(position, *size) for position, size in enumerate(self.sizes)}
        sources = Sources(ranked, standing.__getitem__, items, self.vectors)
        return confirm(
            ranked, self.candidates(reach), self.compare, distances=self.distances, sources=sources, **options
        )


def item(position: int, width: int = 400, height: int = 300) -> Item:
    """Return a picture of a gallery."""
    path = Path(f"/pictures/{position}.jpg")
    return Item(
        id=position,
        path=path,
        size=1,
        mtime_ns=1,
        content_hash=str(position),
        width=width,
        height=height,
        format="JPEG",
    )


def grouped(pictures: Pictures, confirmed: Confirmed) -> list[Group]:
    """Gather what was confirmed."""
    return gather(range(len(pictures.origins)), [confirmed.same])


def test_only_what_details_show_is_a_pair() -> None:
    """Of all that lies near, the pairs of one origin remain, with their distances."""
    pictures = Pictures([0, 1, 0, 1, 2])
    first, second, distance = pictures.confirmed(4).same
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (1, 3)]
    assert distance.tolist() == pytest.approx([0.002, 0.002])


def test_a_book_costs_a_few_comparisons_a_page() -> None:
    """Each page is compared with its nearest few, however many lie within the threshold, and the rest is counted."""
    pages = Pictures(range(300))
    confirmed = pages.confirmed(299, neighbours=4)
    assert len(confirmed.comparisons) == len(pages.asked) <= 4 * 300
    assert len(pages.asked) + confirmed.left_out == 300 * 299 // 2
    assert len(confirmed.same[0]) == 0


def test_copies_find_their_keeper_through_one_another() -> None:
    """A copy whose nearest are other copies is compared with their keeper, and is one of its copies."""
    pictures = Pictures([0] * 60)
    confirmed = pictures.confirmed(5, neighbours=3)
    (group,) = grouped(pictures, confirmed)
    assert group.keeper == 0
    assert sorted(copy for copy, _ in group.copies) == [*range(1, 60)]
    assert len(pictures.asked) < 5 * 60


def test_of_equal_pictures_one_is_compared_with_all() -> None:
    """Which of a large family is its source is known when the others agree with what the first agrees with."""
    pictures = Pictures([0] * 60)
    confirmed = pictures.confirmed(5, standing=[0] * 60, neighbours=2)
    assert {pair for pair in confirmed.comparisons if 0 in pair} == {(0, other) for other in range(1, 60)}
    assert len(pictures.asked) <= (2 + 1) * 60


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
    groups = with_altered(grouped(pictures, confirmed), range(5), confirmed)
    assert [(group.keeper, [copy for copy, _ in group.copies]) for group in groups] == [(0, [1]), (2, [3, 4])]


def test_some_pairs_are_always_compared() -> None:
    """What a person said is looked at however many are nearer."""
    pictures = Pictures([0, 1, 2, 3, 4, 0])
    confirmed = pictures.confirmed(1, always=[(5, 0)], neighbours=1)
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


class Family(Pictures):
    """Pictures of one scene, of which each pair is described by a comparison, the lower position's first."""

    def __init__(self, count: int, described: dict[Pair, Comparison], sizes: Sequence[tuple[int, int]] = ()) -> None:
        """Describe some pairs; the others are the same picture, of equal size."""
        super().__init__([0] * count)
        self.described = described
        self.sizes = sizes or [(400, 300)] * count

    def compared(self, pair: Pair) -> Comparison:
        """Return the description, turned around where it has to be."""
        one, other = pair
        whole = Comparison(Verdict.CONFIRMED, covers=1, covered=1, transform=AS_IT_IS)
        return self.described.get(pair, whole) if one < other else self.described.get((other, one), whole).reversed()


AS_IT_IS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
WITHIN = ((0.5, 0.0, 0.25), (0.0, 0.5, 0.25), (0.0, 0.0, 1.0))  # the second takes up the middle of the first


def within(*, more: float) -> Comparison:
    """Return what is said of a picture and of its middle; `more` of the first has structure around that."""
    return Comparison(Verdict.CONFIRMED, covers=0.25, covered=1, transform=WITHIN, only_first=more)


def test_a_frame_does_not_outrank_what_it_frames() -> None:
    """Of two pictures of equal standing the one without a plain border is kept, however many pixels the border has."""
    family = Family(2, {(0, 1): within(more=0)})
    confirmed = family.confirmed(1, standing=[0, 0])
    assert confirmed.ranked == [1, 0]
    (group,) = gather(confirmed.ranked, [confirmed.same])
    assert (group.keeper, [copy for copy, _ in group.copies]) == (1, [0])


def test_what_shows_more_is_kept_and_is_no_copy() -> None:
    """A crop is a copy of the whole; a whole is none of its crop, even where the crop must be kept."""
    crop_first = {(0, 1): within(more=0.5).reversed()}
    sizes = [(200, 150), (400, 300)]
    free = Family(2, crop_first, sizes).confirmed(1, standing=[0, 0])
    assert (free.ranked, free.comparisons[1, 0].verdict) == ([1, 0], Verdict.CONFIRMED)
    bound = Family(2, crop_first, sizes).confirmed(1, standing=[0, 1])
    assert (bound.ranked, bound.comparisons[0, 1].verdict) == ([0, 1], Verdict.ALTERED)


@pytest.mark.parametrize("screen", [0, 1])
def test_a_screen_around_a_picture_is_no_scene(screen: int) -> None:
    """Of a picture and a screen that shows it the picture is kept, whichever the rules put first; both stay."""
    seen = within(more=0.3)
    described = replace(seen, added=1) if screen == 0 else replace(seen, added=1).reversed()
    sizes = [(800, 600), (400, 300)] if screen == 0 else [(400, 300), (800, 600)]
    confirmed = Family(2, {(0, 1): described}, sizes).confirmed(1, standing=[0, 0])
    assert confirmed.ranked == [1 - screen, screen]
    assert confirmed.comparisons[1 - screen, screen].verdict is Verdict.ALTERED


def test_what_adds_to_the_usual_frame_is_not_the_source() -> None:
    """Where most pictures show the same, one that shows more is a screenshot, and no whole that they were cut from."""
    shows_more = {(0, other): within(more=0.3) for other in range(1, 5)}
    sizes = [(800, 600), *[(400, 300)] * 4]
    confirmed = Family(5, shows_more, sizes).confirmed(4, standing=[0] * 5)
    assert confirmed.ranked[0] == 1
    assert confirmed.comparisons[1, 0].verdict is Verdict.ALTERED


def test_rules_come_before_what_details_tell() -> None:
    """A picture of better standing keeps its place before what it frames."""
    assert Family(2, {(0, 1): within(more=0)}).confirmed(1, standing=[0, 1]).ranked == [0, 1]


def test_the_source_is_what_most_agree_with() -> None:
    """One that most others are only altered pictures of is not kept, although it is first by the rules."""
    odd = {(0, other): Comparison(Verdict.ALTERED, transform=AS_IT_IS) for other in range(2, 8)}
    confirmed = Family(8, odd).confirmed(7, standing=[0] * 8)
    (group,) = gather(confirmed.ranked, [confirmed.same])
    assert sorted(group.members) == [*range(1, 8)]
    ((_, *others),) = with_altered([group], confirmed.ranked, confirmed)
    assert 0 in {copy for copy, _ in others[0]}


def test_a_page_and_the_part_of_it_that_a_thumbnail_shows_are_altered_ones_of_the_photo() -> None:
    """What shows a thumbnail in a corner keeps no group of its own beside the photo that both come from."""
    altered = Comparison(Verdict.ALTERED, transform=AS_IT_IS)
    described = {(0, 2): altered, (0, 3): altered, (1, 2): altered, (1, 3): altered, (2, 3): within(more=0.5)}
    sizes = [(400, 300), (400, 300), (400, 300), (200, 150)]
    confirmed = Family(4, described, sizes).confirmed(3, standing=[0] * 4)
    groups = with_altered(gather(confirmed.ranked, [confirmed.same]), confirmed.ranked, confirmed)
    ((keeper, copies, _),) = groups
    assert (keeper, sorted(copy for copy, _ in copies)) == (0, [1, 2, 3])


def test_families_meet_through_their_sources() -> None:
    """Copies that each found one another first are still compared with the source of the others."""
    far = [(a, b) for a in range(3) for b in range(3, 6) if (a, b) != (0, 3)]
    pictures = Pictures([0] * 6, unlike=far)
    confirmed = pictures.confirmed(3, neighbours=2)
    assert (0, 3) in pictures.asked
    assert confirmed.comparisons[0, 3].verdict is Verdict.CONFIRMED


def test_likeness_is_told_from_both_sides() -> None:
    """The middle of a picture, in as many pixels as the whole, is finer, shows less and has no border."""
    seen = within(more=0.5)
    whole, part = likeness(seen, item(0), item(1)), likeness(seen.reversed(), item(1), item(0))
    assert (whole.finer, part.finer) == pytest.approx((0.25, 4))
    assert (whole.scene, part.scene) == pytest.approx((2, -0.5))
    assert (whole.border, part.border) == pytest.approx((1, -0.25))
    assert words(seen.reversed(), item(1), item(0)) == ("4.0 pixels", "1 pixel for the same")
