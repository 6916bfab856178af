"""Groups as a user gets them: what is kept and why, how each copy relates to it, and what the gallery knows of both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from siamese_search.cores import usable_cores
from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.aliases import FileGroup
from siamese_search.duplicates.groups import Group
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.origin import Origins
from siamese_search.duplicates.relation import glimpse, looks, relation
from siamese_search.duplicates.scope import Answers
from siamese_search.duplicates.source import words
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Copy, DuplicateGroup, Facts, Item, Reason, Relation, Rule

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

    `seen` gives what the details say of a keeper and a copy, None where they were not looked at.
    """

    items: Mapping[int, Item]
    answers: Answers
    rules: KeeperRules
    origins: Origins
    against: bool
    decoder: Decoder
    seen: Callable[[int, int], Comparison | None]

    def describe(self, groups: Sequence[FileGroup]) -> Iterator[DuplicateGroup]:
        """Yield the groups in order; pictures are compared by a few threads."""
        with ThreadPoolExecutor(usable_cores()) as pool:
            yield from pool.map(self._group, groups)

    def _group(self, files: FileGroup) -> DuplicateGroup:
        keeper = self.items[files.group.keeper]
        return DuplicateGroup(
            keep=keeper.path,
            copies=self._copies(keeper, files),
            reason=self._reason(files.group),
            facts=_facts(keeper),
            links=tuple(self.items[link].path for link in files.links),
        )

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
            relation(keeper, copy, distance, self.decoder, otherwise=_OF_VERDICT[comparison.verdict])
            for (copy, distance), comparison in zip(copies, seen, strict=True)
        ]
        first = None if _EQUAL.issuperset(kinds) else glimpse(keeper.path, self.decoder)
        return tuple(
            Copy(
                path=copy.path,
                distance=distance,
                relation=kind,
                looks=() if kind in _EQUAL else looks(keeper, copy, first, glimpse(copy.path, self.decoder)),
                facts=_facts(copy),
                reviewed=self.answers.get((min(hashes), max(hashes))) == 0,
                protected=self.rules.protects(copy.path),
                linked=position in files.linked,
                companions=self.origins.of(copy).companions,
                differences=comparison.differences if kind is Relation.ALTERED else (),
            )
            for (copy, distance), (position, _), kind, comparison in zip(
                copies, files.group.copies, kinds, seen, strict=True
            )
            for hashes in [(keeper.content_hash, copy.content_hash)]
        )

    def _seen(self, keeper: int, copy: int) -> Comparison:
        return self.seen(keeper, copy) or _NOT_LOOKED_AT


def _facts(item: Item) -> Facts:
    return Facts(
        size=item.size,
        width=item.width,
        height=item.height,
        format=item.format,
        content_hash=item.content_hash,
    )
