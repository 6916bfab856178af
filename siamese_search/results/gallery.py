"""What is told of a gallery."""

from dataclasses import dataclass
from pathlib import Path

from siamese_search.results.files import KindCount, Noted, Skipped
from siamese_search.results.threshold import Calibration, Threshold
from siamese_search.tables import Printed


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
