"""What an encoder is worth on one part of the data: its pairs, their distances, and the figures made of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.metrics import (
    accuracy_at,
    average_precision,
    best_threshold,
    contrastive_cost,
    curve,
)
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR, Pairs
from siamese_search.training.data import Part, with_edited_views
from siamese_search.training.pairs import balanced_pairs

MAX_SCORED = 2000  # pictures of a part that are compared all with all


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """A part, its embeddings (n, dim) in the order of its pictures, its pairs and their distances (m,)."""

    part: Part
    embeddings: NDArray[np.float32]
    pairs: Pairs
    distance: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How an encoder does on the pairs of one part.

    `loss` is the contrastive loss, `accuracy` that at `threshold`; `average_precision` is over all pairs of the
    part, or the listed ones where only pairs are known.
    """

    loss: float
    accuracy: float
    threshold: float
    average_precision: float


def scored_part(part: Part, labels: str) -> Part:
    """Return what a part is scored by: itself, or with an edited view of every picture when there are no labels."""
    return with_edited_views(part, strength=0.8) if labels == "none" else part


def score(embeddings: NDArray[np.float32], part: Part, *, margin: float) -> Score:
    """Score embeddings on balanced pairs of the part, its accuracy at the threshold that suits them best."""
    pairs = pairs_of(part)
    distance = pair_distances(embeddings, pairs)
    threshold = best_threshold(distance, pairs.label)
    return Score(
        loss=contrastive_cost(distance, pairs.label, margin=margin),
        accuracy=accuracy_at(threshold, distance, pairs.label),
        threshold=threshold,
        average_precision=pairwise_average_precision(embeddings, part),
    )


def pairs_of(part: Part, *, seed: int = 0) -> Pairs:
    """Return the pairs that a part is scored by: the labelled ones, or balanced ones drawn with `seed`."""
    if part.pairs is not None:
        return part.pairs
    if part.identity is None:
        raise TypeError("a part has identities or pairs")
    return balanced_pairs(part.identity, seed=seed)


def pair_distances(embeddings: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
    """Return the distances of pairs, (n,)."""
    difference = embeddings[pairs.first] - embeddings[pairs.second]
    distances: NDArray[np.float32] = np.sqrt(np.square(difference).sum(axis=1))
    return distances


def pairwise_average_precision(embeddings: NDArray[np.float32], part: Part) -> float:
    """Return the micro average precision over all pairs of (at most `MAX_SCORED`) pictures, or the labelled pairs."""
    if part.identity is None:
        pairs = pairs_of(part)
        return average_precision(curve(pair_distances(embeddings, pairs), pairs.label))
    n = len(embeddings)
    every = np.linspace(0, n - 1, min(n, MAX_SCORED)).astype(np.int64)
    e, identity = embeddings[every], part.identity[every]
    rows, columns = np.triu_indices(len(e), 1)
    squared = np.clip(2 - 2 * (e @ e.T)[rows, columns], 0, None)
    label = np.where(identity[rows] == identity[columns], SIMILAR, DISSIMILAR).astype(np.int8)
    return average_precision(curve(squared, label))  # the order of squares is the order of distances
