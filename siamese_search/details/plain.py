"""Pictures without corners compared as they are, small: gradients, plain shapes, what is out of focus."""

import cv2
import numpy as np

from siamese_search.details.features import Features
from siamese_search.details.verdict import Comparison, Verdict

_SIDE = 48  # pixels
_SHAPED = 12.0  # standard deviation of greys from which on there is something to compare
_MEAN, _GREATEST = 3.0, 20.0  # difference of colours that scaling and encoding may cause
_SHAPE = 0.03  # by which the proportions may differ


def compare_plain(first: Features, second: Features) -> Comparison:
    """Compare two pictures of which one has too few corners: confirmed when nothing but size and encoding differ."""
    if min(first.greys.std(), second.greys.std()) < _SHAPED:
        return Comparison(Verdict.UNCHECKED)
    one, other = (picture.size[0] / picture.size[1] for picture in (first, second))
    if abs(one / other - 1) > _SHAPE:
        return Comparison(Verdict.UNCHECKED)
    a, b = (
        cv2.resize(picture.colours, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        for picture in (first, second)
    )
    differences = np.abs(a - b)
    if float(differences.mean()) > _MEAN or float(differences.max()) > _GREATEST:
        return Comparison(Verdict.UNCHECKED)
    return Comparison(Verdict.CONFIRMED, agreement=1.0, covers=1.0)
