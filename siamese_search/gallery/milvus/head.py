"""The head of a gallery on a Milvus server: one row, which says which of the others count, and all that is small."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from siamese_search.gallery.milvus.rows import HEAD, RECORDS, Row, is_whole, record_row
from siamese_search.images.files import lies_in

FORMAT = 1


class NewerError(Exception):
    """A head of a format that this version does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What holds since a commit.

    Rows with numbers up to `last` count, and no others. `given` is the last id that an item was given, `count` the
    number of pictures. `bases` are the folders that paths are kept below, by number: the roots, whose numbers are in
    `tops`, and those that became part of one. `unsealed` is the number of pictures written since the server last put
    all into segments of their own, which it indexes best.
    """

    last: int = 0
    given: int = 0
    count: int = 0
    unsealed: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    bases: dict[int, Path] = field(default_factory=dict)
    tops: frozenset[int] = frozenset()

    @classmethod
    def of(cls, row: Row) -> "Head":
        """Return what a row says; raises ValueError, KeyError or TypeError where it is not as it was written.

        Raises NewerError for a format to come.
        """
        if not is_whole(RECORDS, row):
            raise ValueError("another checksum")
        said = json.loads(row["data"])
        if said["format"] != FORMAT:
            raise NewerError(f"format {said['format']}")
        return cls(
            last=row["row"],
            given=said["given"],
            count=said["count"],
            unsealed=said["unsealed"],
            settings=said["settings"],
            bases={int(number): Path(path) for number, path in said["bases"].items()},
            tops=frozenset(said["tops"]),
        )

    def row(self) -> Row:
        """Return the row that says this; it is the last one that counts itself."""
        said = {
            "format": FORMAT,
            "given": self.given,
            "count": self.count,
            "unsealed": self.unsealed,
            "settings": self.settings,
            "bases": {number: str(path) for number, path in self.bases.items()},
            "tops": sorted(self.tops),
        }
        return record_row(self.last, HEAD, said)

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self.settings["encoder"]["dim"])

    @property
    def roots(self) -> tuple[Path, ...]:
        """The indexed folders in order."""
        return tuple(sorted(self.bases[number] for number in self.tops))

    def place(self, path: Path) -> tuple[int, Path]:
        """Return the number of the root that a path lies in, and the path below it."""
        number = next(number for number in self.tops if lies_in(path, [self.bases[number]]))
        return number, path.relative_to(self.bases[number])

    def with_root(self, folder: Path) -> "Head":
        """Return the same with a folder in a root; roots inside it go on as bases."""
        if lies_in(folder, self.roots):
            return self
        number = max(self.bases, default=0) + 1
        kept = {top for top in self.tops if not lies_in(self.bases[top], [folder])}
        return replace(self, bases=self.bases | {number: folder}, tops=frozenset(kept | {number}))

    def with_moved(self, old: Path, new: Path) -> "Head":
        """Return the same with all that lies under a root in another folder."""
        bases = {n: new / base.relative_to(old) if lies_in(base, [old]) else base for n, base in self.bases.items()}
        return replace(self, bases=bases)

    def without_roots(self, roots: Iterable[Path]) -> "Head":
        """Return the same without some roots, and without the bases in them."""
        gone = [root for root in roots if root in self.roots]
        bases = {number: base for number, base in self.bases.items() if not lies_in(base, gone)}
        return replace(self, bases=bases, tops=self.tops & bases.keys())
