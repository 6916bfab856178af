"""The index of a gallery that is not large: exact nearest neighbours, derived from the catalogue and rebuilt at will.

FAISS only proposes: it computes distances as |a|² + |b|² - 2ab, which loses the small ones (an exact copy may seem 1e-3
away), returns them squared, and breaks ties as they come. Every distance that leaves this module was computed anew from
the difference of the two vectors.
"""

import mmap
import os
from pathlib import Path
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from siamese_search.faiss_threads import one_thread
from siamese_search.gallery.local.indexfile import (
    StaleIndexError,
    check_head,
    describe,
    open_index,
    read_description,
    unreadable,
    write_index,
)
from siamese_search.vectors import SLACK, distances

KIND = "exact"
_ID_BYTES = 8
_UNIT = 1e-3  # how far from 1 a squared length may be


class VectorIndex:
    """Embeddings by item id; `generation` is the state of the catalogue that they were read from."""

    def __init__(self, ids: NDArray[np.int64], vectors: NDArray[np.float32], *, generation: int) -> None:
        """Index unit vectors `(n, dim)` with ascending ids."""
        self._ids = ids
        self._vectors = vectors
        self.generation = generation

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def kind(self) -> str:
        """The index type, in words for `info`."""
        return "exact"

    @property
    def recall(self) -> float:
        """The share of the nearest that a search finds."""
        return 1.0

    # -- on disk

    @classmethod
    def load(cls, path: Path, *, generation: int, count: int, dim: int) -> Self:
        """Read an index of `count` embeddings; raises StaleIndexError unless the file is whole and of this generation.

        It is not read at all unless its size is the one to expect.
        """
        expected = count * (_ID_BYTES + 4 * dim)
        try:
            with open_index(path) as file:
                about = read_description(file, kind=KIND)
                start = file.tell()
                if about["generation"] != generation:
                    raise StaleIndexError("out of date")
                if os.fstat(file.fileno()).st_size != start + expected:
                    raise StaleIndexError("damaged")
                payload = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
        except (OSError, KeyError) as error:
            raise unreadable(error) from error
        check_head(about, payload)
        ids = np.frombuffer(payload, "<i8", count)
        vectors = np.frombuffer(payload, "<f4", offset=_ID_BYTES * count).reshape(count, dim)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        # Anybody can write a right checksum. Ids out of order and numbers like NaN would mislead a search.
        if (np.diff(ids) <= 0).any() or not (abs(squares - 1) < _UNIT).all():
            raise StaleIndexError("damaged")
        return cls(ids.astype(np.int64), vectors.astype(np.float32, copy=False), generation=generation)

    def save(self, path: Path) -> None:
        """Write atomically: a reader sees the old file or the new one. Raises OSError."""
        payload = self._ids.astype("<i8").tobytes() + self._vectors.astype("<f4").tobytes()
        about = {"kind": KIND, "generation": self.generation, "images": len(self)}
        write_index(path, (describe(about, payload), payload))

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all items, ascending."""
        return self._ids

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The embeddings `(n, dim)` in the order of `ids`."""
        return self._vectors

    # -- answers

    @one_thread()
    def search(self, vectors: NDArray[np.float32], *, k: int) -> list[list[tuple[int, float]]]:
        """Return for each row of `(n, dim)` the `k` nearest as (id, distance), by distance, then by id.

        Fewer than `k` come back only when the index holds fewer. The numbers must be finite.
        """
        k = min(k, len(self))
        if not k:
            return [[] for _ in vectors]
        queries = np.ascontiguousarray(vectors, np.float32)
        proposed = min(k + 16, len(self))  # a few more, among which ties and FAISS's errors are sorted out
        squares, rows = faiss.knn(queries, self._vectors, proposed)
        return [
            self._nearest(query, its_squares, its_rows, k)
            for query, its_squares, its_rows in zip(queries, squares, rows, strict=True)
        ]

    def _nearest(
        self, query: NDArray[np.float32], squares: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> list[tuple[int, float]]:
        """Sort FAISS's proposals by exact distance, then id, and ask for more while one could be missing."""
        while True:
            apart = distances(self._vectors[rows], query)
            order = np.lexsort((rows, apart))[:k]
            # Enough were proposed when none of the rest, given FAISS's error, could belong among the first k.
            if len(rows) == len(self) or squares[-1] > apart[order[-1]] ** 2 + SLACK:
                return [(int(self._ids[rows[place]]), float(apart[place])) for place in order]
            (squares,), (rows,) = faiss.knn(query[None, :], self._vectors, min(2 * len(rows), len(self)))
