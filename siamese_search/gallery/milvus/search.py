"""Searching on a server: it proposes by its own distances, and those that are told are computed from what it gives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siamese_search.gallery.codes import decode
from siamese_search.gallery.milvus.head import Head
from siamese_search.gallery.milvus.reading import Reader
from siamese_search.gallery.milvus.rows import EMBEDDING, PICTURES, Row
from siamese_search.gallery.milvus.server import MAX_HITS, Server
from siamese_search.gallery.store import Vectors
from siamese_search.vectors import SLACK, distances

Found = list[tuple[int, float]]

EF = 128  # neighbours that a search keeps in sight, in the words of HNSW; more where more are asked for
_SPARE = 16  # more than wanted, for such as ended, and for equal ones, of which the first ids are told
_FIRST_WITHIN = 256
_HITS_AT_ONCE = 32_768  # in one answer of a server, which is bounded: these take some 40 MB
_AT_ONCE = 4096


class _Answer(NamedTuple):
    """What a server found for a query; `full`: as much as it may, so that there may be more."""

    full: bool
    hits: Found


class Search:
    """Finds what is near some embeddings `(n, dim)` among the pictures that a head counts."""

    def __init__(self, server: Server, reader: Reader, head: Head, *, ef: int = EF) -> None:
        self._server, self._reader, self._head = server, reader, head
        self._ef = ef
        self._known: tuple[NDArray[np.int64], Vectors] | None = None

    def nearest(self, queries: Vectors, k: int) -> list[Found]:
        """Return the `k` nearest of each; where the server does not find so many, all are compared."""
        wanted = min(k, self._head.count)
        if not wanted:
            return [[] for _ in queries]
        answers = self._ask(queries, limit=wanted + _SPARE)
        return [
            (answer.hits if len(answer.hits) >= wanted else self._compare(query))[:k]
            for query, answer in zip(queries, answers, strict=True)
        ]

    def within(self, queries: Vectors, distance: float) -> list[Found]:
        """Return all that lie at most `distance` away from each; of what has too many, all are compared."""
        found: dict[int, Found] = {}
        limit, open_ = _FIRST_WITHIN, list(range(len(queries) if self._head.count else 0))
        while open_ and limit <= MAX_HITS:
            answers = self._ask(queries[open_], limit=limit, radius=distance**2 + SLACK)
            found |= {place: answer.hits for place, answer in zip(open_, answers, strict=True) if not answer.full}
            open_ = [place for place in open_ if place not in found]
            limit *= 4
        found |= {place: self._compare(queries[place]) for place in open_}
        return [[hit for hit in found.get(place, []) if hit[1] <= distance] for place in range(len(queries))]

    def _ask(self, queries: Vectors, *, limit: int, radius: float | None = None) -> list[_Answer]:
        limit = min(limit, MAX_HITS)
        at_once = max(1, min(MAX_HITS, _HITS_AT_ONCE // limit))
        params: dict[str, float] = {"ef": max(self._ef, limit)}
        if radius is not None:
            params["radius"] = radius
        ended = self._reader.ended(self._head)
        strong = self._reader.is_new(PICTURES, self._head)
        answers = []
        for start in range(0, len(queries), at_once):
            some = queries[start : start + at_once]
            where = f"row <= {self._head.last}"
            found = self._server.search(some, where=where, limit=limit, params=params, strong=strong)
            for query, rows in zip(some, found, strict=True):
                counted = [row for row in rows if row["row"] not in ended]
                answers.append(_Answer(len(rows) >= limit, _by_distance(query, counted)))
        return answers

    def _compare(self, query: Vectors) -> Found:
        """Compare a query with everything."""
        if self._known is None:
            ids, codes = self._reader.embeddings(self._head)
            self._known = ids, decode(codes, self._head.dim)
        ids, vectors = self._known
        parts = (vectors[start : start + _AT_ONCE] for start in range(0, len(vectors), _AT_ONCE))
        apart = np.concatenate([np.empty(0), *(distances(part, query) for part in parts)])
        order = np.lexsort((ids, apart))
        return list(zip(ids[order].tolist(), apart[order].tolist(), strict=True))


def _by_distance(query: Vectors, rows: list[Row]) -> Found:
    """Return pictures by their distances, computed from the differences, and by their ids."""
    if not rows:
        return []
    newest = {row["item"]: row[EMBEDDING] for row in sorted(rows, key=lambda row: int(row["row"]))}
    apart = distances(np.array(list(newest.values()), np.float32), query)
    return sorted(zip(newest, apart.tolist(), strict=True), key=lambda hit: (hit[1], hit[0]))
