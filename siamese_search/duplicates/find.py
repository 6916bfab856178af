"""Duplicate groups: every pair within the threshold, gathered into stars around the pictures worth keeping."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from siamese_search.cores import usable_cores
from siamese_search.duplicates.comparison import Answers, Compared
from siamese_search.duplicates.groups import Star, star_groups
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.relation import glimpse, looks, relation
from siamese_search.errors import FolderError
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in
from siamese_search.images.sandbox import Decoder
from siamese_search.results import (
    Copy,
    DedupeReport,
    DuplicateGroup,
    Facts,
    Item,
    Reason,
    Relation,
    Rule,
    Threshold,
)


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
    picture is compared with those of the other gallery alone, and those are the keepers. `rules` say what is kept.
    Every copy lies within the threshold (default: the one in force) of the keeper itself, or a person has said that
    it is the same picture; two that a person has called different are never in one group. Pictures with the same
    embedding stay together. Groups come in the order of their keepers' paths.

    In a large gallery not quite all pairs are found; the report's `coverage` tells how many were. `exact` compares all
    pictures with all. `progress` is called with what is done and the total, first of the comparisons, then of the
    groups.
    """
    limit = threshold if isinstance(threshold, Threshold) else gallery.threshold_or(threshold)
    rules = rules or KeeperRules()
    with gallery.snapshot(), nullcontext() if against is None else against.snapshot():
        places, singles = _scope(gallery, folders)
        compared = Compared(gallery, limit.distance, places=places, against=against, exact=exact, progress=progress)
        for _ in compared:  # which pictures are to be ranked is known only then
            pass
        items = compared.items()
        skipped = gallery.skipped
    stars = _stars(compared, items, rules, against=against is not None)
    if singles:
        stars = [star for star in stars if any(items[id_].path in singles for id_ in _members(star))]
    stars.sort(key=lambda star: items[star[0]].path)
    groups = []
    for group in _groups(stars, items, compared.answers, rules, against=against is not None):
        groups.append(group)
        if progress:
            progress(len(groups), len(stars))
    wanted = None if places is None else [Path(folder).expanduser().resolve() for folder in places]
    return DedupeReport(
        threshold=limit,
        images=len(singles) or compared.images,
        groups=tuple(groups),
        skipped=tuple(entry for entry in skipped if wanted is None or lies_in(Path(entry.path), wanted)),
        against=None if against is None else against.location,
        coverage=compared.coverage,
    )


def _stars(compared: Compared, items: dict[int, Item], rules: KeeperRules, *, against: bool) -> list[Star]:
    """Gather the pairs into stars. Of pictures that are alike the best stands for all, and the others go with it."""
    ranked = rules.rank(items.values())
    if against:
        ranked.sort(key=lambda item: item.id < 0)  # the other gallery's pictures first, stable
    place = {item.id: at for at, item in enumerate(ranked)}
    alike = {
        one: sorted((one, *others), key=place.__getitem__) for one, others in compared.alike.items() if one in items
    }
    stands = {id_: one for one, ids in alike.items() for id_ in ids}
    stars = star_groups(
        list(dict.fromkeys(stands.get(item.id, item.id) for item in ranked)), compared, apart=compared.apart
    )
    if not against:  # there, only pictures of two galleries are copies of each other
        grouped = {id_ for star in stars for id_ in _members(star)}
        stars += [(one, ()) for one in alike if one not in grouped]
    whole = []
    for one, copies in stars:
        keeper, *twins = alike.get(one, [one])
        members = [] if against else [(id_, 0.0) for id_ in twins]
        members += [(id_, distance) for copy, distance in copies for id_ in alike.get(copy, [copy])]
        whole.append((keeper, tuple(sorted(members, key=lambda member: (member[1], place[member[0]])))))
    return whole


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
                f"{given}: not indexed; find its like with: simsearch query {given} --index {gallery.location}"
            )
    places = [folder for folder in folders if folder not in singles]
    return (places or None), frozenset(singles.values())


def _members(star: Star) -> tuple[int, ...]:
    return (star[0], *(copy for copy, _ in star[1]))


def _groups(
    stars: Sequence[Star], items: dict[int, Item], answers: Answers, rules: KeeperRules, *, against: bool
) -> Iterator[DuplicateGroup]:
    """Yield the stars as groups, in order; pictures are compared by a few threads."""

    def group(star: Star) -> DuplicateGroup:
        keeper = items[star[0]]
        copies = [(items[copy], distance) for copy, distance in star[1]]
        reason = rules.reason(keeper, [copy for copy, _ in copies])
        if against:
            reason = Reason(rule=Rule.AGAINST, keeper=str(keeper.path), runner_up=str(copies[0][0].path))
        return DuplicateGroup(
            keep=str(keeper.path),
            copies=_copies(keeper, copies, answers, rules, decoder),
            reason=reason,
            facts=_facts(keeper),
        )

    with Decoder() as decoder, ThreadPoolExecutor(usable_cores()) as pool:
        yield from pool.map(group, stars)


def _copies(
    keeper: Item, copies: Sequence[tuple[Item, float]], answers: Answers, rules: KeeperRules, decoder: Decoder
) -> tuple[Copy, ...]:
    kinds = [relation(keeper, copy, distance, decoder) for copy, distance in copies]
    first = glimpse(keeper.path, decoder) if Relation.NEAR in kinds else None
    return tuple(
        Copy(
            path=str(copy.path),
            distance=distance,
            relation=kind,
            looks=looks(keeper, copy, first, glimpse(copy.path, decoder)) if kind is Relation.NEAR else (),
            facts=_facts(copy),
            reviewed=answers.get((min(hashes), max(hashes))) == 0,
            protected=rules.protects(copy.path),
        )
        for (copy, distance), kind in zip(copies, kinds, strict=True)
        for hashes in [(keeper.content_hash, copy.content_hash)]
    )


def _facts(item: Item) -> Facts:
    return Facts(size=item.size, width=item.width, height=item.height, format=item.format)
