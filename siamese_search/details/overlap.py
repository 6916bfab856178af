"""Two aligned pictures on one frame: the one that shows the scene larger is laid on the other, pixel by pixel."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Alignment, Matrix, Places, corners, project

Pixels = NDArray[np.uint8]

_MIN_TO_BEND = 30  # matches
_BEND_WITHIN = (10.0, 4.0, 3.0)  # pixels, closer each round
_WORTH_BENDING = 0.8  # pixels that the matches are off without
_BENT_BETTER = 0.75
_UNIT = 512.0
_SHRUNK = 0.75
_WHOLE = 4  # pixels that become one where colours are compared


class Framed(Protocol):
    """A picture in a frame of some size."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    def pixels(self) -> Pixels:
        """Return the picture, uint8 `(height, width, 3)`, blue first."""


@dataclass(frozen=True)
class Overlap:
    """What two pictures both show.

    `base` and `other` are uint8 `(height, width, 3)`, `mask` `(height, width)`, 0 or 255. `other` is laid on `base`,
    which is the first picture, or the second where `swapped`. `to_other` takes the base's points to the other's own
    frame.
    """

    base: Pixels
    other: Pixels
    mask: Pixels
    swapped: bool
    to_other: Matrix


def covered(first: Framed, second: Framed, matrix: Matrix) -> tuple[float, float]:
    """Return how much of the first picture lies within the second, and of the second within the first."""
    frames = corners(first.width, first.height), corners(second.width, second.height)
    in_first = project(matrix, frames[1]).astype(np.float32)
    in_second = project(np.asarray(np.linalg.inv(matrix), np.float64), frames[0]).astype(np.float32)
    of_first, _ = cv2.intersectConvexConvex(frames[0], in_first)
    of_second, _ = cv2.intersectConvexConvex(frames[1], in_second)
    areas = first.width * first.height, second.width * second.height
    return min(1.0, max(0.0, of_first / areas[0])), min(1.0, max(0.0, of_second / areas[1]))


def overlap(first: Framed, second: Framed, alignment: Alignment) -> Overlap:
    """Lay two pictures on each other, on the frame of the one that shows the scene smaller."""
    scale = float(np.sqrt(abs(np.linalg.det(alignment.matrix[:2, :2] / alignment.matrix[2, 2]))))
    swapped = scale > 1
    if swapped:
        base, other, to_other = second.pixels(), first.pixels(), alignment.matrix
        at, to = alignment.source, alignment.target
        scale = 1 / scale
    else:
        base, other, to_other = first.pixels(), second.pixels(), np.asarray(np.linalg.inv(alignment.matrix), np.float64)
        at, to = alignment.target, alignment.source
    base = _trimmed(base)
    size = base.shape[1], base.shape[0]
    if scale < _SHRUNK:
        other = np.asarray(cv2.GaussianBlur(other, (0, 0), 0.45 / scale), np.uint8)
    white = np.full(other.shape[:2], 255, np.uint8)
    bent = _bend(to_other, at, to)
    if bent is None:
        how = cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(other, to_other, size, flags=how | cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(white, to_other, size, flags=how | cv2.INTER_NEAREST)
    else:
        x, y = _bent_places(to_other, bent, size)
        warped = cv2.remap(other, x, y, cv2.INTER_LINEAR)
        mask = cv2.remap(white, x, y, cv2.INTER_NEAREST)
    return Overlap(
        base,
        np.asarray(warped, np.uint8),
        np.asarray(mask, np.uint8),
        swapped,
        to_other,
    )


def _trimmed(pixels: Pixels) -> Pixels:
    """Leave out up to three rows and columns: halves and quarters of whole pixels are made ten times as fast."""
    height, width = (side - side % _WHOLE if side > _WHOLE else side for side in pixels.shape[:2])
    return pixels[:height, :width]


def _terms(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
    x, y = x / _UNIT, y / _UNIT
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _bend(matrix: Matrix, at: Places, to: Places) -> Matrix | None:
    """Return what a matrix leaves over, as a polynomial of the second degree: a lens, a curved page, a skewed cut.

    `(6, 2)`, or nothing where it would help little or the matches are few.
    """
    if len(at) < _MIN_TO_BEND:
        return None
    left = to - project(matrix, at)
    terms = _terms(at[:, 0].astype(np.float64), at[:, 1].astype(np.float64))
    bent = np.zeros((terms.shape[1], 2))
    for within in _BEND_WITHIN:
        near = np.linalg.norm(left - terms @ bent, axis=1) < within
        if near.sum() < _MIN_TO_BEND:
            return None
        some = terms[near]
        bent = np.linalg.solve(some.T @ some + 0.01 * np.eye(len(bent)), some.T @ left[near])
    before = np.median(np.linalg.norm(left[near], axis=1))
    after = np.median(np.linalg.norm(left[near] - terms[near] @ bent, axis=1))
    return bent if before > _WORTH_BENDING and after < _BENT_BETTER * before else None


def _bent_places(
    matrix: Matrix, bent: Matrix, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where in the other picture each pixel of the base is found: x and y, float32 `(height, width)`."""
    x, y = np.arange(size[0], dtype=np.float32)[None, :], np.arange(size[1], dtype=np.float32)[:, None]
    rows = [
        np.float32(matrix[row, 0]) * x + (matrix[row, 1] * y + matrix[row, 2]).astype(np.float32) for row in range(3)
    ]
    u, v = x / np.float32(_UNIT), y / np.float32(_UNIT)
    out = []
    for axis in range(2):
        c = bent[:, axis].astype(np.float32)
        out.append(rows[axis] / rows[2] + (c[0] + c[1] * u + c[3] * u * u) + (c[2] + c[4] * u + c[5] * v) * v)
    return out[0], out[1]
