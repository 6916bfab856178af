"""A confirmed pair of pictures looked at once more, in as much detail as both have.

At 512 pixels the digits of an invoice are specks, and so is the time of day that a camera on a wall writes into each
of its frames. Where it can be told from those that a pair is one picture, larger pixels can only say more: which of its
digits differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.alignment import Matrix
from siamese_search.details.differences import Evidence, examine
from siamese_search.details.exact import laid_exactly
from siamese_search.details.features import LONGEST
from siamese_search.details.overlap import Overlap, Pixels
from siamese_search.details.places import differences
from siamese_search.details.verdict import Comparison, Verdict

FINEST = 1600  # pixels of the longer side
WORTH_A_CLOSER_LOOK = 1.25 * LONGEST  # pixels of the longer side of each
_SMALLEST = 440
_STEP = 0.7  # from one size to the next smaller one
_ROUGH = 0.1
_SMOOTH = 0.05
_BLURS = (0.8, 1.3, 1.9, 2.6, 3.5)  # pixels


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

    Pixels are RGB, uint8 `(height, width, 3)`, best at most `FINEST` pixels long. Only what is confirmed is looked at,
    and only where both show more than the smaller pictures did; of photos, only where their edges agree well.
    """
    if found.verdict is not Verdict.CONFIRMED:
        return found
    one, other = (_Fine(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)) for pixels in (first, second))
    seen: _Look | None = None
    try:
        for look in _looks(one, other, found):
            if look.evidence.roughness > _ROUGH:  # one of them does not show such fine details
                if found.drawn:
                    continue
                return found
            limits = _PERSISTING if seen else _LIMITS
            if limits.hold(look.evidence):
                return found
            done = seen is not None or look.evidence.roughness <= _SMOOTH
            seen = seen or look
            if done:
                break
    except (cv2.error, np.linalg.LinAlgError):
        return replace(found, verdict=Verdict.UNCHECKED)
    return _altered(found, seen) if seen else found


@dataclass(frozen=True)
class _Limits:
    """Up to where two pictures of one size are one; see `Evidence`."""

    differing: float
    strokes: int
    crowded: int

    def hold(self, evidence: Evidence) -> bool:
        return (
            evidence.differing <= self.differing
            and evidence.strokes <= self.strokes
            and evidence.crowded <= self.crowded
        )


_LIMITS = _Limits(differing=0.0005, strokes=3, crowded=8)
# What an encoder or a shift of half a pixel leaves is gone in smaller pictures; another letter is still there.
_PERSISTING = _Limits(differing=0.0002, strokes=1, crowded=3)


@dataclass(frozen=True)
class _Look:
    """Two pictures of one size, laid on each other, and what that shows."""

    one: _Fine
    other: _Fine
    both: Overlap
    evidence: Evidence


def _altered(found: Comparison, look: _Look) -> Comparison:
    in_first, in_second = differences(look.one, look.other, look.both, look.evidence.boxes())
    return replace(
        found,
        verdict=Verdict.ALTERED,
        differences=in_first,
        differences_in_second=in_second,
        largest=look.evidence.differing,
    )


def _looks(one: _Fine, other: _Fine, found: Comparison) -> Iterator[_Look]:
    for smaller_one, smaller_other, matrix in _sizes(one, other, found):
        both = laid_exactly(smaller_one, smaller_other, matrix)
        yield _Look(smaller_one, smaller_other, both, _examined(both))


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
        longest = min(max(each.width, each.height) for each in smaller)
        if longest < (WORTH_A_CLOSER_LOOK if factor == 1 else _SMALLEST):
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
