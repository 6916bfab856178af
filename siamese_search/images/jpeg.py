"""What the markers of a JPEG tell before anybody decodes it: how large it is, and how much work it makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

RST0, SOI, EOI, SOS, APP1 = 0xD0, 0xD8, 0xD9, 0xDA, 0xE1
_EXIF = b"Exif\0\0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that name the kind of coding and the size
_DECODED = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # of those, what libjpeg decodes: not the lossless ones of RAW
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_MAX_SEGMENTS = 1000  # before the first scan; cameras write some thirty
_TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes of TIFF's types


@dataclass(frozen=True, slots=True)
class Header:
    """A JPEG's frame header, with what comes before its first scan.

    `one_scan`: decoded line by line, at a cost that its size bounds. All others are gathered at full size first, scan
    by scan, and a scan takes but a dozen bytes of the file.
    """

    width: int
    height: int
    components: int
    decoded: bool
    one_scan: bool
    exif: bytes


def read_header(data: bytes) -> Header | None:
    """Return what a JPEG says of itself, None when it is none or says more than cameras do."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    frame: tuple[int, bytes] | None = None
    exif = []
    for number, (marker, payload) in enumerate(segments(data, 2)):
        if number > _MAX_SEGMENTS:
            return None
        if marker in _FRAMES:
            frame = marker, payload
        elif marker == APP1 and payload[: len(_EXIF)] == _EXIF:
            exif.append(payload[len(_EXIF) :])
        elif marker == SOS:
            return None if frame is None else _header(*frame, first_scan=payload, exif=b"".join(exif))
    return None


def _header(marker: int, frame: bytes, *, first_scan: bytes, exif: bytes) -> Header | None:
    if len(frame) < 6 or not first_scan:  # noqa: PLR2004  bits, height, width, number of components
        return None
    return Header(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=frame[5],
        decoded=marker in _DECODED,
        one_scan=marker not in _PROGRESSIVE and first_scan[0] >= frame[5],
        exif=exif,
    )


def segments(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment from a position on, up to and including the first scan's header."""
    while True:
        at = data.find(b"\xff", at) + 1
        if at == 0 or at >= len(data):
            return
        marker = data[at]
        if marker in {0x00, 0xFF}:  # a byte of data, a byte to fill
            continue
        at += 1
        if marker == EOI:
            return
        if RST0 <= marker <= SOI or marker == 1:  # markers without a segment
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : end]
        if marker == SOS:
            return
        at = max(end, at)


def max_scans(data: bytes) -> int:
    """Return how many scans a JPEG has at most; what its metadata holds may be counted as well."""
    return data.count(bytes([0xFF, SOS]))


def directory_weight(tiff: bytes) -> int:
    """Return how many bytes the values of the first directory of a TIFF, as EXIF is one, add up to.

    Whoever reads the directory copies each of them, and they may all be the same bytes.
    """
    if tiff[:4] not in {b"II*\0", b"MM\0*"}:
        return 0 if tiff[:2] not in {b"II", b"MM"} else len(tiff) ** 2  # BigTIFF, which no camera puts here
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    start = number(4, 4)
    entries = range(start + 2, min(start + 2 + 12 * number(start, 2), len(tiff)), 12)
    sizes = (_TYPE_SIZES[kind] if (kind := number(at + 2, 2)) < len(_TYPE_SIZES) else 0 for at in entries)
    return sum(min(size * number(at + 4, 4), len(tiff)) for at, size in zip(entries, sizes, strict=True))
