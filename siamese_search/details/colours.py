"""Whether two pictures on one frame have the same colours, or colours that one change of all of them explains."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siamese_search.details.overlap import Overlap
from siamese_search.details.regions import AREA, largest, regions
from siamese_search.results import Box

_REDUCED = 4  # colours are compared at a quarter of the size
_MIN_PIXELS = 30
_BANDS = 16  # of lightness
_TONED = 2.5  # units of a* and b* that the colours of one lightness may vary by, to be one tint
_UNLIKE = 16  # units of a* and b*
_STRANGE = 48
_ROUNDS = 3
_GREY = 6  # units of a* and b*
_LIGHT = 128  # grey levels
_DARKER = 8
_MEDIUM, _DARK = 128, 16  # of 256 levels of lightness

Colour = NDArray[np.complex64]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Colours:
    """How the colours of an overlap relate.

    `turned` is the change of all hues in degrees, in [0, 180]. `unexplained` is the largest region, as a share of the
    overlap, whose colours the common change does not explain, `strange` the same of colours far from it: a red spot in
    a blue sky. `boxes` are around the latter, in pixels of the base's frame. `repainted` is by how many levels of red,
    green or blue the surroundings of edges differ, exposure matched, at the 90th percentile; `toned` whether one has a
    single tint for each lightness: it is grey, or sepia. Where both have, `tint` is by how many units of a* and b*, in
    medium light, these differ: no hue turns, but one cloth is red, and the other green. `marked` is the largest region,
    as a share, that is coloured in one, and in the other neither that nor as dark as a grey copy of it would be.
    """

    turned: float
    unexplained: float
    strange: float
    repainted: float
    toned: bool
    tint: float = 0.0
    marked: float = 0.0
    boxes: tuple[Box, ...] = ()


def relate(both: Overlap, content: NDArray[np.bool_], *, negative: bool) -> Colours:
    """Compare the colours of two pictures on one frame; `content` marks its edges."""
    size = max(1, both.base.shape[1] // _REDUCED), max(1, both.base.shape[0] // _REDUCED)
    whole = cv2.resize(both.mask, size, interpolation=cv2.INTER_AREA) == 255  # noqa: PLR2004
    inside = cv2.erode(whole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if inside.sum() < _MIN_PIXELS:
        return Colours(0.0, 0.0, 0.0, 0.0, toned=True)
    base, other = (
        cv2.blur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (3, 3)) for pixels in (both.base, both.other)
    )
    edges = cv2.resize(content.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    near = inside & (cv2.dilate(edges, np.ones((5, 5), np.uint8)) > 0)
    repainted = _repainted(base.astype(np.float32), other.astype(np.float32), inside, near)

    (light_a, a), (light_b, b) = _lightness_and_colour(base), _lightness_and_colour(other)
    spreads = _spread_of_tints(a[inside], light_a[inside]), _spread_of_tints(b[inside], light_b[inside])
    tints = _tint(a[inside], light_a[inside]), _tint(b[inside], light_b[inside])
    factor, off = _common_change(a[inside], b[inside])
    far = np.zeros(inside.shape, np.uint8)
    far[inside] = off > _UNLIKE
    unexplained = largest(far) / float(inside.sum())
    turned = float(abs(np.degrees(np.angle(-factor if negative else factor))))
    strange, boxes = _strange(np.maximum(off, _common_change(b[inside], a[inside])[1]), inside)
    toned = min(spreads) < _TONED
    tint = abs(tints[0] - tints[1]) if max(spreads) < _TONED else 0.0
    grey_a, grey_b = (cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32) for pixels in (base, other))
    marked = max(_marked(a, b, grey_a, grey_b, inside), _marked(b, a, grey_b, grey_a, inside))
    return Colours(turned, unexplained, strange, repainted, toned=toned, tint=tint, marked=marked, boxes=boxes)


def _strange(off: NDArray[np.floating], inside: NDArray[np.bool_]) -> tuple[float, tuple[Box, ...]]:
    """Return the largest strange region, as a share; `off` is what is left when one picture explains the other."""
    strange = np.zeros(inside.shape, np.uint8)
    strange[inside] = off > _STRANGE
    strange = np.asarray(cv2.morphologyEx(strange, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    found = regions(strange)
    boxes = tuple(
        (float(x), float(y), float(x + width), float(y + height))
        for x, y, width, height, _ in (_REDUCED * found).tolist()
    )
    return float(found[:, AREA].max(initial=0)) / float(inside.sum()), boxes


def _marked(one: Colour, other: Colour, light: Plane, other_light: Plane, inside: NDArray[np.bool_]) -> float:
    """Return the largest region, as a share, that was coloured by hand in one picture, or lost its mark in the other.

    A grey copy shows what was coloured a little darker than its surroundings.
    """
    is_coloured = inside & (np.abs(one) > _UNLIKE) & (np.abs(other) < _GREY)
    is_plain = inside & (np.abs(one) < _GREY) & (light > _LIGHT)
    if not (is_coloured.any() and is_plain.any()):
        return 0.0
    gain = float(np.median(other_light[is_plain] / light[is_plain]))
    off = np.abs(other_light - gain * light) > _DARKER
    return largest((is_coloured & off).astype(np.uint8)) / float(inside.sum())


def _repainted(
    base: NDArray[np.float32], other: NDArray[np.float32], inside: NDArray[np.bool_], near: NDArray[np.bool_]
) -> float:
    """Return the difference near edges, when the other is made as bright as the base, or the base as the other."""
    if not near.any():
        return 0.0
    one, two = base[inside], other[inside]
    gain = float((one * two).sum()) / max(1.0, float((two * two).sum()))
    blue, green, red = np.abs(base[near] - gain * other[near]).T
    off = np.maximum(np.maximum(blue, green), red) * min(1.0, 1 / max(gain, 0.01))
    return float(np.percentile(off, 90))


def _lightness_and_colour(pixels: NDArray[np.generic]) -> tuple[NDArray[np.uint8], Colour]:
    """Return L* and a* + i b*, in the units of eight bits."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)
    colour = lab[:, :, 1].astype(np.float32) - 128 + 1j * (lab[:, :, 2].astype(np.float32) - 128)
    return np.asarray(lab[:, :, 0], np.uint8), colour.astype(np.complex64)


def _spread_of_tints(colour: Colour, light: NDArray[np.uint8]) -> float:
    band = light // (256 // _BANDS)
    count = np.maximum(np.bincount(band, minlength=_BANDS), 1)
    mean = (np.bincount(band, colour.real, _BANDS) + 1j * np.bincount(band, colour.imag, _BANDS)) / count
    return float(np.sqrt(np.mean(np.abs(colour - mean[band]) ** 2)))


def _tint(colour: Colour, light: NDArray[np.uint8]) -> complex:
    """Return the mean colour as it would be in medium light; what is darker is less coloured."""
    return complex(colour.mean()) * _MEDIUM / (float(light.mean()) + _DARK)


def _common_change(one: Colour, other: Colour) -> tuple[complex, NDArray[np.floating]]:
    """Return the turn and stretch, a complex factor, that takes most of `other` to `one`, and what is left over."""
    weight = np.full(len(one), 1.0, np.float32)
    factor, off = 1 + 0j, np.abs(one - other)
    for _ in range(_ROUNDS):
        share = weight / weight.sum()
        a, b = one - (share * one).sum(), other - (share * other).sum()
        spread = float((share * np.abs(b) ** 2).sum())
        factor = complex((share * a * np.conj(b)).sum()) / spread if spread > 0 else 1 + 0j
        off = np.abs(a - factor * b)
        weight = (1 / (1 + (off / 8) ** 2)).astype(np.float32)
    return factor, off
