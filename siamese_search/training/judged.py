"""What a trained encoder did with the pictures and pairs of one part: the raw material of figures and reports."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_search.training.data import Part
from siamese_search.training.pairs import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """A part, its embeddings (n, dim) in the order of its pictures, its pairs and their distances (m,)."""

    part: Part
    embeddings: NDArray[np.float32]
    pairs: Pairs
    distance: NDArray[np.float32]
