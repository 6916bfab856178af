"""Duplicate groups: every pair within the threshold, gathered into stars around the pictures worth keeping."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

from siamese_search.embed import usable_cores
from siamese_search.errors import FolderError
from siamese_search.files import lies_in
from siamese_search.gallery import Gallery
from siamese_search.keeper import KeeperRules
from siamese_search.relation import glimpse, looks, relation
from siamese_search.results import (
    Copy,
    DedupeReport,
    DuplicateGroup,
    EmbeddingPair,
    Facts,
    Item,
    Reason,
    Relation,
    Rule,
    Threshold,
)

Star = tuple[int, tuple[tuple[int, float], ...]]
"""A keeper's id, and its copies as (id, distance from the keeper), nearest first."""

_Answers = dict[tuple[str, str], int]  # label by the two content hashes, the lesser first


def find_duplicates(
    gallery: Gallery,
    *,
    threshold: float | Threshold | None = None,
    folders: Sequence[str | Path] | None = None,
    against: Gallery | None = None,
    rules: KeeperRules | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DedupeReport:
    """Group the gallery's pictures, or those under `folders`, into keepers and their near-duplicates.

    An entry of `folders` may be one indexed picture: then the groups that hold it are returned. With `against` every
    picture is compared with those of the other gallery alone, and those are the keepers. `rules` say what is kept.
    Every copy lies within the threshold (default: the one in force) of the keeper itself, or a person has said that
    it is the same picture; two that a person has called different are never in one group. Groups come in the order of
    their keepers' paths. `progress` is called with the number of groups finished and their total.
    """
    limit = threshold if isinstance(threshold, Threshold) else gallery.threshold_or(threshold)
    rules = rules or KeeperRules()
    places, singles = _scope(gallery, folders)
    items = {item.id: item for item in gallery.items(places)}
    images = len(items)
    answers: _Answers = {}
    if against is None:
        pairs = [pair for pair in gallery.pairs(limit.distance) if pair.first in items and pair.second in items]
    else:
        pairs = list(_against(gallery, against, limit.distance, items))
        answers |= {(pair.first, pair.second): pair.label for pair in against.reviewed()}
    answers |= {(pair.first, pair.second): pair.label for pair in gallery.reviewed()}

    kept, apart = _answered(pairs, items, answers)
    if against is None:
        kept += _confirmed(kept, items, answers, gallery)
    ranked = rules.rank(items[id_] for id_ in {id_ for pair in kept for id_ in (pair.first, pair.second)})
    if against is not None:
        ranked.sort(key=lambda item: item.id < 0)  # the other gallery's pictures first, stable
    stars = star_groups([item.id for item in ranked], kept, apart=apart)
    if singles:
        stars = [star for star in stars if any(items[id_].path in singles for id_ in _members(star))]
    stars.sort(key=lambda star: items[star[0]].path)
    groups = []
    for group in _groups(stars, items, answers, rules, against=against is not None):
        groups.append(group)
        if progress:
            progress(len(groups), len(stars))
    wanted = None if places is None else [Path(folder).expanduser().resolve() for folder in places]
    return DedupeReport(
        threshold=limit,
        images=len(singles) or images,
        groups=tuple(groups),
        skipped=tuple(entry for entry in gallery.skipped if wanted is None or lies_in(Path(entry.path), wanted)),
        against=None if against is None else str(against.folder),
    )


def star_groups(
    ranked: Sequence[int], pairs: Iterable[EmbeddingPair], *, apart: Collection[tuple[int, int]] = frozenset()
) -> list[Star]:
    """Gather pairs into stars; `ranked` holds every id that occurs in them, the one most worth keeping first.

    Down the ranking, an id becomes a keeper unless it is paired with a keeper above it; the others then join the
    nearest of those keepers above them, the better one at equal distance. So a keeper always outranks its copies,
    keepers are never paired with each other, and nothing is in two groups. Two ids that are `apart` (lesser first)
    never share a group: the nearer to the keeper stays. Ids without a partner are left out.
    """
    neighbours: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for pair in pairs:
        neighbours[pair.first].append((pair.second, pair.distance))
        neighbours[pair.second].append((pair.first, pair.distance))
    strangers: defaultdict[int, set[int]] = defaultdict(set)
    for first, second in apart:
        strangers[first].add(second)
        strangers[second].add(first)
    stars: dict[int, list[tuple[int, float]]] = {}
    rank = {}
    for place, candidate in enumerate(ranked):
        rank[candidate] = place
        if candidate in neighbours and not any(other in stars for other, _ in neighbours[candidate]):
            stars[candidate] = []
    wishes = sorted(
        (distance, rank[keeper], rank[copy], copy, keeper)
        for copy in ranked
        if copy in neighbours and copy not in stars
        for keeper, distance in neighbours[copy]
        if keeper in stars and rank[keeper] < rank[copy]
    )
    home: dict[int, int] = {}
    for distance, _, _, copy, keeper in wishes:
        if copy not in home and not any(home.get(other) == keeper for other in strangers.get(copy, ())):
            home[copy] = keeper
            stars[keeper].append((copy, distance))
    return [(keeper, tuple(copies)) for keeper, copies in stars.items() if copies]


def _scope(
    gallery: Gallery, folders: Sequence[str | Path] | None
) -> tuple[Sequence[str | Path] | None, frozenset[Path]]:
    """Tell folders from single pictures: a picture is compared with the folders named beside it, or with everything."""
    if folders is None:
        return None, frozenset()
    singles = {path: Path(path).expanduser().resolve() for path in folders if Path(path).expanduser().is_file()}
    known = {item.path for item in gallery.items()} if singles else set()
    for given, path in singles.items():
        if path not in known:
            raise FolderError(
                f"{given}: not indexed; find its like with: simsearch query {given} --index {gallery.folder}"
            )
    places = [folder for folder in folders if folder not in singles]
    return (places or None), frozenset(singles.values())


def _against(gallery: Gallery, other: Gallery, threshold: float, items: dict[int, Item]) -> Iterator[EmbeddingPair]:
    """Yield the pairs of a picture in `items` and one of the other gallery, and add the latter to `items`.

    Ids of two galleries overlap: those of `gallery` become negative. A file that is in both is not its own copy.
    """
    mine = {item.path: item for item in items.values()}
    items.clear()
    items.update({-item.id: replace(item, id=-item.id) for item in mine.values()})
    items.update({item.id: item for item in other.items() if item.path not in mine})
    for pair in gallery.pairs_with(other, threshold):
        if -pair.first in items and pair.second in items:
            yield EmbeddingPair(first=-pair.first, second=pair.second, distance=pair.distance)


def _answered(
    pairs: list[EmbeddingPair], items: dict[int, Item], answers: _Answers
) -> tuple[list[EmbeddingPair], set[tuple[int, int]]]:
    """Leave out the pairs that a person called different, and return all of those among the items."""
    different = {hashes for hashes, label in answers.items() if label == 1}
    if not different:
        return pairs, set()
    by_hash = _by_hash(items)
    apart = {
        (min(first, second), max(first, second))
        for one, other in different
        for first, second in product(by_hash.get(one, ()), by_hash.get(other, ()))
    }
    return [pair for pair in pairs if (min(pair.first, pair.second), max(pair.first, pair.second)) not in apart], apart


def _confirmed(
    pairs: Iterable[EmbeddingPair], items: dict[int, Item], answers: _Answers, gallery: Gallery
) -> list[EmbeddingPair]:
    """Return the pairs that a person called the same and that the threshold has left out."""
    by_hash = _by_hash(items)
    same = [hashes for hashes, label in answers.items() if label == 0 and all(one in by_hash for one in hashes)]
    wanted = {
        (min(first, second), max(first, second))
        for one, other in same
        for first, second in product(by_hash[one], by_hash[other])
    }
    missing = sorted(wanted - {(pair.first, pair.second) for pair in pairs})
    return [
        EmbeddingPair(first=first, second=second, distance=distance)
        for (first, second), distance in zip(missing, gallery.distances(missing), strict=True)
    ]


def _by_hash(items: dict[int, Item]) -> dict[str, list[int]]:
    by_hash: defaultdict[str, list[int]] = defaultdict(list)
    for item in items.values():
        by_hash[item.content_hash].append(item.id)
    return by_hash


def _members(star: Star) -> tuple[int, ...]:
    return (star[0], *(copy for copy, _ in star[1]))


def _groups(
    stars: Sequence[Star], items: dict[int, Item], answers: _Answers, rules: KeeperRules, *, against: bool
) -> Iterator[DuplicateGroup]:
    """Yield the stars as groups, in order; pictures are compared by a few threads."""

    def group(star: Star) -> DuplicateGroup:
        keeper = items[star[0]]
        copies = [(items[copy], distance) for copy, distance in star[1]]
        reason = rules.reason(keeper, [copy for copy, _ in copies])
        if against:
            reason = Reason(rule=Rule.AGAINST, keeper=str(keeper.path), runner_up=str(copies[0][0].path))
        return DuplicateGroup(
            keep=str(keeper.path), copies=_copies(keeper, copies, answers, rules), reason=reason, facts=_facts(keeper)
        )

    with ThreadPoolExecutor(usable_cores()) as pool:
        yield from pool.map(group, stars)


def _copies(
    keeper: Item, copies: Sequence[tuple[Item, float]], answers: _Answers, rules: KeeperRules
) -> tuple[Copy, ...]:
    kinds = [relation(keeper, copy, distance) for copy, distance in copies]
    first = glimpse(keeper.path) if Relation.NEAR in kinds else None
    return tuple(
        Copy(
            path=str(copy.path),
            distance=distance,
            relation=kind,
            looks=looks(keeper, copy, first, glimpse(copy.path)) if kind is Relation.NEAR else (),
            facts=_facts(copy),
            reviewed=answers.get((min(hashes), max(hashes))) == 0,
            protected=rules.protects(copy.path),
        )
        for (copy, distance), kind in zip(copies, kinds, strict=True)
        for hashes in [(keeper.content_hash, copy.content_hash)]
    )


def _facts(item: Item) -> Facts:
    return Facts(size=item.size, width=item.width, height=item.height, format=item.format)
