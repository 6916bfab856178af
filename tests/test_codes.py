"""Embeddings as codes: distances kept to a thousandth, equal ones kept equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from siamese_search.gallery.codes import are_codes, code_bytes, decode, encode


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rows at unit length."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def apart(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distances between rows."""
    return np.linalg.norm(first.astype(np.float64) - second, axis=1)


@pytest.mark.parametrize("dim", [2, 3, 16, 63, 256, 512])
def test_distances_stay_what_they_are(dim: int) -> None:
    """No distance, small or large, changes by a thousandth, and lengths stay 1."""
    rng = np.random.default_rng(dim)
    vectors = unit(rng.normal(size=(3000, dim)))
    for step in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1, 0.35, 1.4):
        others = unit(vectors + step / np.sqrt(dim) * rng.normal(size=vectors.shape))
        kept, other = decode(encode(vectors), dim), decode(encode(others), dim)
        assert abs(apart(kept, other) - apart(vectors, others)).max() < 1e-3
        assert abs(np.linalg.norm(kept, axis=1) - 1).max() < 1e-6


@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(2, 40), n=st.integers(0, 20))
def test_what_is_decoded_has_the_same_code(seed: int, dim: int, n: int) -> None:
    """Nothing drifts, however often embeddings are written and read; spiky ones neither."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(n, dim)) ** rng.choice([1, 3, 9]))
    codes = encode(vectors)
    assert codes.shape == (n, code_bytes(dim))
    assert are_codes(codes, dim)
    assert np.array_equal(encode(decode(codes, dim)), codes)


def test_equal_vectors_are_equal_wherever_they_stand() -> None:
    """Copies in different blocks of a long array stay at distance zero."""
    vectors = np.tile(unit(np.random.default_rng(0).normal(size=(3, 33))), (3000, 1))
    kept = decode(encode(vectors), 33)
    assert (kept.reshape(3000, 3, 33) == kept[:3]).all()


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_vectors_without_direction_are_refused(bad: float) -> None:
    """There is no code for them, and zeros are no code."""
    with pytest.raises(ValueError, match="without direction"):
        encode(np.full((1, 8), bad, np.float32))
    assert not are_codes(np.zeros((1, code_bytes(8)), np.uint8), 8)
