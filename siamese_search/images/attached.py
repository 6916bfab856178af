"""What lies in a file beside the picture that is shown: the clip of a motion photo, a second view, a gain map."""

import os
from collections.abc import Iterator
from typing import BinaryIO, Literal

from siamese_search.images.jpeg import APP2, EOI, read_header, segments

_HEAD = 1 << 18  # bytes in which a JPEG names its further pictures
_TAIL = 256  # bytes in which one ends that has nothing behind it
_MAX_BYTES = 64 << 20
_LOOK = 1 << 17  # bytes of a further picture in which it says what it is
_MPF = b"MPF\0"  # CIPA DC-007, Multi-Picture Format
_MP_ENTRY = 0xB002
_MP_ENTRY_SIZE = 16
_VIEWS, _UNDEFINED = 2, 0  # classes of further pictures; another one are previews
_GAIN_MAPS = (b"hdrgm:", b"HDRGainMap", b"hdrgainmap")
_MAX_BOXES = 64

_CLIP, _VIEW, _GAIN_MAP = "the clip of a motion photo", "a second view", "a gain map"


def read_attached(file: BinaryIO) -> tuple[str, ...]:
    """Return in words what an open JPEG or HEIC holds beside its picture, and a copy of the picture would not.

    Previews do not count: whoever has the picture can make them.
    """
    file.seek(0)
    head = file.read(_HEAD)
    if head[:2] == b"\xff\xd8":
        further = [_words(file, head, at, kind) for at, kind in _further_pictures(head)]
        found = [*further, _CLIP if _has_clip(file) else ""]
    elif head[4:8] == b"ftyp":
        maps = any(name in head for name in _GAIN_MAPS)
        found = [_GAIN_MAP if maps else "", _CLIP if b"mpvd" in _boxes(file) else ""]
    else:
        found = []
    file.seek(0)
    return tuple(dict.fromkeys(filter(None, found)))


def _further_pictures(head: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and class of the pictures that lie behind the first one of a JPEG."""
    payload = next((each for marker, each in segments(head, 2) if marker == APP2 and each.startswith(_MPF)), b"")
    data = payload.removeprefix(_MPF)
    start = head.find(payload) + len(_MPF)
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    first = number(4, 4)
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(data)), 12):
        if number(entry, 2) != _MP_ENTRY:
            continue
        values = number(entry + 8, 4)
        for at in range(values + _MP_ENTRY_SIZE, min(values + number(entry + 4, 4), len(data)), _MP_ENTRY_SIZE):
            yield start + number(at + 8, 4), number(at, 4) >> 16 & 0xFF


def _words(file: BinaryIO, head: bytes, at: int, kind: int) -> str:
    """Say what a further picture is; one of no class, but as large as the first, is another view."""
    file.seek(at)
    data = file.read(_LOOK) if kind == _UNDEFINED else b""
    if any(name in data for name in _GAIN_MAPS):
        return _GAIN_MAP
    first, second = read_header(head), read_header(data)
    is_as_large = first and second and (first.width, first.height) == (second.width, second.height)
    return _VIEW if kind == _VIEWS or is_as_large else ""


def _has_clip(file: BinaryIO) -> bool:
    """Tell whether an MP4 lies behind a JPEG, where telephones put it; one that ends as it should is not read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    if size > _MAX_BYTES or file.read().rstrip(b"\0").endswith(bytes([0xFF, EOI])):
        return False
    file.seek(0)
    data = file.read()
    at = data.find(b"ftyp", data.find(bytes([0xFF, EOI])))
    return at > 0 and b"moov" in data[at:]


def _boxes(file: BinaryIO) -> list[bytes]:
    """Return the names of a file's outermost boxes, as MP4 and HEIC consist of."""
    names, at = [], 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        names.append(head[4:8])
        if size < 8:  # noqa: PLR2004  to the end, or damaged
            break
        at += size
    return names
