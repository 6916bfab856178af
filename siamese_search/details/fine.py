"""A confirmed pair of pages, screens or drawings looked at once more, in as much detail as both have.

At 512 pixels the digits of an invoice are specks. Where it can be told from those that a pair is one picture, larger
pixels can only say more: which of its digits differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Alignment, Matrix, Points
from siamese_search.details.differences import Evidence, examine
from siamese_search.details.features import LONGEST
from siamese_search.details.overlap import Overlap, Pixels, overlap
from siamese_search.details.places import differences
from siamese_search.details.verdict import Comparison, Verdict

FINEST = 1600  # pixels of the longer side
_WORTH_IT = 1.25 * LONGEST
_STEP = 0.7  # from one size to the next smaller one
_TILES = 10  # a side
_MIN_TILE = 32  # pixels
_TEXTURE = 8.0  # grey levels of standard deviation, for a tile to say where it lies
_CERTAIN = 0.15  # of a correlation of phases
_MIN_TILES = 6
_EXACT = 0.1  # pixels
_ROUNDS = 2
_ROUGH = 0.1
_SMOOTH = 0.05
_BLURS = (0.8, 1.3, 1.9, 2.6, 3.5)  # pixels
_AGREEMENT = 0.9
_DIFFERING = 0.0005
_STROKES = 3
_CROWDED = 8


@dataclass(frozen=True)
class _Fine:
    """A picture in a frame that is as large as it is."""

    content: Pixels

    @property
    def width(self) -> int:
        return int(self.content.shape[1])

    @property
    def height(self) -> int:
        return int(self.content.shape[0])

    def pixels(self) -> Pixels:
        return self.content


def look_closer(first: NDArray[np.uint8], second: NDArray[np.uint8], found: Comparison) -> Comparison:
    """Return a comparison that holds at full size too; `found` is what the smaller pictures said of the two.

    Pixels are RGB, uint8 `(height, width, 3)`, best at most `FINEST` pixels long. Only what is confirmed and `drawn` is
    looked at, and only where both show more than the smaller pictures did.
    """
    if found.verdict is not Verdict.CONFIRMED or not found.drawn:
        return found
    one, other = (_Fine(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)) for pixels in (first, second))
    try:
        for smaller_one, smaller_other, matrix in _sizes(one, other, found):
            both = _laid(smaller_one, smaller_other, matrix)
            evidence = _examined(both)
            if evidence.roughness > _ROUGH:  # one does not show such fine details
                continue
            if _is_one(evidence):
                return found
            in_first, in_second = differences(smaller_one, smaller_other, both, evidence)
            return replace(
                found,
                verdict=Verdict.ALTERED,
                agreement=evidence.agreement,
                differences=in_first,
                differences_in_second=in_second,
                largest=evidence.differing,
            )
    except (cv2.error, np.linalg.LinAlgError):
        return replace(found, verdict=Verdict.UNCHECKED)
    return found


def _examined(both: Overlap) -> Evidence:
    """Examine two pictures, the sharper one made as blurred as the other."""
    best = examine(both)
    if best.roughness <= _SMOOTH:
        return best
    base_is_sharper = _sharpness(both.base) > _sharpness(both.other)
    for blur in _BLURS:
        soft = replace(both, base=_blurred(both.base, blur)) if base_is_sharper else both
        soft = soft if base_is_sharper else replace(both, other=_blurred(both.other, blur))
        evidence = examine(soft)
        if evidence.roughness > best.roughness:
            break
        best = evidence
    return best


def _sharpness(pixels: Pixels) -> float:
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / (float(grey.var()) + 1)


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _is_one(evidence: Evidence) -> bool:
    return (
        evidence.agreement >= _AGREEMENT
        and evidence.differing <= _DIFFERING
        and evidence.strokes <= _STROKES
        and evidence.crowded <= _CROWDED
    )


def _sizes(one: _Fine, other: _Fine, found: Comparison) -> Iterator[tuple[_Fine, _Fine, Matrix]]:
    """Yield both pictures at the size at which the one with less of it shows the scene, then smaller and smaller.

    With them comes the matrix that takes the second's pixels to the first's.
    """
    matrix = _in_pixels(one, other, found)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2] / matrix[2, 2]))))
    factor = 1.0
    while True:
        # The one that shows more is not what the other is enlarged to.
        smaller = _scaled(one, factor * min(1.0, 1 / scale)), _scaled(other, factor * min(1.0, scale))
        if min(max(each.width, each.height) for each in smaller) < _WORTH_IT:
            return
        yield *smaller, _in_pixels(*smaller, found)
        factor *= _STEP


def _scaled(picture: _Fine, factor: float) -> _Fine:
    if factor >= 1:
        return picture
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return _Fine(np.asarray(cv2.resize(picture.content, size, interpolation=cv2.INTER_AREA), np.uint8))


def _in_pixels(one: _Fine, other: _Fine, found: Comparison) -> Matrix:
    """Return the transform of shares as one of pixels' centres."""
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_shares = np.diag([1 / other.width, 1 / other.height, 1.0]) @ half
    pixels = np.linalg.inv(half) @ np.diag([one.width, one.height, 1.0]) @ np.array(found.transform) @ to_shares
    return np.asarray(pixels / pixels[2, 2], np.float64)


def _laid(one: _Fine, other: _Fine, matrix: Matrix) -> Overlap:
    """Lay the two on each other, as exactly as their tiles say."""
    none: Points = np.empty((0, 2), np.float32)
    both = overlap(one, other, Alignment(matrix, 0, none, none))
    for _ in range(_ROUNDS):
        at, off = _shifts(both)
        if len(at) < _MIN_TILES or float(np.abs(off).max()) < _EXACT:
            break
        shift, _ = cv2.estimateAffine2D(at, at + off, method=cv2.RANSAC, ransacReprojThreshold=1.0)
        if shift is None:
            break
        to_other = both.to_other @ np.vstack([shift, [0.0, 0.0, 1.0]])
        matrix = to_other if both.swapped else np.linalg.inv(to_other)
        both = overlap(one, other, Alignment(matrix, 0, none, none))
    return both


def _shifts(both: Overlap) -> tuple[Points, Points]:
    """Return the middles of tiles and by how much what lies on them is off, each float32 `(n, 2)`."""
    a, b = (
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.float32) for pixels in (both.base, both.other)
    )
    side = max(_MIN_TILE, max(a.shape) // _TILES)
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    at, off = [], []
    for top in range(0, a.shape[0] - side + 1, side):
        for left in range(0, a.shape[1] - side + 1, side):
            tile = slice(top, top + side), slice(left, left + side)
            if not both.mask[tile].all() or min(a[tile].std(), b[tile].std()) < _TEXTURE:
                continue
            (x, y), certain = cv2.phaseCorrelate(a[tile], b[tile], window)
            if certain > _CERTAIN:
                at.append((left + side / 2, top + side / 2))
                off.append((x, y))
    return np.array(at, np.float32).reshape(-1, 2), np.array(off, np.float32).reshape(-1, 2)
