"""What the markers of a JPEG tell before anybody decodes it: how large it is, and how much work it makes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from siamese_search.images.tiff import EXIF, GPS, read_directory

RST0, SOI, EOI, SOS, APP1, APP2, APP13 = 0xD0, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xED
_EXIF = b"Exif\0\0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that name the kind of coding and the size
_DECODED = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # of those, what libjpeg decodes: not the lossless ones of RAW
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_BITS = 8
_MAX_SEGMENTS = 1000  # before the first scan; cameras write some thirty
_COEFFICIENTS = 64  # of a block
_NEXT_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")  # the next marker that is no part of a scan


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


def read_header(data: bytes, start: int = 0) -> Header | None:
    """Return what a JPEG says of itself, None when it is none or says more than cameras do."""
    if data[start : start + 3] != b"\xff\xd8\xff":
        return None
    frame: tuple[int, bytes] | None = None
    exif = []
    for number, (marker, payload) in enumerate(segments(data, start + 2)):
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
        decoded=marker in _DECODED and frame[0] == _BITS,
        one_scan=marker not in _PROGRESSIVE and first_scan[0] >= frame[5],
        exif=exif,
    )


def segments(data: bytes, at: int, *, all_scans: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment from a position on, up to the first scan's header, or to the end."""
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
        at = max(end, at)
        if marker == SOS:
            following = _NEXT_SCAN.search(data, at) if all_scans else None
            if following is None:
                return
            at = following.start()


def max_scans(data: bytes) -> int:
    """Return how many scans a JPEG has at most; what its metadata holds may be counted as well."""
    return data.count(bytes([0xFF, SOS]))


def exif_weight(exif: bytes) -> int:
    """Return how many bytes reading the values of EXIF's directories copies."""
    directory = read_directory(exif)
    if directory:
        below = (directory.below(tag) for tag in (EXIF, GPS))
        return directory.weight() + sum(each.weight() for each in below if each)
    return len(exif) ** 2 if exif[:2] in {b"II", b"MM"} else 0  # BigTIFF, which no camera puts here


def has_all_scans(data: bytes) -> bool:
    """Tell whether the scans of a JPEG, the last of which may be cut off, hold each coefficient to its last bit."""
    components, done = 0, set()
    for marker, payload in segments(data, 2, all_scans=True):
        if marker in _FRAMES:
            components = payload[5]
        elif marker == SOS and payload:
            count = payload[0]
            first, last, bits = payload[-3:]
            if bits & 0x0F == 0:
                done |= {(payload[1 + 2 * n], place) for n in range(count) for place in range(first, last + 1)}
    return len(done) == _COEFFICIENTS * components > 0


def find_largest(data: bytes) -> tuple[int, Header] | None:
    """Return where the largest picture starts of the JPEGs that lie somewhere in a file, and its header."""
    best: tuple[int, Header] | None = None
    at = data.find(b"\xff\xd8\xff")
    while at >= 0:
        header = read_header(data, at)
        if header and header.decoded and (not best or _pixels(header) > _pixels(best[1])):
            best = at, header
        at = data.find(b"\xff\xd8\xff", at + 3)
    return best


def _pixels(header: Header) -> int:
    return header.width * header.height
