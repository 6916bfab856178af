"""Duplicate groups: what is compared, the pairs within the threshold, groups of them, and what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from siamese_search.duplicates.aliases import FileGroup, without_aliases
from siamese_search.duplicates.bursts import describe_bursts, find_bursts
from siamese_search.duplicates.candidates import Candidates, find_candidates
from siamese_search.duplicates.describe import Describer
from siamese_search.duplicates.exposures import one_exposure_pairs, read_exposures, split_by_exposure
from siamese_search.duplicates.groups import gather_with_equals
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.origin import Origins
from siamese_search.duplicates.scope import Named, Scope, read_items, read_named, read_scope, without_absent
from siamese_search.duplicates.verdicts import Looked, look_at
from siamese_search.gallery import Gallery
from siamese_search.gallery.looking import Look
from siamese_search.images.files import lies_in
from siamese_search.images.sandbox import Decoder
from siamese_search.results import DedupeReport, DetailCheck, Item, Skipped, Threshold

Progress = Callable[[int, int], None]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """All that a run reads of the galleries, in one snapshot."""

    limit: Threshold
    named: Named
    scope: Scope
    candidates: Candidates
    items: Mapping[int, Item]
    skipped: Sequence[Skipped]
    check: DetailCheck | None


def find_duplicates(
    gallery: Gallery,
    *,
    threshold: float | Threshold | None = None,
    folders: Sequence[str | Path] | None = None,
    against: Gallery | None = None,
    rules: KeeperRules | None = None,
    details: bool = True,
    exact: bool = False,
    progress: Progress | None = None,
) -> DedupeReport:
    """Group the gallery's pictures, or those under `folders`, into keepers and their near-duplicates.

    An entry of `folders` may be one indexed picture: then the groups that hold it are returned. With `against` every
    picture is compared with those of the other gallery alone, and those are the keepers; what is in both counts as the
    other's, unless it is named in `folders`, or all pictures are in both. `rules` say what is kept.

    Distance proposes, details confirm: of what lies within the threshold (default: the gallery's `reach`) of each
    other, a copy is what shows the keeper when the two are laid on one another. Without `details` the distance alone
    decides, at the threshold in force.
    What a person has called the same picture is that; two that a person has called different are never in one group.
    Groups come in the order of their keepers' paths.

    Pictures that a camera took at different moments are never copies of each other: near ones are in `bursts`. Nor are
    two names of one file.

    In a large gallery not quite all pairs are found; the report's `coverage` tells how many were. `exact` compares all
    pictures with all. `progress` is called with what is done and the total, first of the comparisons, then of the
    groups and bursts.
    """
    rules = rules or KeeperRules()
    with gallery.snapshot(), nullcontext() if against is None else against.snapshot():
        limit = _limit(gallery, threshold, details=details)
        named = read_named(gallery, folders)
        if details:
            named = without_absent(named, gallery)
        read = _read(gallery, against, limit, named, exact=exact, progress=progress)
    with Decoder() as decoder:
        origins = Origins(read.items.values(), decoder)
        paths = {position: item.path for position, item in read.items.items()}
        look = Look(paths, decoder, quality=True, progress=progress)
        groups, bursts, looked = _arranged(read, rules, origins, look if details else None)
        describer = Describer(
            items=read.items,
            answers=read.scope.answers,
            rules=rules,
            origins=origins,
            against=against is not None,
            decoder=decoder,
            compared=looked.comparisons if looked else (),
            seen=looked.between if looked else lambda _keeper, _copy: None,
        )
        tell = _teller(len(groups) + len(bursts), progress)
        described = tuple(map(tell, describer.describe(groups)))
        described_bursts = tuple(map(tell, describe_bursts(bursts, read.items, decoder)))
    places = read.named.places
    return DedupeReport(
        threshold=limit,
        images=len(read.named.singles) or read.scope.images,
        groups=described,
        skipped=(
            *(entry for entry in read.skipped if places is None or lies_in(entry.path, places)),
            *read.named.absent,
        ),
        against=None if against is None else against.location,
        coverage=read.candidates.coverage,
        bursts=described_bursts,
        details=looked.counts if looked else None,
        check=read.check if looked else None,
    )


def _limit(gallery: Gallery, threshold: float | Threshold | None, *, details: bool) -> Threshold:
    """Return how far apart candidates may lie: as a user said, or as far as details are worth a look."""
    if threshold is None and details:
        return gallery.reach
    return threshold if isinstance(threshold, Threshold) else gallery.threshold_or(threshold)


def _read(
    gallery: Gallery,
    against: Gallery | None,
    limit: Threshold,
    named: Named,
    *,
    exact: bool,
    progress: Progress | None,
) -> _Read:
    scope = read_scope(gallery, named, against=against)
    candidates = find_candidates(scope, limit.distance, exact=exact, progress=progress)
    items = read_items(scope, _to_rank(scope, candidates), gallery, against=against)
    own = gallery.calibration
    check = own.details if own and limit == gallery.reach else None  # of another distance it says nothing
    return _Read(limit, named, scope, candidates, items, gallery.skipped, check)


def _to_rank(scope: Scope, candidates: Candidates) -> list[int]:
    """Return the positions of all pictures that may be in a group."""
    found = set(candidates.paired.tolist())
    if scope.other is None:  # equal pictures are copies of each other
        found |= scope.equals.keys()
    return sorted(found.union(*(scope.equals[position] for position in found & scope.equals.keys())))


def _arranged(
    read: _Read, rules: KeeperRules, origins: Origins, look: Look | None
) -> tuple[list[FileGroup], list[tuple[int, ...]], Looked | None]:
    """Gather the pairs into groups, by their keepers' paths, and into bursts, by their first pictures' paths.

    With a `look` details decide, and what they say is returned too.
    """
    scope, items, singles = read.scope, read.items, read.named.singles
    worth = rules.order(origins)
    ranked = sorted(items, key=lambda position: (scope.precedence(position), worth(items[position])))
    rules_standing = rules.standing(origins)

    def standing(position: int) -> object:
        return scope.precedence(position), rules_standing(items[position])

    exposures = read_exposures(items, origins, count=len(scope.ids))
    pairs, labels = one_exposure_pairs(read.candidates, exposures, scope)
    looked = look_at(pairs, ranked, items, scope, look, standing=standing) if look else None
    if looked:
        gathered, scope = looked.groups, looked.scope
    else:
        gathered = gather_with_equals(ranked, pairs, scope.equals, apart=scope.apart, are_copies=scope.other is None)
    groups = split_by_exposure(gathered, exposures, scope)
    bursts = find_bursts(labels, groups, exposures, ranked)
    if singles:
        groups = [group for group in groups if any(items[member].path in singles for member in group.members)]
        bursts = [burst for burst in bursts if any(items[member].path in singles for member in burst)]
    files = without_aliases(groups, items, origins)
    return (
        sorted(files, key=lambda each: items[each.group.keeper].path),
        sorted(bursts, key=lambda burst: items[burst[0]].path),
        looked,
    )


def _teller(total: int, progress: Progress | None) -> Callable[[_Result], _Result]:
    """Return a function that passes on a result, and tells how many it has of all."""
    numbers = count(1)

    def passed_on(result: _Result) -> _Result:
        if progress:
            progress(next(numbers), total)
        return result

    return passed_on
