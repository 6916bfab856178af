"""Whether two picture files show the same, entirely: every frame and page, transparency, bit depth, colour profile."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from siamese_search.images.decode import open_image, orientation_of, prepare, upright
from siamese_search.images.depth import is_deeper_than_decoded
from siamese_search.images.modes import plain_mode
from siamese_search.images.reasons import NeedsMoreError, image_errors

_STRIP = 1 << 20  # pixels that are compared at a time
_PIXEL = 10  # bytes of a decoded picture: Pillow's, and a turned or a deeper copy
_USUAL_GAMMA = 0.45455  # of sRGB


def same_picture(first: BinaryIO, second: BinaryIO, *, max_pixels: int, grant: int | None = None) -> bool:
    """Tell whether two open files show the same picture pixel for pixel, whatever their format.

    They do when they have equally many frames or pages, shown equally long, of the same size, upright, in the same
    colours where one can see through to them, as transparent, as deep, with the same colour profile. What is deeper
    than it can be decoded here is the same as nothing else. Raises ImageError, whose path is "0" or "1" for the file
    that is to blame, and NeedsMoreError where more memory is needed than is granted.
    """
    with ExitStack() as stack:
        images = []
        for number, file in enumerate((first, second)):
            with image_errors(str(number)):
                if is_deeper_than_decoded(file):
                    return False
                images.append(stack.enter_context(open_image(file)))
                prepare(images[-1], None, max_pixels=max_pixels)
        need = sum(image.width * image.height * _PIXEL for image in images)
        if grant is not None and need > grant:
            raise NeedsMoreError(need)
        if _profile(images[0]) != _profile(images[1]) or _frames(images[0], "0") != _frames(images[1], "1"):
            return False
        return all(
            _same_frame(*(_frame(image, place, str(number)) for number, image in enumerate(images)))
            for place in range(_frames(images[0], "0"))
        )


def _profile(image: Image.Image) -> tuple[bytes, float]:
    gamma = float(image.info.get("gamma") or _USUAL_GAMMA)
    return image.info.get("icc_profile") or b"", round(gamma, 3)


def _frames(image: ImageFile.ImageFile, name: str) -> int:
    with image_errors(name):
        return int(getattr(image, "n_frames", 1))


def _frame(image: ImageFile.ImageFile, place: int, name: str) -> tuple[Image.Image, int]:
    """Return a frame, upright, and for how many milliseconds it is shown."""
    with image_errors(name):
        if place or getattr(image, "n_frames", 1) > 1:
            image.seek(place)
        image.load()
        return upright(image, orientation_of(image)), round(image.info.get("duration") or 0)


def _same_frame(first: tuple[Image.Image, int], second: tuple[Image.Image, int]) -> bool:
    (one, one_duration), (other, other_duration) = first, second
    if one.size != other.size or one_duration != other_duration or _kind(one) != _kind(other):
        return False
    return all(_same_pixels(a, b) for a, b in zip(_strips(one), _strips(other), strict=True))


def _kind(image: Image.Image) -> str:
    """Return how the values of a picture are to be read: as themselves, or as a mode that has no equal."""
    if image.mode[0] in "IF":
        return "deep"
    return image.mode if image.mode in {"CMYK", "LAB"} else "plain"


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _same_pixels(first: Image.Image, second: Image.Image) -> bool:
    if _kind(first) != "plain":
        return np.array_equal(np.asarray(first), np.asarray(second))
    one, other = plain_mode(first), plain_mode(second)
    if not (one.has_transparency_data or other.has_transparency_data):
        return np.array_equal(np.asarray(one.convert("RGB")), np.asarray(other.convert("RGB")))
    a, b = np.asarray(one.convert("RGBA")), np.asarray(other.convert("RGBA"))
    seen = a[:, :, 3:] > 0  # what is not has no colour
    return np.array_equal(a[:, :, 3], b[:, :, 3]) and np.array_equal(a[:, :, :3] * seen, b[:, :, :3] * seen)
