"""Any image file as a person would see it: upright, 8 bits a channel, RGB or grey, on white.

What is here decodes in the process that calls it, however long that takes and whatever memory. Outside this package
pictures are decoded by a `sandbox.Decoder`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from siamese_search.images.depth import read_depth
from siamese_search.images.modes import is_see_through, on_ground, plain_mode
from siamese_search.images.raw import RAW_EXTENSIONS, RAW_KINDS, find_preview
from siamese_search.images.reasons import EMPTY, NEEDS_HEIF, NeedsMoreError, RefusedError, image_errors, too_large
from siamese_search.images.sources import File, name_of, opened
from siamese_search.images.tiff import ORIENTATION
from siamese_search.images.unfinished import NOTE, finished

MAX_PIXELS = 178_956_970  # what Pillow refuses by itself

# Left out: formats that Pillow only names but cannot draw, and EPS, which would run a stranger's program.
_UNDRAWABLE = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
_HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FORMATS = {"MPO": "JPEG"}  # a JPEG as many cameras write it, with another one behind it
_PIXEL = 12  # bytes, of the decoders that need most: planes of their own, their RGB, Pillow's
_SIDEWAYS = frozenset({5, 6, 7, 8})
_heif_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels, uint8 `(height, width, channels)`; `width` and `height` are those as shown, before resizing.

    `frames` counts the pictures of an animation or the pages of a file, of which `pixels` are one. `note` says what was
    amiss with a file that could be read all the same. `see_through`: some of it is transparent, and shown on a ground.
    `bits` is the depth of a channel in the file, of which 8 are decoded.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    frames: int = 1
    note: str = ""
    see_through: bool = False
    bits: int = 8

    @property
    def is_whole(self) -> bool:
        """Whether this is all that the file shows: no further frame or page, and not the preview of a RAW file."""
        return self.frames == 1 and self.format not in RAW_KINDS

    @property
    def image(self) -> Image.Image:
        """The pixels as a Pillow image, RGB or grey."""
        return Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)


@dataclass(frozen=True, slots=True)
class Square:
    """Wanted: a picture squashed to `(size, size)` by bicubic resampling, as an encoder takes it."""

    size: int
    channels: Literal[1, 3] = 3


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Wanted: an RGB picture whose longer side is at most so many pixels; a smaller one keeps its size."""

    longest: int


Wanted: TypeAlias = Square | Thumbnail


def load_picture(source: File, wanted: Wanted | None = None, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image file as wanted; without a wish as RGB at full size.

    The first frame of an animation stands for it, and the page with most pixels for a file of several; for a RAW file,
    the largest JPEG in it. Raises ImageError, and nothing else, for whatever is wrong with the file; so also for more
    than `max_pixels` pixels. A JPEG may be decoded at a fraction of its resolution, never below twice the size of a
    square.
    """
    with image_errors(name_of(source)), opened(source) as file:
        return decode(file, wanted, max_pixels=max_pixels)


def decode(file: BinaryIO, wanted: Wanted | None, *, max_pixels: int, grant: int | None = None) -> Picture:
    """Decode an open file of any format, as `load_picture` does; the errors are Pillow's and those of `reasons`.

    Raises NeedsMoreError where more memory, in bytes, is needed than is granted.
    """
    preview = find_preview(file)
    if preview:
        picture = _decode(BytesIO(preview.jpeg), wanted, preview.orientation, max_pixels=max_pixels, grant=grant)
        return replace(picture, format=preview.kind)
    try:
        bits = read_depth(file).bits
        return replace(_decode(file, wanted, 1, max_pixels=max_pixels, grant=grant), bits=bits)
    except OSError as error:
        file.seek(0)
        if "truncated" not in str(error).lower() or (data := finished(file.read())) is None:
            raise
    return replace(_decode(BytesIO(data), wanted, 1, max_pixels=max_pixels, grant=grant), note=NOTE)


def _decode(file: BinaryIO, wanted: Wanted | None, orientation: int, *, max_pixels: int, grant: int | None) -> Picture:
    with open_image(file) as image:
        _turn_to_largest_page(image)
        whole = prepare(image, wanted, max_pixels=max_pixels)
        need = image.width * image.height * _PIXEL
        if grant is not None and need > grant:
            raise NeedsMoreError(need)
        return finish(image, whole, wanted, orientation=orientation)


@cache
def picture_extensions() -> frozenset[str]:
    """Return the extensions, lower case with the dot, of the files that can be decoded here, HEIC always among them."""
    formats = _formats()
    registered = {ending for ending, format_ in Image.registered_extensions().items() if format_ in formats}
    return frozenset(registered) | _HEIF_EXTENSIONS | RAW_EXTENSIONS


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _UNDRAWABLE)


@contextmanager
def open_image(file: BinaryIO) -> Iterator[ImageFile.ImageFile]:
    """Open a picture of any format that can be drawn, for its header; the errors are Pillow's."""
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        if file.seek(0, 2) == 0:
            raise RefusedError(EMPTY) from None
        if not _is_heif(file):
            raise
        image = Image.open(file, formats=("HEIF",))
    with image:
        yield image


def _is_heif(file: BinaryIO) -> bool:
    """Recognise HEIC and make Pillow able to read it; the plug-in is loaded when the first one is met."""
    file.seek(0)
    head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return False
    with _heif_lock:
        try:
            import pillow_heif  # noqa: PLC0415  an extra
        except ImportError:
            raise RefusedError(NEEDS_HEIF) from None
        pillow_heif.register_heif_opener()
    return True


def prepare(image: ImageFile.ImageFile, wanted: Wanted | None, *, max_pixels: int) -> tuple[int, int] | None:
    """Refuse an open picture of too many pixels, and leave out detail that nobody wants while it is decoded.

    Return the size before that, None where nothing is left out.
    """
    size = image.size
    if size[0] * size[1] > max_pixels:
        raise RefusedError(too_large(f"{size[0]:,} x {size[1]:,}", max_pixels))
    match wanted:
        case Square(size=edge):
            least = 2 * edge
        case Thumbnail(longest=least):
            pass
        case None:
            return None
    return size if image.draft(None, (least, least)) is not None else None


def finish(
    image: Image.Image, whole: tuple[int, int] | None, wanted: Wanted | None, *, orientation: int = 1
) -> Picture:
    """Decode and resize a picture; `whole` is what `prepare` returned, `orientation` holds where the file has none."""
    frames = frame_count(image)
    image.load()
    orientation = orientation_of(image, orientation)
    # Pillow turns some formats while loading (TIFF), so the size counts as it is now, unless detail was left out.
    width, height = whole or image.size
    if orientation in _SIDEWAYS:
        width, height = height, width
    plain = plain_mode(image)
    match wanted:
        case Square(size=size):
            plain = plain.resize((size, size), Image.Resampling.BICUBIC)
        case Thumbnail(longest=longest):
            plain = plain.resize(_fitting(plain.size, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    see_through = is_see_through(plain)
    mode = "L" if isinstance(wanted, Square) and wanted.channels == 1 else "RGB"
    shown = upright(on_ground(plain), orientation).convert(mode)
    pixels = np.array(shown).reshape(shown.height, shown.width, len(mode))
    kind = _FORMATS.get(image.format or "", image.format) or "unknown"
    return Picture(pixels, width, height, kind, frames, see_through=see_through)


def _fitting(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def frame_count(image: Image.Image) -> int:
    """Return how many pictures an open file shows one after the other, or page by page.

    What a camera adds to its JPEG, a preview or a depth map, is not shown, and counts not.
    """
    if image.format in _FORMATS:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  a damaged frame behind the first one
        return 1


def _turn_to_largest_page(image: ImageFile.ImageFile) -> None:
    """Go to the page with most pixels of a TIFF, whose first one may be a thumbnail; the earlier of two alike."""
    if image.format != "TIFF":
        return
    sizes = [image.width * image.height]
    try:
        for page in range(1, int(getattr(image, "n_frames", 1))):
            image.seek(page)
            sizes.append(image.width * image.height)
    except Exception:  # noqa: BLE001, S110  what is damaged there is left out, those before it are fine
        pass
    image.seek(sizes.index(max(sizes)))


def orientation_of(image: Image.Image, otherwise: int = 1) -> int:
    """Return how a picture is to be turned, 1 to 8 as in EXIF, where it says so itself."""
    try:
        value = image.getexif().get(ORIENTATION, otherwise)
    except Exception:  # noqa: BLE001  damaged EXIF raises nearly anything, and the picture is fine without it
        return otherwise
    return value if value in _TURNS else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as its EXIF orientation asks for."""
    return image if orientation == 1 else image.transpose(_TURNS[orientation])
