"""Distances between embeddings."""

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-5  # more than float32 can be wrong in a squared distance of unit vectors


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean distances between rows, computed from their differences: equal rows are 0.0 apart."""
    difference = a.astype(np.float64) - b
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", difference, difference)
    return np.sqrt(squares)
