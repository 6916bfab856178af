"""What a picture file says of itself: when, with what and where it was taken, and what it was written with.

Only the head of a file is read, nothing is decoded, and whatever is damaged in it counts as not there.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.decode import open_image
from siamese_search.images.reasons import image_errors

# Exif 2.32, CIPA DC-008: the tags of its tables 4 to 8
_MAKE, _MODEL, _SOFTWARE, _CHANGED = 0x010F, 0x0110, 0x0131, 0x0132
_EXIF, _GPS, _MAKER_NOTE = 0x8769, 0x8825, 0x927C
_TAKEN, _DIGITIZED = 0x9003, 0x9004
_TAKEN_FRACTION, _DIGITIZED_FRACTION = 0x9291, 0x9292
_OFFSET = 0x9011
_WIDTH, _HEIGHT = 0xA002, 0xA003
_LATITUDE = 2

_MAX_TEXT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the EXIF data of a file say, as far as they can be read.

    `captured` is the time on the camera's clock, to the microsecond where `has_fraction`; `offset` is that clock's from
    UTC. `changed` is when software last wrote the file, on some clock. `size` is that of the picture when it was
    written, as width and height in pixels. `details` counts what is known of how it was taken: time, camera, place, and
    the maker's own notes.
    """

    captured: datetime | None = None
    has_fraction: bool = False
    offset: timedelta | None = None
    changed: datetime | None = None
    camera: str = ""
    software: str = ""
    size: tuple[int, int] | None = None
    details: int = 0

    @property
    def captured_ns(self) -> int | None:
        """The time of capture in nanoseconds since 1970; without an offset the clock counts as this machine's."""
        if self.captured is None:
            return None
        zone = None if self.offset is None else timezone(self.offset)
        with suppress(OverflowError, ValueError, OSError):
            moment = self.captured.replace(tzinfo=zone) if zone else self.captured
            return round(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
        return None


def read_metadata(path: Path) -> Metadata:
    """Return what a file says of itself; nothing for a file that has no such data, or cannot be read."""
    try:
        with image_errors(str(path)), path.open("rb") as file, open_image(file) as image:
            return _metadata(_exif(image))
    except ImageError:
        return Metadata()


def _exif(image: Image.Image) -> Image.Exif:
    if image.format != "PNG":
        return image.getexif()
    exif = Image.Exif()  # Pillow would decode a PNG to look for data behind its pixels
    exif.load(image.info.get("exif", b""))
    return exif


def _metadata(exif: Image.Exif) -> Metadata:
    taken, place = _part(exif, _EXIF), _part(exif, _GPS)
    captured, fraction = _moment(taken.get(_TAKEN)), taken.get(_TAKEN_FRACTION)
    if captured is None:
        captured, fraction = _moment(taken.get(_DIGITIZED)), taken.get(_DIGITIZED_FRACTION)
    microseconds = _microseconds(fraction)
    if captured is not None and microseconds is not None:
        captured = captured.replace(microsecond=microseconds)
    camera = _camera(_text(exif.get(_MAKE)), _text(exif.get(_MODEL)))
    return Metadata(
        captured=captured,
        has_fraction=captured is not None and microseconds is not None,
        offset=_offset(_text(taken.get(_OFFSET))),
        changed=_moment(exif.get(_CHANGED)),
        camera=camera,
        software=_text(exif.get(_SOFTWARE)),
        size=_size(taken.get(_WIDTH), taken.get(_HEIGHT)),
        details=sum((captured is not None, bool(camera), _LATITUDE in place, _MAKER_NOTE in taken)),
    )


def _part(exif: Image.Exif, tag: int) -> dict[int, Any]:
    with suppress(Exception):  # damaged EXIF raises nearly anything
        return dict(exif.get_ifd(tag))
    return {}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.split("\0")[0].strip()[:_MAX_TEXT] if isinstance(value, str) else ""


def _camera(make: str, model: str) -> str:
    """Join make and model as people name a camera: Canon EOS 80D, which says Canon twice."""
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _moment(value: object) -> datetime | None:
    """Parse "2024:05:01 10:20:30"; some software writes other separators."""
    numbers = [int(digits) for digits in re.findall("[0-9]+", _text(value))]
    with suppress(ValueError, TypeError, OverflowError):
        year, month, day, hour, minute, second = numbers[:6]
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  on the camera's clock
    return None


def _microseconds(fraction: object) -> int | None:
    digits = _text(fraction)
    return int(digits[:6].ljust(6, "0")) if digits.isascii() and digits.isdigit() else None


def _offset(text: str) -> timedelta | None:
    with suppress(ValueError, IndexError):
        hours, minutes = text.lstrip("+-").split(":")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return (-offset if text.startswith("-") else offset) if offset < timedelta(hours=24) else None
    return None


def _size(width: object, height: object) -> tuple[int, int] | None:
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None
