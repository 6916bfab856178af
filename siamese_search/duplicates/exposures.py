"""Exposures: pictures that a camera took at different moments are no copies of one another, however alike.

Two pictures are different exposures when both know their time of capture, and the times differ: in the second, or in
its fraction where both know that. What does not know it may be a copy of anything.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

import numpy as np
from numpy.typing import NDArray

from siamese_search.duplicates.candidates import Candidates
from siamese_search.duplicates.groups import Block, Group
from siamese_search.duplicates.origin import Origins
from siamese_search.duplicates.scope import Positions, Scope
from siamese_search.results import Item

_UNKNOWN = -(2**62)


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """The moment of capture at each position: the `second` on the camera's clock, and its `fraction`."""

    second: NDArray[np.int64]
    fraction: NDArray[np.int64]

    @property
    def known(self) -> Positions:
        """The positions of pictures that know their moment."""
        return np.flatnonzero(self.second != _UNKNOWN)

    def differ(self, first: Positions, second: Positions) -> NDArray[np.bool_]:
        """Tell which pairs are surely two exposures."""
        seconds, fractions = self.second[first], self.fraction[first]
        other_seconds, other_fractions = self.second[second], self.fraction[second]
        both = (seconds != _UNKNOWN) & (other_seconds != _UNKNOWN)
        fine = (fractions != _UNKNOWN) & (other_fractions != _UNKNOWN)
        different: NDArray[np.bool_] = both & ((seconds != other_seconds) | (fine & (fractions != other_fractions)))
        return different

    def differs(self, first: int, second: int) -> bool:
        """Tell the same of one pair."""
        return bool(self.differ(np.array([first]), np.array([second]))[0])


def read_exposures(items: Mapping[int, Item], origins: Origins, *, count: int) -> Exposures:
    """Return the moments of the pictures at some of `count` positions."""
    second, fraction = (np.full(count, _UNKNOWN, np.int64) for _ in range(2))
    for position, item in items.items():
        data = origins.of(item).metadata
        if data.captured:
            second[position] = round(data.captured.replace(tzinfo=UTC, microsecond=0).timestamp())
            if data.has_fraction:
                fraction[position] = data.captured.microsecond
    return Exposures(second, fraction)


def one_exposure_pairs(candidates: Candidates, exposures: Exposures, scope: Scope) -> tuple[Candidates, Positions]:
    """Leave out the pairs of different exposures, except those that a person called the same.

    Also return a label for each position: pictures that know their moment and are near one another have a common one.
    """
    labels = np.arange(len(exposures.second))
    moments = exposures.second[exposures.known], exposures.fraction[exposures.known]
    if all(len(np.unique(moment)) <= 1 for moment in moments):
        return candidates, labels

    def differing(block: Block) -> NDArray[np.bool_]:
        different = exposures.differ(block[0], block[1])
        if scope.same:
            for at in np.flatnonzero(different).tolist():
                pair = int(block[0][at]), int(block[1][at])
                different[at] = (min(pair), max(pair)) not in scope.same
        return different

    def kept() -> Iterator[Block]:
        for block in candidates:
            staying = ~differing(block)
            yield block[0][staying], block[1][staying], block[2][staying]

    for first, second, _ in candidates:
        both = (exposures.second[first] != _UNKNOWN) & (exposures.second[second] != _UNKNOWN)
        _join(labels, first[both], second[both])
    for one, others in scope.equals.items():  # they are in no pair, one of them stands for all
        members = np.array((one, *others))
        members = members[exposures.second[members] != _UNKNOWN]
        _join(labels, members[1:], np.repeat(members[:1], len(members[1:])))
    return candidates.filtered(kept), labels


def _join(labels: Positions, first: Positions, second: Positions) -> None:
    """Give the positions in each pair, and all that had a label of theirs, a common one."""
    while len(first) and (labels[first] != labels[second]).any():
        least = np.minimum(labels[first], labels[second])
        for side in (first, second):
            np.minimum.at(labels, labels[side], least)
        while (labels[labels] != labels).any():
            labels[:] = labels[labels]


def split_by_exposure(groups: Sequence[Group], exposures: Exposures, scope: Scope) -> list[Group]:
    """Take apart groups with several exposures: equal pictures, and copies of one that does not know its own.

    Each group keeps the exposure of its keeper, or of the nearest copy that knows one. Equal ones that leave become a
    group of their own, around the best of them; others are in no group any more.
    """
    stands = {position: one for one, others in scope.equals.items() for position in (one, *others)}
    whole = []
    waiting = list(groups)
    while waiting:
        group = waiting.pop()
        leaving = _of_other_exposure(group, exposures, scope.same)
        if not leaving:
            whole.append(group)
            continue
        staying = tuple(copy for copy in group.copies if copy[0] not in leaving)
        if staying:
            whole.append(group._replace(copies=staying))
        waiting += _regrouped(group, leaving, stands, exposures)
    return whole


def _of_other_exposure(group: Group, exposures: Exposures, same: Collection[tuple[int, int]]) -> list[int]:
    known = [member for member in group.members if exposures.second[member] != _UNKNOWN]
    if len(known) <= 1:
        return []
    kept = known[0]
    return [
        member
        for member in known[1:]
        if exposures.differs(kept, member) and (min(group.keeper, member), max(group.keeper, member)) not in same
    ]


def _regrouped(
    group: Group, leaving: Sequence[int], stands: Mapping[int, int], exposures: Exposures
) -> Iterator[Group]:
    """Yield groups of those that leave a group and are equal, in its order, which is that of their worth."""
    distance = dict(group.copies)
    equal: defaultdict[int, list[int]] = defaultdict(list)
    for member in leaving:
        equal[stands.get(member, member)].append(member)
    for positions in equal.values():
        if group.others:  # the other gallery's pictures that are equal to the keeper
            for keeper in group.others:
                if not exposures.differs(keeper, positions[0]):
                    yield Group(keeper, tuple((copy, distance[copy]) for copy in positions))
                    break
        elif len(positions) > 1:
            yield Group(positions[0], tuple((copy, 0.0) for copy in positions[1:]))
