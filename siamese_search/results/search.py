"""What is found for a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siamese_search.results.copies import Relation
from siamese_search.results.files import Skipped
from siamese_search.results.threshold import Threshold
from siamese_search.tables import Printed, Tabular


class HitKind(StrEnum):
    """What a hit is of the picture asked for."""

    SAME = "same"  # that picture itself, as far as its `Relation` says
    ALTERED = "altered"  # that picture in part: edited, or the same thing taken once more
    ALIKE = "alike"  # another that looks like it, however near
    NEAREST = "nearest"  # none of these: merely the nearest there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Printed):
    """One answer to a query. `rank` counts different pictures from 1, `distance` is Euclidean, in [0, 2].

    `relation` says how sure it is that it is the same picture, None where nothing says so; `duplicate`: it is.
    `copies` are further copies of the picture found here, nearest first, each as a hit of the same rank. `id` is that
    of the `Item`, 0 where it is not known.
    """

    rank: int
    path: Path
    distance: float
    duplicate: bool
    kind: HitKind = HitKind.NEAREST
    relation: Relation | None = None
    copies: tuple["Hit", ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult(Tabular[Hit]):
    """The hits of one query picture, nearest first; `query` is what it was called, "-" for one without a name.

    `alike` is the distance up to which pictures look alike, None where the encoder names none.
    """

    query: str
    hits: tuple[Hit, ...]
    alike: float | None = None

    @property
    def nothing_alike(self) -> bool:
        """Whether nothing here is like the picture; never where nobody knows up to which distance that is."""
        return self.alike is not None and all(hit.kind is HitKind.NEAREST for hit in self.hits)

    def files(self, *, copies: bool) -> Iterator[Hit]:
        """Yield the hits, or with `copies` each with its copies behind it."""
        for hit in self.hits:
            yield hit
            if copies:
                yield from hit.copies


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport(Tabular[QueryResult]):
    """What `query` found, and the threshold that decided `duplicate`; `skipped` are pictures that cannot be read.

    With `details` these decided, and `threshold` is the reach: how far off pictures were looked at.
    """

    threshold: Threshold
    queries: tuple[QueryResult, ...]
    skipped: tuple[Skipped, ...] = ()
    details: bool = False
