"""Pictures without a single edge compared as they are, small: gradients, plain skies, what is out of focus."""

import cv2
import numpy as np

from siamese_search.details.features import Features

_SAME_SHAPE = 1.03
_SHADED = 12.0  # standard deviation of the colours from which on there is something to compare
_EQUAL = 10.0  # difference of colours that scaling and encoding may cause
_EDGE = 24  # grey levels within five pixels


def same_shades(first: Features, second: Features) -> bool:
    """Tell whether two pictures without edges, of more than one colour, have the same colours everywhere."""
    shape = first.width * second.height / (first.height * second.width)
    one, other = first.thumb.astype(np.float32), second.thumb.astype(np.float32)
    return (
        1 / _SAME_SHAPE < shape < _SAME_SHAPE
        and _spread(one) >= _SHADED
        and _spread(other) >= _SHADED
        and float(np.abs(one - other).max()) <= _EQUAL
        and _is_smooth(first)
        and _is_smooth(second)
        and not len(first.points.places)
        and not len(second.points.places)
    )


def _spread(colours: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Return how much colours differ from place to place."""
    return float(colours.reshape(-1, 3).std(axis=0).max())


def _is_smooth(picture: Features) -> bool:
    grey = cv2.blur(cv2.cvtColor(picture.pixels(), cv2.COLOR_BGR2GRAY), (3, 3))
    return int(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max()) < _EDGE
