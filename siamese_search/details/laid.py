"""One picture laid on another, and compared where both can be seen.

Greys are compared by their correlation in small windows, which no change of brightness or contrast touches; fine marks,
such as words on a page, by whether they lie within the other's greys as a small shift would show them; colours by the
hue that a picture is drawn in.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.features import Features, Pixels
from siamese_search.details.verdict import Comparison, Verdict
from siamese_search.results import Box

_WINDOW = 16  # pixels that are correlated
_BLUR = 1.5
_STRUCTURE = 12.0  # standard deviation of greys in a window from which on there is something to compare
_NOISE = 8.0  # of what encoders add to it
_UNLIKE, _LIKE = 0.35, 0.6  # correlations at which a window differs, and agrees
_MIN_SEEN = 0.012  # share of the picture that both show
_MIN_STRUCTURE = 0.0025  # share of the picture that can be compared
_MIN_AGREEMENT = 0.6  # share of the structure that agrees in one picture
_MIN_ALTERED = 0.45  # and in one of which a large part differs
_SPECK = 0.004  # of what is compared; smaller differences are noise
_MARK = 30.0  # greys that a mark stands out from what a shift would show
_MARKS = 10  # pixels of them, at least
_GROUND_SHARE, _TINT = 0.55, 8  # of a picture that is paper: what its ground takes, and greys that count as one
_SPARSE = 0.075  # share of paper with structure below which fine marks are all there is
_EXACT, _COARSE = 0.2, 1.5  # enlargements up to which a pixel is a pixel, and from which fine marks are lost
_FAINT = 12.0  # greys that a fine mark stands out at least, where it cannot be seen as one
_GROUND = 3.0  # median difference of greys, after the tone is fitted, of pictures that keep their tones
_SATURATED = 60  # of 255
_ONE_HUE = 0.8  # share of the saturated places that have a picture's hue, where it has one
_SAME_HUE, _OTHER_HUE = 25.0, 45.0  # degrees

Map = NDArray[np.float64]
"""An affine map (2, 3) of places in pixels."""

Mask = NDArray[np.bool_]
Greys = NDArray[np.float32]


def compare_laid(first: Features, second: Features, onto: Map) -> Comparison:
    """Compare where both can be seen; `onto` takes places of the second picture to those of the first.

    The one that shows less in its own pixels is enlarged by that, so the other is laid on it instead.
    """
    grows = abs(float(np.linalg.det(onto[:, :2])))
    if grows <= 1:
        return _compare_on(first, second, onto)
    found = _compare_on(second, first, np.asarray(cv2.invertAffineTransform(onto), np.float64))
    share = found.covers * grows * second.greys.size / first.greys.size
    boxes = tuple(_moved(box, second.size, onto, first.size) for box in found.differences)
    return Comparison(found.verdict, found.agreement, min(1.0, share), differences=boxes, largest=found.largest)


def _compare_on(first: Features, second: Features, onto: Map) -> Comparison:
    laid = np.asarray(cv2.warpAffine(second.greys, onto, first.size, flags=cv2.INTER_AREA), np.uint8)
    seen = _shrunk(cv2.warpAffine(np.full_like(second.greys, 255), onto, first.size) > 250, 5)  # noqa: PLR2004
    inside = _shrunk(seen, _WINDOW + 2)
    # Of the coarser picture, in pixels of the finer one: what is smaller cannot be seen in both.
    pixel = max(1.0, first.enlarged, second.enlarged * float(np.sqrt(abs(np.linalg.det(onto[:, :2])))))
    correlation, weight = _correlated(first.greys, laid, inside, blur=_BLUR * pixel)
    compared = weight > 0
    covers = float(seen.mean())
    if float(inside.mean()) < _MIN_SEEN or float(compared.mean()) < _MIN_STRUCTURE:
        return Comparison(Verdict.ALIKE)
    agreement = float(weight[correlation > _LIKE].sum() / weight.sum())
    if agreement < _MIN_ALTERED:
        return Comparison(Verdict.ALIKE, agreement, covers)
    boxes, largest = _regions(compared & (correlation < _UNLIKE), _SPECK * float(compared.sum()))
    if _is_paper(first.greys, inside):
        if pixel > _COARSE and float(compared.sum()) < _SPARSE * float(inside.sum()):
            if _greatest_difference(first.greys, laid, inside, blur=pixel) > _FAINT:
                return Comparison(Verdict.UNCHECKED, agreement, covers)
        else:
            boxes += _marks(first.greys, laid, inside, pixel=pixel)
    if _other_hue(first, second):
        boxes.append((0.0, 0.0, 1.0, 1.0))
    if agreement < _MIN_AGREEMENT and not boxes:
        return Comparison(Verdict.ALIKE, agreement, covers)
    verdict = Verdict.ALTERED if boxes else Verdict.CONFIRMED
    return Comparison(verdict, agreement, covers, differences=tuple(boxes), largest=largest / float(compared.sum()))


def _correlated(one: Pixels, other: Pixels, inside: Mask, *, blur: float) -> tuple[Greys, Greys]:
    """Return the correlation of greys around each place, and how much there is to compare: 0 outside, or where flat."""
    a, b = (cv2.GaussianBlur(greys, (0, 0), blur).astype(np.float32) for greys in (one, other))
    mean_a, mean_b = _mean(a), _mean(b)
    spread_a = np.sqrt(np.maximum(_mean(a * a) - mean_a**2, 0))
    spread_b = np.sqrt(np.maximum(_mean(b * b) - mean_b**2, 0))
    shaped = inside & (spread_a > _STRUCTURE / 2)
    gain = float(np.median(spread_b[shaped] / spread_a[shaped])) if shaped.any() else 1.0
    gain = min(max(gain, 0.1), 10.0)  # of contrast, of the other picture
    strength = np.maximum(spread_a, spread_b / gain)
    correlation = (_mean(a * b) - mean_a * mean_b) / (spread_a * spread_b + _NOISE * gain)
    return correlation, np.where(inside & (strength > _STRUCTURE), strength, 0).astype(np.float32)


def _is_paper(greys: Pixels, inside: Mask) -> bool:
    """Tell whether most of a picture is of one grey: marks on a ground."""
    counts = np.bincount(greys[inside], minlength=256)
    around = np.convolve(counts, np.ones(2 * _TINT + 1))
    return int(around.max()) > _GROUND_SHARE * int(counts.sum())


def _marks(one: Pixels, other: Pixels, inside: Mask, *, pixel: float) -> list[Box]:
    """Return where fine marks of either picture are not in the other one, of pictures that kept their tones.

    A mark counts that no shift by a `pixel` explains: it lies outside the greys that the other has around it.
    """
    a, b = (cv2.GaussianBlur(greys, (0, 0), 0.7).astype(np.float32) for greys in (one, other))
    slope, offset = _tone(b[inside], a[inside])
    b = slope * b + offset
    if float(np.median(np.abs(a - b)[inside])) > _GROUND:
        return []
    reach = 2 * int(np.ceil(pixel - _EXACT)) + 1
    around = np.ones((reach, reach), np.uint8)
    beyond = np.maximum.reduce(
        [a - cv2.dilate(b, around), cv2.erode(b, around) - a, b - cv2.dilate(a, around), cv2.erode(a, around) - b]
    )
    marks = inside & (beyond > _MARK)
    return _regions(marks, 2, opened=False)[0] if int(marks.sum()) >= _MARKS * pixel**2 else []


def _greatest_difference(one: Pixels, other: Pixels, inside: Mask, *, blur: float) -> float:
    """Return how far greys lie apart at most, after a blur that takes out what encoders do, and a tone."""
    a, b = (cv2.GaussianBlur(greys, (0, 0), blur).astype(np.float32) for greys in (one, other))
    slope, offset = _tone(b[inside], a[inside])
    return float(np.abs(a - slope * b - offset)[inside].max())


def _tone(source: Greys, target: Greys) -> tuple[float, float]:
    """Return slope and offset of the line that takes greys of one picture to those of another, by least squares."""
    spread = float(source.std())
    slope = float(np.mean((source - source.mean()) * (target - target.mean()))) / spread**2 if spread > 1 else 1.0
    return slope, float(target.mean()) - slope * float(source.mean())


def _other_hue(first: Features, second: Features) -> bool:
    """Tell whether both pictures are drawn in one hue each, but not in the same one."""
    one, other = _hue(first.colours), _hue(second.colours)
    if one is None or other is None:
        return False
    apart = abs(one - other) % 360
    return min(apart, 360 - apart) > _OTHER_HUE


def _hue(colours: Pixels) -> float | None:
    """Return the hue, in degrees, that nearly all saturated places of a picture have; None where they have several."""
    hue, saturation, _ = cv2.split(cv2.cvtColor(colours, cv2.COLOR_RGB2HSV))
    degrees = hue[saturation > _SATURATED].astype(np.float64) * 2
    if len(degrees) < 20:  # noqa: PLR2004  a few specks
        return None
    angles = np.deg2rad(degrees)
    mean = float(np.rad2deg(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean()))) % 360
    apart = np.abs(degrees - mean) % 360
    return mean if float((np.minimum(apart, 360 - apart) < _SAME_HUE).mean()) > _ONE_HUE else None


def _regions(differs: Mask, min_size: float, *, opened: bool = True) -> tuple[list[Box], float]:
    """Return boxes around the connected places of at least a size, the largest first, and the largest size of any."""
    places = differs.astype(np.uint8)
    if opened:
        places = np.asarray(cv2.morphologyEx(places, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(places)
    found = sorted(statistics[1:].tolist(), key=lambda region: -region[4])
    height, width = differs.shape
    boxes = [
        (left / width, top / height, (left + wide) / width, (top + high) / height)
        for left, top, wide, high, size in found
        if size >= min_size
    ]
    return boxes, float(found[0][4]) if found else 0.0


def _mean(values: Greys) -> Greys:
    return np.asarray(cv2.boxFilter(values, -1, (_WINDOW, _WINDOW)), np.float32)


def _shrunk(places: Mask, by: int) -> Mask:
    # What lies outside the picture is not seen either.
    return (
        cv2.erode(places.astype(np.uint8), np.ones((by, by), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        > 0
    )


def _moved(box: Box, size: tuple[int, int], onto: Map, target: tuple[int, int]) -> Box:
    """Return the box in a picture of size `target` around a box of the one that is laid on it."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) * size
    moved = (corners @ onto[:, :2].T + onto[:, 2]) / target
    low, high = np.clip(moved.min(axis=0), 0, 1), np.clip(moved.max(axis=0), 0, 1)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
