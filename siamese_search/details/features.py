"""The details of one picture: where its corners are, what lies around each, and the picture itself, small.

The points are those of ORB (Rublee, Rabaud, Konolige and Bradski, 2011). What ORB says of a point's surroundings does
not survive a mirror or a negative, so those of the mirrored and of the inverted picture are described as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST = 512  # pixels of the longer side: what is finer than that is not seen
THUMB = 24
_POINTS = 1000
_INVERTED = 500  # negatives are rare: the strongest points will do
_STEP = 1.3  # from one level of the pyramid to the next
_LEVELS = 8
_CONTRAST = 8  # grey levels
_MIN_SIDE = 64  # the surroundings of a point do not fit into much less
_JPEG_QUALITY = 90
_BITS = 256
_DECODED = 32  # pictures: 20 MB


@dataclass(frozen=True)
class Points:
    """What is matched of a picture, the strongest first.

    `places` are float32 `(n, 2)`, x and y in pixels; `descriptors` and `mirrored` uint8 `(n, 32)`, and `inverted` the
    same of the first points only.
    """

    places: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    mirrored: NDArray[np.uint8]
    inverted: NDArray[np.uint8]


@dataclass(frozen=True)
class Features:
    """What is kept of one picture to compare it with others: about 130 KB. It can be pickled.

    `jpeg` is the picture in a frame of `width` x `height` pixels, `thumb` uint8 `(24, 24, 3)` the picture squashed,
    blue first. `sharp` is how many pixels the longer side had before it was scaled, at most `LONGEST`: a thumbnail has
    no fine details to compare.
    """

    width: int
    height: int
    sharp: int
    thumb: NDArray[np.uint8]
    jpeg: bytes
    _points: list[Points] = field(default_factory=list, repr=False, compare=False)

    @property
    def points(self) -> Points:
        """Its points: found when they are first asked for, which many copies never are, and kept."""
        if not self._points:
            grey = cv2.cvtColor(self.pixels(), cv2.COLOR_BGR2GRAY)
            self._points.append(_described(np.asarray(grey, np.uint8)))
        return self._points[0]

    @property
    def nbytes(self) -> int:
        """How many bytes it holds."""
        found = (array for points in self._points for array in vars(points).values())
        return len(self.jpeg) + int(self.thumb.nbytes) + sum(int(array.nbytes) for array in found)

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the picture, uint8 `(height, width, 3)`, blue first; it is shared, and cannot be written to."""
        return _decoded(self.jpeg)


@lru_cache(_DECODED)
def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """Decode a picture, unless it was a short while ago: a pair asks several times, and a picture is in several."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    pixels.setflags(write=False)
    return pixels


def features(pixels: NDArray[np.uint8]) -> Features:
    """Take the details of an RGB picture, uint8 `(height, width, 3)`, from one pixel on.

    It is scaled to `LONGEST` first, up as well as down: decode it at about that size. Equal pixels give equal details.
    A picture with nothing in it, or too narrow for anything, has no points. Pixels of another shape or type
    raise ValueError.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:  # noqa: PLR2004
        raise ValueError(f"details are found in uint8 pixels (height, width, 3), not in {pixels.dtype} {pixels.shape}")
    picture = cv2.cvtColor(_scaled(pixels), cv2.COLOR_RGB2BGR)
    height, width = picture.shape[:2]
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    thumb = np.asarray(cv2.resize(picture, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)
    return Features(width, height, min(LONGEST, max(pixels.shape)), thumb, jpeg.tobytes())


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = LONGEST / max(height, width)
    if scale == 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), np.uint8)


def _described(grey: NDArray[np.uint8]) -> Points:
    """Find points, and describe them in the picture, in its mirror image and in its negative."""
    found: Sequence[cv2.KeyPoint] = ()
    orb = cv2.ORB.create(_POINTS, scaleFactor=_STEP, nlevels=_LEVELS, fastThreshold=_CONTRAST)
    if min(grey.shape) >= _MIN_SIDE:
        found, descriptors = orb.detectAndCompute(grey, None)
    if not found:
        none = np.empty((0, _BITS // 8), np.uint8)
        return Points(np.empty((0, 2), np.float32), none, none, none)
    order = np.argsort([-point.response for point in found], kind="stable")
    found = [found[i] for i in order]
    # ORB multiplies a place in a smaller level by the level's scale; the centre of its pixel lies half a step further.
    scales = np.array([_STEP**point.octave for point in found])
    places = np.array([point.pt for point in found])
    centres = (places + (scales[:, None] - 1) / 2).astype(np.float32)
    flipped = np.stack([grey.shape[1] - scales - places[:, 0], places[:, 1]], axis=1)
    angles = np.array([point.angle for point in found])
    mirrored = _described_at(orb, np.asarray(cv2.flip(grey, 1), np.uint8), found, flipped, 180 - angles)
    # A negative turns every point's direction around, and every bit over.
    few = slice(_INVERTED)
    inverted = ~_described_at(orb, grey, found[few], places[few], angles[few] + 180)
    return Points(centres, np.asarray(descriptors, np.uint8)[order], mirrored, inverted)


def _described_at(
    orb: cv2.ORB,
    grey: NDArray[np.uint8],
    found: Sequence[cv2.KeyPoint],
    places: NDArray[np.float64],
    angles: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Describe the surroundings of points at other places, turned otherwise; zeros where there is no room for them."""
    keys = [
        cv2.KeyPoint(x, y, point.size, angle, point.response, point.octave, number)
        for number, (point, (x, y), angle) in enumerate(
            zip(found, places.tolist(), (angles % 360).tolist(), strict=True)
        )
    ]
    kept, descriptors = orb.compute(grey, keys)
    out = np.zeros((len(found), _BITS // 8), np.uint8)
    if kept:
        out[[key.class_id for key in kept]] = descriptors
    return out
