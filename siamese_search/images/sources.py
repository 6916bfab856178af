"""What a caller may call a picture: a path, the bytes of a file, an open file, a Pillow image or an array of pixels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from stat import S_ISFIFO
from typing import Any, BinaryIO, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_search.errors import ImageError, OptionError

File: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
Source: TypeAlias = File | Image.Image | NDArray[Any]
"""A path, the bytes of an image file, an open one, a Pillow image, or uint8 pixels (h, w) or (h, w, 1, 3 or 4)."""

MAX_BYTES = 4 << 30  # of a picture file; a larger one is none, and reading it would take minutes
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


def is_source(images: object) -> TypeGuard[Source]:
    """Tell one picture from several: an array of four dimensions, and whatever else can be gone through, is several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4  # noqa: PLR2004  (height, width) or (height, width, channels)
    return isinstance(images, str | os.PathLike | bytes | Image.Image) or hasattr(images, "read")


def is_file(source: Source) -> TypeGuard[File]:
    """Tell what holds a picture file from pixels."""
    return not isinstance(source, Image.Image | np.ndarray)


def lasting(source: Source) -> Source:
    """Return a picture that can be read more than once: of a stream that cannot go back, what is left to be read."""
    if isinstance(source, str | os.PathLike | bytes | Image.Image | np.ndarray) or not hasattr(source, "seekable"):
        return source
    return source if source.seekable() else _seekable(source, name_of(source))


def name_of(source: Source) -> str:
    """Return what to call a picture: its path as it was given, or "-" for one without a name."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "-"


def path_of(source: Source) -> tuple[Path, ...]:
    """Return where the file that was named lies, absolute; () of a picture without a name."""
    if not isinstance(source, str | os.PathLike):
        return ()
    try:
        return (Path(source).resolve(),)
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL: nothing that is in a gallery
        return ()


@contextmanager
def opened(source: File) -> Iterator[BinaryIO]:
    """Give a picture file as an open one that can seek; its errors are those of the system.

    A stream that can seek counts from its start, and stays open; of any other counts what is left to be read.
    """
    if isinstance(source, str | os.PathLike):
        if S_ISFIFO(os.stat(source).st_mode):  # noqa: PTH116  to open it would wait for whoever writes to it
            raise ImageError(os.fspath(source), "a pipe, no file; `-` reads standard input")
        with open(source, "rb") as file:  # noqa: PTH123  a third of the time of Path.open
            yield _seekable(file, os.fspath(source))
    elif isinstance(source, bytes):
        yield BytesIO(source)
    elif hasattr(source, "read"):
        yield _seekable(source, name_of(source))
    else:
        kind = type(source).__name__
        raise OptionError(f"{kind}: no picture; expected a path, bytes, an open file, a Pillow image or an array")


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    if file.seekable():
        file.seek(0)
        return file
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageError(name, f"too large: the limit is {MAX_BYTES:,} bytes")
    return BytesIO(data)


def is_real_file(file: BinaryIO) -> bool:
    """Tell whether a file's descriptor leads to what reading the file gives; that of a decompressing one does not."""
    return type(file) is BufferedReader and type(file.raw) is FileIO


def image_of(source: Image.Image | NDArray[Any]) -> Image.Image:
    """Return pixels as a Pillow image; raises OptionError for an array that is not uint8 with 1, 3 or 4 channels."""
    if isinstance(source, Image.Image):
        return source
    pixels = source[:, :, None] if source.ndim == 2 else source  # noqa: PLR2004
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in _CHANNELS or pixels.size == 0:  # noqa: PLR2004
        raise OptionError(
            f"pixels of {source.dtype} and shape {source.shape}: expected uint8 of shape (height, width), or with 1, 3"
            " or 4 channels behind them"
        )
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
