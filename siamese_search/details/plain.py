"""Pictures with next to nothing in them compared as they are: gradients, plain skies, stars, what is out of focus."""

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.features import Features

_SAME_SHAPE = 1.03
_SHADED = 12.0  # standard deviation of the colours from which on there is something to compare
_EQUAL = 10.0  # difference of colours that scaling and encoding may cause
_EDGE = 24  # grey levels within five pixels
_FAR_OFF = 16  # levels that the smallest versions of one picture differ by at most
_AROUND = (31, 31)  # pixels: what changes more slowly is the light, or the shade of a scanner
_PAPER = 200  # levels that most of a sheet has
_FAINT = 12  # levels: with less than that a picture says nothing
_LEFT_OVER = 0.2  # of the strongest that a picture shows: more is something that the other one lacks


def same_shades(first: Features, second: Features) -> bool:
    """Tell whether two pictures without edges, of more than one colour, have the same colours everywhere."""
    shape = first.width * second.height / (first.height * second.width)
    one, other = first.thumb.astype(np.float32), second.thumb.astype(np.float32)
    return (
        1 / _SAME_SHAPE < shape < _SAME_SHAPE
        and _spread(one) >= _SHADED
        and _spread(other) >= _SHADED
        and float(np.abs(one - other).max()) <= _EQUAL
        and _is_smooth(first)
        and _is_smooth(second)
        and not len(first.points.places)
        and not len(second.points.places)
    )


def same_everywhere(first: Features, second: Features) -> bool:
    """Tell whether two pictures, as they are, differ nowhere by more than a fifth of the strongest that they show.

    It needs no corners: of a starry sky each star is in both, and none is brighter. Of a blank sheet that would not be
    enough, for what is written on it may be faint.
    """
    shape = first.width * second.height / (first.height * second.width)
    off = cv2.absdiff(first.thumb, second.thumb)
    if not 1 / _SAME_SHAPE < shape < _SAME_SHAPE or off.max() > _FAR_OFF:
        return False
    one = _softened(first.pixels(), (first.width, first.height))
    other = _softened(second.pixels(), (first.width, first.height))
    if max(float(np.median(each)) for each in (one, other)) > _PAPER:
        return False
    strongest = min(float(np.abs(each - cv2.blur(each, _AROUND)).max()) for each in (one, other))
    return strongest >= _FAINT and float(np.abs(one - other).max()) <= _LEFT_OVER * strongest


def _softened(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(resized.astype(np.float32), (3, 3)), np.float32)


def _spread(colours: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Return how much colours differ from place to place."""
    return float(colours.reshape(-1, 3).std(axis=0).max())


def _is_smooth(picture: Features) -> bool:
    grey = cv2.blur(cv2.cvtColor(picture.pixels(), cv2.COLOR_BGR2GRAY), (3, 3))
    return int(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max()) < _EDGE
