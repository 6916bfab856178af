"""What was done with copies."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siamese_search.tables import Printed


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
