"""Whether what a picture shows around another one goes on from it, or was put around it: a screen, a page, a frame.

A crop's edge is nowhere to be seen in the whole. Where a picture was pasted, or is shown on a screen, there is a seam.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Matrix, corners, project
from siamese_search.details.features import Features

_STEPS = 200  # along each side
_NEAR, _FAR = 3.0, 9.0  # pixels from the edge
_INSIDE = 12.0  # pixels from the border of the picture: a side that lies nearer is none
_STEP = 16.0  # grey levels, at the median of a side
_MORE = 2.5  # times as much as on the same way within the other picture


def is_added(picture: Features, other: Features, matrix: Matrix) -> bool:
    """Tell whether most of the other picture's sides that lie within this one are seams.

    `matrix` takes the other's points to this one's.
    """
    outline = project(matrix, corners(other.width, other.height)).astype(np.float64)
    centre = outline.mean(axis=0)
    grey = cv2.blur(cv2.cvtColor(picture.pixels(), cv2.COLOR_BGR2GRAY), (3, 3)).astype(np.float32)
    sides = [
        _is_seam(grey, start, end, centre) for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True)
    ]
    within = [seam for seam in sides if seam is not None]
    return sum(within) > len(within) / 2


def _is_seam(
    grey: NDArray[np.float32], start: NDArray[np.float64], end: NDArray[np.float64], centre: NDArray[np.float64]
) -> bool | None:
    """Tell whether there is a step across a side; None for one that does not lie within the picture."""
    height, width = grey.shape
    places = start + np.linspace(0.05, 0.95, _STEPS)[:, None] * (end - start)
    inside = (places > _INSIDE) & (places < np.array([width, height]) - _INSIDE)
    if inside.all(axis=1).mean() < 0.5:  # noqa: PLR2004  half of it
        return None
    places = places[inside.all(axis=1)]
    inwards = centre - places
    inwards /= np.linalg.norm(inwards, axis=1, keepdims=True) + 1e-9
    outer, inner, deeper = (_at(grey, places + far * inwards) for far in (-_NEAR, _NEAR, _FAR))
    across = float(np.median(np.abs(outer - inner)))
    return across > max(_STEP, _MORE * float(np.median(np.abs(inner - deeper))))


def _at(grey: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y = (places[:, [axis]].astype(np.float32) for axis in (0, 1))
    return np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR), np.float32)
