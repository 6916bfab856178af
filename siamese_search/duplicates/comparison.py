"""What a dedupe run compares: the pictures, what people said about them, and the pairs within the threshold.

Pictures are known by the ids of their gallery. Where two galleries are compared, whose ids overlap, those of the one
looked through become negative. Pictures with the same embedding are one in the pairs: one stands for all `alike`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_search.duplicates.groups import Block
from siamese_search.gallery import Gallery
from siamese_search.gallery.join import Embeddings, Join
from siamese_search.images.files import lies_in
from siamese_search.results import Coverage, Item

_HELD = 8_000_000  # pairs: 200 MB
_AT_ONCE = 1_000_000
_SAME, _DIFFERENT = 0, 1

Answers = dict[tuple[str, str], int]
"""What people said: a label for two content hashes, the lesser first; 0 the same picture, 1 different ones."""


class Compared:
    """A gallery's pictures, or those in `places`, and their pairs, with each other or with those of another gallery.

    Iterated, it yields the pairs in blocks, always the same: from memory, once it is known that there are few.
    """

    def __init__(
        self,
        gallery: Gallery,
        threshold: float,
        *,
        places: Sequence[str | Path] | None = None,
        against: Gallery | None = None,
        exact: bool = False,
        progress: Callable[[int, int], None] | None = None,
        held: int = _HELD,
    ) -> None:
        """Read the embeddings and what people said; the comparing begins with the first iteration.

        Raises FingerprintError when two encoders made the galleries. At most `held` pairs are kept in memory.
        """
        if against is not None:  # an empty one counts too
            gallery.check_comparable(against)
        self._gallery, self._against, self._held = gallery, against, held
        self.answers: Answers = {
            (pair.first, pair.second): pair.label
            for asked in (against, gallery)  # on the same pair the gallery's own answer counts
            for pair in (() if asked is None else asked.answers.all())
        }
        # A million items take long to read, so they are only when what is compared depends on them.
        wanted = bool(self.answers) or (against is not None and _overlap(gallery, against))
        mine = gallery.items(places) if wanted or places is not None else None
        theirs = against.items() if wanted and against is not None else None
        if mine is not None and theirs is not None:  # a file in both galleries is not its own copy
            own = {item.path for item in mine}
            theirs = [item for item in theirs if item.path not in own]
        kinds = {content: kind for kind, content in enumerate({hash_ for both in self.answers for hash_ in both}, 1)}
        self._mine = _embeddings(gallery, mine, kinds)
        self._theirs = None if against is None else _embeddings(against, theirs, kinds)
        self.images = len(self._mine.ids) + len(self._mine.twins)
        self._sign = 1 if self._theirs is None else -1
        self.alike = _alike(self._mine, self._sign) | ({} if self._theirs is None else _alike(self._theirs, 1))
        stands = {id_: one for one, others in self.alike.items() for id_ in others}
        # Only contents that somebody judged; all pictures that stand for one another have the same.
        self._judged: defaultdict[str, set[int]] = defaultdict(set)
        for items, sign in ((mine, self._sign), (theirs, 1)):
            for item in items or ():
                if item.content_hash in kinds:
                    self._judged[item.content_hash].add(stands.get(sign * item.id, sign * item.id))
        self._join = Join(self._mine, threshold, other=self._theirs, exact=exact, progress=progress)
        self._kept: Block | None = None

    def __iter__(self) -> Iterator[Block]:
        if self._kept is None:
            yield from self._found()
            return
        first, second, distance = self._kept
        for start in range(0, len(first), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            yield first[some], second[some], distance[some]

    @property
    def coverage(self) -> Coverage:
        """Tell how complete the pairs are, after an iteration."""
        return self._join.coverage

    def ids(self) -> list[int]:
        """Return the ids in the pairs and of those alike, after an iteration."""
        first, second = self._join.paired
        found = {*(self._sign * first).tolist(), *second.tolist()}
        found.update(*(side.tolist() for side in self._confirmed[:2]))
        if self._theirs is None:  # pictures that are alike are copies of each other
            found.update(self.alike)
        return sorted(found.union(*(self.alike[id_] for id_ in found & self.alike.keys())))

    def items(self) -> dict[int, Item]:
        """Return all pictures with these ids."""
        ids = self.ids()
        found = self._gallery.items_by_id([abs(id_) for id_ in ids if id_ * self._sign > 0])
        items = {self._sign * id_: replace(item, id=self._sign * id_) for id_, item in found.items()}
        if self._against is not None:
            items |= self._against.items_by_id([id_ for id_ in ids if id_ > 0])
        return items

    @cached_property
    def apart(self) -> frozenset[tuple[int, int]]:
        """The pairs that a person called different, the lesser id first."""
        return frozenset(self._answered(_DIFFERENT))

    # -- inside

    def _found(self) -> Iterator[Block]:
        kept: list[Block] = []
        count = 0
        judged = np.array(sorted({id_ for pair in self.apart for id_ in pair}), np.int64)
        for first, second, distance in self._join:
            block = self._sign * first, second, distance
            if len(judged):
                block = self._without_apart(block, judged)
            count += len(block[0])
            if count <= self._held:
                kept.append(block)
            else:
                kept.clear()
            yield block
        yield self._confirmed
        if count <= self._held:
            first, second, distance = (np.concatenate(column) for column in zip(*kept, self._confirmed, strict=True))
            self._kept = first, second, distance

    def _without_apart(self, block: Block, judged: NDArray[np.int64]) -> Block:
        first, second, distance = block
        wanted = np.ones(len(first), np.bool_)
        for at in np.flatnonzero(np.isin(first, judged) & np.isin(second, judged)).tolist():
            ids = int(first[at]), int(second[at])
            wanted[at] = (min(ids), max(ids)) not in self.apart
        return first[wanted], second[wanted], distance[wanted]

    @cached_property
    def _confirmed(self) -> Block:
        """The pairs that a person called the same: they count whatever their distance."""
        pairs = sorted(self._answered(_SAME)) if self._against is None else []
        first, second = np.array(pairs, np.int64).reshape(-1, 2).T
        return first, second, np.array(self._gallery.distances(pairs), np.float64)

    def _answered(self, label: int) -> set[tuple[int, int]]:
        return {
            (min(first, second), max(first, second))
            for (one, other), said in self.answers.items()
            if said == label
            for first, second in product(self._judged.get(one, ()), self._judged.get(other, ()))
        }


def _embeddings(gallery: Gallery, items: Sequence[Item] | None, kinds: Mapping[str, int]) -> Embeddings:
    """Return the embeddings of some items, or of all; a content that somebody judged stands for no other."""
    if items is None:
        return gallery.embeddings()
    judged = {item.id: kinds[item.content_hash] for item in items if item.content_hash in kinds}
    return gallery.embeddings(only=np.array([item.id for item in items], np.int64), kinds=judged)


def _alike(embeddings: Embeddings, sign: int) -> dict[int, list[int]]:
    """Return for each picture that stands for others their ids."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for other, one in (sign * embeddings.twins).tolist():
        alike[one].append(other)
    return dict(alike)


def _overlap(one: Gallery, other: Gallery) -> bool:
    """Tell whether a file may be in both galleries."""
    return any(lies_in(root, other.roots) for root in one.roots) or any(
        lies_in(root, one.roots) for root in other.roots
    )
