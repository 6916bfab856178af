"""What one picture has that another one does not show: the rest of the scene, or colours."""

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Matrix, corners, project
from siamese_search.details.features import Features

_MARGIN = 18  # pixels around what both show: windows there see that, and a thin border is no rest
_WINDOW = (16, 16)
_STRUCTURE = 6.0  # grey levels of standard deviation in a window
_COLOURLESS = 4.0  # units of a* and b* that all colours vary by, and
_COLOURFUL = 3.0  # times as much in the other one
_GREY, _TINGED = 0.5, 1.5  # and of a picture without any, beside one that is mostly black


def remainders(first: Features, second: Features, matrix: Matrix, *, whole: bool) -> tuple[float, float]:
    """Return the share of each of two pictures, in [0, 1], that would be lost if the other one stayed in its place.

    `matrix` takes the second's points to the first's; `whole` tells that they show the same scene, so that colours can
    be compared: where one is grey or of a single tint and the other is not, that is lost in all of it.
    """
    vivid = _spread_of_colours(first.thumb), _spread_of_colours(second.thumb)
    if whole and _has_colours(*vivid):
        return 1.0, 0.0
    if whole and _has_colours(*reversed(vivid)):
        return 0.0, 1.0
    frames = corners(first.width, first.height), corners(second.width, second.height)
    back = np.asarray(np.linalg.inv(matrix), np.float64)
    return _scene(first, project(matrix, frames[1])), _scene(second, project(back, frames[0]))


def _scene(picture: Features, other: NDArray[np.floating]) -> float:
    """Return the share of a picture that has structure, outside the outline of another one."""
    outside = np.full((picture.height, picture.width), 255, np.uint8)
    limits = 8 * max(picture.width, picture.height)
    cv2.fillConvexPoly(outside, np.clip(other, -limits, limits).round().astype(np.int32), 0)
    outside = cv2.erode(outside, np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8))
    if not outside.any():
        return 0.0
    grey = cv2.cvtColor(picture.pixels(), cv2.COLOR_BGR2GRAY)
    mean = cv2.boxFilter(grey, cv2.CV_32F, _WINDOW)
    spread = cv2.sqrt(cv2.max(cv2.sqrBoxFilter(grey, cv2.CV_32F, _WINDOW) - mean * mean, 0))
    return float(((spread > _STRUCTURE) & (outside > 0)).mean())


def _spread_of_colours(thumb: NDArray[np.uint8]) -> float:
    tints = cv2.cvtColor(thumb, cv2.COLOR_BGR2LAB)[:, :, 1:].astype(np.float64)
    return float(np.sqrt(tints.var(axis=(0, 1)).sum()))


def _has_colours(spread: float, other: float) -> bool:
    return other < _COLOURLESS and spread > max(_TINGED if other < _GREY else _COLOURLESS, _COLOURFUL * other)
