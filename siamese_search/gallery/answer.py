"""The answer to one query, as it grows: what each hit is of the query, and which hits are copies of one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from siamese_search.results import Hit, HitKind, Item, Relation

if TYPE_CHECKING:
    from siamese_search.details import Verdict

_SAME_EMBEDDING = 1e-3  # gap, which is computed in single precision
# Of the farthest of the hits looked through: of heavy edits that were found first 95 in 100 lay nearer.
_STANDS_OUT = 0.82

Told: TypeAlias = tuple[HitKind, Relation | None]

_TOLD: Mapping[str, Told] = {  # by the value of a verdict: to name its class would load OpenCV
    "confirmed": (HitKind.SAME, Relation.CONFIRMED),
    "altered": (HitKind.ALTERED, Relation.ALTERED),
    "alike": (HitKind.NEAREST, None),
    "unchecked": (HitKind.NEAREST, Relation.UNCHECKED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Distances that decide. Up to `reach` a hit may be the same picture as the query, up to `alike` it looks alike.

    Up to `copies`, the threshold, two pictures are copies of each other as far as distance tells. `alike` is None where
    it was not measured.
    """

    reach: float
    copies: float
    alike: float | None


class Answer:
    """What is known of the pictures near one query; without `details` distance alone decides.

    Copies of one picture are: hits of equal content or equal embeddings; all that are the same as the query; and of the
    rest those within the threshold of the first of them. But where both were looked at, for they lie near the query,
    their details have to agree; and where all that were looked at are the query's picture, so is the rest that lies as
    near to the first of them.
    """

    def __init__(self, limits: Limits, *, details: bool) -> None:
        self._limits = limits
        self._details = details
        self._items: list[Item] = []
        self._distances: list[float] = []
        self._gaps: NDArray[np.float64] = np.empty((0, 0))  # between hits
        self._is_all = False
        # By content, which copies of one file share.
        self._told: dict[str, Told] = {}
        self._one_picture: dict[tuple[str, str], bool] = {}

    def take(self, near: Sequence[tuple[Item, float]], vectors: NDArray[np.float32], *, is_all: bool) -> None:
        """Take the pictures near the query, nearest first, with their embeddings; `is_all`: there are no others."""
        self._items = [item for item, _ in near]
        self._distances = [distance for _, distance in near]
        self._gaps = np.sqrt(np.maximum(0, 2 - 2 * vectors @ vectors.T)).astype(np.float64)
        self._is_all = is_all

    def mark_equals(self, digest: str) -> None:
        """Mark the hits whose content has this hash: that of the query."""
        self._told[digest] = HitKind.SAME, Relation.IDENTICAL

    def to_look_at(self, count: int) -> list[Item]:
        """Return the hits to compare with the query: the next `count` contents within reach, while all are its picture.

        Copies come in families, and lie nearer than what is no copy: where one is none, nor are those behind it, and
        beyond the threshold only those are looked at that stand out.
        """
        if not self._details or not self._only_its_own():
            return []
        limits = self._limits
        far = min(limits.reach, max(limits.copies, _STANDS_OUT * max(self._distances, default=0.0)))
        within = {
            item.content_hash: item
            for item, distance in zip(self._items, self._distances, strict=True)
            if distance <= far and item.content_hash not in self._told
        }
        return [*within.values()][:count]

    def mark(self, item: Item, verdict: "Verdict", *, same_pixels: bool) -> None:
        """Mark a hit by what its details say."""
        told = (HitKind.SAME, Relation.SAME_PIXELS) if same_pixels else _TOLD[verdict.value]
        self._told[item.content_hash] = told

    def pairs(self) -> list[tuple[Item, Item]]:
        """Return the hits to compare with one another: each that is not the query's picture with the nearest before it.

        Those are hits that were compared with the query, so that their details are known.
        """
        rows = [row for row, item in enumerate(self._items) if self._was_looked_at(row) and not self._is_same(row)]
        found = []
        for place, row in enumerate(rows):
            before = min(rows[:place], key=self._gaps[row].__getitem__, default=row)
            pair = self._contents(before, row)
            if before != row and self._gaps[row][before] <= self._limits.copies and pair not in self._one_picture:
                found.append((self._items[before], self._items[row]))
        return found

    def mark_pair(self, pair: tuple[Item, Item], verdict: "Verdict") -> None:
        """Mark whether two hits are one picture."""
        first, second = pair
        self._one_picture[first.content_hash, second.content_hash] = _TOLD[verdict.value][0] is HitKind.SAME

    def wants_more(self, k: int, *, within: bool) -> bool:
        """Tell whether more hits are needed: for `k` pictures, or (`within` reason) for all copies of the query."""
        if self._is_all:
            return False
        to_come = not self._distances or self._distances[-1] <= self._limits.copies
        return len(self._groups(k)) < k or (within and to_come)

    def hits(self, k: int) -> tuple[Hit, ...]:
        """Return the `k` nearest different pictures, with their copies."""
        return tuple(
            self._hit(first, rank, tuple(self._hit(row, rank) for row in rest))
            for rank, (first, *rest) in enumerate(self._groups(k), start=1)
        )

    def _hit(self, row: int, rank: int, copies: tuple[Hit, ...] = ()) -> Hit:
        kind, relation = self._kind(row)
        return Hit(
            rank=rank,
            id=self._items[row].id,
            path=self._items[row].path,
            distance=self._distances[row],
            duplicate=kind is HitKind.SAME,
            kind=kind,
            relation=relation,
            copies=copies,
        )

    def _kind(self, row: int) -> Told:
        """Return what a hit is, and how sure it is that it is the query's picture."""
        distance, limits = self._distances[row], self._limits
        kind, relation = self._told.get(self._items[row].content_hash, (HitKind.NEAREST, Relation.NEAR))
        if kind is not HitKind.NEAREST:
            return kind, relation
        is_near = distance <= (limits.copies if self._details else limits.reach)
        if is_near and not self._details:
            return HitKind.SAME, Relation.NEAR
        looks_alike = is_near or (limits.alike is not None and distance <= limits.alike)
        return HitKind.ALIKE if looks_alike else HitKind.NEAREST, relation if is_near else None

    def _groups(self, k: int) -> list[list[int]]:
        """Return the first `k` groups of rows that are one picture."""
        groups: list[list[int]] = []
        firsts: list[int] = []
        same = [self._is_same(row) for row in range(len(self._items))]
        may_join = self._may_join(np.array(same, np.bool_))
        for row in range(len(self._items)):
            possible = may_join[row, firsts].nonzero()[0].tolist()
            group = next((groups[place] for place in possible if self._joins(groups[place], row, same)), None)
            if group:
                group.append(row)
            elif len(groups) < k:
                groups.append([row])
                firsts.append(row)
        return groups

    def _may_join(self, same: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return for each two rows whether the second may be in a group that the first begins: `_joins` is slow."""
        _, content = np.unique([item.content_hash for item in self._items], return_inverse=True)
        close = np.array(self._distances) <= self._limits.copies
        looked_at = np.array([self._was_looked_at(row) for row in range(len(self._items))], np.bool_)
        found: NDArray[np.bool_] = (
            (self._gaps <= max(self._limits.copies, _SAME_EMBEDDING))
            | (content[:, None] == content)
            | (same[:, None] | same)
            | (close[:, None] & close)
            | (looked_at[:, None] & looked_at)
        )
        return found

    def _joins(self, group: Sequence[int], row: int, same: Sequence[bool]) -> bool:
        """Tell whether a hit is one of a group; `same` are those rows that are the query's picture."""
        first = group[0]
        if self._items[first].content_hash == self._items[row].content_hash:
            return True
        if same[first] or same[row]:
            both = same[first] and same[row]
            more = self._details and not self._was_looked_at(row) and self._only_its_own()
            return both or (more and self._gaps[first][row] <= self._limits.copies)
        if self._gaps[first][row] <= _SAME_EMBEDDING:
            return True
        if self._were_looked_at(first, row):
            return any(self._one_picture.get(self._contents(member, row), False) for member in group)
        return bool(self._gaps[first][row] <= self._limits.copies)

    def _only_its_own(self) -> bool:
        """Tell whether all that was looked at is the query's own picture."""
        return all(kind is not HitKind.NEAREST for kind, _ in self._told.values())

    def _is_same(self, row: int) -> bool:
        return self._kind(row)[0] is HitKind.SAME

    def _were_looked_at(self, first: int, row: int) -> bool:
        """Tell whether details say what two hits are of each other; of what is so near to the query, they have to."""
        if not self._details:
            return False
        both_near = max(self._distances[first], self._distances[row]) <= self._limits.copies
        return both_near or (self._was_looked_at(first) and self._was_looked_at(row))

    def _was_looked_at(self, row: int) -> bool:
        return self._items[row].content_hash in self._told

    def _contents(self, first: int, second: int) -> tuple[str, str]:
        return self._items[first].content_hash, self._items[second].content_hash
