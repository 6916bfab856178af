"""How well near means alike: each query ranks a gallery by distance, and what it shows should come first.

Ties are never lucky: at one distance, pictures of another identity come before those of the query's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_search.gallery.local.exact import VectorIndex

RANKS = (1, 5, 10)
TIED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embeddings (n, dim) and who they show (n,)."""

    embeddings: NDArray[np.float32]
    identity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Means over the queries that have an answer in the gallery; all shares are in [0, 1], and 0 without such queries.

    `recall_at[k]` is the share of queries with an alike picture among the first k, `recall_at[1]` hence the accuracy of
    the nearest neighbour. `mean_average_precision` counts all ranks.
    """

    queries: int
    without_answer: int
    gallery: int
    recall_at: dict[int, float]
    mean_average_precision: float


def retrieval(queries: Embedded, gallery: Embedded, *, ranks: Sequence[int] = RANKS) -> Retrieval:
    """Search the gallery with every query: recall through the gallery's own index, average precision over all ranks."""
    answered = np.flatnonzero(np.isin(queries.identity, gallery.identity))
    asked = Embedded(embeddings=queries.embeddings[answered], identity=queries.identity[answered])
    if not len(asked):
        nothing = dict.fromkeys(ranks, 0.0)
        return Retrieval(
            queries=0, without_answer=len(queries), gallery=len(gallery), recall_at=nothing, mean_average_precision=0.0
        )
    first = first_ranks(asked, gallery, deepest=max(ranks))
    return Retrieval(
        queries=len(asked),
        without_answer=len(queries) - len(asked),
        gallery=len(gallery),
        recall_at={k: float(np.mean(first <= k)) for k in ranks},
        mean_average_precision=float(np.mean(average_precisions(asked, gallery))),
    )


def first_ranks(queries: Embedded, gallery: Embedded, *, deepest: int) -> NDArray[np.int64]:
    """Return for each query the rank, from 1, of the first picture that shows the same, at most `deepest + 1`."""
    index = VectorIndex(np.arange(len(gallery), dtype=np.int64), gallery.embeddings, generation=0)
    ranks = np.empty(len(queries), np.int64)
    block = 500
    for start in range(0, len(queries), block):
        vectors, wanted = queries.embeddings[start : start + block], queries.identity[start : start + block]
        k = deepest + 1
        rows = np.arange(len(wanted))
        while len(rows):
            answers = index.search(vectors[rows], k=k)
            found = [
                first_rank(hits, gallery.identity, wanted[row], deepest, complete=k >= len(gallery))
                for row, hits in zip(rows, answers, strict=True)
            ]
            ranks[start + rows] = found
            rows = rows[np.array(found) == TIED]
            k *= 4
    return ranks


def first_rank(
    hits: Sequence[tuple[int, float]], shown: NDArray[np.int64], wanted: np.int64, deepest: int, *, complete: bool
) -> int:
    """Return the rank of the first alike hit when the unlike ones come first at equal distances, at most `deepest + 1`.

    `TIED` when that depends on what lies beyond the last hit; never when `hits` is `complete`.
    """
    ids, distances = np.array([i for i, _ in hits]), np.array([d for _, d in hits])
    alike = shown[ids] == wanted
    if not alike.any():
        return deepest + 1
    nearest = distances[alike][0]
    before = int(np.sum(~alike & (distances <= nearest)))
    if before < deepest and nearest == distances[-1] and not complete:
        return TIED
    return min(before, deepest) + 1


def average_precisions(queries: Embedded, gallery: Embedded) -> NDArray[np.float64]:
    """Return the average precision of each query over the whole gallery, (n,); every query has an answer there."""
    by_identity = np.argsort(gallery.identity, kind="stable")
    embeddings, identity = gallery.embeddings[by_identity], gallery.identity[by_identity]
    begin = np.searchsorted(identity, queries.identity, side="left")
    end = np.searchsorted(identity, queries.identity, side="right")
    result = np.empty(len(queries))
    for start in range(0, len(queries), 64):
        squared = 2 - 2 * queries.embeddings[start : start + 64] @ embeddings.T  # their order is that of distances
        for row, place in zip(squared, range(start, len(queries)), strict=False):
            alike = np.sort(row[begin[place] : end[place]])
            unlike = np.sort(np.concatenate([row[: begin[place]], row[end[place] :]]))
            found = np.arange(1, len(alike) + 1)
            result[place] = np.mean(found / (found + np.searchsorted(unlike, alike, side="right")))
    return result
