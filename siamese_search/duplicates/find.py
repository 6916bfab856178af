"""Duplicate groups: what is compared, the pairs within the threshold, groups of them, and what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from siamese_search.duplicates.candidates import Candidates, find_candidates
from siamese_search.duplicates.describe import Describer
from siamese_search.duplicates.groups import Group, gather_with_equals
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.scope import Scope, read_items, read_named, read_scope
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in
from siamese_search.images.sandbox import Decoder
from siamese_search.results import DedupeReport, Item, Threshold


def find_duplicates(
    gallery: Gallery,
    *,
    threshold: float | Threshold | None = None,
    folders: Sequence[str | Path] | None = None,
    against: Gallery | None = None,
    rules: KeeperRules | None = None,
    exact: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DedupeReport:
    """Group the gallery's pictures, or those under `folders`, into keepers and their near-duplicates.

    An entry of `folders` may be one indexed picture: then the groups that hold it are returned. With `against` every
    picture is compared with those of the other gallery alone, and those are the keepers; what is in both counts as the
    other's, unless it is named in `folders`, or all pictures are in both. `rules` say what is kept. Every copy lies
    within the threshold (default: the one in force) of the keeper itself, or a person has said that it is the same
    picture; two that a person has called different are never in one group. Pictures with the same embedding stay
    together. Groups come in the order of their keepers' paths.

    In a large gallery not quite all pairs are found; the report's `coverage` tells how many were. `exact` compares all
    pictures with all. `progress` is called with what is done and the total, first of the comparisons, then of the
    groups.
    """
    rules = rules or KeeperRules()
    with gallery.snapshot(), nullcontext() if against is None else against.snapshot():
        limit = threshold if isinstance(threshold, Threshold) else gallery.threshold_or(threshold)
        named = read_named(gallery, folders)
        scope = read_scope(gallery, named, against=against)
        candidates = find_candidates(scope, limit.distance, exact=exact, progress=progress)
        items = read_items(scope, _to_rank(scope, candidates), gallery, against=against)
        skipped = gallery.skipped
    groups = _groups(scope, candidates, items, rules)
    if named.singles:
        groups = [group for group in groups if any(items[member].path in named.singles for member in group.members)]
    described = []
    with Decoder() as decoder:
        describer = Describer(
            items=items, answers=scope.answers, rules=rules, against=against is not None, decoder=decoder
        )
        for group in describer.describe(groups):
            described.append(group)
            if progress:
                progress(len(described), len(groups))
    return DedupeReport(
        threshold=limit,
        images=len(named.singles) or scope.images,
        groups=tuple(described),
        skipped=tuple(entry for entry in skipped if named.places is None or lies_in(entry.path, named.places)),
        against=None if against is None else against.location,
        coverage=candidates.coverage,
    )


def _to_rank(scope: Scope, candidates: Candidates) -> list[int]:
    """Return the positions of all pictures that may be in a group."""
    found = set(candidates.paired.tolist())
    if scope.other is None:  # equal pictures are copies of each other
        found |= scope.equals.keys()
    return sorted(found.union(*(scope.equals[position] for position in found & scope.equals.keys())))


def _groups(scope: Scope, candidates: Candidates, items: Mapping[int, Item], rules: KeeperRules) -> list[Group]:
    """Gather the pairs into groups, in the order of their keepers' paths."""
    worth = rules.order()
    ranked = sorted(items, key=lambda position: (scope.precedence(position), worth(items[position])))
    groups = gather_with_equals(ranked, candidates, scope.equals, apart=scope.apart, are_copies=scope.other is None)
    return sorted(groups, key=lambda group: items[group.keeper].path)
