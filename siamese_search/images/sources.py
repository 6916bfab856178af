"""Pictures as a program may hold them: paths, bytes, open files, PIL images, arrays of pixels."""

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_search.errors import OptionError

Source = str | Path | bytes | BinaryIO | Image.Image | NDArray[Any]
"""A path, the bytes of an image file, an open one, a PIL image, or uint8 pixels (h, w), (h, w, 3) or (h, w, 4)."""


def is_source(value: object) -> TypeGuard[Source]:
    """Tell one picture from several."""
    return isinstance(value, str | Path | bytes | Image.Image | np.ndarray) or hasattr(value, "read")


def as_file(source: Source) -> Path | BinaryIO:
    """Return a picture as a file to decode: a path, or an open stream. Raises OptionError for other pixels."""
    if isinstance(source, str | Path):
        return Path(source)
    if isinstance(source, bytes):
        return BytesIO(source)
    if isinstance(source, np.ndarray):
        return _as_stream(_as_image(source))
    return _as_stream(source) if isinstance(source, Image.Image) else source


def name_of(source: Source) -> str:
    """Return what to call a picture: its path as it was given, or "-" for one without a name."""
    return str(source) if isinstance(source, str | Path) else "-"


def _as_image(pixels: NDArray[Any]) -> Image.Image:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4})):  # noqa: PLR2004
        raise OptionError(
            f"pixels of {pixels.dtype} and shape {pixels.shape}: expected uint8 and (height, width), or 3 or 4 channels"
        )
    return Image.fromarray(pixels)


def _as_stream(image: Image.Image) -> BinaryIO:
    """Write an image without loss, and without pressing it small, in the first format that knows its kind of pixels."""
    data = BytesIO()
    try:
        image.save(data, "PNG", compress_level=1, exif=image.getexif())
    except OSError:  # CMYK, floats
        data = BytesIO()
        image.save(data, "TIFF")
    data.seek(0)
    return data
