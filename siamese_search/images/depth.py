"""How deep the colours of a picture file are, where Pillow decodes fewer bits than there are."""

from typing import BinaryIO

from PIL import Image, TiffImagePlugin

_HEAD = 1 << 16  # bytes in which a file says how deep it is
_EIGHT = 8


def is_deeper_than_decoded(file: BinaryIO) -> bool:
    """Tell whether the colours of an open file have more than the eight bits a channel that are decoded of them.

    Greys of any depth are decoded whole where Pillow knows such a mode.
    """
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10" and head[25:26] != b"\0"  # 16 bits, and not of grey
    if head[:2] in {b"P6", b"P3"}:
        return _pnm_depth(head) > _EIGHT
    if head[4:8] == b"ftyp":
        return _boxed_depth(head) > _EIGHT
    if (at := head.find(b"\xff\x4f\xff\x51")) >= 0 and at < 1 << 10:
        return _jpeg2000_is_deep(head, at)
    return head[:4] in {b"II*\0", b"MM\0*"} and _tiff_is_deep(file)


def _pnm_depth(head: bytes) -> int:
    """Return the bits of a PNM's greatest value, its third number."""
    words = [word for line in head[2:1000].split(b"\n") for word in line.split(b"#")[0].split()]
    return int(words[2]).bit_length() if len(words) > 2 and words[2].isdigit() else _EIGHT  # noqa: PLR2004


def _boxed_depth(head: bytes) -> int:
    """Return the bits of an AVIF or HEIC file: of `av1C` or `hvcC`, whichever comes first."""
    if (at := head.find(b"av1C")) >= 0:
        flags = head[at + 6] if at + 6 < len(head) else 0
        return 12 if flags & 0x20 else 10 if flags & 0x40 else _EIGHT  # twelve_bit, high_bitdepth
    if (at := head.find(b"hvcC")) >= 0 and at + 21 < len(head):
        return _EIGHT + (head[at + 21] & 0x07)  # bit_depth_luma_minus8
    return _EIGHT


def _jpeg2000_is_deep(head: bytes, at: int) -> bool:
    """Tell whether one of several components of a JPEG 2000 code stream is deep."""
    count = int.from_bytes(head[at + 40 : at + 42], "big")
    return count > 1 and any((size & 0x7F) + 1 > _EIGHT for size in head[at + 42 : at + 42 + 3 * count : 3])


def _tiff_is_deep(file: BinaryIO) -> bool:
    """Tell whether the first page of a TIFF has several samples a pixel, one of them deep."""
    with Image.open(file, formats=("TIFF",)) as image:
        tags = getattr(image, "tag_v2", {})
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return len(bits) > 1 and max(bits) > _EIGHT
