"""How deep the colours of a picture file are, of which eight bits a channel are decoded."""

from contextlib import suppress
from typing import BinaryIO, NamedTuple

from PIL import Image, TiffImagePlugin

_HEAD = 1 << 16  # bytes in which a file says how deep it is
_EIGHT = 8
_GREYS_OF_PNG = (0, 4)  # without and with transparency


class Depth(NamedTuple):
    """The bits of the deepest channel of a picture, at least eight, and whether it has colours."""

    bits: int
    has_colours: bool


def read_depth(file: BinaryIO) -> Depth:
    """Return how deep an open file of any format is, as its head says; eight bits where that says nothing."""
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(0)
    depth = Depth(_EIGHT, True)
    if head.startswith(b"\x89PNG") and len(head) > 25:  # noqa: PLR2004
        depth = Depth(head[24], head[25] not in _GREYS_OF_PNG)
    elif head[:2] in {b"P2", b"P3", b"P5", b"P6"}:
        depth = Depth(_pnm_bits(head), head[:2] in {b"P3", b"P6"})
    elif head[4:8] == b"ftyp":
        depth = Depth(_boxed_bits(head), True)
    elif 0 <= (at := head.find(b"\xff\x4f\xff\x51")) < 1 << 10:
        depth = _jpeg2000_depth(head, at)
    elif head[:4] in {b"II*\0", b"MM\0*"}:
        depth = _tiff_depth(file)
    return depth._replace(bits=max(_EIGHT, depth.bits))


def is_deeper_than_decoded(file: BinaryIO) -> bool:
    """Tell whether the colours of an open file have more than the eight bits a channel that are decoded of them.

    Greys of any depth are decoded whole where Pillow knows such a mode.
    """
    depth = read_depth(file)
    return depth.bits > _EIGHT and depth.has_colours


def _pnm_bits(head: bytes) -> int:
    """Return the bits of a PNM's greatest value, its third number."""
    words = [word for line in head[2:1000].split(b"\n") for word in line.split(b"#")[0].split()]
    return int(words[2]).bit_length() if len(words) > 2 and words[2].isdigit() else _EIGHT  # noqa: PLR2004


def _boxed_bits(head: bytes) -> int:
    """Return the bits of an AVIF or HEIC file: of `av1C` or `hvcC`, whichever comes first."""
    if (at := head.find(b"av1C")) >= 0:
        flags = head[at + 6] if at + 6 < len(head) else 0
        return 12 if flags & 0x20 else 10 if flags & 0x40 else _EIGHT  # twelve_bit, high_bitdepth
    if (at := head.find(b"hvcC")) >= 0 and at + 21 < len(head):
        return _EIGHT + (head[at + 21] & 0x07)  # bit_depth_luma_minus8
    return _EIGHT


def _jpeg2000_depth(head: bytes, at: int) -> Depth:
    """Return the depth of a JPEG 2000 code stream, by its components."""
    count = int.from_bytes(head[at + 40 : at + 42], "big")
    bits = [(size & 0x7F) + 1 for size in head[at + 42 : at + 42 + 3 * count : 3]]
    return Depth(max(bits, default=_EIGHT), count > 1)


def _tiff_depth(file: BinaryIO) -> Depth:
    """Return the depth of the first page of a TIFF, by its samples."""
    bits: tuple[int, ...] = (1,)
    with suppress(Exception), Image.open(file, formats=("TIFF",)) as image:  # what is damaged there, decoding will tell
        bits = getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE, bits)
    file.seek(0)
    return Depth(max(bits), len(bits) > 1)
