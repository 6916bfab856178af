"""Pairs drawn from labelled pictures, and dealt out to parts that share none."""

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR, Pairs
from siamese_search.errors import DataError


def balanced_pairs(identity: NDArray[np.int64], *, seed: int = 0) -> Pairs:
    """Return one similar and one dissimilar pair for each picture, the reference experiment's choice.

    Partners are drawn evenly among the pictures of the same, and of any other, identity. A picture without a partner of
    one kind has no pair of that kind. Raises `DataError` when no pair of one kind exists.
    """
    rng = np.random.default_rng(seed)
    n = len(identity)
    order = np.argsort(identity, kind="stable")
    _, start, group, count = np.unique(identity[order], return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)  # where each picture stands when sorted by identity
    of = np.empty(n, np.int64)
    of[order] = group
    size, begin = count[of], start[of]

    has_similar = np.flatnonzero(size > 1)
    within = place[has_similar] - begin[has_similar]
    step = 1 + rng.integers(0, size[has_similar] - 1) if len(has_similar) else within
    similar = order[begin[has_similar] + (within + step) % size[has_similar]]

    has_dissimilar = np.flatnonzero(size < n)
    jump = rng.integers(0, n - size[has_dissimilar]) if len(has_dissimilar) else has_dissimilar
    dissimilar = order[(begin[has_dissimilar] + size[has_dissimilar] + jump) % n]
    if not len(has_similar) or not len(has_dissimilar):
        kind = "similar" if not len(has_similar) else "dissimilar"
        raise DataError(f"no {kind} pair among {n} pictures of {len(count)} identities")
    return Pairs(
        first=np.concatenate([has_similar, has_dissimilar]),
        second=np.concatenate([similar, dissimilar]),
        label=np.repeat(np.array([SIMILAR, DISSIMILAR], np.int8), [len(has_similar), len(has_dissimilar)]),
    )


def connected_parts(pairs: Pairs, n: int, *, shares: tuple[float, ...]) -> list[Pairs]:
    """Deal pairs out to parts of about the given shares, no picture in two parts.

    Raises `DataError` when the pairs hang together so much that a part would stay without similar or dissimilar pairs.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415  (slow to load)
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    graph = coo_array((np.ones(len(pairs)), (pairs.first, pairs.second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    of_pair = component[pairs.first]
    numbers, sizes = np.unique(of_pair, return_counts=True)
    shuffled = np.random.default_rng(0).permutation(len(numbers))
    ends = np.cumsum(sizes[shuffled]) - sizes[shuffled] / 2
    part_of = np.searchsorted(np.cumsum(shares)[:-1], ends / len(pairs), side="right")
    part = dict(zip(numbers[shuffled].tolist(), part_of.tolist(), strict=True))
    dealt = np.array([part[c] for c in of_pair.tolist()])
    parts = [pairs.take(np.flatnonzero(dealt == p)) for p in range(len(shares))]
    if any(set(p.label.tolist()) != {SIMILAR, DISSIMILAR} for p in parts):
        raise DataError(
            f"{len(pairs)} pairs in {len(numbers)} separate clusters cannot be split into training, validation and "
            "test parts that each have similar and dissimilar pairs; add pairs between other pictures"
        )
    return parts
