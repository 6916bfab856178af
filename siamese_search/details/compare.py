"""Does one picture show the other, and where do they differ? The verdict on a pair."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from siamese_search.details.alignment import Alignment, Matrix, laid_on, matched, project
from siamese_search.details.colours import Colours, relate
from siamese_search.details.differences import Box, Evidence, examine
from siamese_search.details.features import Features
from siamese_search.details.overlap import Overlap, overlap

Verdict = Literal["confirmed", "altered", "alike", "unchecked"]
Change = Literal["mirrored", "turned", "inverted", "cropped", "recoloured"]

_MIN_POINTS = 12  # in a picture, for its not matching to say anything
_MIN_INLIERS = 10
_MIN_COVERED = 0.93  # of one of the two: what both have more than that is another picture
_MIN_WINDOWS = 5.0
_FEW_WINDOWS = 80.0  # so few may be the edges of a frame that was added
_MIN_EDGES = 400  # pixels, without those
_TURNED = 2.0  # degrees
_CROPPED = 0.9


@dataclass(frozen=True)
class Limits:
    """Up to where a pair of this `roughness` is one: see `Evidence` for what is limited."""

    roughness: float
    agreement: float
    differing: float
    strokes: int


# Found on half of the photos, manuals and templates of benchmarks/details.py; docs/details.md has what they do on the
# other half. The first row whose roughness is not exceeded counts; beyond the last nothing is confirmed.
_PHOTO = (
    Limits(roughness=0.1, agreement=0.75, differing=0.0015, strokes=24),
    Limits(roughness=0.2, agreement=0.75, differing=0.0015, strokes=48),
    Limits(roughness=0.45, agreement=0.75, differing=0.0025, strokes=64),
    Limits(roughness=0.85, agreement=0.65, differing=0.005, strokes=64),
)
_DRAWN = (Limits(roughness=0.15, agreement=0.9, differing=0.0005, strokes=3),)
_MAX_HUE = 25.0
_MAX_UNEXPLAINED = 0.08
_MAX_REPAINTED = 18.0
_PAPER = 0.3  # of one tone, or
_FLAT = 0.9  # without edges, or
_SPARSE = 40.0  # windows: it is drawn, written, or a photo that shows next to nothing
_MIN_SHARP = 128  # pixels: smaller drawings and pages have lost what tells them from others

_ALTERED_INLIERS, _ALTERED_AGREEMENT = 15, 0.45
_SURE_INLIERS, _SURE_AGREEMENT = 100, 0.25


@dataclass(frozen=True)
class Difference:
    """A region that differs: its box in the first and in the second picture.

    Left, top, right, bottom, as shares of the picture's width and height, in [0, 1]. In a turned picture the box
    holds the region and more.
    """

    first: Box
    second: Box


@dataclass(frozen=True)
class Comparison:
    """What the details of two pictures say.

    `agreement` is the share of the overlap's structure that agrees, and `covered` the share of the first and of the
    second picture that the overlap is, all in [0, 1]. `transform`, 3 x 3, takes places in the second picture to the
    first, both as shares of width and height; it is None where the pictures could not be laid on each other, and then
    agreement and covered are 0. `matches` is how many points say so. `differences` are the regions that differ, the
    largest first, when the verdict is `altered`. `changes` says what was done to make one of the other.
    """

    verdict: Verdict
    agreement: float = 0.0
    covered: tuple[float, float] = (0.0, 0.0)
    transform: tuple[tuple[float, float, float], ...] | None = None
    matches: int = 0
    differences: tuple[Difference, ...] = ()
    changes: tuple[Change, ...] = ()


def compare(first: Features, second: Features) -> Comparison:
    """Compare the details of two pictures.

    `confirmed`: they agree wherever the two overlap, and the overlap is all of one of them. `altered`: one picture, but a
    part differs. `alike`: the details do not agree. `unchecked`: there is too little to compare. Deterministic; the order
    of the two hardly matters, but it is not without effect.
    """
    try:
        return _compare(first, second)
    except (cv2.error, np.linalg.LinAlgError):
        return Comparison("unchecked")  # pictures on which the arithmetic breaks down


def _compare(first: Features, second: Features) -> Comparison:
    alignments = matched(first, second) or laid_on(first, second)
    if not alignments:
        few = min(len(first.points), len(second.points)) < _MIN_POINTS
        return Comparison("unchecked" if few else "alike")
    alignment = alignments[0]
    both = overlap(first, second, alignment)
    evidence = examine(both)
    colours = relate(both, evidence.content, negative=evidence.negative)
    sharp = min(first.sharp, second.sharp)
    verdict = _verdict(alignment, both, evidence, colours, sharp)
    transform = _in_shares(first, second, alignment.matrix)
    return Comparison(
        verdict,
        evidence.agreement,
        both.covered,
        tuple((float(a), float(b), float(c)) for a, b, c in transform),
        alignment.inliers,
        _differences(first, second, both, evidence) if verdict == "altered" else (),
        _changes(alignment, both, evidence, colours) if verdict in {"confirmed", "altered"} else (),
    )


def _verdict(alignment: Alignment, both: Overlap, evidence: Evidence, colours: Colours, sharp: int) -> Verdict:
    laid = len(alignment.source) == 0
    if evidence.windows < _MIN_WINDOWS or (evidence.windows < _FEW_WINDOWS and not _more_than_a_frame(both, evidence)):
        return "unchecked"
    if max(both.covered) < _MIN_COVERED or (not laid and alignment.inliers < _MIN_INLIERS):
        return "alike"
    if _one(evidence, colours, sharp):
        return "confirmed"
    if evidence.agreement >= _ALTERED_AGREEMENT and (laid or alignment.inliers >= _ALTERED_INLIERS):
        return "altered"
    if evidence.agreement >= _SURE_AGREEMENT and alignment.inliers >= _SURE_INLIERS:
        return "altered"
    return "alike"


def _one(evidence: Evidence, colours: Colours, sharp: int) -> bool:
    """Tell whether two pictures show one thing, as far as they overlap.

    Photos of different things hardly ever fit each other, and are allowed more wear. Pages, screens and drawings have
    templates in common, and a digit may be all that differs.
    """
    drawn = evidence.paper > _PAPER or evidence.flat > _FLAT or evidence.windows < _SPARSE
    if drawn:
        coloured = colours.repainted > _MAX_REPAINTED
    else:
        coloured = not colours.toned and (colours.turned > _MAX_HUE or colours.unexplained > _MAX_UNEXPLAINED)
    if coloured or (drawn and sharp < _MIN_SHARP):
        return False
    for limits in _DRAWN if drawn else _PHOTO:
        if evidence.roughness <= limits.roughness:
            return (
                evidence.agreement >= limits.agreement
                and evidence.differing <= limits.differing
                and evidence.strokes <= limits.strokes
            )
    return False


def _more_than_a_frame(both: Overlap, evidence: Evidence) -> bool:
    """Tell whether there are edges beside those of bars and corners that were added around both pictures."""
    grey = cv2.cvtColor(both.base, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    filled = np.zeros((height + 2, width + 2), np.uint8)
    corners = ((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1))
    areas = []
    for number, corner in enumerate(corners, start=1):
        if filled[corner[1] + 1, corner[0] + 1] == 0:
            how = 4 | (number << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
            cv2.floodFill(grey, filled, corner, 0, loDiff=6, upDiff=6, flags=how)
            areas.append(number)
    if len(areas) == 1:  # all around is one: the ground that something is drawn on
        return True
    added = cv2.dilate((filled[1:-1, 1:-1] > 0).astype(np.uint8), np.ones((17, 17), np.uint8))
    return int((evidence.content & (added == 0)).sum()) >= _MIN_EDGES


def _in_shares(first: Features, second: Features, matrix: Matrix) -> Matrix:
    """Return a matrix of pixels' centres as one of shares of width and height."""
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shares = (
        np.diag([1 / first.width, 1 / first.height, 1.0])
        @ half
        @ matrix
        @ np.linalg.inv(half)
        @ np.diag([second.width, second.height, 1.0])
    )
    return np.asarray(shares / shares[2, 2], np.float64)


def _differences(first: Features, second: Features, both: Overlap, evidence: Evidence) -> tuple[Difference, ...]:
    found = []
    for left, top, right, bottom in evidence.boxes:
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        there = project(both.to_other, corners)
        here = (left, top, right, bottom)
        other = (*there.min(axis=0).tolist(), *there.max(axis=0).tolist())
        of_first, of_second = (other, here) if both.swapped else (here, other)
        found.append(Difference(_shares(of_first, first), _shares(of_second, second)))
    return tuple(found)


def _shares(box: Box, picture: Features) -> Box:
    left, top, right, bottom = box
    width, height = picture.width, picture.height
    within = np.clip([left / width, top / height, right / width, bottom / height], 0, 1).tolist()
    return (within[0], within[1], within[2], within[3])


def _changes(alignment: Alignment, both: Overlap, evidence: Evidence, colours: Colours) -> tuple[Change, ...]:
    linear = alignment.matrix[:2, :2]
    mirrored = np.linalg.det(linear) < 0
    upright = linear @ np.diag([-1.0, 1.0]) if mirrored else linear
    angle = abs(float(np.degrees(np.arctan2(upright[1, 0] - upright[0, 1], upright[0, 0] + upright[1, 1]))))
    recoloured = colours.turned > _MAX_HUE / 2 or colours.unexplained > _MAX_UNEXPLAINED
    said: dict[Change, bool] = {
        "mirrored": bool(mirrored),
        "turned": angle > _TURNED,
        "inverted": evidence.negative,
        "cropped": min(both.covered) < _CROPPED,
        "recoloured": recoloured and not evidence.negative,
    }
    return tuple(change for change, done in said.items() if done)
