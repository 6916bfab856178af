"""What a search for duplicates reports."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from siamese_search.results.copies import SAFE_RELATIONS, Copy, CopyPair, Facts, Reason, Relation, Shared
from siamese_search.results.files import Skipped
from siamese_search.results.threshold import DetailCheck, Threshold
from siamese_search.tables import Printed, Tabular


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup(Tabular[Copy]):
    """A keeper and the pictures within the threshold *of the keeper*, never of one another alone.

    `links` are other names of files in it: one file is no copy of itself, whatever it is called. `companions` are files
    that belong to the keeper. `pairs` say what another keeper would be confirmed for; of equal files, the first stands
    for all.
    """

    keep: Path
    copies: tuple[Copy, ...]
    reason: Reason | None = None
    facts: Facts | None = None
    links: tuple[Path, ...] = ()
    companions: tuple[Path, ...] = ()
    shared: tuple[Shared, ...] = ()
    pairs: tuple[CopyPair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst(Printed):
    """Pictures of one scene that a camera took one after another, in that order: no copies, so none is acted on.

    `sharpest` is the one with most detail, None where they cannot be read any more.
    """

    pictures: tuple[Path, ...]
    sharpest: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage(Printed):
    """How complete the pairs within a threshold are. `exact`: all pictures were compared with all.

    If not, `sampled` pictures were, and of their pairs, `known`, so many were `found`.
    """

    exact: bool = True
    sampled: int = 0
    known: int = 0
    found: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailCounts(Printed):
    """How many pairs within reach were looked at in detail, and what that said.

    `alike` are two pictures that look alike, however near; `unchecked` could not be compared, and `left_out` were not:
    each picture is compared with the nearest few.
    """

    compared: int
    confirmed: int
    altered: int
    alike: int
    unchecked: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeReport(Tabular[DuplicateGroup]):
    """What `dedupe` found in `images` pictures; `against` is the gallery whose pictures they were compared with.

    `details` is None where distance alone decided; with details, `threshold` is the reach: the distance within which
    these were compared. `check` is what details are worth in this gallery, as far as that was measured.
    """

    threshold: Threshold
    images: int
    groups: tuple[DuplicateGroup, ...]
    skipped: tuple[Skipped, ...]
    against: str | None = None
    coverage: Coverage = Coverage()
    bursts: tuple[Burst, ...] = ()
    details: DetailCounts | None = None
    check: DetailCheck | None = None

    def freed(self, group: DuplicateGroup, only: Collection[Relation] = ()) -> int:
        """Return the bytes that acting on a group would free."""
        return sum(copy.facts.size for copy in group if copy.facts and self.acts_on(copy, only))

    def acts_on(self, copy: Copy, only: Collection[Relation] = ()) -> bool:
        """Tell whether a plan acts on a copy: on what is surely one picture, or on `only` some relations.

        Where distance alone decided, that is all there is to go by. What a person called the same is surely that. What
        is protected or a link stays, and what holds data that its keeper lacks; so does one that shows more than its
        keeper, unless it is asked for.
        """
        safe = (*SAFE_RELATIONS, Relation.NEAR) if self.details is None else SAFE_RELATIONS
        stays = copy.protected or copy.linked or copy.holds
        if only:
            return not stays and copy.relation in only
        return not stays and (copy.reviewed or (copy.relation in safe and copy.loss is None))
