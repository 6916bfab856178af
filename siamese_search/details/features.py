"""What is compared of a picture: local features, and the picture itself, small.

The features are ORB's (E. Rublee, V. Rabaud, K. Konolige, G. Bradski, ORB: an efficient alternative to SIFT or SURF,
2011): corners at several sizes, each with 256 comparisons of greys around it, turned as the corner is.
"""

import threading
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST = 512  # pixels of the longer side of what is compared
_POINTS = 800
_LEVELS = 8
_STEP = 1.3  # from one size to the next
_EDGE = 20  # pixels from the rim within which no corner is described
_CORNER = 8  # difference of greys
_COLOURS = 64  # pixels of the longer side of the colours that are kept

Pixels = NDArray[np.uint8]

_local = threading.local()


@dataclass(frozen=True, eq=False)
class Features:
    """A picture's greys, uint8 (h, w), its colours, uint8 (h', w', 3), and its corners: places and descriptors.

    `places` is float32 (n, 2), in pixels of the greys, and `descriptors` uint8 (n, 32). `enlarged` is the factor by
    which the picture was, above 1 where it has fewer pixels than its greys.
    """

    greys: Pixels
    colours: Pixels
    enlarged: float
    places: NDArray[np.float32]
    descriptors: Pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the greys."""
        return self.greys.shape[1], self.greys.shape[0]

    @cached_property
    def mirrored(self) -> "Features":
        """The picture in the mirror; its descriptors are found anew, since they cannot be turned into those."""
        greys, colours = (np.ascontiguousarray(pixels[:, ::-1]) for pixels in (self.greys, self.colours))
        return _of(greys, colours, self.enlarged)

    @cached_property
    def inverted(self) -> "Features":
        """The picture with black for white; its corners turn round as well, so they are described anew."""
        return _of(255 - self.greys, 255 - self.colours, self.enlarged)


def features(pixels: Pixels) -> Features:
    """Return the features of a picture, RGB uint8 (h, w, 3) of at least one pixel.

    Its greys are brought to LONGEST: small pictures are enlarged, so that there is room for corners.
    """
    shown = _scaled(np.ascontiguousarray(pixels), LONGEST)
    greys = np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), np.uint8)
    return _of(greys, _scaled(shown, _COLOURS), LONGEST / max(pixels.shape[:2]))


def _of(greys: Pixels, colours: Pixels, enlarged: float) -> Features:
    try:
        corners, descriptors = _detector().detectAndCompute(greys, None)
    except cv2.error:  # too narrow to look for corners in
        corners, descriptors = (), None
    if descriptors is None:
        return Features(greys, colours, enlarged, np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8))
    places = np.array([corner.pt for corner in corners], np.float32).reshape(-1, 2)
    return Features(greys, colours, enlarged, places, np.asarray(descriptors, np.uint8))


def _detector() -> cv2.ORB:
    """Return this thread's own detector."""
    if not hasattr(_local, "detector"):
        _local.detector = cv2.ORB.create(
            _POINTS, scaleFactor=_STEP, nlevels=_LEVELS, edgeThreshold=_EDGE, patchSize=31, fastThreshold=_CORNER
        )
    detector: cv2.ORB = _local.detector
    return detector


def _scaled(pixels: Pixels, longest: int) -> Pixels:
    scale = longest / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
    )
