"""Where two pictures on one frame differ: in structure, window by window, and in fine strokes, pixel by pixel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.overlap import Overlap, Pixels
from siamese_search.details.regions import AREA, largest, regions
from siamese_search.results import Box

Plane = NDArray[np.float32]

_BLUR = 1.2
_WINDOW = 8  # pixels at half size
_STRUCTURE = 6.0  # grey levels of standard deviation in a window
_STRONG = 12.0
_AGREES = 0.5  # correlation
_DIFFERS = 0.35
_SEEN = 5.0  # grey levels that a window must differ by, tones matched
_MARGIN = 6  # pixels at the edge of an overlap
_EDGE = 16  # grey levels of a gradient
_MIN_EDGES = 50  # pixels
_WIDE = (25, 25)  # pixels over which an even difference is one of shade
_LOOSE = 24  # grey levels that are added to the gradient that excuses a difference
_OFF = 0.35  # of that
_OFF_USUAL = 3.0  # and of what is usual at the edges of this pair
_OFF_LEVELS = 32
_CROWD = (25, 25)  # pixels: some characters of a line
_CROWD_LEVELS = 24
_FULL_RANGE = 200  # grey levels
_PALEST = 0.6  # of that; paler ones would show what encoders do
_ALL_BUT_EQUAL, _FAINTEST = 1 / 32, 0.5  # as rough, and of the levels
_QUANTA = 32  # of a ratio of 1
_NEAR = 12  # boxes closer than this, in pixels, are one
_MAX_BOXES = 12
_TONES = 64
_IN_USE = 0.004


@dataclass(frozen=True)
class Evidence:
    """What an overlap shows, where it has structure.

    `agreement` is the share of it that agrees, in [0, 1]; `windows` how many windows of 16 pixels have structure;
    `differing` the largest differing region as a share of the overlap; `strokes` the area in pixels of the largest
    difference that is finer than that; `crowded` the area of all such in one place, fainter ones too: of the digits of
    a date no single one need be large; `roughness` the usual difference at an edge as a share of the edge (0.05 when
    only compressed, 0.5 when blurred); `flat` the share without edges; `paper` the share of the commonest tone; `tones`
    how many of 64 tones are in use; `negative` whether light and dark are exchanged. `content` marks the edges,
    `marked` what differs.
    """

    agreement: float
    windows: float
    differing: float
    strokes: int
    crowded: int
    roughness: float
    flat: float
    paper: float
    tones: int
    negative: bool
    content: NDArray[np.bool_]
    marked: Pixels

    def boxes(self) -> tuple[Box, ...]:
        """Return the differing regions, near ones together, in pixels of the base's frame, the largest first."""
        joined = regions(np.asarray(cv2.dilate(self.marked, np.ones((_NEAR + 1, _NEAR + 1), np.uint8)), np.uint8))
        order = np.argsort(-joined[:, AREA], kind="stable")[:_MAX_BOXES]
        return tuple(
            (float(x), float(y), float(x + width), float(y + height))
            for x, y, width, height, _ in joined[order].tolist()
        )


def examine(both: Overlap) -> Evidence:
    """Compare the structure of two pictures on one frame."""
    a, b = _grey(both.base), _grey(both.other)
    edge = np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)
    valid = np.asarray(cv2.erode(both.mask, edge, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8)
    total = max(1, cv2.countNonZero(valid))
    counts = cv2.calcHist([b, a], [0, 1], valid, [_TONES, _TONES], [0, 256, 0, 256])
    seen_b = np.asarray(cv2.LUT(b, _curve(counts)), np.uint8)
    seen_a = np.asarray(cv2.LUT(a, _curve(counts.T)), np.uint8)
    # A tone that one picture has clipped is excused: the difference must be seen from both sides.
    contrast = _contrast(a, b, valid)
    share = cv2.blur(valid, _WIDE).astype(np.float32) / 255 + 0.01
    residual = cv2.min(_residual(a, seen_b, valid, share), _residual(b, seen_a, valid, share) / min(1.0, contrast))

    windows, differing, agreement, negative = _windows(a, b, both.mask, np.asarray(residual, np.float32))
    faint = float(np.clip(_range(counts) / _FULL_RANGE, _PALEST, 1))
    strokes, crowded, roughness, content = _strokes(a, seen_b, valid, np.asarray(residual, np.float32), faint)
    marked = cv2.resize(differing, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_NEAREST) | strokes
    return Evidence(
        agreement=agreement,
        windows=windows,
        differing=4 * largest(differing) / total,
        strokes=largest(strokes),
        crowded=crowded,
        roughness=roughness,
        flat=1 - float(content.sum()) / total,
        paper=max(_commonest(counts.sum(axis=0)), _commonest(counts.sum(axis=1))),
        tones=min(_in_use(counts.sum(axis=0)), _in_use(counts.sum(axis=1))),
        negative=negative,
        content=content,
        marked=np.asarray(marked, np.uint8),
    )


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (0, 0), _BLUR), np.uint8)


def _curve(counts: NDArray[np.floating]) -> Pixels:
    """Return what each tone of one picture, a row of the counts, is in the other, for the most part: uint8 `(256,)`.

    The ends, which may be too rare to tell from where they lie, go by their rank.
    """
    total, other = counts.sum(axis=1), counts.sum(axis=0)
    often = total > max(20.0, 0.0005 * float(total.sum()))
    if not often.any():
        return np.arange(256, dtype=np.uint8)
    median = (np.cumsum(counts, axis=1) < total[:, None] / 2).sum(axis=1)
    tones, become = np.flatnonzero(often), median[often]
    ends, others = _ends(total), _ends(other)
    if _is_negative(counts):
        others = others[::-1]
    if ends[0] < tones[0]:
        tones, become = np.append(ends[0], tones), np.append(others[0], become)
    if ends[1] > tones[-1]:
        tones, become = np.append(tones, ends[1]), np.append(become, others[1])
    # Tones beyond the ends, the few black letters of a pale page, go on as the rest does.
    slope = (become[-1] - become[0]) / (tones[-1] - tones[0]) if len(tones) > 1 else 1.0
    before, behind = np.arange(-_TONES, 0), np.arange(1, _TONES + 1)
    tones = np.concatenate([tones[0] + before, tones, tones[-1] + behind])
    become = np.concatenate([become[0] + slope * before, become, become[-1] + slope * behind])
    step = 256 // _TONES
    curve = np.interp(np.arange(256), tones * step + step / 2, become * step + step / 2)
    return np.asarray(curve.clip(0, 255), np.uint8)


def _ends(counts: NDArray[np.floating]) -> tuple[int, int]:
    """Return the darkest and the lightest tone, but for one pixel in a thousand."""
    rank = np.cumsum(counts) / max(1.0, float(counts.sum()))
    return int((rank < 0.001).sum()), int((rank < 0.999).sum())  # noqa: PLR2004


def _is_negative(counts: NDArray[np.floating]) -> bool:
    """Tell whether the tones of one picture fall as those of the other rise."""
    tone = np.arange(_TONES) - _TONES / 2
    row, column = counts.sum(axis=1) @ tone, counts.sum(axis=0) @ tone
    return bool(tone @ counts @ tone < row * column / counts.sum())


def _commonest(counts: NDArray[np.floating]) -> float:
    """Return the share of the commonest tone and the next to it."""
    return float((counts[1:] + counts[:-1]).max() / max(1.0, float(counts.sum())))


def _in_use(counts: NDArray[np.floating]) -> int:
    """Return how many tones take their share."""
    return int((counts > _IN_USE * counts.sum()).sum())


def _residual(one: Pixels, other: Pixels, valid: Pixels, share: Plane) -> Plane:
    """Return how much two pictures differ, without what differs evenly over a wide area: a shade, a tint.

    `share` is how much of that area is valid.
    """
    difference = cv2.subtract(one, other, mask=valid, dtype=cv2.CV_32F)
    return np.asarray(cv2.absdiff(difference, cv2.divide(cv2.blur(difference, _WIDE), share)), np.float32)


def _contrast(a: Pixels, b: Pixels, valid: Pixels) -> float:
    """Return the contrast of `b` in that of `a`."""
    (_, one), (_, other) = cv2.meanStdDev(a, mask=valid), cv2.meanStdDev(b, mask=valid)
    return float(np.clip((other[0, 0] + 1) / (one[0, 0] + 1), 0.05, 20))


def _windows(a: Pixels, b: Pixels, mask: Pixels, residual: Plane) -> tuple[float, Pixels, float, bool]:
    """Correlate two pictures window by window, at half size.

    Returns how many windows have structure, where they differ (0 or 1, at half size), the share that agrees, and
    whether one is the other's negative.
    """
    size = max(1, a.shape[1] // 2), max(1, a.shape[0] // 2)
    one, other, rest = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (a, b, residual))
    inside = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    inside = cv2.erode(inside, np.ones((_WINDOW + 2, _WINDOW + 2), np.uint8)) > 0
    window = (_WINDOW, _WINDOW)
    mean_a, mean_b = (cv2.boxFilter(plane, cv2.CV_32F, window) for plane in (one, other))
    spread_a = cv2.sqrt(cv2.max(cv2.sqrBoxFilter(one, cv2.CV_32F, window) - mean_a * mean_a, 0))
    spread_b = cv2.sqrt(cv2.max(cv2.sqrBoxFilter(other, cv2.CV_32F, window) - mean_b * mean_b, 0))
    product = cv2.multiply(one, other, dtype=cv2.CV_32F)
    correlation = (cv2.blur(product, window) - mean_a * mean_b) / (spread_a * spread_b + 4)
    usual = inside & (spread_a > _STRUCTURE) & (spread_b > 1)
    gain = float(np.clip(np.median(spread_b[usual] / spread_a[usual]), 0.05, 20)) if usual.any() else 1.0
    spread = cv2.max(spread_a, spread_b / gain)
    structured = inside & (spread > _STRUCTURE)
    weight = spread[structured]
    if not len(weight):
        return 0.0, np.zeros(size[::-1], np.uint8), 0.0, False
    negative = bool((correlation[structured] * weight).sum() < 0)
    if negative:
        correlation = -correlation
    agreement = float(weight[correlation[structured] > _AGREES].sum()) / float(weight.sum())
    differs = inside & (spread > _STRONG) & (correlation < _DIFFERS) & (cv2.blur(rest, window) > _SEEN)
    differing = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return len(weight) / _WINDOW**2, np.asarray(differing, np.uint8), agreement, negative


def _range(counts: NDArray[np.floating]) -> int:
    """Return how many grey levels the base's tones range over."""
    darkest, lightest = _ends(counts.sum(axis=0))
    return (lightest - darkest) * (256 // _TONES)


def _strokes(
    a: Pixels, b: Pixels, valid: Pixels, residual: Plane, faint: float
) -> tuple[Pixels, int, float, NDArray[np.bool_]]:
    """Find fine differences: what is off by far more than is usual for this pair, for the edge that is there.

    `faint` is the range of tones as a share of the usual one: in a pale picture, small differences count. Returns where
    (0 or 1), how many pixels are in the place with most, the usual share of an edge that is off, and where there are
    edges.
    """
    five = np.ones((5, 5), np.uint8)
    edges_a, edges_b = cv2.morphologyEx(a, cv2.MORPH_GRADIENT, five), cv2.morphologyEx(b, cv2.MORPH_GRADIENT, five)
    content = (valid > 0) & (cv2.max(edges_a, edges_b) > _EDGE)
    edges = cv2.max(edges_a, edges_b).astype(np.float32)
    off = cv2.convertScaleAbs(cv2.divide(residual, edges + _LOOSE * faint), alpha=_QUANTA)
    where = content.astype(np.uint8) if content.sum() >= _MIN_EDGES else valid
    counts = cv2.calcHist([off], [0], where, [256], [0, 256]).ravel()
    usual = float(np.searchsorted(np.cumsum(counts), 0.9 * float(counts.sum()))) / _QUANTA
    if usual <= _ALL_BUT_EQUAL:  # what differs at all is something
        faint = min(faint, _FAINTEST)
        off = cv2.convertScaleAbs(cv2.divide(residual, edges + _LOOSE * faint), alpha=_QUANTA)
    strokes = (off > _QUANTA * max(_OFF, _OFF_USUAL * usual)) & (residual > _OFF_LEVELS * faint)
    any_strokes = ((off > _QUANTA * _OFF) & (residual > _CROWD_LEVELS * faint)).astype(np.float32)
    crowded = round(float(cv2.boxFilter(any_strokes, -1, _CROWD, normalize=False).max()))
    return strokes.astype(np.uint8), crowded, usual, np.asarray(content, np.bool_)
