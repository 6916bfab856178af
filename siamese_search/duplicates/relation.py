"""How a copy relates to its keeper: the same bytes, the same pixels, or near, and what the edit looks like.

Bytes and pixels are compared for good. The edit is told from two small grey pictures by correlation: cheap, right for
plain edits, silent when nothing fits. It is an impression, and whoever shows it says so ("looks cropped").
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_search.details import Comparison
from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Edit, Item, Relation

_MAY_BE_SAME_PIXELS = 0.1  # formats are decoded differently, so equal pixels need not be at distance 0
_SIDE = 96  # pixels of the small squares that are compared
_WHOLE = 0.965  # correlation at which two whole pictures show the same frame
_ALL = 0.93  # of a picture
_PART = 0.93  # and at which one is a part of the other
_BETTER = 0.01  # by which a turned picture must fit better than an upright one: many are nearly symmetric
_RECOLOURED = 5.0  # median difference of the mean colours of blocks that no encoder causes
_TOUCHED = 14.0  # and the greatest one
_DETAIL = 6.0  # mean difference of 8-bit colours, pixel by pixel, that encoders stay below
_BLOCK = 8  # pixels
_FLAT = 2.0  # standard deviation of greys below which a picture has no shape to recognise
_SCALES = np.linspace(0.35, 0.95, 16)  # of a crop's longer side


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A picture squashed to a small square: colours and greys, float32, in [0, 255]."""

    colours: NDArray[np.float32]
    greys: NDArray[np.float32]


def glimpse(path: Path, decoder: Decoder) -> Glimpse | None:
    """Return a small view of a picture, None when it cannot be read."""
    try:
        colours = decoder.square(path, size=_SIDE).pixels.astype(np.float32)
    except ImageError:
        return None
    return Glimpse(colours, colours @ np.array([0.299, 0.587, 0.114], np.float32))


def relation(
    keeper: Item, copy: Item, distance: float, decoder: Decoder, *, otherwise: Relation = Relation.NEAR
) -> Relation:
    """Return how a copy relates to its keeper: by its bytes, by its pixels, or `otherwise`."""
    if keeper.content_hash == copy.content_hash:
        return Relation.IDENTICAL
    equal_size = (keeper.width, keeper.height) == (copy.width, copy.height)
    if equal_size and distance <= _MAY_BE_SAME_PIXELS and _are_same_picture(keeper.path, copy.path, decoder):
        return Relation.SAME_PIXELS
    return otherwise


def looks(
    keeper: Item, copy: Item, first: Glimpse | None, second: Glimpse | None, seen: Comparison | None = None
) -> tuple[Edit, ...]:
    """Return what was done to the keeper to get the copy, as far as their glimpses tell; nothing if they do not.

    Whether one is a part of the other their details say, where these were `seen`.
    """
    if first is None or second is None or min(first.greys.std(), second.greys.std()) < _FLAT:
        return ()
    turn, fit = _best_turn(first.greys, second.greys)
    difference = np.abs(_turned(first.colours, turn) - second.colours)
    blocks = np.abs(_blocks(_turned(first.colours, turn)) - _blocks(second.colours)).max(-1)
    drawn_over = np.median(blocks) < _RECOLOURED and blocks.max() > _TOUCHED
    if fit < _WHOLE and not (drawn_over and (blocks > _RECOLOURED).mean() < 1 / 2):
        return _cut(seen) if seen and seen.transform else _part(keeper, copy, first.greys, second.greys)
    mirrored, quarters = turn
    edits = []
    if mirrored:
        edits.append(Edit.MIRRORED)
    if quarters:
        edits.append(Edit.ROTATED)
    size = (copy.height, copy.width) if quarters % 2 else (copy.width, copy.height)
    if size != (keeper.width, keeper.height):
        edits.append(Edit.RESIZED)
    if np.median(blocks) > _RECOLOURED:
        edits.append(Edit.RECOLOURED)
    if drawn_over:
        edits.append(Edit.DRAWN_OVER)
    # Without any of these the pictures should agree in detail, or something else was done (a blur).
    return tuple(edits) or ((Edit.RE_ENCODED,) if difference.mean() < _DETAIL else ())


def _are_same_picture(first: Path, second: Path, decoder: Decoder) -> bool:
    try:
        return decoder.same_picture(first, second)
    except ImageError:
        return False


def _turned(pixels: NDArray[np.float32], turn: tuple[bool, int]) -> NDArray[np.float32]:
    mirrored, quarters = turn
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)


def _blocks(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean colours of blocks, which neither blur nor encoding changes much."""
    count = _SIDE // _BLOCK
    means: NDArray[np.float32] = pixels.reshape(count, _BLOCK, count, _BLOCK, 3).mean((1, 3))
    return means


def _best_turn(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[tuple[bool, int], float]:
    """Return which of the eight turns (mirrored, quarter turns) of the first fits the second best, and how well."""
    fits = {
        (mirrored, quarters): _correlation(_turned(first, (mirrored, quarters)), second)
        for mirrored in (False, True)
        for quarters in range(4)
    }
    best = max(fits, key=fits.__getitem__)
    upright = (False, 0)
    if fits[best] < fits[upright] + _BETTER:
        best = upright
    return best, fits[best]


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.mean((first - first.mean()) * (second - second.mean())) / (first.std() * second.std()))


def _cut(seen: Comparison) -> tuple[Edit, ...]:
    """Return whether the copy shows but a part of the keeper, or the keeper a part of the copy."""
    parts = seen.covers < _ALL, seen.covered < _ALL
    return {(True, False): (Edit.CROPPED,), (False, True): (Edit.FRAMED,)}.get(parts, ())


def _part(keeper: Item, copy: Item, first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[Edit, ...]:
    """Look for the copy inside the keeper, then for the keeper inside the copy."""
    aspect = (copy.width / copy.height) / (keeper.width / keeper.height)
    if _best_place(first, second, aspect) >= _PART:
        return (Edit.CROPPED,)
    if _best_place(second, first, 1 / aspect) >= _PART:
        return (Edit.FRAMED,)
    return ()


def _best_place(whole: NDArray[np.float32], part: NDArray[np.float32], aspect: float) -> float:
    """Return the best correlation of a part, at any of several sizes, with any place in the whole.

    `aspect` is the part's width over height, relative to the whole's: both come as squares.
    """
    best = 0.0
    spectrum = np.fft.rfft2(whole)
    sums, squares = _running_sums(whole), _running_sums(whole**2)
    for scale in _SCALES:
        width, height = (scale, scale / aspect) if aspect >= 1 else (scale * aspect, scale)
        rows, columns = round(height * _SIDE), round(width * _SIDE)
        if min(rows, columns) < _SIDE // 4:
            continue
        smaller = _shrinking(rows) @ part @ _shrinking(columns).T
        if (deviation := smaller.std()) < _FLAT:
            continue
        # J. P. Lewis, Fast Normalized Cross-Correlation, 1995: the products by FFT, the variances by running sums.
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(smaller - smaller.mean(), whole.shape)), whole.shape)
        means = _window_sums(sums, rows, columns) / smaller.size
        variances = _window_sums(squares, rows, columns) / smaller.size - means**2
        spread = np.sqrt(np.maximum(variances, _FLAT**2)) * (smaller.size * deviation)
        best = max(best, float((products[: spread.shape[0], : spread.shape[1]] / spread).max()))
    return best


def _running_sums(values: NDArray[np.float32]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return sums


def _window_sums(sums: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    return sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]


@cache
def _shrinking(size: int) -> NDArray[np.float32]:
    """Return the matrix `(size, _SIDE)` that shrinks a column of pixels by averaging what falls into each new one."""
    edges = np.linspace(0, _SIDE, size + 1)
    at = np.arange(_SIDE)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    weights: NDArray[np.float32] = np.clip(overlap, 0, None).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    return weights
