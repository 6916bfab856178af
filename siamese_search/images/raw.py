"""RAW files of cameras, read through the largest JPEG that lies in them."""

from dataclasses import dataclass
from typing import BinaryIO

from siamese_search.images.jpeg import find_largest
from siamese_search.images.reasons import RefusedError
from siamese_search.images.tiff import DNG_VERSION, MAKE, ORIENTATION, SUB_DIRECTORIES, read_directory

RAW_EXTENSIONS = frozenset(
    {".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".sr2", ".srw"}
)
NO_PREVIEW = "a RAW file without a preview that can be read"
_MAX_HEAD = 1 << 20  # bytes that hold the first directory
_MAGIC = (
    (b"ftypcrx ", 4, "CR3"),
    (b"CR\x02\0", 8, "CR2"),
    (b"FUJIFILMCCD-RAW", 0, "RAF"),
    (b"IIRO", 0, "ORF"),
    (b"IIRS", 0, "ORF"),
    (b"MMOR", 0, "ORF"),
    (b"IIU\0", 0, "RW2"),
)
# TIFF files like any other, but for directories below the first one, which hold what the sensor saw.
_MAKERS = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "SAMSUNG": "SRW"}


@dataclass(frozen=True, slots=True)
class Preview:
    """The largest JPEG in a RAW file, the kind of that file, and the EXIF orientation that it asks for."""

    jpeg: bytes
    kind: str
    orientation: int


def find_preview(file: BinaryIO) -> Preview | None:
    """Return the preview of an open RAW file, None for any other file; raises RefusedError when it has none."""
    file.seek(0)
    head = file.read(_MAX_HEAD)
    kind = _kind(head)
    if kind is None:
        file.seek(0)
        return None
    file.seek(0)
    data = file.read()
    found = find_largest(data)
    if found is None:
        raise RefusedError(NO_PREVIEW)
    # Cameras of Canon keep the directory of a CR3 in a box of that name; that of a RAF is in its JPEG.
    start = data.find(b"CMT1") + 4 if kind == "CR3" else 0
    directory = read_directory(data, start)
    return Preview(data[found[0] :], kind, directory.short(ORIENTATION, 1) if directory else 1)


def _kind(head: bytes) -> str | None:
    """Return which of the RAW formats a file is that begins so."""
    for start, at, kind in _MAGIC:
        if head.startswith(start, at):
            return kind
    directory = read_directory(head)
    if directory is None:
        return None
    if DNG_VERSION in directory:
        return "DNG"
    maker = directory.text(MAKE).upper() if SUB_DIRECTORIES in directory else ""
    return next((kind for name, kind in _MAKERS.items() if maker.startswith(name)), None)
