"""Groups as a user gets them: what is kept and why, how each copy relates to it, and what the gallery knows of both."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from siamese_search.cores import usable_cores
from siamese_search.details import Comparison, Verdict
from siamese_search.duplicates.aliases import FileGroup
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.origin import Origins
from siamese_search.duplicates.relation import glimpse, looks, relation
from siamese_search.duplicates.scope import Answers
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Answer, Copy, CopyPair, DuplicateGroup, Facts, Item, Reason, Relation, Rule

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

    `comparisons` hold what the details say of pairs.
    """

    items: Mapping[int, Item]
    answers: Answers
    rules: KeeperRules
    origins: Origins
    against: bool
    decoder: Decoder
    comparisons: Mapping[tuple[int, int], Comparison]

    def describe(self, groups: Sequence[FileGroup]) -> Iterator[DuplicateGroup]:
        """Yield the groups in order; pictures are compared by a few threads."""
        group_of = {copy: number for number, files in enumerate(groups) for copy, _ in files.group.copies}
        together: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for first, second in self.comparisons:
            if first in group_of and group_of[first] == group_of.get(second):
                together[group_of[first]].append((first, second))
        with ThreadPoolExecutor(usable_cores()) as pool:
            yield from pool.map(self._group, groups, (together[number] for number in range(len(groups))))

    def _group(self, files: FileGroup, compared: Sequence[tuple[int, int]]) -> DuplicateGroup:
        keeper = self.items[files.group.keeper]
        return DuplicateGroup(
            keep=keeper.path,
            copies=self._copies(keeper, files),
            reason=self._reason(keeper, [self.items[copy] for copy, _ in files.group.copies]),
            facts=_facts(keeper),
            links=tuple(self.items[link].path for link in files.links),
            companions=self.origins.of(keeper).companions,
            pairs=self._pairs(files, compared),
        )

    def _pairs(self, files: FileGroup, compared: Sequence[tuple[int, int]]) -> tuple[CopyPair, ...]:
        """Return what the details say of copies among each other; of equal files, the first stands for all."""
        first_of: dict[str, int] = {}
        for place, (position, _) in enumerate(files.group.copies):
            first_of.setdefault(self.items[position].content_hash, place)
        return tuple(
            CopyPair(first=min(places), second=max(places), relation=_OF_VERDICT[self.comparisons[pair].verdict])
            for pair in compared
            for places in [[first_of[self.items[position].content_hash] for position in pair]]
        )

    def _reason(self, keeper: Item, copies: Sequence[Item]) -> Reason:
        if self.against:
            return Reason(rule=Rule.AGAINST, keeper=str(keeper.path), runner_up=str(copies[0].path))
        return self.rules.reason(keeper, copies, origins=self.origins)

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
                reviewed=self.answers.get((min(hashes), max(hashes))) is Answer.SAME,
                protected=self.rules.protects(copy.path),
                linked=position in files.linked,
                companions=self.origins.of(copy).companions,
                differences=comparison.differences if kind is Relation.ALTERED else (),
                differences_in_copy=comparison.differences_in_second if kind is Relation.ALTERED else (),
                transform=comparison.transform,
            )
            for (copy, distance), (position, _), kind, comparison in zip(
                copies, files.group.copies, kinds, seen, strict=True
            )
            for hashes in [(keeper.content_hash, copy.content_hash)]
        )

    def _seen(self, keeper: int, copy: int) -> Comparison:
        """Return what the details say of a pair, as seen from the keeper, whichever of the two outranks the other."""
        if (keeper, copy) in self.comparisons:
            return self.comparisons[keeper, copy]
        other_way = self.comparisons.get((copy, keeper))
        return _turned_around(other_way) if other_way else _NOT_LOOKED_AT


def _turned_around(comparison: Comparison) -> Comparison:
    """Return where the first picture lies in the second, in place of the second in the first."""
    matrix = np.linalg.inv(np.array(comparison.transform)).tolist() if comparison.transform else []
    return replace(
        comparison,
        differences=comparison.differences_in_second,
        differences_in_second=comparison.differences,
        transform=tuple(map(tuple, matrix)),
    )


def _facts(item: Item) -> Facts:
    return Facts(
        size=item.size,
        width=item.width,
        height=item.height,
        format=item.format,
        content_hash=item.content_hash,
    )
