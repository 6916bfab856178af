"""Groups as a user gets them: what is kept and why, how each copy relates to it, and what the gallery knows of both."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from siamese_search.cores import usable_cores
from siamese_search.duplicates.groups import Group
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.duplicates.relation import glimpse, looks, relation
from siamese_search.duplicates.scope import Answers
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Copy, DuplicateGroup, Facts, Item, Reason, Relation, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Describer:
    """Turns groups of positions into groups of files; `against`: the keepers are another gallery's."""

    items: Mapping[int, Item]
    answers: Answers
    rules: KeeperRules
    against: bool
    decoder: Decoder

    def describe(self, groups: Sequence[Group]) -> Iterator[DuplicateGroup]:
        """Yield the groups in order; pictures are compared by a few threads."""
        with ThreadPoolExecutor(usable_cores()) as pool:
            yield from pool.map(self._group, groups)

    def _group(self, group: Group) -> DuplicateGroup:
        keeper = self.items[group.keeper]
        copies = [(self.items[copy], distance) for copy, distance in group.copies]
        return DuplicateGroup(
            keep=keeper.path,
            copies=self._copies(keeper, copies),
            reason=self._reason(keeper, [copy for copy, _ in copies]),
            facts=_facts(keeper),
        )

    def _reason(self, keeper: Item, copies: Sequence[Item]) -> Reason:
        if self.against:
            return Reason(rule=Rule.AGAINST, keeper=str(keeper.path), runner_up=str(copies[0].path))
        return self.rules.reason(keeper, copies)

    def _copies(self, keeper: Item, copies: Sequence[tuple[Item, float]]) -> tuple[Copy, ...]:
        kinds = [relation(keeper, copy, distance, self.decoder) for copy, distance in copies]
        first = glimpse(keeper.path, self.decoder) if Relation.NEAR in kinds else None
        return tuple(
            Copy(
                path=copy.path,
                distance=distance,
                relation=kind,
                looks=looks(keeper, copy, first, glimpse(copy.path, self.decoder)) if kind is Relation.NEAR else (),
                facts=_facts(copy),
                reviewed=self.answers.get((min(hashes), max(hashes))) == 0,
                protected=self.rules.protects(copy.path),
            )
            for (copy, distance), kind in zip(copies, kinds, strict=True)
            for hashes in [(keeper.content_hash, copy.content_hash)]
        )


def _facts(item: Item) -> Facts:
    return Facts(size=item.size, width=item.width, height=item.height, format=item.format)
