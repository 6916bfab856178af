"""Groups as a user gets them: what is kept and why, how each copy relates to it, and what the gallery knows of both."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from siamese_search.cores import usable_cores
from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.aliases import FileGroup
from siamese_search.duplicates.groups import Group
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.origin import Origins
from siamese_search.duplicates.relation import Glimpse, glimpse, looks, relation
from siamese_search.duplicates.scope import Answers
from siamese_search.duplicates.source import Pair, loss, words
from siamese_search.images.sandbox import Decoder
from siamese_search.results import (
    FINER,
    Answer,
    Copy,
    CopyPair,
    DuplicateGroup,
    Facts,
    Item,
    Loss,
    Reason,
    Relation,
    Rule,
)

_EQUAL = frozenset({Relation.IDENTICAL, Relation.SAME_PIXELS})
_OF_VERDICT = {
    Verdict.CONFIRMED: Relation.CONFIRMED,
    Verdict.ALTERED: Relation.ALTERED,
    Verdict.ALIKE: Relation.NEAR,
    Verdict.UNCHECKED: Relation.UNCHECKED,
}
_NOT_LOOKED_AT = Comparison(Verdict.ALIKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Describer:
    """Turns groups of positions into groups of files; `against`: the keepers are another gallery's.

    `compared` are the pairs that were looked at in detail; `seen` gives what that says of a keeper and a copy, None for
    others.
    """

    items: Mapping[int, Item]
    answers: Answers
    rules: KeeperRules
    origins: Origins
    against: bool
    decoder: Decoder
    compared: Collection[Pair]
    seen: Callable[[int, int], Comparison | None]

    def describe(self, groups: Sequence[FileGroup]) -> Iterator[DuplicateGroup]:
        """Yield the groups in order; pictures are compared by a few threads."""
        group_of = {member: number for number, files in enumerate(groups) for member in files.group.members}
        together: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for first, second in self.compared:
            if first in group_of and group_of[first] == group_of.get(second):
                together[group_of[first]].append((first, second))
        with ThreadPoolExecutor(usable_cores()) as pool:
            yield from pool.map(self._group, groups, (together[number] for number in range(len(groups))))

    def _group(self, files: FileGroup, compared: Sequence[tuple[int, int]]) -> DuplicateGroup:
        keeper = self.items[files.group.keeper]
        return DuplicateGroup(
            keep=keeper.path,
            copies=self._copies(keeper, files),
            reason=self._reason(files.group),
            facts=self._facts(keeper),
            links=tuple(self.items[link].path for link in files.links),
            companions=self.origins.of(keeper).belongings.own,
            shared=self.origins.of(keeper).belongings.shared,
            pairs=tuple(sorted(self._pairs(files.group, compared), key=lambda pair: (pair.keep, pair.copy))),
        )

    def _pairs(self, group: Group, compared: Iterable[tuple[int, int]]) -> Iterator[CopyPair]:
        """Yield what the details say if another picture is kept; of equal files, the first stands for all."""
        place_of: dict[str, int] = {}
        for place, position in enumerate(group.members):
            place_of.setdefault(self.items[position].content_hash, place)
        for one, other in compared:
            for kept, copy in ((one, other), (other, one)):
                places = [place_of[self.items[position].content_hash] for position in (kept, copy)]
                if places[0] not in {0, places[1]}:
                    yield CopyPair(keep=places[0], copy=places[1], relation=self._relation_of(kept, copy))

    def _relation_of(self, keeper: int, copy: int) -> Relation:
        return _relation_of(self._seen(keeper, copy), self.items[keeper], self.items[copy])

    def _reason(self, group: Group) -> Reason:
        keeper = self.items[group.keeper]
        position_of = {self.items[copy].path: copy for copy, _ in group.copies}
        copies = [self.items[copy] for copy, _ in group.copies]
        if self.against:
            return Reason(rule=Rule.AGAINST, keeper=str(keeper.path), runner_up=str(copies[0].path))

        def source(runner_up: Item) -> tuple[str, str]:
            return words(self._seen(group.keeper, position_of[runner_up.path]), keeper, runner_up)

        return self.rules.reason(keeper, copies, origins=self.origins, source=source)

    def _copies(self, keeper: Item, files: FileGroup) -> tuple[Copy, ...]:
        copies = [(self.items[position], distance) for position, distance in files.group.copies]
        seen = [self._seen(files.group.keeper, position) for position, _ in files.group.copies]
        kinds = [
            relation(keeper, copy, distance, self.decoder, otherwise=_relation_of(comparison, keeper, copy))
            for (copy, distance), comparison in zip(copies, seen, strict=True)
        ]
        first = None if _EQUAL.issuperset(kinds) else self._glimpse(keeper)
        return tuple(
            Copy(
                path=copy.path,
                distance=distance,
                relation=kind,
                looks=()
                if kind in _EQUAL
                else looks(keeper, copy, first, glimpse(copy.path, self.decoder), comparison),
                facts=self._facts(copy),
                reviewed=self.answers.get((min(hashes), max(hashes))) is Answer.SAME,
                protected=self.rules.protects(copy.path),
                linked=position in files.linked,
                companions=self.origins.of(copy).belongings.own,
                shared=self.origins.of(copy).belongings.shared,
                holds=self._holds(copy, keeper),
                differences=comparison.differences if kind is Relation.ALTERED else (),
                differences_in_copy=comparison.differences_in_second if kind is Relation.ALTERED else (),
                transform=comparison.transform,
                loss=None if kind in _EQUAL else _loss_of(comparison, keeper, copy),
            )
            for (copy, distance), (position, _), kind, comparison in zip(
                copies, files.group.copies, kinds, seen, strict=True
            )
            for hashes in [(keeper.content_hash, copy.content_hash)]
        )

    def _holds(self, copy: Item, keeper: Item) -> tuple[str, ...]:
        one, other = self.origins.of(copy), self.origins.of(keeper)
        return (*one.metadata.beyond(other.metadata), *(each.kind for each in one.known[len(one.metadata.known) :]))

    def _facts(self, item: Item) -> Facts:
        return Facts(
            size=item.size,
            width=item.width,
            height=item.height,
            format=item.format,
            content_hash=item.content_hash,
            entries=self.origins.of(item).known,
        )

    def _glimpse(self, item: Item, kind: Relation = Relation.NEAR) -> Glimpse | None:
        return None if kind in _EQUAL else glimpse(item.path, self.decoder)

    def _seen(self, keeper: int, copy: int) -> Comparison:
        return self.seen(keeper, copy) or _NOT_LOOKED_AT


def _relation_of(seen: Comparison, keeper: Item, copy: Item) -> Relation:
    """Return how the second picture relates to the first if that is kept: what shows more is no copy of it."""
    return (
        Relation.ALTERED
        if seen.verdict is Verdict.CONFIRMED and loss(seen, keeper, copy)
        else _OF_VERDICT[seen.verdict]
    )


def _loss_of(seen: Comparison, keeper: Item, copy: Item) -> Loss | None:
    """Return what would be lost with a copy, by its details, or by its size where these were not compared."""
    if seen is not _NOT_LOOKED_AT:
        return loss(seen, keeper, copy) if seen.verdict in {Verdict.CONFIRMED, Verdict.ALTERED} else None
    is_larger = copy.width * copy.height >= FINER * keeper.width * keeper.height
    return Loss.DETAILS if is_larger else None
