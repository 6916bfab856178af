"""What a comparison of details says."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from siamese_search.results import Box


class Verdict(StrEnum):
    """Whether two pictures are one."""

    CONFIRMED = "confirmed"  # one picture, wherever both can be seen, and all of one of them is seen in the other
    ALTERED = "altered"  # one picture, but a part differs
    ALIKE = "alike"  # not one picture, as far as can be told
    UNCHECKED = "unchecked"  # there is too little to compare


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the details say of two pictures.

    Shares and places are in [0, 1]. `agreement` is the share of the structure seen in both that agrees; `covers` the
    share of the first picture that the second one shows, `covered` that of the second that the first one shows; all are
    0 where neither could be laid on the other. `only_first` is the share of the first picture that would be lost if the
    second one stayed in its place: what lies outside that and has structure, or everything where the second has lost
    the colours; `only_second` the same of the second. `matches` is the number of points that say how.

    Of pictures that are one, `mirrored`, `inverted`, `recoloured` and `turned` (degrees clockwise, in [-180, 180],
    after the mirror) say what the second is of the first, and `transform`, 3 x 3, row by row, takes shares of the
    second's width and height, as homogeneous columns, to those of the first; `drawn` are pages, screens and drawings,
    whose details may be finer than what was compared: see `look_closer`. Of altered ones, `differences` are the
    places of the first picture where they differ, the largest first, `differences_in_second` the same places in the
    second, and `largest` is the size of the largest as a share of what was compared. `poorer` is 1 or 2 where of two
    whole pictures the first or the second is clearly the poorer one, by its palette, compression or blur; see `poorer`.
    `added` is 1 or 2 where the first or the second shows more, and that does not go on from what the other one shows.
    """

    verdict: Verdict
    agreement: float = 0.0
    covers: float = 0.0
    mirrored: bool = False
    inverted: bool = False
    differences: tuple[Box, ...] = ()
    largest: float = 0.0
    differences_in_second: tuple[Box, ...] = ()
    covered: float = 0.0
    matches: int = 0
    turned: float = 0.0
    recoloured: bool = False
    transform: tuple[tuple[float, ...], ...] = ()
    drawn: bool = False
    only_first: float = 0.0
    only_second: float = 0.0
    poorer: int = 0
    added: int = 0

    def reversed(self) -> "Comparison":
        """Return what the details say of the second picture and the first."""
        transform = self.transform
        if transform:
            back = np.linalg.inv(np.array(transform))
            transform = tuple(tuple(row) for row in (back / back[2, 2]).tolist())
        return replace(
            self,
            covers=self.covered,
            covered=self.covers,
            only_first=self.only_second,
            only_second=self.only_first,
            differences=self.differences_in_second,
            differences_in_second=self.differences,
            turned=self.turned if self.mirrored else -self.turned,
            transform=transform,
            poorer=(0, 2, 1)[self.poorer],
            added=(0, 2, 1)[self.added],
        )
