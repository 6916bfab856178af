"""How the cells of a large gallery come about: found by k-means, tried out on its own pictures, and kept up to date."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import faiss
import numpy as np

from siamese_search.cores import usable_cores
from siamese_search.faiss_threads import one_thread
from siamese_search.gallery.codes import Codes, decode
from siamese_search.gallery.local.cells import About, CellIndex, Ids, Members, Read, Vectors
from siamese_search.vectors import SLACK

_CELLS_BY_ROOT = 4  # times the square root of the number of pictures
_TRAINED_ON = 40  # embeddings a cell
_ROUNDS = 5  # of k-means; more find hardly better cells
_NEIGHBOURS = 10
_TRIED = 200  # pictures on which is measured what a search finds
_WANTED = 0.95  # of their nearest neighbours
_MORE = 1.2  # times the cells, when that was not found
_PROPOSALS, _MAX_PROPOSALS = 64, 512
_AT_ONCE = 16_384  # embeddings: 16 MB
_GROWTH = 2  # times the number of pictures at which the centroids were found


def partition(ids: Ids, checksums: Ids, codes: Codes, *, dim: int, generation: int, read: Read) -> CellIndex:
    """Find cells for a gallery's embeddings, given as codes in the order of ids; a minute of work for a million."""
    count = len(ids)
    cells = max(1, min(round(_CELLS_BY_ROOT * math.sqrt(count)), count))
    centroids = _centroids(codes, dim, cells)
    about = About(
        generation=generation,
        images=count,
        dim=dim,
        cells=cells,
        probes=1,
        proposals=_PROPOSALS,
        recall=0.0,
        measured=0,
        trained=count,
    )
    empty = CellIndex.filled(about, centroids, Members.none(), read=read)
    members = _placed(empty, ids, checksums, codes)
    index = CellIndex.filled(about, centroids, members, read=read)
    _try_out(index, ids, codes, members.homes)
    return index


def grown(old: CellIndex, ids: Ids, checksums: Ids, *, generation: int, read: Read) -> CellIndex | None:
    """Return the cells with what is in the catalogue now, or None when there are so many or few that new ones are due.

    `checksums` tell which embeddings are new or others; only these are read. Raises StaleIndexError when the old cells
    are damaged.
    """
    if not old.about.trained / _GROWTH < len(ids) < old.about.trained * _GROWTH:
        return None
    members = old.members()
    places = np.minimum(np.searchsorted(ids, members.ids), len(ids) - 1)
    kept = members.only((ids[places] == members.ids) & (checksums[places] == members.checksums))
    if len(kept.ids) * _GROWTH < old.about.trained:  # another encoder's, or other pictures: these cells are not theirs
        return None
    new = np.flatnonzero(np.isin(ids, kept.ids, invert=True, assume_unique=True))
    parts = [kept]
    for start in range(0, len(new), _AT_ONCE):
        some = new[start : start + _AT_ONCE]
        parts.append(old.placed(ids[some], checksums[some], read(ids[some].tolist())))
    about = replace(old.about, generation=generation)
    return CellIndex.filled(about, old.centroids, Members.together(parts), read=read)


@one_thread()
def _centroids(codes: Codes, dim: int, cells: int) -> Vectors:
    sample = np.random.default_rng(0).permutation(len(codes))[: _TRAINED_ON * cells]
    kmeans: Any = faiss.Kmeans(
        dim, cells, niter=_ROUNDS, seed=0, min_points_per_centroid=1, max_points_per_centroid=_TRAINED_ON
    )
    kmeans.train(decode(codes[np.sort(sample)], dim))
    centroids: Vectors = kmeans.centroids
    return centroids


def _placed(index: CellIndex, ids: Ids, checksums: Ids, codes: Codes) -> Members:
    def place(start: int) -> Members:
        some = slice(start, start + _AT_ONCE)
        return index.placed(ids[some], checksums[some], decode(codes[some], index.about.dim))

    # Threads that share no work wait for nobody; those within FAISS do, and take long where the machine is busy.
    with ThreadPoolExecutor(usable_cores()) as pool:
        return Members.together(pool.map(place, range(0, len(ids), _AT_ONCE)))


# -- what a search finds


def _try_out(index: CellIndex, ids: Ids, codes: Codes, homes: Ids) -> None:
    """Set into how many cells a search looks, so that it finds what is wanted, and which share that is.

    How many cells it takes is told by some pictures; what is found is measured on others.
    """
    about, dim = index.about, index.about.dim
    chosen = np.random.default_rng(1).permutation(len(ids))[: 2 * _TRIED]
    vectors = decode(codes[chosen], dim)
    squares, nearest = _nearest_others(codes, dim, chosen)
    half = len(chosen) // 2
    if half:
        _, cells = index.nearest_cells(vectors[:half], about.cells)
        ranks = np.sort(np.take_along_axis(np.argsort(cells, axis=1), homes[nearest[:half]], axis=1), axis=None)
        index.about = replace(about, probes=int(ranks[math.ceil(_WANTED * ranks.size) - 1]) + 1)
    while (recall := _recall(index, ids[chosen[half:]], vectors[half:], squares[half:])) < _WANTED:
        about = index.about
        probes = min(math.ceil(about.probes * _MORE), about.cells)
        proposals = min(2 * about.proposals, _MAX_PROPOSALS)
        if (probes, proposals) == (about.probes, about.proposals):
            break
        index.about = replace(about, probes=probes, proposals=proposals)
    index.about = replace(index.about, recall=recall, measured=len(chosen) - half)


def _recall(index: CellIndex, ids: Ids, vectors: Vectors, squares: Vectors) -> float:
    """Return the share of the nearest others of some items that a search finds, given their squared distances."""
    wanted = squares.shape[1]
    if not wanted:
        return 1.0
    found = 0
    for item, hits, true in zip(ids, index.search(vectors, k=wanted + 1), squares, strict=True):
        # As near as the last that is wanted, whichever of several equal ones.
        others = sum(distance**2 <= true[-1] + SLACK for other, distance in hits if other != item)
        found += min(others, wanted)
    return float(found / squares.size)


@one_thread()
def _nearest_others(codes: Codes, dim: int, chosen: Ids) -> tuple[Vectors, Ids]:
    """Compare some embeddings with all: the squared distances of the nearest others, ascending, and their rows."""
    queries = decode(codes[chosen], dim)
    count = min(_NEIGHBOURS, len(codes) - 1)
    squares, rows = np.empty((len(chosen), 0), np.float32), np.empty((len(chosen), 0), np.int64)
    for start in range(0, len(codes), _AT_ONCE):
        block = decode(codes[start : start + _AT_ONCE], dim)
        apart, places = faiss.knn(queries, block, min(count + 1, len(block)))
        apart[places + start == chosen[:, None]] = np.inf  # itself
        squares, rows = np.concatenate([squares, apart], axis=1), np.concatenate([rows, places + start], axis=1)
        best = np.argsort(squares, axis=1)[:, :count]
        squares, rows = np.take_along_axis(squares, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return squares, rows
