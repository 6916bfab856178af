"""What a comparison of details says."""

from dataclasses import dataclass
from enum import StrEnum

from siamese_search.results import Box


class Verdict(StrEnum):
    """Whether two pictures are one."""

    CONFIRMED = "confirmed"  # one picture, wherever both can be seen
    ALTERED = "altered"  # one picture, but a part differs
    ALIKE = "alike"  # not one picture, as far as can be told
    UNCHECKED = "unchecked"  # there is nothing to compare


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the details say of two pictures.

    `agreement` is the share of the structure seen in both that agrees, `covers` the share of the first picture that the
    second one shows, `mirrored` and `inverted` how it shows it. `differences` are the places of the first picture where
    they differ, the largest first, and `largest` is the size of that one as a share of what was compared.
    """

    verdict: Verdict
    agreement: float = 0.0
    covers: float = 0.0
    mirrored: bool = False
    inverted: bool = False
    differences: tuple[Box, ...] = ()
    largest: float = 0.0
