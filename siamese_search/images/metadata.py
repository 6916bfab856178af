"""What a picture file says of itself: when, with what and where it was taken, and what people and programs wrote in it.

Only the head of a file is read, nothing is decoded, and whatever is damaged in it counts as not there. Outside this
package, ask a `sandbox.Decoder` for it.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any, BinaryIO, Literal

from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.attached import read_attached
from siamese_search.images.catalogued import (
    IPTC_RESOURCE,
    Entry,
    entry,
    read_exif,
    read_iptc,
    read_resources,
    read_xmp,
    without_doubles,
)
from siamese_search.images.decode import open_image
from siamese_search.images.depth import read_depth
from siamese_search.images.jpeg import APP1, APP13, exif_weight, read_header, segments
from siamese_search.images.png import read_texts
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

_TIFF_XMP, _TIFF_IPTC, _TIFF_RESOURCES = 700, 33723, 34377
_EXIF_HEAD = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"

_USUAL_BITS = 8
_MAX_TEXT = 100
_HEAD = 1 << 18  # bytes of a JPEG that hold its EXIF data
_MAX_WEIGHT = 1 << 20  # bytes that reading them may copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the EXIF data of a file say, as far as they can be read.

    `captured` is the time on the camera's clock, to the microsecond where `has_fraction`; `offset` is that clock's from
    UTC. `changed` is when software last wrote the file, on some clock. `size` is that of the picture when it was
    written, as width and height in pixels. `has_notes`: the camera's maker left notes of its own. `entries` are what
    people wrote into it, or had written, and that date and place of it are known. `bits` is the depth of a channel,
    and `attached` what else the file holds: a clip, a second view.
    """

    captured: datetime | None = None
    has_fraction: bool = False
    offset: timedelta | None = None
    changed: datetime | None = None
    camera: str = ""
    software: str = ""
    size: tuple[int, int] | None = None
    has_notes: bool = False
    bits: int = 8
    attached: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def details(self) -> tuple[str, ...]:
        """What is known of the picture, in words: "camera", "date", "place", "keywords (3)" and the like."""
        kinds = Counter(each.kind for each in self.entries)
        return (
            *(["camera"] if self.camera else []),
            *(kind if count == 1 else f"{kind} ({count})" for kind, count in kinds.items()),
            *(["the maker's notes"] if self.has_notes else []),
        )

    @property
    def known(self) -> tuple[Entry, ...]:
        """All that would be lost if a file without it stayed in its place: the entries, and more than eight bits."""
        attached = (Entry(kind, "") for kind in self.attached)
        depth = [Entry(f"{self.bits} bits a channel", "")] if self.bits > _USUAL_BITS else []
        return (*self.entries, *attached, *depth)

    def beyond(self, other: "Metadata") -> tuple[str, ...]:
        """Return of what kinds something is known here that another file does not know: "keywords", "place"."""
        deeper = [self.known[-1].kind] if self.bits > other.bits else []
        entries = (each.kind for each in self.entries if each not in other.entries)
        return (*dict.fromkeys(entries), *(kind for kind in self.attached if kind not in other.attached), *deeper)

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
            bits = read_depth(file).bits
            attached = read_attached(file)
            return replace(_read_metadata(file), bits=bits, attached=attached)
    except ImageError:
        return Metadata()


def _read_metadata(file: BinaryIO) -> Metadata:
    head = file.read(4)
    file.seek(0)
    if head in {b"II*\0", b"MM\0*"}:  # a TIFF, or a RAW file that begins like one, is itself what EXIF data are
        exif = Image.Exif()
        exif.load(file.read())
        return _metadata(exif, _entries_of_tiff(exif))
    if head == b"\x89PNG":
        return _png_metadata(file)
    preview = find_preview(file)
    with open_image(BytesIO(preview.jpeg) if preview else file) as image:
        return _metadata(image.getexif(), _entries_of(image))


def read_jpeg_metadata(file: BinaryIO) -> Metadata | None:
    """Return what an open JPEG says of itself; None for another file, or for data that make much work to read."""
    data = file.read(_HEAD)
    header = read_header(data)
    if header is None or exif_weight(header.exif) > _MAX_WEIGHT:
        return None
    entries: list[Entry | None] = []
    resources = b""
    for marker, payload in segments(data, 2):
        if marker == APP1 and payload.startswith(_XMP):
            entries += read_xmp(payload[len(_XMP) :])
        elif marker == APP13 and payload.startswith(_PHOTOSHOP):
            resources += payload[len(_PHOTOSHOP) :]
    return replace(_of_exif(header.exif, [*entries, *read_resources(resources)]), attached=read_attached(file))


def _png_metadata(file: BinaryIO) -> Metadata:
    """Return what a PNG says, before its pixels and behind them, where some programs write it."""
    exif = b""
    entries: list[Entry | None] = []
    for name, text in read_texts(file):
        match name:
            case "eXIf" | "Raw profile type exif" | "Raw profile type APP1":
                if text.startswith(_XMP):
                    entries += read_xmp(text[len(_XMP) :])
                else:
                    exif = exif or text.removeprefix(_EXIF_HEAD)
            case "XML:com.adobe.xmp" | "Raw profile type xmp":
                entries += read_xmp(text)
            case "Raw profile type iptc" | "Raw profile type 8bim":
                entries += [*read_resources(text), *read_iptc(text)]
            case "Description" | "Title":
                entries.append(entry("caption" if name == "Description" else "title", text.decode("utf-8", "replace")))
    return _of_exif(exif, entries)


def _of_exif(data: bytes, entries: Sequence[Entry | None]) -> Metadata:
    exif = Image.Exif()
    with suppress(Exception):  # damaged EXIF raises nearly anything
        exif.load(data)
        return _metadata(exif, entries)
    return _metadata(Image.Exif(), entries)


def _entries_of(image: Image.Image) -> list[Entry | None]:
    """Return what people wrote into an open picture, as far as Pillow hands it over."""
    resources = image.info.get("photoshop")
    iptc = resources.get(IPTC_RESOURCE, b"") if isinstance(resources, dict) else b""
    return [*read_xmp(_bytes(image.info.get("xmp"))), *read_iptc(iptc)]


def _entries_of_tiff(exif: Image.Exif) -> list[Entry | None]:
    iptc = exif.get(_TIFF_IPTC)
    if isinstance(iptc, tuple) and iptc and isinstance(iptc[0], int):  # bytes, four of them called a number
        order: Literal["little", "big"] = "little" if exif.endian == "<" else "big"
        iptc = b"".join((number & 0xFFFFFFFF).to_bytes(4, order) for number in iptc)
    resources = read_resources(_bytes(exif.get(_TIFF_RESOURCES)))
    return [*read_xmp(_bytes(exif.get(_TIFF_XMP))), *read_iptc(_bytes(iptc)), *resources]


def _bytes(value: object) -> bytes:
    if isinstance(value, tuple) and all(isinstance(number, int) and 0 <= number < 256 for number in value):  # noqa: PLR2004
        return bytes(value)
    return value if isinstance(value, bytes) else b""


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
    entries = tuple(Entry(*each) for each in values["entries"])
    return Metadata(
        **{
            **values,
            **moments,
            "offset": offset,
            "size": size,
            "entries": entries,
            "attached": tuple(values["attached"]),
        }
    )


def _metadata(exif: Image.Exif, entries: Sequence[Entry | None]) -> Metadata:
    taken, place = _part(exif, _EXIF), _part(exif, _GPS)
    camera = _camera(_text(exif.get(_MAKE)), _text(exif.get(_MODEL)))
    captured, fraction = _moment(taken.get(_TAKEN)), taken.get(_TAKEN_FRACTION)
    digitized = _moment(taken.get(_DIGITIZED))
    if captured is None and camera:  # of a scan, or a picture drawn, it is when the file was made
        captured, fraction = digitized, taken.get(_DIGITIZED_FRACTION)
    microseconds = _microseconds(fraction)
    if captured is not None and microseconds is not None:
        captured = captured.replace(microsecond=microseconds)
    return Metadata(
        captured=captured,
        has_fraction=captured is not None and microseconds is not None,
        offset=_offset(_text(taken.get(_OFFSET))),
        changed=_moment(exif.get(_CHANGED)),
        camera=camera,
        software=_text(exif.get(_SOFTWARE)),
        size=_size(taken.get(_WIDTH), taken.get(_HEIGHT)),
        has_notes=_MAKER_NOTE in taken,
        entries=without_doubles(
            [
                *entries,
                *read_exif(exif, taken),
                entry("date", str(captured or digitized or "")),
                Entry("place", "") if _is_place(place.get(_LATITUDE)) else None,
            ]
        ),
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


def _is_place(latitude: object) -> bool:
    """Tell degrees, minutes and seconds from what cameras write that know none: nothing, or no number."""
    with suppress(TypeError, ValueError, ZeroDivisionError):
        return isinstance(latitude, tuple) and not any(math.isnan(float(part)) for part in latitude)
    return False


def _size(width: object, height: object) -> tuple[int, int] | None:
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None
