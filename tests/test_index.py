"""The FAISS index: exact distances, fixed order, and files that are whole or ignored."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from siamese_search.gallery.local.exact import VectorIndex
from siamese_search.gallery.local.indexfile import StaleIndexError

Vectors = NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> Vectors:
    """Return the rows at unit length."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[NDArray[np.int64], Vectors]:
    """Ids with gaps, and vectors among which there are exact and near copies."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, dim = draw(st.integers(1, 60)), draw(st.integers(2, 16))
    vectors = unit(rng.normal(size=(n, dim)))
    for copy in range(draw(st.integers(0, n))):
        original = rng.integers(n)
        vectors[copy] = unit(vectors[[original]] + rng.choice([0, 1e-4, 1e-2, 0.3]) * rng.normal(size=(1, dim)))[0]
    return np.sort(rng.choice(1000, n, replace=False)).astype(np.int64), vectors


def distance(first: Vectors, second: Vectors) -> float:
    """Return the Euclidean distance, slowly and obviously."""
    return float(np.sqrt(((first.astype(np.float64) - second.astype(np.float64)) ** 2).sum()))


@given(gallery=galleries(), k=st.integers(1, 80))
def test_search_equals_sorting_all_distances(gallery: tuple[NDArray[np.int64], Vectors], k: int) -> None:
    """The k nearest come by distance, then id, with their exact distances, and never more than there are."""
    ids, vectors = gallery
    index = VectorIndex(ids, vectors, generation=1)
    for query, found in zip(vectors[:3], index.search(vectors[:3], k=k), strict=True):
        expected = sorted((distance(query, vector), int(number)) for number, vector in zip(ids, vectors, strict=True))
        assert [number for number, _ in found] == [number for _, number in expected[:k]]
        assert [value for _, value in found] == pytest.approx([value for value, _ in expected[:k]], abs=1e-12)


def test_exact_copies_are_at_zero() -> None:
    """The distance of equal vectors is 0.0, not the 1e-3 that the expanded formula gives."""
    vectors = unit(np.random.default_rng(0).normal(size=(50, 256)))
    index = VectorIndex(np.arange(100), np.concatenate([vectors, vectors]), generation=1)
    assert [found[:2] for found in index.search(vectors, k=3)] == [[(i, 0.0), (i + 50, 0.0)] for i in range(50)]


def test_many_equal_pictures_come_in_id_order() -> None:
    """Among more equal vectors than were asked for the smallest ids come first."""
    vectors = np.repeat(unit(np.ones((1, 8))), 500, axis=0)
    assert VectorIndex(np.arange(7, 507), vectors, generation=1).search(vectors[:1], k=3) == [
        [(7, 0.0), (8, 0.0), (9, 0.0)]
    ]


def test_an_empty_gallery_answers() -> None:
    """No pictures, no hits."""
    index = VectorIndex(np.empty(0, np.int64), np.empty((0, 8), np.float32), generation=1)
    assert index.search(unit(np.ones((2, 8))), k=5) == [[], []]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Write an index file of generation 7."""
    VectorIndex(np.arange(20), unit(np.random.default_rng(0).normal(size=(20, 8))), generation=7).save(
        tmp_path / "index.faiss"
    )
    return tmp_path / "index.faiss"


def test_a_saved_index_answers_the_same(saved: Path) -> None:
    """Saving and loading keeps every answer and leaves no other file behind."""
    vectors = unit(np.random.default_rng(0).normal(size=(20, 8)))
    loaded = VectorIndex.load(saved, generation=7, count=20, dim=8)
    assert loaded.search(vectors, k=4) == VectorIndex(np.arange(20), vectors, generation=7).search(vectors, k=4)
    assert list(saved.parent.iterdir()) == [saved]


def test_every_flipped_byte_is_noticed(saved: Path) -> None:
    """FAISS would load a damaged file without a word; a byte changed anywhere is refused here."""
    whole = saved.read_bytes()
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        saved.write_bytes(damaged)
        try:
            loaded = VectorIndex.load(saved, generation=7, count=20, dim=8)
        except StaleIndexError:
            continue
        assert place < whole.index(b"\n"), "only the words of the header may change without harm"
        assert len(loaded) == 20


@pytest.mark.parametrize("length", [0, 5, 60, 200, -1])
def test_cut_files_are_refused(saved: Path, length: int) -> None:
    """A file cut short at any point, or missing, is stale."""
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(StaleIndexError):
        VectorIndex.load(saved, generation=7, count=20, dim=8)
    saved.unlink()
    with pytest.raises(StaleIndexError):
        VectorIndex.load(saved, generation=7, count=20, dim=8)


def test_other_generations_are_refused(saved: Path) -> None:
    """An index older or newer than the catalogue is stale."""
    for generation in (6, 8):
        with pytest.raises(StaleIndexError):
            VectorIndex.load(saved, generation=generation, count=20, dim=8)


def test_a_failed_save_keeps_the_old_file(saved: Path) -> None:
    """When the new file cannot be written the old one stays, and nothing else is left."""
    old = saved.read_bytes()
    index = VectorIndex.load(saved, generation=7, count=20, dim=8)
    with pytest.raises(OSError, match="name too long"):
        index.save(saved.with_name("x" * 300))
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]


def test_a_forged_file_is_refused(saved: Path) -> None:
    """A right checksum is not enough: another number of pictures, ids out of order and numbers like NaN are refused."""
    for count, dim in ((21, 8), (19, 8), (20, 9), (10, 17), (1 << 40, 8)):
        with pytest.raises(StaleIndexError):
            VectorIndex.load(saved, generation=7, count=count, dim=dim)
    vectors = unit(np.random.default_rng(0).normal(size=(20, 8)))
    for ids, broken in (
        (np.arange(20)[::-1].copy(), vectors),
        (np.zeros(20, np.int64), vectors),
        (np.arange(20), vectors * np.float32("nan")),
        (np.arange(20), vectors * 3),
    ):
        VectorIndex(ids, broken, generation=7).save(saved)
        with pytest.raises(StaleIndexError, match="damaged"):
            VectorIndex.load(saved, generation=7, count=20, dim=8)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_no_index(tmp_path: Path, kind: str) -> None:
    """A pipe is not waited for, a folder not read."""
    path = tmp_path / "index.faiss"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(StaleIndexError, match="damaged"):
        VectorIndex.load(path, generation=1, count=1, dim=4)
