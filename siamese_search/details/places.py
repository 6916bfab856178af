"""Where two pictures that are one differ, as shares of their widths and heights."""

from collections.abc import Sequence

import numpy as np

from siamese_search.details.alignment import project
from siamese_search.details.overlap import Framed, Overlap
from siamese_search.results import Box


def differences(
    first: Framed, second: Framed, both: Overlap, boxes: Sequence[Box]
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Return boxes of the base's frame in both pictures; a turned place's box holds more than it."""
    base, other = [], []
    for left, top, right, bottom in boxes:
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        there = project(both.to_other, corners)
        base.append((left, top, right, bottom))
        other.append((*there.min(axis=0).tolist(), *there.max(axis=0).tolist()))
    in_first, in_second = (other, base) if both.swapped else (base, other)
    return tuple(_shares(box, first) for box in in_first), tuple(_shares(box, second) for box in in_second)


def _shares(box: Box, picture: Framed) -> Box:
    left, top, right, bottom = box
    width, height = picture.width, picture.height
    within = np.clip([left / width, top / height, right / width, bottom / height], 0, 1).tolist()
    return (within[0], within[1], within[2], within[3])
