"""Altered pictures: which group they go into, or that they make one of their own."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from siamese_search.duplicates.compared import Confirmed, each_pair
from siamese_search.duplicates.groups import Group, gather
from siamese_search.duplicates.source import is_part


def with_altered(groups: Sequence[Group], ranked: Sequence[int], confirmed: Confirmed) -> list[Group]:
    """Add to groups the pictures that are altered ones of keepers, or of each other, and in no group by themselves.

    So do groups that are but a part of such a picture: a page that a photo was pasted into, and the photo's thumbnail,
    are altered ones of the photo, although the page shows the thumbnail as well.
    """
    one, other, distance = confirmed.altered
    groups = _independent(groups, ranked, confirmed)
    grouped = {position for group in groups for position in group.members}
    copies = grouped - {group.keeper for group in groups}
    wanted = ~(np.isin(one, [*copies]) | np.isin(other, [*grouped]))
    added = {group.keeper: group.copies for group in gather(ranked, [(one[wanted], other[wanted], distance[wanted])])}
    whole = [group._replace(copies=(*group.copies, *added.pop(group.keeper, ()))) for group in groups]
    return [*whole, *(Group(keeper, its_copies) for keeper, its_copies in added.items())]


def _independent(groups: Sequence[Group], ranked: Sequence[int], confirmed: Confirmed) -> list[Group]:
    """Return the groups without those whose copies are parts of their keeper, and altered as it is, of another's."""
    above: defaultdict[int, set[int]] = defaultdict(set)
    for one, other, _ in each_pair(confirmed.altered):
        above[other].add(one)
    rank_of = {position: place for place, position in enumerate(ranked)}
    keepers: set[int] = set()
    kept = []
    for group in sorted(groups, key=lambda group: rank_of[group.keeper]):
        are_parts = all(is_part(confirmed.comparisons.get((group.keeper, copy))) for copy, _ in group.copies)
        of_all = keepers.intersection(*(above[member] for member in group.members))
        if not (are_parts and of_all):
            kept.append(group)
            keepers.add(group.keeper)
    return kept
