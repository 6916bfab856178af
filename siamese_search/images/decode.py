"""Any image file as a person would see it: upright, 8 bits a channel, RGB or grey, on white."""

import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from time import thread_time
from typing import BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageFile,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401  (the one ordinary format for which Pillow would load the plug-ins of all)
)

from siamese_search.errors import ImageError

MAX_PIXELS = 178_956_970  # Pillow's own error limit

NEEDS_HEIF = "HEIC needs an extra: pip install 'siamese-search[heic]'"
NO_PERMISSION = "permission denied"
NO_MEMORY = "not enough memory to decode it"
CHANGED = "it changed while it was read"
_GONE = "no such file"
_UNREAD = "cannot be read: "
_PASSING = frozenset({NEEDS_HEIF, NO_PERMISSION, NO_MEMORY, CHANGED, _GONE})

# Pillow warns at half of its error limit and fails at twice `MAX_IMAGE_PIXELS`. With this value it still guards the
# frames inside GIF and ICO files, and leaves the one refusal that counts, and its wording, to `_refuse_bomb`.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Left out: formats that Pillow only names but cannot draw, and EPS, which would run a stranger's program.
_UNDRAWABLE = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Decoded piece by piece by decoders that every browser relies on; all other formats count as risky.
_ORDINARY = ("JPEG", "PNG", "GIF", "WEBP")
_ORDINARY_PIXELS = 32_000_000  # as they are decoded; beyond it takes hundreds of megabytes
_ORDINARY_PROGRESSIVE = 4_000_000  # of a progressive JPEG, which may have thousands of scans
_ORDINARY_SECONDS = 3.0  # of one core
_BLOCK = 4096
_HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})
_heif_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels, uint8 `(height, width, channels)`; `width` and `height` are those as shown, before resizing."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


class RiskyPictureError(Exception):
    """A picture better decoded in a process of its own: a rarer format, very large, or slow. Never reaches a user."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A first frame in mode L, LA, RGB or RGBA, still to be turned; `width` and `height` as shown."""

    image: Image.Image
    orientation: int
    width: int
    height: int
    format: str


def load_picture(
    source: Path | BinaryIO,
    *,
    size: int | None = None,
    channels: Literal[1, 3] = 3,
    max_pixels: int = MAX_PIXELS,
    careful: bool = False,
) -> Picture:
    """Decode an image file, squashed to `(size, size)` by bicubic resampling when `size` is given.

    Of animations and multi-page files the first frame counts. Raises ImageError, and nothing else, for whatever is
    wrong with the file; so also for more than `max_pixels` pixels. Pillow's limits make values above twice MAX_PIXELS
    no different from it. A JPEG may be decoded at a fraction of its resolution, never below twice `size`. `careful`
    decodes only what can neither take long nor much memory; anything else raises RiskyPictureError.
    """
    with _decoded(source, least=2 * size if size else None, max_pixels=max_pixels, careful=careful) as decoded:
        image = decoded.image if size is None else decoded.image.resize((size, size), Image.Resampling.BICUBIC)
        image = _upright(_on_white(image), decoded.orientation).convert("RGB" if channels == 3 else "L")  # noqa: PLR2004
        pixels = np.array(image).reshape(image.height, image.width, channels)
    return Picture(pixels, decoded.width, decoded.height, decoded.format)


def load_thumbnail(path: Path, *, longest: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file as an upright RGB picture whose longer side is at most `longest` pixels.

    Smaller pictures keep their size. Raises ImageError.
    """
    with _decoded(path, least=longest, max_pixels=max_pixels) as decoded:
        image = decoded.image
        image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
        return _upright(_on_white(image), decoded.orientation).convert("RGB")


def same_pixels(first: Path, second: Path) -> bool:
    """Tell whether two image files show the same picture pixel for pixel; raises ImageError."""
    return np.array_equal(load_picture(first).pixels, load_picture(second).pixels)


def is_passing(reason: str) -> bool:
    """Tell whether a reason why a picture was skipped may vanish while its file stays the same."""
    return reason in _PASSING or reason.startswith(_UNREAD)


@cache
def picture_extensions() -> frozenset[str]:
    """Return the extensions, lower case with the dot, of the files that can be decoded here, HEIC always among them."""
    formats = _formats()
    registered = {ending for ending, format_ in Image.registered_extensions().items() if format_ in formats}
    return frozenset(registered) | _HEIF_EXTENSIONS


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _UNDRAWABLE)


@contextmanager
def _decoded(
    source: Path | BinaryIO, *, least: int | None, max_pixels: int, careful: bool = False
) -> Iterator[_Decoded]:
    """Open and decode; an error here or in the body of the `with` becomes an ImageError."""
    with image_errors(source), _open_ordinary(source) if careful else _open(source) as opened:
        _refuse_bomb(opened, max_pixels)
        size = opened.size
        # draft() makes libjpeg leave out detail that resizing would throw away; it never goes below the size asked for.
        drafted = least is not None and opened.draft(None, (least, least)) is not None
        if careful:
            _refuse_risky(opened, size)
        opened.load()
        orientation = _orientation(opened)
        # Pillow turns some formats while loading (TIFF), so the size counts as it is now, unless draft() shrank it.
        width, height = size if drafted else opened.size
        if orientation in _SIDEWAYS:
            width, height = height, width
        yield _Decoded(_plain_mode(opened), orientation, width, height, opened.format or "unknown")


def _open(source: Path | BinaryIO) -> ImageFile.ImageFile:
    if not isinstance(source, Path) and not source.seekable():
        source = BytesIO(source.read())
    try:
        return Image.open(source, formats=_formats())
    except UnidentifiedImageError:
        if not _is_heif(source):
            raise
        return Image.open(source, formats=("HEIF",))


def _open_ordinary(source: Path | BinaryIO) -> ImageFile.ImageFile:
    try:
        return Image.open(cast("BinaryIO", _Paced(source)), formats=_ORDINARY)
    except UnidentifiedImageError:
        raise RiskyPictureError from None


def _refuse_risky(image: ImageFile.ImageFile, size: tuple[int, int]) -> None:
    """Raise RiskyPictureError for an image, `size` before draft(), that is large for its kind."""
    pixels, limit = image.width * image.height, _ORDINARY_PIXELS
    if "progressive" in image.info and isinstance(image.fp, _Paced):
        # Taken in at full size, before draft() has its effect, and many times over: a scan needs but a few bytes.
        pixels, limit = size[0] * size[1], _ORDINARY_PROGRESSIVE
        image.fp.most = 2 * _BLOCK
    if pixels > limit:
        raise RiskyPictureError


class _Paced:
    """An open file that stops whoever reads on after seconds of work; waiting for a slow disk is no work."""

    def __init__(self, source: Path | BinaryIO) -> None:
        file = BytesIO(source.read_bytes()) if isinstance(source, Path) else source
        self.name = getattr(file, "name", "")
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read
        self._reads = 0
        self.most = sys.maxsize  # bytes at once
        self._until = thread_time() + _ORDINARY_SECONDS

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        # Decoders read blocks, parsers of headers a few bytes at a time: those need not ask for the time at each.
        if (size > _BLOCK or self._reads % 256 == 0) and thread_time() > self._until:
            raise RiskyPictureError
        return self._read(min(size, self.most))


def _is_heif(source: Path | BinaryIO) -> bool:
    """Recognise HEIC and make Pillow able to read it; the plug-in is loaded when the first one is met."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(12)
    else:
        source.seek(0)
        head = source.read(12)
        source.seek(0)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return False
    with _heif_lock:
        try:
            import pillow_heif  # noqa: PLC0415  an extra
        except ImportError:
            raise _Refused(NEEDS_HEIF) from None
        pillow_heif.register_heif_opener()
    return True


def _refuse_bomb(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _Refused(_too_large(f"{image.width:,} x {image.height:,}", max_pixels))


def _too_large(size: str, limit: int) -> str:
    return f"too large: {size} pixels, the limit is {limit:,}"


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  damaged EXIF raises nearly anything, and the picture is fine without it
        return 1
    return value if value in _TURNS else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


def _plain_mode(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to L, LA, RGB or RGBA, at full size and with as few copies as it takes."""
    if image.mode[0] in "IF":
        return _from_deep_grey(image)
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        return image.convert("RGBA")
    if image.mode in {"L", "LA", "RGB", "RGBA"}:
        return image
    if image.mode in {"PA", "La", "RGBa"}:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float greys to 8 bits.

    16 bits keep their upper byte. Floats in [0, 1] and [0, 255] are taken as such; any other range has no known black
    and white, so its own extremes become them.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and image.mode == "I" and high <= 65535:  # noqa: PLR2004  how Pillow hands over 16-bit PGM
        scaled = values / 257
    elif low >= 0 and high <= 1:
        scaled = values * 255
    elif low >= 0 and high <= 255:  # noqa: PLR2004
        scaled = values
    else:
        scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in {"LA", "RGBA"}:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


class _Refused(Exception):  # noqa: N818  not an error of its own: it carries a reason to `image_errors`
    pass


@contextmanager
def image_errors(source: Path | BinaryIO) -> Iterator[None]:
    """Turn whatever opening, reading or decoding a picture raises into an ImageError with a reason for people."""
    try:
        yield
    except (ImageError, RiskyPictureError):
        raise
    except Exception as error:  # decoders meet broken files with every exception there is
        name = source if isinstance(source, Path) else getattr(source, "name", "image data")
        raise ImageError(str(name), _reason(error, source)) from error


def _reason(error: Exception, source: Path | BinaryIO) -> str:  # noqa: PLR0911  a table of cases
    match error:
        case _Refused():
            return str(error)
        case FileNotFoundError():
            return _GONE
        case PermissionError():
            return NO_PERMISSION
        case IsADirectoryError():
            return "is a folder, not an image file"
        case MemoryError():
            return NO_MEMORY
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            pixels = re.search(r"\((\d+) pixels\)", str(error))
            return _too_large(f"{int(pixels[1]):,}" if pixels else "too many", MAX_PIXELS)
        case UnidentifiedImageError():
            return "the file is empty" if _is_empty(source) else "not an image that can be read"
        case OSError(errno=int(), strerror=str(words)):
            return f"{_UNREAD}{words}"
        case OSError() if "truncated" in str(error).lower():
            return "the file is cut short"
        case _:
            return f"damaged: {str(error) or type(error).__name__}".splitlines()[0]


def _is_empty(source: Path | BinaryIO) -> bool:
    if isinstance(source, Path):
        return source.stat().st_size == 0
    return source.seekable() and source.seek(0, 2) == 0


# Without this the warning between Pillow's two limits would reach the terminal, just before our own refusal.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
