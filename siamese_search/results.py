"""The plain values that cross module borders: frozen and typed; they print, and turn into tables.

A file is a `Path` everywhere; text only where it is printed or written. A gallery has a location, which is a text.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from siamese_search.tables import Printed, Tabular


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile(Printed):
    """A file that looks like a picture, as `os.stat` saw it. `path` is absolute.

    Two paths of equal `device` and `inode` are one file; `links` counts its names. All three are 0 where nobody looked.
    """

    path: Path
    size: int
    mtime_ns: int
    device: int = field(default=0, compare=False)
    inode: int = field(default=0, compare=False)
    links: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped(Printed):
    """A file that was left out, and why, in words for a person."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Printed):
    """A file that was read all the same, and what is amiss with it, in words for a person."""

    path: Path
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(Printed):
    """A file or folder that was met and is none to look for pictures in.

    `kind` is the extension of a file ("CR2", or "without extension"), the name of a system's folder ("@eaDir"), or the
    pattern that a user excluded.
    """

    path: Path
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCount(Printed):
    """How many files or folders of one kind were left out."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Printed):
    """One indexed picture. `path` is absolute; `width` and `height` are those of the picture as shown."""

    id: int
    path: Path
    size: int
    mtime_ns: int
    content_hash: str
    width: int
    height: int
    format: str


class ThresholdSource(StrEnum):
    """Where the threshold in force comes from."""

    OPTION = "option"  # the user gave it
    ENCODER = "encoder"  # the calibration table that travels with the encoder
    GALLERY = "gallery"  # measured on the gallery's own pictures
    PAIRS = "pairs"  # measured on pairs that a person labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Printed):
    """The distance at or below which two pictures count as near-duplicates, as far as distance alone tells.

    `distance` is in [0, 2]; the expected precision and recall are fractions, or None where nobody measured them. They
    are of photos: pages, screens and drawings lie nearer to one another, and there it errs more. Where details decide,
    a distance of the same kind is the *reach*: within it details are compared.
    """

    distance: float
    source: ThresholdSource
    expected_precision: float | None = None
    expected_recall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow(Printed):
    """One operating point: what to expect at or below this distance."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailCheck(Printed):
    """What details made of pairs of which it is known what they are, made from a gallery's own pictures.

    Of `edited` copies within the gallery's reach so many were `confirmed` and so many called `altered`; the rest was
    not found. Of `changed` pictures, with a part exchanged for another one and so surely different, so many were
    `mistaken` for copies; with a confidence of 95 % no larger share than `mistaken_at_most` would be.
    """

    edited: int
    confirmed: int
    altered: int
    changed: int
    mistaken: int
    mistaken_at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Tabular[CalibrationRow]):
    """How a gallery's threshold was found, when it held `images` pictures.

    `likeness` tells how near its unrelated pictures are to one another: 1 as those that the encoder was calibrated
    with, less when they are more alike. `false_pairs` is the number of false pairs expected among all pairs within the
    threshold. Within `reach` details are looked at, and `details` is what they are worth here, None where that was not
    measured; the other figures are of distance alone. `answers` is the number of answers of people that went into it,
    `correction` the factor by which they changed the expected number of false pairs, with its 90 % interval.
    """

    threshold: Threshold
    table: tuple[CalibrationRow, ...]
    images: int
    likeness: float
    false_pairs: float
    reach: float = 0.0
    answers: int = 0
    correction: float = 1.0
    correction_low: float = 1.0
    correction_high: float = 1.0
    details: DetailCheck | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared(Printed):
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


def companions_of(going: Iterable[Copy]) -> dict[Path, tuple[Path, ...]]:
    """Return the companions of copies that go, by the copy that each goes with: a shared one with the last of all."""
    along = {copy.path: copy for copy in going}
    last = {each.path: path for path, copy in along.items() for each in copy.shared if along.keys() >= {*each.pictures}}
    return {
        path: (*copy.companions, *(each.path for each in copy.shared if last.get(each.path) == path))
        for path, copy in along.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport(Printed):
    """What `index` did. `seconds` is wall time, `index` the gallery's location; `stopped`: it was asked to end early.

    `re_embedded` counts the pictures that a new encoder embedded anew, and that are not among the others.
    `calibrated` is the new calibration, where one was due. `left_out` counts what was met and is no picture, by kind;
    `noted` are files that were read although something is amiss with them.
    """

    added: int
    changed: int
    moved: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    images: int
    seconds: float
    index: str
    stopped: bool = False
    calibrated: Calibration | None = None
    left_out: tuple[KindCount, ...] = ()
    noted: tuple[Noted, ...] = ()
    re_embedded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryInfo(Printed):
    """What `info` tells about a gallery; `size_on_disk` in bytes.

    Within the `threshold` two pictures count as copies by distance alone; within `reach` details are compared, and
    decide. `index_recall` is the share of the ten nearest that a search finds, as measured when the index was built: 1
    where it is exact. `waiting` pictures were embedded by an earlier encoder, and are not found until the next `index`.
    """

    location: str
    encoder: str
    fingerprint: str
    dim: int
    images: int
    skipped: int
    roots: tuple[Path, ...]
    threshold: Threshold
    reach: float
    index_kind: str
    index_recall: float
    size_on_disk: int
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport(Printed):
    """What `verify` found in a gallery of `images` pictures, in words; None where they cannot be counted any more.

    `problems` are still there, `mended` were repaired, `notes` need nothing done. `files` are those that are not as
    they were indexed; None when they were not looked at.
    """

    index: str
    images: int | None
    problems: tuple[str, ...]
    mended: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Skipped, ...] | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingPair(Printed):
    """Two item ids of a gallery, `first < second`, and the distance between them."""

    first: int
    second: int
    distance: float


class Answer(StrEnum):
    """What a person can say of two pictures."""

    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPair(Printed):
    """What a person said about two pictures.

    The answer is about contents (`first` < `second` are content hashes), so it holds wherever the files move. `paths`
    and `distance` are those in the gallery now, None when one of the two contents is no longer in it. `time` is in
    seconds since 1970.
    """

    first: str
    second: str
    answer: Answer
    time: float
    paths: tuple[Path, Path] | None
    distance: float | None

    @property
    def id(self) -> str:
        """What a person can call it by: eight digits."""
        return f"{self.first[:4]}{self.second[:4]}"


class Action(StrEnum):
    """What is done with a copy."""

    TRASH = "trash"
    MOVE = "move"
    HARDLINK = "hardlink"
    REFLINK = "reflink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Printed):
    """A file that was left as it is, and why, in words for a person."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReport(Printed):
    """What `apply` or `undo` did, or would do: then `journal` is None.

    `done` holds the paths acted on, `already` counts those that an earlier run had done, `size` the bytes of the files
    in `done`. `places` are the folders that hold what was put away; `note` says what else a person should know.
    """

    action: Action
    undo: bool
    done: tuple[Path, ...]
    refused: tuple[Refused, ...]
    already: int
    size: int
    journal: Path | None
    places: tuple[Path, ...]
    note: str = ""
