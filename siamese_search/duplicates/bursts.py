"""Bursts: exposures of one scene, in the order in which they were taken, and the sharpest of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from siamese_search.cores import usable_cores
from siamese_search.duplicates.exposures import Exposures
from siamese_search.duplicates.groups import Group
from siamese_search.duplicates.scope import Positions
from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Burst, Item

_SIDE = 512  # pixels of the squares whose sharpness is compared


def find_bursts(
    labels: Positions, groups: Sequence[Group], exposures: Exposures, ranked: Sequence[int]
) -> list[tuple[int, ...]]:
    """Return the positions with a common label, one of each exposure, in the order of capture.

    Of several pictures of one exposure the best by `ranked` counts; copies are left out.
    """
    copies = {copy for group in groups for copy, _ in group.copies}
    frames: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    known = set(exposures.known.tolist())
    for position in ranked:
        if position in known and position not in copies:
            moment = int(exposures.second[position]), int(exposures.fraction[position])
            frames[int(labels[position])].setdefault(moment, position)
    return [tuple(burst[moment] for moment in sorted(burst)) for burst in frames.values() if len(burst) > 1]


def describe_bursts(bursts: Sequence[Sequence[int]], items: Mapping[int, Item], decoder: Decoder) -> Iterator[Burst]:
    """Yield the bursts with the sharpest of each, in order; pictures are looked at by a few threads."""

    def describe(burst: Sequence[int]) -> Burst:
        pictures = tuple(items[position].path for position in burst)
        sharpness = [_sharpness(path, decoder) for path in pictures]
        best = max(sharpness)
        return Burst(pictures=pictures, sharpest=pictures[sharpness.index(best)] if best >= 0 else None)

    with ThreadPoolExecutor(usable_cores()) as pool:
        yield from pool.map(describe, bursts)


def _sharpness(path: Path, decoder: Decoder) -> float:
    """Return the variance of the Laplacian of a picture, which blur takes away; -1 when it cannot be read."""
    try:
        grey = decoder.square(path, size=_SIDE, channels=1).pixels[:, :, 0].astype(np.float32)
    except ImageError:
        return -1.0
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((sides - 4 * grey[1:-1, 1:-1]).var())
