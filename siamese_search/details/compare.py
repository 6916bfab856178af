"""Does one picture show the other, and where do they differ? The verdict on a pair."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from siamese_search.details.alignment import Alignment, Matrix, best_match, laid_on, snapped
from siamese_search.details.colours import Colours, relate
from siamese_search.details.differences import Evidence, examine
from siamese_search.details.exact import laid_exactly
from siamese_search.details.features import LONGEST, Features
from siamese_search.details.overlap import Overlap, covered, overlap
from siamese_search.details.places import differences
from siamese_search.details.plain import same_everywhere, same_shades
from siamese_search.details.remainder import remainders
from siamese_search.details.seam import is_added
from siamese_search.details.verdict import Comparison, Verdict

_AS_IT_IS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_WHOLE = Comparison(Verdict.CONFIRMED, agreement=1.0, covers=1.0, covered=1.0, transform=_AS_IT_IS)
_ORDER = {verdict: place for place, verdict in enumerate(Verdict)}
_MIN_POINTS = 12  # in a picture, for its not matching to say anything
_MANY_POINTS = 100
_LAID_RIGHT = 0.98  # agreement: what still differs then is no matter of where they lie
_SAME_FROM_AFAR = 0.995  # correlation of thumbs
_CLEARLY_AGREES = 0.9  # agreement of frames that look alike at a glance: no points are needed then
_MEETING, _NEARLY = 0.05, 0.2  # roughness of edges that lie on each other, and of those that nearly do
_LARGE, _BROAD = 0.03, 300  # what differs, as a share and in pixels, where something was added or exchanged
_MIN_INLIERS = 10
_MIN_COVERED = 0.93  # of one of the two: what both have more than that is another picture
_MIN_WINDOWS = 5.0
_FEW_WINDOWS = 80.0  # so few may be the edges of a frame that was added
_MIN_EDGES = 400  # pixels, without those


@dataclass(frozen=True)
class Limits:
    """Up to where a pair of this `roughness` is one: see `Evidence` for what is limited."""

    roughness: float
    agreement: float
    differing: float
    strokes: int
    crowded: int


# Found on half of the photos, manuals and templates of benchmarks/details.py; docs/details.md has what they do on the
# other half. The first row whose roughness is not exceeded counts; beyond the last nothing is confirmed.
_PHOTO = (
    Limits(roughness=0.1, agreement=0.75, differing=0.0015, strokes=24, crowded=8),
    Limits(roughness=0.2, agreement=0.75, differing=0.0015, strokes=48, crowded=100),
    Limits(roughness=0.45, agreement=0.75, differing=0.0025, strokes=64, crowded=345),
    Limits(roughness=0.85, agreement=0.65, differing=0.005, strokes=64, crowded=410),
)
_DRAWN = (Limits(roughness=0.15, agreement=0.9, differing=0.0005, strokes=3, crowded=8),)
_MAX_HUE = 25.0
_RECOLOURED = 12.0
_MAX_UNEXPLAINED = 0.08
_MAX_STRANGE = 0.002
_MAX_TINT = 6.0
_MAX_MARKED = 0.0005
_MAX_REPAINTED = 18.0
_PAPER = 0.3  # of one tone, or
_FLAT = 0.9  # without edges, or
_SPARSE = 40.0  # windows: it is drawn, written, or a photo that shows next to nothing
_SIGN = 0.87  # without edges: an arrow, a hand; where it points may be all that it says
_TILTED = 10.0  # degrees
_RICH = 25  # tones: with so many, a change of all of them is one of light, not of paint
_MIN_SHARP = 128  # pixels: smaller drawings and pages have lost what tells them from others

_ALTERED_INLIERS, _ALTERED_AGREEMENT = 15, 0.45
_SURE_INLIERS, _SURE_AGREEMENT = 100, 0.25


def compare(first: Features, second: Features) -> Comparison:
    """Compare two pictures, whichever shows more: turned, in the mirror, inverted, or seen from the side.

    Equal input gives equal answers; which one is the first makes next to no difference. What the arithmetic breaks
    down on counts as unchecked.
    """
    try:
        return _compare(first, second)
    except (cv2.error, np.linalg.LinAlgError):
        return Comparison(Verdict.UNCHECKED)


def _compare(first: Features, second: Features) -> Comparison:
    if same_shades(first, second):
        return _WHOLE
    found = _compare_laid(first, second)
    if found.verdict in {Verdict.ALIKE, Verdict.UNCHECKED} and same_everywhere(first, second):
        return replace(_WHOLE, drawn=True)
    return found


def _compare_laid(first: Features, second: Features) -> Comparison:
    at_once = laid_on(first, second)
    known = _lay(first, second, at_once) if at_once else None
    if known and _is_clear(known):
        return _comparison(first, second, known)
    best: _Laid | None = None
    for alignment in _alignments(first, second, at_once):
        laid = _lay(first, second, alignment, known)
        if best is None or _ORDER[laid.verdict] < _ORDER[best.verdict]:
            best = laid
        if laid.verdict is Verdict.CONFIRMED or not _may_lie_otherwise(laid):
            break
    if best:
        return _comparison(first, second, best)
    few = _fewest_points(first, second) < _MIN_POINTS
    return Comparison(Verdict.UNCHECKED if few else Verdict.ALIKE)


def _alignments(first: Features, second: Features, at_once: Alignment | None) -> Iterator[Alignment]:
    """Yield how the second may lie in the first: all on all if that may be, as most copies do, then by its points.

    `at_once` is how they lie as far as can be seen without points.
    """
    best = best_match(first.points, second.points)
    if best:
        whole = snapped(first, second, best)
    elif _fewest_points(first, second) < _MANY_POINTS:
        whole = at_once
    else:  # so many points, and none of them agree; but in rows of equal bars no point knows its place
        whole = laid_on(first, second, likeness=_SAME_FROM_AFAR) if at_once else None
    yield from (alignment for alignment in (whole, best) if alignment)


def _fewest_points(first: Features, second: Features) -> int:
    return min(len(first.points.places), len(second.points.places))


@dataclass(frozen=True)
class _Seen:
    """Two pictures on one frame, and what that shows."""

    both: Overlap
    evidence: Evidence
    colours: Colours


@dataclass(frozen=True)
class _Laid:
    """How one picture lies in another, what that shows, if one is all in the other, and what it says."""

    alignment: Alignment
    covers: float
    covered: float
    seen: _Seen | None
    verdict: Verdict


def _lay(first: Features, second: Features, alignment: Alignment, known: _Laid | None = None) -> _Laid:
    """Look at two pictures laid on each other, unless it is `known` what that shows."""
    of_first, of_second = covered(first, second, alignment.matrix)
    if max(of_first, of_second) < _MIN_COVERED or 0 < alignment.inliers < _MIN_INLIERS:
        return _Laid(alignment, of_first, of_second, None, Verdict.ALIKE)
    sharp = min(first.sharp, second.sharp)
    if known and known.seen and np.array_equal(known.alignment.matrix, alignment.matrix):
        seen = known.seen
    else:
        seen = _look(overlap(first, second, alignment))
    verdict = _verdict(alignment, seen, sharp)
    if verdict is Verdict.ALTERED and len(alignment.source) and _may_lie_closer(seen):
        exact = _look(laid_exactly(first, second, alignment.matrix))
        if _verdict(alignment, exact, sharp) is Verdict.CONFIRMED:
            seen, verdict = exact, Verdict.CONFIRMED
    return _Laid(alignment, of_first, of_second, seen, verdict)


def _look(both: Overlap) -> _Seen:
    evidence = examine(both)
    return _Seen(both, evidence, relate(both, evidence.content, negative=evidence.negative))


def _is_clear(laid: _Laid) -> bool:
    """Tell whether frames that look alike at a glance need no points to say that they are one.

    Photos of two things do not agree so; pages of one book may.
    """
    return (
        laid.verdict is Verdict.CONFIRMED
        and laid.seen is not None
        and laid.seen.evidence.agreement >= _CLEARLY_AGREES
        and not _is_drawn(laid.seen.evidence)
    )


def _may_lie_closer(seen: _Seen) -> bool:
    """Tell whether altered pictures may be one that is laid on itself a pixel off.

    Where edges meet, or what differs is large or of another colour, it is no matter of where they lie.
    """
    evidence = seen.evidence
    return (
        evidence.roughness > _MEETING
        and evidence.differing <= _LARGE
        and evidence.strokes <= _BROAD
        and seen.colours.strange <= _MAX_STRANGE
    )


def _may_lie_otherwise(laid: _Laid) -> bool:
    """Tell whether another alignment may show more: frames that were laid on each other may be no more than near."""
    if laid.seen is None:
        return True
    right = laid.seen.evidence.agreement > _LAID_RIGHT
    near = laid.verdict is not Verdict.ALTERED or (
        laid.seen.evidence.roughness > _NEARLY and _may_lie_closer(laid.seen)
    )
    return near and not right


def _comparison(first: Features, second: Features, laid: _Laid) -> Comparison:
    """Say what is seen of two pictures, and of those that are one, what the second is of the first."""
    found = Comparison(laid.verdict, covers=laid.covers, covered=laid.covered, matches=laid.alignment.inliers)
    if laid.seen is None:
        return found
    seen, evidence, colours = laid.seen, laid.seen.evidence, laid.seen.colours
    found = replace(found, agreement=evidence.agreement)
    if laid.verdict not in {Verdict.CONFIRMED, Verdict.ALTERED}:
        return found
    matrix = _matrix(seen.both)
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    turned = _turned(matrix, mirrored=mirrored)
    recoloured = colours.turned > _RECOLOURED or colours.unexplained > _MAX_UNEXPLAINED
    points_elsewhere = _is_sign(evidence) and (mirrored or abs(turned) > _TILTED)
    is_altered = laid.verdict is Verdict.ALTERED or points_elsewhere
    boxes = (evidence.boxes() or colours.boxes) if is_altered else ()
    in_first, in_second = differences(first, second, seen.both, boxes)
    only_first, only_second = remainders(first, second, matrix, whole=min(laid.covers, laid.covered) >= _MIN_COVERED)
    return replace(
        found,
        verdict=Verdict.ALTERED if is_altered else Verdict.CONFIRMED,
        drawn=_is_drawn(evidence),
        only_first=only_first,
        only_second=only_second,
        added=_added(first, second, matrix, laid),
        mirrored=mirrored,
        inverted=evidence.negative,
        recoloured=recoloured and not evidence.negative,
        turned=turned,
        transform=tuple(tuple(row) for row in _in_shares(first, second, matrix).tolist()),
        differences=in_first,
        differences_in_second=in_second,
        largest=evidence.differing if is_altered else 0.0,
    )


def _added(first: Features, second: Features, matrix: Matrix, laid: _Laid) -> int:
    """Return which of two pictures, 1 or 2, has something put around what the other one shows, 0 if neither."""
    if min(laid.covers, laid.covered) >= _MIN_COVERED:
        return 0
    if laid.covers < laid.covered:
        return 1 if is_added(first, second, matrix) else 0
    return 2 if is_added(second, first, np.asarray(np.linalg.inv(matrix), np.float64)) else 0


def _matrix(both: Overlap) -> Matrix:
    """Return what takes the second picture's points to the first's."""
    return both.to_other if both.swapped else np.asarray(np.linalg.inv(both.to_other), np.float64)


def _verdict(alignment: Alignment, seen: _Seen, sharp: int) -> Verdict:
    evidence = seen.evidence
    few = evidence.windows < _FEW_WINDOWS
    if evidence.windows < _MIN_WINDOWS or (few and not _more_than_a_frame(seen.both, evidence)):
        return Verdict.UNCHECKED
    if _one(evidence, seen.colours, sharp):
        return Verdict.CONFIRMED
    if evidence.agreement >= _ALTERED_AGREEMENT and (not alignment.inliers or alignment.inliers >= _ALTERED_INLIERS):
        return Verdict.ALTERED
    if evidence.agreement >= _SURE_AGREEMENT and alignment.inliers >= _SURE_INLIERS:
        return Verdict.ALTERED
    return Verdict.ALIKE


def _one(evidence: Evidence, colours: Colours, sharp: int) -> bool:
    """Tell whether two pictures show one thing, as far as they overlap.

    Photos of different things hardly ever fit each other, and are allowed more wear. Pages, screens and drawings have
    templates in common, and a digit may be all that differs.
    """
    drawn = _is_drawn(evidence)
    if drawn and evidence.tones < _RICH:
        coloured = colours.repainted > _MAX_REPAINTED
    else:
        coloured = not colours.toned and (colours.turned > _MAX_HUE or colours.unexplained > _MAX_UNEXPLAINED)
    # What a negative clips is strange to it, and to greys all colours are.
    coloured |= colours.strange > _MAX_STRANGE and not (evidence.negative or colours.toned)
    coloured |= colours.tint > _MAX_TINT or (drawn and colours.marked > _MAX_MARKED)
    if coloured or (drawn and sharp < _MIN_SHARP):
        return False
    # Of a small drawing that was enlarged, a pixel is no difference yet.
    pixel = (LONGEST / sharp) ** 2 if drawn else 1
    for limits in _DRAWN if drawn else _PHOTO:
        if evidence.roughness <= limits.roughness:
            return (
                evidence.agreement >= limits.agreement
                and evidence.differing <= limits.differing
                and evidence.strokes <= limits.strokes * pixel
                and evidence.crowded <= limits.crowded * pixel
            )
    return False


def _is_drawn(evidence: Evidence) -> bool:
    return evidence.paper > _PAPER or evidence.flat > _FLAT or evidence.windows < _SPARSE


def _is_sign(evidence: Evidence) -> bool:
    """Tell whether there is so little drawn that turned or in the mirror it says something else: left, not right."""
    return evidence.paper > _PAPER and evidence.flat > _SIGN and evidence.tones < _RICH


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


def _turned(matrix: Matrix, *, mirrored: bool) -> float:
    """Return by how many degrees the second picture is turned against the first, clockwise."""
    (a, b), (c, d) = np.diag([-1.0 if mirrored else 1.0, 1.0]) @ matrix[:2, :2]
    return -float(np.degrees(np.arctan2(c - b, a + d)))
