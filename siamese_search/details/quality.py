"""Which of two pictures of one scene is the poorer one: what a palette, heavy compression or a blur has taken from it.

A poor copy in a lossless file is larger than its original, and one that was enlarged has more pixels. What is lost can
be seen: few colours, the grid of JPEG's blocks, no fine structure, light parts without any.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_BLOCK = 8
_MIN_BLOCKS = 4  # across, for their grid to show
_LONGEST = 1024  # pixels of what is kept
_GLIMPSE = 256
_SAMPLE = 256  # pixels to each side in which colours are counted

_PALETTE = 1024  # colours; a photo has tens of thousands
_FEWER = 0.05
_SMOOTH, _STEP = 16, 6  # grey levels within seven pixels, and from one to the next
_STEPPED = 0.02  # of what is smooth
_BLOCKY = 1.8  # steps at the edges of blocks for one elsewhere; 1.7 at a JPEG quality of 30
_BLOCKIER = 1.5
_BLURRED = 0.5  # of the fine structure that the other has; 0.57 at a JPEG quality of 30, 0.9 when darker
_MUCH_LARGER = 1.42  # times as long: twice the pixels
_BURNT, _NEARLY_BURNT = 252, 244  # levels of the strongest colour
_STRUCTURE = 2.0  # levels of standard deviation
_BURNT_AWAY = 0.01  # of the picture


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """What there is to lose in a picture.

    `colours` counts those in its middle and `blocks` is by how much larger the steps at the edges of JPEG's blocks are
    than elsewhere; both say something of a picture at its own size alone, and are None otherwise, and so are the
    colours of a grey one. `grey` is uint8, at most 1024 pixels long, and `glimpse` uint8 `(height, width, 3)` of 256.
    """

    colours: int | None
    blocks: float | None
    grey: Pixels
    glimpse: Pixels


def quality(pixels: Pixels, *, own_size: bool) -> Quality:
    """Measure RGB pixels, uint8 `(height, width, 3)`; `own_size`: nobody has scaled them."""
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    return Quality(
        colours=_colours(pixels) if own_size else None,
        blocks=_blocks(grey) if own_size else None,
        grey=_at_most(grey, _LONGEST),
        glimpse=_at_most(pixels, _GLIMPSE),
    )


def poorer(first: Quality, second: Quality) -> int:
    """Return 0 where neither of two pictures, upright and whole, is clearly poorer, else which one is: 1 or 2."""
    for is_poorer in (_has_few_colours, _is_blocky, _is_burnt, _is_blurred):
        one, other = is_poorer(first, second), is_poorer(second, first)
        if one != other:
            return 1 if one else 2
    return 0


def _has_few_colours(one: Quality, other: Quality) -> bool:
    """Tell whether a palette has left steps or dots in one picture where the other one is smooth.

    Drawings have no more colours than that, and are none the poorer.
    """
    if one.colours is None or other.colours is None or one.colours > min(_PALETTE, _FEWER * other.colours):
        return False
    smooth = cv2.resize(other.grey, one.grey.shape[::-1], interpolation=cv2.INTER_AREA)
    is_smooth = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((7, 7), np.uint8)) <= _SMOOTH
    steps = np.abs(cv2.Laplacian(one.grey, cv2.CV_16S))[is_smooth] > _STEP
    return bool(len(steps)) and float(steps.mean()) > _STEPPED


def _is_blocky(one: Quality, other: Quality) -> bool:
    if one.blocks is None or other.blocks is None:
        return False
    return one.blocks > _BLOCKY and one.blocks > _BLOCKIER * other.blocks


def _is_burnt(one: Quality, other: Quality) -> bool:
    """Tell whether a colour of one picture is at its limit, and plain, where the other one has structure."""
    size = (min(one.glimpse.shape[1], other.glimpse.shape[1]), min(one.glimpse.shape[0], other.glimpse.shape[0]))
    (light, plain), (shown, structured) = (_light_and_spread(each.glimpse, size) for each in (one, other))
    away = (light >= _BURNT) & (shown < _NEARLY_BURNT) & (structured > _STRUCTURE) & (plain < structured / 4)
    return float(away.any(axis=2).mean()) > _BURNT_AWAY


def _light_and_spread(pixels: Pixels, size: tuple[int, int]) -> tuple[Pixels, NDArray[np.float32]]:
    """Return pixels of a size, and how much each of their colours varies around."""
    scaled = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    plane = scaled.astype(np.float32)
    variance = cv2.sqrBoxFilter(plane, -1, (5, 5)) - cv2.blur(plane, (5, 5)) ** 2
    return scaled, np.asarray(cv2.sqrt(cv2.max(variance, 0)), np.float32)


def _is_blurred(one: Quality, other: Quality) -> bool:
    """Tell whether one picture shows less fine structure, where both have the size of the smaller one.

    One that is much smaller may have been sharpened for that.
    """
    lengths = [max(each.grey.shape) for each in (one, other)]
    if max(lengths) > _MUCH_LARGER * min(lengths):
        return False
    size = min((each.grey.shape[::-1] for each in (one, other)), key=lambda shape: shape[0] * shape[1])
    return _fineness(one.grey, size) < _BLURRED * _fineness(other.grey, size)


def _fineness(grey: Pixels, size: tuple[int, ...]) -> float:
    scaled = cv2.resize(grey, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(scaled, cv2.CV_32F).var()) / (float(scaled.var()) + 1)


def _colours(pixels: Pixels) -> int | None:
    top, left = ((side - min(side, _SAMPLE)) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + _SAMPLE, left : left + _SAMPLE].astype(np.uint32)
    if (middle == middle[:, :, :1]).all():
        return None
    return len(np.unique(middle @ np.array([1 << 16, 1 << 8, 1], np.uint32)))


def _blocks(grey: Pixels) -> float | None:
    """Return how much larger steps from block to block are than those within; None for a picture of few blocks."""
    if min(grey.shape) < _MIN_BLOCKS * _BLOCK:
        return None
    steps = [np.abs(np.diff(plane.astype(np.int16), axis=1)).mean(axis=0) for plane in (grey, grey.T)]
    return max(
        float(each[_BLOCK - 1 :: _BLOCK].mean()) / (float(np.delete(each, np.s_[_BLOCK - 1 :: _BLOCK]).mean()) + 0.1)
        for each in steps
    )


def _at_most(pixels: Pixels, longest: int) -> Pixels:
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
