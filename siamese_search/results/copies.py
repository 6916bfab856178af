"""Copies: how they relate to what is kept, and why that is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from siamese_search.tables import Printed

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of a picture's width and height."""


class Relation(StrEnum):
    """How a copy relates to its keeper; a plan acts on the first three unless it is asked for more."""

    IDENTICAL = "identical"  # the same bytes
    SAME_PIXELS = "same-pixels"  # other bytes, the same picture pixel for pixel
    CONFIRMED = "confirmed"  # the details agree wherever both can be seen
    ALTERED = "altered"  # one picture, but a part differs, or the copy shows more: a caption, another text in one form
    NEAR = "near"  # within the threshold, and no more is known: the details were not compared
    UNCHECKED = "unchecked"  # the details could not be compared: there are too few, or a file is away


SAFE_RELATIONS = (Relation.IDENTICAL, Relation.SAME_PIXELS, Relation.CONFIRMED)
"""What a plan acts on where nobody asked for more."""


class Edit(StrEnum):
    """What an edit looks like, seen in two small pictures: an impression, not a proof."""

    RESIZED = "resized"
    RE_ENCODED = "re-encoded"
    CROPPED = "cropped"
    FRAMED = "framed"  # the keeper lies within it: bars, a border, a screenshot
    MIRRORED = "mirrored"
    ROTATED = "rotated"
    RECOLOURED = "recoloured"
    DRAWN_OVER = "drawn over"  # a caption, a watermark, a sticker


class Rule(StrEnum):
    """What decides which picture of a group is kept."""

    PROTECTED = "protected"  # lies in a folder that is never acted on
    PREFERRED = "preferred"  # lies in a folder named as better
    CAMERA = "camera"  # a camera wrote it, and nobody wrote it again since
    NOT_DERIVED = "not-derived"  # its data do not say that it was resized or cropped
    COMPANIONS = "companions"  # files belong to it: a RAW, a sidecar, the clip of a live photo
    METADATA = "metadata"  # it says when, with what and where it was taken
    SOURCE = "source"  # the others were made of it, as far as their details tell
    PIXELS = "pixels"
    ORIGINAL_NAME = "original-name"  # its name does not say that it is a copy, an edit or a screenshot
    DEPTH = "depth"  # bits a channel
    LOSSLESS = "lossless"
    FORMAT = "format"  # of equals, the one that cameras write
    SIZE = "size"  # within one format: bytes of two do not compare
    OLDEST = "oldest"  # by the time of capture, then by the file's
    NEWEST = "newest"
    SHORTEST_PATH = "shortest-path"
    NAME = "name"  # the fixed end of every order: the path itself
    AGAINST = "against"  # it belongs to the other gallery, whose pictures are all kept


KEEP_RULES = (
    Rule.CAMERA,
    Rule.COMPANIONS,
    Rule.NOT_DERIVED,
    Rule.METADATA,
    Rule.SOURCE,
    Rule.PIXELS,
    Rule.ORIGINAL_NAME,
    Rule.DEPTH,
    Rule.LOSSLESS,
    Rule.FORMAT,
    Rule.SIZE,
    Rule.OLDEST,
    Rule.NEWEST,
    Rule.SHORTEST_PATH,
)
"""The rules that a person may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(Printed):
    """The first rule in which a keeper beats the best of its copies, and the two values, in words or numbers."""

    rule: Rule
    keeper: str | int
    runner_up: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Printed):
    """What is known of a file: `size` in bytes, `width` and `height` in pixels as shown.

    `entries` are what people wrote into it, date and place: of each its kind, and a checksum of what it says.
    """

    size: int
    width: int
    height: int
    format: str
    content_hash: str
    entries: tuple[tuple[str, str], ...] = ()


class Shared(NamedTuple):
    """A file that belongs to several pictures by its name: it goes with the last of them, if all go."""

    path: Path
    pictures: tuple[Path, ...]


FINER = 2.0
"""How many times as many pixels for the same make a picture too good to go for another."""


class Loss(StrEnum):
    """What would be lost with a copy, of which its keeper shows less."""

    SCENE = "scene"  # a part of the picture, its colours or its transparency
    DETAILS = "details"  # it has `FINER` times as many pixels for the same, or is clearly less worn


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Printed):
    """A member of a duplicate group other than its keeper.

    `looks` is what the edit looks like, empty where that could not be told. `reviewed`: a person said that it is the
    same picture as the keeper, which counts whatever the distance. `protected`: it is never acted on. `linked`: it is
    one of several names of a file, or seen through a link, so its going frees nothing. `companions` are files that
    belong to it and go where it goes, `shared` those that belong to other pictures too. `loss` is what would be lost
    with it of the picture, and `holds` names what its file knows and the keeper's does not, "keywords" or "place".
    `differences` are where an altered one differs, as shares of the keeper's width and height: left, top, right,
    bottom.
    """

    path: Path
    distance: float
    relation: Relation
    looks: tuple[Edit, ...] = ()
    facts: Facts | None = None
    reviewed: bool = False
    protected: bool = False
    linked: bool = False
    companions: tuple[Path, ...] = ()
    shared: tuple[Shared, ...] = ()
    holds: tuple[str, ...] = ()
    differences: tuple[Box, ...] = ()
    differences_in_copy: tuple[Box, ...] = ()
    transform: tuple[tuple[float, ...], ...] = ()
    loss: Loss | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPair(Printed):
    """How one picture of a group would relate to another if that were kept, as far as they were compared.

    Both are places among its pictures: 0 is the keeper, and its copies follow.
    """

    keep: int
    copy: int
    relation: Relation


def companions_of(going: Iterable[Copy]) -> dict[Path, tuple[Path, ...]]:
    """Return the companions of copies that go, by the copy that each goes with: a shared one with the last of all."""
    along = {copy.path: copy for copy in going}
    last = {each.path: path for path, copy in along.items() for each in copy.shared if along.keys() >= {*each.pictures}}
    return {
        path: (*copy.companions, *(each.path for each in copy.shared if last.get(each.path) == path))
        for path, copy in along.items()
    }
