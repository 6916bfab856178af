"""Where an altered copy differs, close up: the same part of both pictures, the copy laid on the keeper's frame."""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Box, Copy, DuplicateGroup

_DECODED = 1600  # pixels of the longer side: what a form is filled with can be read
_SHOWN = 300  # pixels of the longer side of a close-up
_MARGIN = 0.25  # around the box, as a share of its longer side
_SMALLEST = 0.08  # of the picture: a single letter says little without what is around it


class CloseUp(NamedTuple):
    """One part of two pictures, equally large."""

    keeper: Image.Image
    copy: Image.Image


def close_up(group: DuplicateGroup, copy: Copy, decoder: Decoder) -> CloseUp | None:
    """Return the largest place where a copy differs from its keeper; None where it is not known or cannot be read."""
    if not (copy.differences and copy.transform):
        return None
    with suppress(ImageError, np.linalg.LinAlgError):
        first = decoder.thumbnail(group.keep, longest=_DECODED).image
        second = decoder.thumbnail(copy.path, longest=_DECODED).image
        to_copy = np.linalg.inv(np.array(copy.transform))
        left, top, right, bottom = _widened(copy.differences[0], first.width / first.height)
        width, height = (right - left) * first.width, (bottom - top) * first.height
        scale = _SHOWN / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # From places in the close-up to shares of the keeper.
        placed = np.array([[(right - left) / size[0], 0, left], [0, (bottom - top) / size[1], top], [0, 0, 1]])
        return CloseUp(_seen(first, placed, size), _seen(second, to_copy @ placed, size))
    return None


def _widened(box: Box, shape: float) -> Box:
    """Return a box with some of what is around it; `shape` is that of the picture, width by height."""
    left, top, right, bottom = box
    side = max((right - left) * shape, bottom - top)
    more = max(_MARGIN * side, (_SMALLEST - side) / 2)
    return (
        max(0.0, left - more / shape),
        max(0.0, top - more),
        min(1.0, right + more / shape),
        min(1.0, bottom + more),
    )


def _seen(picture: Image.Image, matrix: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Return a picture as seen through a matrix from places in the result to shares of the picture."""
    whole = np.diag([picture.width, picture.height, 1.0]) @ matrix
    shrinks = float(np.sqrt(abs(np.linalg.det(whole[:2, :2]))))
    if shrinks > 1.5:  # noqa: PLR2004  else single pixels would be picked out of many
        smaller = max(1, round(picture.width / shrinks)), max(1, round(picture.height / shrinks))
        return _seen(picture.resize(smaller, Image.Resampling.LANCZOS), matrix, size)
    coefficients = (whole / whole[2, 2]).ravel()[:8].tolist()
    return picture.transform(
        size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC, fillcolor="white"
    )
