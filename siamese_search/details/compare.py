"""Two pictures compared in detail: whether one is the other, whole or in part, and where they differ.

Corners that look alike are matched; one affine map that many of the matches follow is looked for by RANSAC
(M. Fischler, R. Bolles, 1981). The map alone would not do: two pages of one book share their headings, two forms
everything but what was filled in. So one picture is laid on the other, see `laid`, and what both show is compared place
by place.
"""

from dataclasses import replace

import cv2
import faiss
import numpy as np

from siamese_search.details.features import Features
from siamese_search.details.laid import Map, compare_laid
from siamese_search.details.plain import compare_plain
from siamese_search.details.verdict import Comparison, Verdict
from siamese_search.faiss_threads import one_thread

_RATIO = 0.8  # of the distances of the nearest and the second nearest descriptor (D. Lowe, 2004)
_BITS = 256
_MIN_POINTS = 8
_MIN_FOLLOWERS = 10  # matches that follow the map
_REACH = 4.0  # pixels that they may be off
_TRIES = 1000
_MIN_AREA, _MAX_AREA = 0.015, 60.0  # factor by which the map may change areas
_ONE_SHAPE = 0.03  # by which proportions may differ, as they do when a size is rounded
_MAX_STRETCH = 2.6  # of one direction against the other


def compare(first: Features, second: Features) -> Comparison:
    """Compare two pictures, whichever shows more: upright, in the mirror, or inverted.

    Equal input gives equal answers. What OpenCV cannot work with counts as unchecked.
    """
    try:
        return _compare(first, second)
    except cv2.error:
        return Comparison(Verdict.UNCHECKED)


def _compare(first: Features, second: Features) -> Comparison:
    whole = _whole(first, second)
    if whole is not None and (found := compare_laid(first, second, whole)).verdict is Verdict.CONFIRMED:
        return found  # as most copies are: encoded again, another size
    if min(len(first.places), len(second.places)) < _MIN_POINTS:
        return compare_plain(first, second)
    best = Comparison(Verdict.ALIKE)
    for is_mirrored, is_inverted in ((False, False), (True, False), (False, True)):
        other = second.mirrored if is_mirrored else second.inverted if is_inverted else second
        onto = _fit(first, other)
        if onto is not None:
            found = compare_laid(first, other, onto)
            if found.agreement > best.agreement:
                best = replace(found, mirrored=is_mirrored, inverted=is_inverted)
        if best.verdict is not Verdict.ALIKE:
            break
    return best


def _whole(first: Features, second: Features) -> Map | None:
    """Return the map that lays all of the second picture on all of the first, where they have one shape."""
    across, down = (one / other for one, other in zip(first.size, second.size, strict=True))
    return np.array([[across, 0, 0], [0, down, 0]]) if abs(across / down - 1) < _ONE_SHAPE else None


@one_thread()
def _fit(first: Features, second: Features) -> Map | None:
    """Return the affine map that takes places of the second picture to those of the first, if there is one."""
    index = faiss.IndexBinaryFlat(_BITS)
    index.add(first.descriptors)
    apart, nearest = index.search(second.descriptors, 2)
    good = np.flatnonzero(apart[:, 0] < _RATIO * apart[:, 1])
    if len(good) < _MIN_FOLLOWERS:
        return None
    source, target = second.places[good], first.places[nearest[good, 0]]
    cv2.setRNGSeed(0)
    found, follows = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_REACH, maxIters=_TRIES, confidence=0.995
    )
    if found is None or int(follows.sum()) < _MIN_FOLLOWERS or not np.isfinite(found).all():
        return None
    stretches = np.linalg.svd(found[:, :2], compute_uv=False)
    area = float(stretches[0] * stretches[1])
    if not (_MIN_AREA < area < _MAX_AREA and stretches[0] < _MAX_STRETCH * stretches[1]):
        return None
    return np.asarray(found, np.float64)
