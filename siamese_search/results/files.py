"""Pictures and other files, as they were met."""

from dataclasses import dataclass, field
from pathlib import Path

from siamese_search.tables import Printed


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
