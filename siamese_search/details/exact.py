"""Two pictures laid on each other as exactly as their tiles say: matched points may be a pixel off, a line's width."""

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Alignment, Matrix, Places
from siamese_search.details.overlap import Framed, Overlap, overlap

_TILES = 24  # along the longer side
_MIN_TILE = 40  # pixels
_TEXTURE = 8.0  # grey levels of standard deviation, for a tile to say where it lies
_CERTAIN = 0.15  # of a correlation of phases
_MIN_TILES = 6
_TOLERANCE = 1.0  # pixels
_EXACT = 0.1
_ROUNDS = 2
_NONE: Places = np.empty((0, 2), np.float32)


def laid_exactly(first: Framed, second: Framed, matrix: Matrix) -> Overlap:
    """Lay two pictures on each other; `matrix`, which takes the second's points to the first's, is mended first."""
    both = overlap(first, second, Alignment(matrix, 0, _NONE, _NONE))
    for _ in range(_ROUNDS):
        at, off = _shifts(both)
        if len(at) < _MIN_TILES or float(np.abs(off).max()) < _EXACT:
            break
        shift, _ = cv2.estimateAffine2D(at, at + off, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE)
        if shift is None:
            break
        to_other = both.to_other @ np.vstack([shift, [0.0, 0.0, 1.0]])
        matrix = np.asarray(to_other if both.swapped else np.linalg.inv(to_other), np.float64)
        mended = overlap(first, second, Alignment(matrix, 0, _NONE, _NONE))
        if _difference(mended) > _difference(both):
            break
        both = mended
    return both


def _difference(both: Overlap) -> float:
    """Return by how many grey levels the two differ, where both are."""
    apart = cv2.cvtColor(cv2.absdiff(both.base, both.other), cv2.COLOR_BGR2GRAY)
    return float(cv2.mean(apart, mask=both.mask)[0])


def _shifts(both: Overlap) -> tuple[Places, Places]:
    """Return the middles of tiles and by how much what lies on them is off, each float32 `(n, 2)`."""
    a, b = (np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.float32) for pixels in (both.base, both.other))
    side = max(_MIN_TILE, max(a.shape) // _TILES)
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    covered = _tiles(both.mask, side).min(axis=(1, 3)) > 0
    textured = np.minimum(_tiles(a, side).std(axis=(1, 3)), _tiles(b, side).std(axis=(1, 3))) >= _TEXTURE
    at, off = [], []
    for row, column in np.argwhere(covered & textured).tolist():
        top, left = side * row, side * column
        tile = slice(top, top + side), slice(left, left + side)
        (x, y), certain = cv2.phaseCorrelate(a[tile], b[tile], window)
        if certain > _CERTAIN:
            at.append((left + side / 2, top + side / 2))
            off.append((x, y))
    return np.array(at, np.float32).reshape(-1, 2), np.array(off, np.float32).reshape(-1, 2)


def _tiles(plane: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Return a plane cut into squares, `(rows, side, columns, side)`, without what is left at its ends."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
