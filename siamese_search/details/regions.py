"""The regions that marked pixels form."""

import cv2
import numpy as np
from numpy.typing import NDArray

AREA = 4


def regions(marked: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the left, top, width, height and area of each region of pixels that are not 0, `(n, 5)`.

    Pixels that touch at a corner are of one region.
    """
    left, top, width, height = cv2.boundingRect(marked)
    within = marked[top : top + height, left : left + width]  # mostly little of all
    if not within.size:
        return np.empty((0, 5), np.int32)
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(within, 8, cv2.CV_32S, cv2.CCL_BBDT)
    return np.asarray(stats[1:] + np.array([left, top, 0, 0, 0]), np.int32)


def largest(marked: NDArray[np.uint8]) -> int:
    """Return how many pixels the largest region has, 0 where nothing is marked."""
    return int(regions(marked)[:, AREA].max(initial=0))
