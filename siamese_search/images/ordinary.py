"""The pictures that may be decoded in the process that asks: neither time nor memory can run away with them.

JPEG, PNG and WebP are decoded piece by piece by decoders that every browser relies on. Their plug-ins are called
directly, for `Image.open` would warn of, or refuse, what a limit of the whole process calls large. Everything else, and
whatever turns out to be large or slow, raises RiskyPictureError: then it is decoded where it can be killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from time import thread_time
from typing import BinaryIO, cast

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from siamese_search.images.decode import Picture, Wanted, finish, prepare
from siamese_search.images.depth import read_depth
from siamese_search.images.jpeg import Header, exif_weight, max_scans, read_header
from siamese_search.images.reasons import RefusedError, RiskyPictureError
from siamese_search.images.room import Room

_SECONDS = 3.0  # of one core
_MAX_FILE = 32 << 20  # bytes
_MAX_NEED = 160 << 20  # bytes, of one picture
_PIXEL = 8  # bytes: four as Pillow keeps them, four more for a copy in another mode
_WEBP_PIXEL = 20  # bytes: its decoder has two canvases of its own, and hands over a third
_COEFFICIENT = 2  # bytes
_MAX_SCANNED = 100_000_000  # pixels times scans of a JPEG: a scan takes but a dozen bytes of the file
_MAX_WEIGHT = 4 << 20  # bytes that reading EXIF may copy
_BLOCK = 4096


def decode_here(file: BinaryIO, wanted: Wanted, *, max_pixels: int, room: Room) -> Picture:
    """Decode an ordinary picture from a file that can seek; anything else raises RiskyPictureError.

    Raises RefusedError for too many pixels. Whatever else is wrong with a file is left to be found out apart.
    """
    try:
        bits = read_depth(file).bits
        with _opened(file) as (image, header):
            whole = prepare(image, wanted, max_pixels=max_pixels)
            need = _need(image, header)
            with room.taken(need):
                return replace(finish(image, whole, wanted), bits=bits)
    except (RiskyPictureError, RefusedError):
        raise
    except Exception as error:  # the decoder's, whichever they are
        raise RiskyPictureError from error


@contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[ImageFile.ImageFile, Header | None]]:
    """Open a JPEG, PNG or WebP for its header; a JPEG comes with its own."""
    if file.seek(0, os.SEEK_END) > _MAX_FILE:
        raise RiskyPictureError
    file.seek(0)
    head = file.read(30)
    file.seek(0)
    if head[:3] == b"\xff\xd8\xff":
        data = file.read()
        header = read_header(data)
        if header is None:
            raise RiskyPictureError
        _check_cost(header, data)
        with JpegImageFile(BytesIO(data)) as image:
            yield image, header
    elif head[:8] == b"\x89PNG\r\n\x1a\n":
        with PngImageFile(cast("BinaryIO", _Paced(file))) as image:
            yield image, None
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if _webp_pixels(head) * _WEBP_PIXEL > _MAX_NEED:  # which is taken as soon as it is opened
            raise RiskyPictureError
        with WebPImageFile(file) as image:
            yield image, None
    else:
        raise RiskyPictureError


def _webp_pixels(head: bytes) -> int:
    """Return the pixels of a WebP file, by the header of any of its three kinds."""
    match head[12:16]:
        case b"VP8X":
            width, height = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        case _:
            raise RiskyPictureError
    return width * height


def _check_cost(header: Header, data: bytes) -> None:
    """Raise RiskyPictureError for a JPEG whose many scans or EXIF make more work than its size tells."""
    pixels = header.width * header.height
    scans = 1 if header.one_scan else max_scans(data)
    if (scans > 1 and pixels * scans > _MAX_SCANNED) or exif_weight(header.exif) > _MAX_WEIGHT:
        raise RiskyPictureError


def _need(image: ImageFile.ImageFile, header: Header | None) -> int:
    """Return how many bytes it takes to decode an opened picture; raises RiskyPictureError where it is too much."""
    need = image.width * image.height * (_WEBP_PIXEL if image.format == "WEBP" else _PIXEL)
    if header and not header.one_scan:  # gathered at full size, whatever is left out later
        need += header.width * header.height * header.components * _COEFFICIENT
    exif = image.info.get("exif", b"") if header is None else b""
    profile = "Raw profile type exif" in image.info  # EXIF in a comment of a PNG, to be unpacked first
    if need > _MAX_NEED or profile or exif_weight(exif.removeprefix(b"Exif\0\0")) > _MAX_WEIGHT:
        raise RiskyPictureError
    return need


class _Paced:
    """An open file that stops whoever reads on after seconds of work; waiting for a slow disk is no work.

    PNG alone needs it, whose parts may be many.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read
        self._reads = 0
        self._until = thread_time() + _SECONDS

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        # Decoders read blocks, parsers of headers a few bytes at a time: those need not ask for the time at each.
        if (size > _BLOCK or self._reads % 256 == 0) and thread_time() > self._until:
            raise RiskyPictureError
        return self._read(size)
