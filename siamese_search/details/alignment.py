"""How one picture lies in another: points matched by what surrounds them, and one transform that most matches obey."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.features import LONGEST, Features, Points
from siamese_search.faiss_threads import one_thread

Matrix = NDArray[np.float64]
Places = NDArray[np.float32]

MIN_INLIERS = 8
_SURE = 50  # inliers: as something else it will not lie there better
_RATIO = 0.8  # a match counts when the second nearest surroundings are at least that much farther (Lowe, 2004)
_TOLERANCE = 4.0  # pixels
_FINE_TOLERANCE = 3.0
_ROUNDS = 1000  # at the most; few of them are needed where the pictures match
_CERTAINTY = 0.995
_MIN_FOR_PERSPECTIVE = 12
_MAX_SCALE = 10.0
_MAX_STRETCH = 2.5  # one side against the other
_MAX_TILT = 3.0  # how much nearer one corner may be than another, seen from the side
_SAME_SHAPE = 1.03
SAME_THUMB = 0.9  # correlation
_SNAP = 8.0  # pixels that the corners may be off
_NONE: Places = np.empty((0, 2), np.float32)


@dataclass(frozen=True)
class Alignment:
    """How the second picture may lie in the first: `matrix`, 3 x 3, takes the second's points to the first's.

    `source` (in the second) and `target` (in the first) are the matched points, float32 `(n, 2)`, of which `inliers`
    obey the matrix. There are none of them where the frames are simply laid on each other.
    """

    matrix: Matrix
    inliers: int
    source: Places
    target: Places


def best_match(first: Points, second: Points) -> Alignment | None:
    """Return the alignment that most matched points obey, as the second is, in the mirror or as a negative."""
    if min(len(first.places), len(second.places)) < MIN_INLIERS:
        return None
    index = faiss.IndexBinaryFlat(8 * first.descriptors.shape[1])
    index.add(first.descriptors)
    (found,) = _alignments(index, first, second, [second.descriptors])
    if found and found.inliers >= _SURE:
        return found
    others = _alignments(index, first, second, [second.mirrored, second.inverted])
    return max(filter(None, (found, *others)), key=lambda alignment: alignment.inliers, default=None)


def _alignments(
    index: faiss.IndexBinary, first: Points, second: Points, variants: Sequence[NDArray[np.uint8]]
) -> list[Alignment | None]:
    """Return the alignment that the second's points obey by each variant of their descriptors, where enough do.

    The index holds the first's descriptors.
    """
    distances, nearest = _two_nearest(index, np.concatenate(variants))
    distinct = distances[:, 0] < _RATIO * distances[:, 1]
    found: list[Alignment | None] = []
    start = 0
    for descriptors in variants:
        rows = np.flatnonzero(distinct[start : start + len(descriptors)])
        source, target = second.places[rows], first.places[nearest[start + rows, 0]]
        start += len(descriptors)
        fit = _fitted(source, target)
        found.append(Alignment(*fit, source, target) if fit else None)
    return found


@one_thread()
def _two_nearest(index: faiss.IndexBinary, asked: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return in how many bits the two nearest descriptors differ, and their rows, each `(n, 2)`."""
    distances, nearest = index.search(asked, 2)
    return distances, nearest


def laid_on(first: Features, second: Features, *, likeness: float = SAME_THUMB) -> Alignment | None:
    """Return how two frames of one shape lie on each other, turned or mirrored, if the pictures look alike so.

    `likeness` is the least correlation of what they look like from afar.
    """
    best, found = likeness, None
    goal, grey = _standardised(first.thumb), _standardised(second.thumb)
    for turns, mirror in product(range(4), (False, True)):
        width, height = (second.height, second.width) if turns % 2 else (second.width, second.height)
        if not 1 / _SAME_SHAPE < first.width * height / (first.height * width) < _SAME_SHAPE:
            continue
        correlation = float((goal * np.rot90(grey[:, ::-1] if mirror else grey, turns)).mean())
        if correlation > best:
            matrix = _turn(first, second, turns=turns, mirror=mirror)
            best, found = correlation, Alignment(matrix, 0, _NONE, _NONE)
    return found


def snapped(first: Features, second: Features, alignment: Alignment) -> Alignment | None:
    """Return one frame laid on all of the other, where an alignment all but says so: it cannot be as exact."""
    frame = corners(second.width, second.height)
    for turns, mirror in product(range(4), (False, True)):
        matrix = _turn(first, second, turns=turns, mirror=mirror)
        if np.linalg.norm(project(alignment.matrix, frame) - project(matrix, frame), axis=1).max() < _SNAP:
            return Alignment(matrix, alignment.inliers, _NONE, _NONE)
    return None


def corners(width: float, height: float) -> Places:
    """Return the corners of a frame, float32 `(4, 2)`, one after the other around it."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def _standardised(thumb: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = thumb.astype(np.float32).mean(axis=2)
    return np.asarray((grey - grey.mean()) / (grey.std() + 1), np.float32)


def _turn(first: Features, second: Features, *, turns: int, mirror: bool) -> Matrix:
    """Return the matrix that mirrors a frame, turns it by quarters, counter-clockwise, and lays it on another."""
    to_unit = np.diag([1 / second.width, 1 / second.height, 1.0])
    if mirror:
        to_unit = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ to_unit
    quarter = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]])
    placed = np.diag([first.width, first.height, 1.0]) @ np.linalg.matrix_power(quarter, turns) @ to_unit
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # a pixel's place is its centre
    return np.asarray(np.linalg.inv(half) @ placed @ half, np.float64)


def _fitted(source: Places, target: Places) -> tuple[Matrix, int] | None:
    """Return the affine transform that most matches obey, or one in perspective where clearly more obey that."""
    if len(source) < MIN_INLIERS:
        return None
    # Both searches draw from a generator of their own that starts alike in every call.
    affine, _ = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=_ROUNDS, confidence=_CERTAINTY
    )
    if affine is None:
        return None
    matrix = np.vstack([affine, [0.0, 0.0, 1.0]])
    inliers = _obeying(matrix, source, target)
    if inliers < MIN_INLIERS or not _possible(matrix):
        return None
    enough = 1.1 * inliers + 3
    if inliers >= _MIN_FOR_PERSPECTIVE and len(source) > enough:
        seen, _ = cv2.findHomography(
            source, target, cv2.RANSAC, _FINE_TOLERANCE, maxIters=_ROUNDS // 2, confidence=_CERTAINTY
        )
        if seen is not None and _possible(seen):
            more = _obeying(seen, source, target)
            if more > enough:
                return np.asarray(seen, np.float64), more
    return matrix, inliers


def project(matrix: Matrix, points: NDArray[np.floating]) -> Matrix:
    """Take points `(n, 2)` through a 3 x 3 matrix."""
    through = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(through[:, :2] / through[:, 2:], np.float64)


def _obeying(matrix: Matrix, source: Places, target: Places) -> int:
    with np.errstate(all="ignore"):
        off = np.linalg.norm(project(matrix, source) - target, axis=1)
    return int((off < _TOLERANCE).sum())


def _possible(matrix: Matrix) -> bool:
    """Tell whether a picture can lie so in another: no point at infinity, not out of all proportion."""
    corners = np.array([[0, 0], [0, LONGEST], [LONGEST, 0], [LONGEST, LONGEST]])
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not np.isfinite(matrix).all() or depth.min() <= 0 or depth.max() > _MAX_TILT * depth.min():
        return False
    large, small = np.linalg.svd(matrix[:2, :2] / matrix[2, 2], compute_uv=False)
    return bool(small > 1 / _MAX_SCALE and large < _MAX_SCALE and large < _MAX_STRETCH * small)
