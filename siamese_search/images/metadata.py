"""What a picture file says of itself: when, with what and where it was taken, and what it was written with.

Only the head of a file is read, nothing is decoded, and whatever is damaged in it counts as not there. Outside this
package, ask a `sandbox.Decoder` for it.
"""

import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.decode import open_image
from siamese_search.images.jpeg import exif_weight, read_header
from siamese_search.images.raw import find_preview
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
_HEAD = 1 << 18  # bytes of a JPEG that hold its EXIF data
_MAX_WEIGHT = 1 << 20  # bytes that reading them may copy


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


def read_metadata(file: BinaryIO) -> Metadata:
    """Return what an open file of any format says of itself; nothing for one that has no such data, or is damaged."""
    try:
        with image_errors("-"):
            head = file.read(4)
            file.seek(0)
            if head in {b"II*\0", b"MM\0*"}:  # a TIFF, or a RAW file that begins like one, is itself what EXIF data are
                exif = Image.Exif()
                exif.load(file.read())
                return _metadata(exif)
            preview = find_preview(file)
            with open_image(BytesIO(preview.jpeg) if preview else file) as image:
                return _metadata(_exif(image))
    except ImageError:
        return Metadata()


def read_jpeg_metadata(file: BinaryIO) -> Metadata | None:
    """Return what an open JPEG says of itself; None for another file, or for data that make much work to read."""
    header = read_header(file.read(_HEAD))
    if header is None or exif_weight(header.exif) > _MAX_WEIGHT:
        return None
    exif = Image.Exif()
    with suppress(Exception):  # damaged EXIF raises nearly anything
        exif.load(header.exif)
        return _metadata(exif)
    return Metadata()


def to_json(metadata: Metadata) -> dict[str, Any]:
    """Return what passes from one process to another."""
    values = asdict(metadata)
    for name in ("captured", "changed"):
        values[name] = values[name] and values[name].isoformat()
    values["offset"] = None if metadata.offset is None else metadata.offset.total_seconds()
    return values


def from_json(values: dict[str, Any]) -> Metadata:
    """Return what `to_json` was given."""
    moments = {name: values[name] and datetime.fromisoformat(values[name]) for name in ("captured", "changed")}
    offset = None if values["offset"] is None else timedelta(seconds=values["offset"])
    size = None if values["size"] is None else (int(values["size"][0]), int(values["size"][1]))
    return Metadata(**{**values, **moments, "offset": offset, "size": size})


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
