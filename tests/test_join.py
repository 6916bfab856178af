"""All pairs within a threshold: exact, by cells, between two galleries, and with equal pictures."""

import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.gallery.codes import decode, encode
from siamese_search.gallery.join import Cells, Embeddings, Join, Pairs
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.probes import Probes, Widths, home_cells

Vectors = NDArray[np.float32]
DIM = 64
NEAR = 0.35


def unit(rows: NDArray[np.floating]) -> Vectors:
    """Scale rows to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clustered(n: int, *, seed: int = 0, spread: float = 1.0) -> Vectors:
    """Make unit vectors in clusters of 40, the last tenth of them near-duplicates of others."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((max(1, n // 40), DIM))
    rows = unit(middles[rng.integers(len(middles), size=n)] + spread * rng.standard_normal((n, DIM)))
    copies = n // 10
    apart = rng.uniform(0.02, 0.4, copies)[:, None] * unit(rng.standard_normal((copies, DIM)))
    rows[n - copies :] = unit(rows[rng.integers(n - copies, size=copies)] + apart)
    return decode(encode(rows), DIM)


def cells_of(rows: Vectors, count: int) -> Cells:
    """Find cells as a gallery does."""
    kmeans = faiss.Kmeans(DIM, count, niter=4, seed=1, min_points_per_centroid=1)
    kmeans.train(rows)
    centres: Vectors = np.asarray(kmeans.centroids)
    return Cells(centres, home_cells(len(rows), centres, lambda places: rows[places]))


def ids_of(rows: Vectors) -> NDArray[np.int64]:
    """Give ids with gaps."""
    return np.arange(len(rows)) * 3 + 10


def gathered(rows: Vectors, *, cells: Cells | None = None) -> Embeddings:
    """Return rows as embeddings of a gallery."""
    return Embeddings.of(ids_of(rows), encode(rows), DIM, cells=cells)


def truth(rows: Vectors, threshold: float, others: Vectors | None = None) -> dict[tuple[int, int], float]:
    """Look at every pair, slowly."""
    ids = ids_of(rows)
    exact = rows.astype(np.float64)
    theirs = exact if others is None else others.astype(np.float64)
    found = {}
    for row, vector in enumerate(exact):
        distances = np.linalg.norm(theirs - vector, axis=1)
        for column in np.flatnonzero(distances <= threshold).tolist():
            if others is not None or column > row:
                found[int(ids[row]), 10 + 3 * column] = float(distances[column])
    return found


def as_dict(blocks: Iterable[Pairs]) -> dict[tuple[int, int], float]:
    """Return pairs by their ids, each of which must come once."""
    listed = [each for pairs in blocks for each in pairs.each()]
    found = {(first, second): distance for first, second, distance in listed}
    assert len(found) == len(listed)
    return found


@pytest.fixture(scope="module")
def rows() -> Vectors:
    """Make a small gallery of clusters with near-duplicates."""
    return clustered(3000)


@pytest.mark.parametrize("threshold", [0.0, NEAR, 0.9])
def test_exact_equals_looking_at_every_pair(rows: Vectors, threshold: float) -> None:
    """Without cells every pair is found, with its distance."""
    join = Join(gathered(rows), threshold)
    assert as_dict(join.all_pairs()) == pytest.approx(truth(rows, threshold), abs=1e-7)
    assert join.coverage.exact


def test_cells_find_what_there_is(rows: Vectors) -> None:
    """Hardly a pair is missed, though few are looked at; the sample tells the truth; `exact` misses none."""
    true = truth(rows, NEAR)
    embeddings = gathered(rows, cells=cells_of(rows, 200))
    join = Join(embeddings, NEAR, sampled=len(rows))
    found = as_dict(join)
    assert found == pytest.approx({pair: true[pair] for pair in found}, abs=1e-7)
    assert len(found) >= 0.995 * len(true)
    coverage = join.coverage
    assert (coverage.exact, coverage.sampled, coverage.known, coverage.found) == (
        False,
        len(rows),
        len(true),
        len(found),
    )
    assert as_dict(Join(embeddings, NEAR, exact=True)) == pytest.approx(true, abs=1e-7)


def test_what_is_missed_is_told(rows: Vectors) -> None:
    """When the cells say nothing about nearness, the measured recall is as bad as the recall."""
    cells = Cells(
        cells_of(rows, 200).centroids, np.random.default_rng(0).integers(200, size=len(rows)).astype(np.int32)
    )
    join = Join(gathered(rows, cells=cells), 0.05, sampled=1500)
    found = as_dict(join)
    recall = len(found) / len(truth(rows, 0.05))
    assert recall < 0.5
    assert join.coverage.found / join.coverage.known == pytest.approx(recall, abs=0.15)


def test_joining_is_deterministic(rows: Vectors) -> None:
    """The same pairs come in the same order, from the same join and from another."""
    join = Join(gathered(rows, cells=cells_of(rows, 200)), NEAR)
    again = Join(gathered(rows, cells=cells_of(rows, 200)), NEAR)
    first, second, third = ([each for pairs in blocks for each in pairs.each()] for blocks in (join, join, again))
    assert first == second == third


@pytest.mark.parametrize("sides", ["", "left", "right", "both"])
def test_two_galleries(rows: Vectors, sides: str) -> None:
    """Every pair has its first in the one and its second in the other, whichever of them has cells."""
    mine, theirs = rows[::3], clustered(2500)
    theirs[:200] = rows[300:900:3]
    true = truth(mine, NEAR, theirs)
    left = gathered(mine, cells=cells_of(mine, 60) if sides in {"left", "both"} else None)
    right = gathered(theirs, cells=cells_of(theirs, 150) if sides in {"right", "both"} else None)
    join = Join(left, NEAR, other=right)
    found = as_dict(join.all_pairs())
    assert found == pytest.approx({pair: true[pair] for pair in found}, abs=1e-7)
    assert len(found) >= 0.995 * len(true)
    assert join.coverage.exact == (sides == "")
    if not sides:
        assert len(found) == len(true)


def test_equal_embeddings_are_compared_once_and_paired_all(rows: Vectors) -> None:
    """One stands for the others; `all_pairs` brings them back."""
    some = rows[[*range(300), *[5] * 30, *[7] * 3]]
    embeddings = gathered(some, cells=cells_of(some, 20))
    assert len(embeddings.equals) >= 33
    join = Join(embeddings, 0.0)
    assert as_dict(join.all_pairs()) == truth(some, 0.0)
    assert as_dict(join) == {}
    halves = Join(gathered(some[:150]), 0.0, other=gathered(some[150:]))
    assert as_dict(halves.all_pairs()) == truth(some[:150], 0.0, some[150:])
    kinds = {10 + 3 * 300: 1, 10 + 3 * 301: 1}
    apart = Embeddings.of(ids_of(some), encode(some), DIM, kinds=kinds)
    assert as_dict(Join(apart, 0.0)) == {(25, 910): 0.0}
    assert as_dict(Join(apart, 0.0).all_pairs()) == truth(some, 0.0)


def test_memory_does_not_grow_with_the_pairs() -> None:
    """Twenty million pairs pass through some tens of megabytes."""
    rng = np.random.default_rng(0)
    crowd = gathered(unit(rng.standard_normal(DIM) + 0.05 * rng.standard_normal((6400, DIM))))
    tracemalloc.start()
    count = sum(len(pairs.first) for pairs in Join(crowd, NEAR))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 6400 * 6399 // 2
    assert peak < 120e6 < 24 * count


def test_no_more_than_some_cells_are_visited(rows: Vectors) -> None:
    """However wide the reach, memory for the probes is bounded, and those kept are the nearest."""
    cells = cells_of(rows, 200)
    read = rows.__getitem__
    widths = Widths(cells.cell_of_row, cells.centroids, read, reach=5.0)
    probes = Probes(cells.cell_of_row, cells.centroids, read, widths, own_cell=True, progress=lambda _: None)
    visitors = [probes.of(cell) for cell in range(200)]
    counts = np.bincount(np.concatenate(visitors), minlength=len(rows))
    assert (counts == 32).all()
    places = np.arange(len(rows))
    assert probes.made(places, cells.cell_of_row).all()
    assert probes.made(visitors[3], np.full(len(visitors[3]), 3)).all()


def test_a_large_gallery_is_joined_by_cells(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Beyond the size up to which all are compared, the report says how complete it is, and finds the same."""
    exact = Gallery(tmp_path / "gallery", encoder=encoder)
    exact.sync([photos])
    # Of so few each is the middle of a cell, and how pictures differ in one cannot be learnt: so the reach is wide.
    large = Gallery(LocalStore(tmp_path / "gallery", exact_up_to=4), encoder=encoder)
    first, second, third = (
        find_duplicates(exact, threshold=0.7),
        find_duplicates(large, threshold=0.7),
        find_duplicates(large, threshold=0.7, exact=True),
    )
    assert (first.coverage.exact, second.coverage.exact, third.coverage.exact) == (True, False, True)
    assert first.groups == third.groups
    assert second.groups == first.groups
    assert second.coverage.known == second.coverage.found
    assert sorted(large.pairs(0.7), key=lambda pair: pair.first) == sorted(
        exact.pairs(0.7), key=lambda pair: pair.first
    )
