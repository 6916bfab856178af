"""Duplicate groups: every pair within the threshold, gathered into stars around the pictures worth keeping."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from siamese_search.errors import ImageError
from siamese_search.files import lies_in
from siamese_search.gallery import Gallery
from siamese_search.images import same_pixels
from siamese_search.results import (
    Copy,
    DedupeReport,
    DuplicateGroup,
    EmbeddingPair,
    Item,
    Relation,
    Threshold,
)

_MAY_BE_SAME_PIXELS = 0.1  # formats are decoded differently, so equal pixels need not be at distance 0

Star = tuple[int, tuple[tuple[int, float], ...]]
"""A keeper's id, and its copies as (id, distance from the keeper), nearest first."""


def find_duplicates(
    gallery: Gallery,
    *,
    threshold: float | Threshold | None = None,
    folders: Sequence[str | Path] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DedupeReport:
    """Group the gallery's pictures, or those under `folders`, into keepers and their near-duplicates.

    The best picture of a group is its keeper: most pixels, then largest file, then shortest path. Every copy lies
    within the threshold (default: the one in force) of the keeper itself. Groups come in the order of their keepers'
    paths. Pixels are compared only for very near pairs of equal size; a file that is gone by then counts as near.
    `progress` is called with the number of groups finished and their total.
    """
    limit = threshold if isinstance(threshold, Threshold) else gallery.threshold_or(threshold)
    items = {item.id: item for item in gallery.items(folders)}
    pairs = (pair for pair in gallery.pairs(limit.distance) if pair.first in items and pair.second in items)
    stars = star_groups(sorted(items, key=lambda item: _worth(items[item])), pairs)
    stars.sort(key=lambda star: items[star[0]].path)
    groups = []
    for keeper, copies in stars:
        groups.append(
            DuplicateGroup(
                keep=str(items[keeper].path),
                copies=tuple(
                    Copy(
                        path=str(items[copy].path),
                        distance=distance,
                        relation=_relation(items[keeper], items[copy], distance),
                    )
                    for copy, distance in copies
                ),
            )
        )
        if progress:
            progress(len(groups), len(stars))
    wanted = None if folders is None else [Path(folder).expanduser().resolve() for folder in folders]
    skipped = tuple(entry for entry in gallery.skipped if wanted is None or lies_in(Path(entry.path), wanted))
    return DedupeReport(threshold=limit, images=len(items), groups=tuple(groups), skipped=skipped)


def star_groups(ranked: Sequence[int], pairs: Iterable[EmbeddingPair]) -> list[Star]:
    """Gather pairs into stars; `ranked` holds every id that occurs in them, the one most worth keeping first.

    Down the ranking, an id becomes a keeper unless it is paired with a keeper above it; the others then join the
    nearest of the keepers they are paired with, the better one at equal distance. So keepers are never paired with each
    other, and nothing is in two groups. Ids without a partner are left out.
    """
    neighbours: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for pair in pairs:
        neighbours[pair.first].append((pair.second, pair.distance))
        neighbours[pair.second].append((pair.first, pair.distance))
    stars: dict[int, list[tuple[int, float]]] = {}
    rank = {}
    for place, candidate in enumerate(ranked):
        rank[candidate] = place
        if candidate in neighbours and not any(other in stars for other, _ in neighbours[candidate]):
            stars[candidate] = []
    for copy in ranked:
        if copy in neighbours and copy not in stars:
            keepers = [(distance, rank[other], other) for other, distance in neighbours[copy] if other in stars]
            distance, _, keeper = min(keepers)
            stars[keeper].append((copy, distance))
    return [
        (keeper, tuple(sorted(copies, key=lambda entry: (entry[1], rank[entry[0]]))))
        for keeper, copies in stars.items()
        if copies
    ]


def _worth(item: Item) -> tuple[int, int, int, str]:
    """Sort key that puts the picture most worth keeping first."""
    path = str(item.path)
    return -item.width * item.height, -item.size, len(path), path


def _relation(keeper: Item, copy: Item, distance: float) -> Relation:
    if keeper.content_hash == copy.content_hash:
        return Relation.IDENTICAL
    equal_size = (keeper.width, keeper.height) == (copy.width, copy.height)
    if equal_size and distance <= _MAY_BE_SAME_PIXELS and _have_same_pixels(keeper.path, copy.path):
        return Relation.SAME_PIXELS
    return Relation.NEAR


def _have_same_pixels(first: Path, second: Path) -> bool:
    try:
        return same_pixels(first, second)
    except ImageError:
        return False
