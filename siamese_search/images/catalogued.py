"""What people wrote into a picture file, or had a catalogue write: keywords, captions, ratings, titles, names, places.

It is read from XMP, from IPTC and from EXIF, which may say the same thrice. What cameras and programs write by
themselves, in the places meant for people, is left out.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from xml.parsers import expat

import xxhash

_MAX_BYTES = 1 << 20  # of XMP or IPTC; more is no word of a person
_MAX_ENTRIES = 500
_ENOUGH = 1000  # characters that tell a program's text

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ITEM = f"{_RDF} li"
_KINDS_OF_XMP = {
    f"{space} {name}": kind
    for space, names in {
        "http://purl.org/dc/elements/1.1/": {"subject": "keywords", "description": "caption", "title": "title"},
        "http://ns.adobe.com/xap/1.0/": {"Rating": "rating", "Label": "label"},
        "http://ns.adobe.com/lightroom/1.0/": {"hierarchicalSubject": "keywords"},
        "http://www.digikam.org/ns/1.0/": {"TagsList": "keywords"},
        "http://ns.microsoft.com/photo/1.0/": {"LastKeywordXMP": "keywords"},
        "http://ns.microsoft.com/photo/1.2/t/Region#": {"PersonDisplayName": "persons"},
        "http://www.metadataworkinggroup.com/schemas/regions/": {"Name": "persons"},
        "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": {
            "PersonInImage": "persons",
            "City": "name of the place",
            "Sublocation": "name of the place",
            "CountryName": "name of the place",
        },
        "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": {"Location": "name of the place"},
        "http://ns.adobe.com/photoshop/1.0/": {
            "Headline": "title",
            "City": "name of the place",
            "State": "name of the place",
            "Country": "name of the place",
            "DateCreated": "date",
        },
        "http://ns.adobe.com/exif/1.0/": {
            "GPSLatitude": "place",
            "DateTimeOriginal": "date",
            "UserComment": "caption",
        },
        "http://ns.adobe.com/tiff/1.0/": {"ImageDescription": "caption"},
    }.items()
    for name, kind in names.items()
}
# IPTC-NAA Information Interchange Model 4.2, record 2
_KINDS_OF_IPTC = {
    5: "title",
    25: "keywords",
    55: "date",
    90: "name of the place",
    92: "name of the place",
    95: "name of the place",
    101: "name of the place",
    105: "title",
    120: "caption",
}
# Exif 2.32, and Windows' own tags
_DESCRIPTION, _RATING, _USER_COMMENT = 0x010E, 0x4746, 0x9286
_KINDS_OF_WINDOWS = {0x9C9B: "title", 0x9C9C: "caption", 0x9C9E: "keywords", 0x9C9F: "title"}
_CHARSETS = {b"ASCII\0\0\0": "latin-1", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}

IPTC_RESOURCE = 0x0404  # of Photoshop's image resource blocks
_XMP_RESOURCE = 0x0424
_PRESENCE = frozenset({"place", "date"})  # however they are written, the other one is as good
_WORDLESS = re.compile(r"[\W\d_]*")
_BY_MACHINE = re.compile(
    r"^((bell.?howell|casio|fuji\w*|hp|jvc|kodak|konica|minolta|nikon|olympus|panasonic|pentax|polaroid|ricoh|samsung|sony"
    r"|vivitar) ?)*(digital (still )?camera|camera pictures?|dsc)\w*$|exif.?jpeg|^dcf \d|^dcim\b|^maker:"
    r"|^(oz|[rfvm])?(nor|hdr|sdr|edf|dav|cof|ptr|mde|bty|btf|fbt|tde|qrf|dig|hdrpl)(_\w+)?$"  # modes of telephones
    r"|^(image ?description|default|untitled|null|none|screenshot|binary comment)$"
    r"|^\S+\.(jpe?g|png|tiff?|heic|dng|raw)$"
    r"|lead technologies|^created (with|by) (the )?(gimp|imagemagick)|file written by adobe|^processed with"
    r"|^(made|edited) with google|^picasa|meitu\.com|^\{|^<\?|^filter: ",
    re.IGNORECASE,
)


class Entry(NamedTuple):
    """One thing that is written in a file: its kind in words, and a checksum of what it says.

    Of a place and a date it is known that they are there, not which.
    """

    kind: str
    checksum: str


def entry(kind: str, text: str) -> Entry | None:
    """Return what a text of some kind says, None for one that no person wrote."""
    text = " ".join(text.replace("\0", " ").split())
    if kind == "rating":
        return _rating(text)
    if not text or (kind == "caption" and _is_by_machine(text)):
        return None
    if kind in _PRESENCE:
        return Entry(kind, "")
    if kind == "keywords":
        text = re.split(r"[|/]", text)[-1]  # of a path of keywords, as catalogues write them
    return Entry(kind, xxhash.xxh3_64_hexdigest(text.casefold().encode("utf-8", "replace")))


def without_doubles(entries: Iterable[Entry | None]) -> tuple[Entry, ...]:
    """Return entries in order of their kinds, each once."""
    return tuple(sorted(each for each in set(entries) if each))[:_MAX_ENTRIES]


def read_xmp(data: bytes) -> list[Entry | None]:
    """Return what a packet of XMP says, of a damaged one as far as it can be read.

    Entities are not expanded: a packet that declares any ends there.
    """
    parser = _Xmp()
    with suppress(expat.ExpatError, UnicodeError, ValueError, LookupError):
        parser.feed(data[:_MAX_BYTES].strip(b"\0"))
    return parser.found


class _Xmp:
    """Reads the properties of XMP, whichever of RDF's ways to write them was taken."""

    def __init__(self) -> None:
        self.found: list[Entry | None] = []
        self._within: list[str] = []  # the properties that are open, the innermost last
        self._text: list[str] = []

    def feed(self, data: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(data, True)

    def _refuse(self, *_: object) -> None:
        raise ValueError("XMP has no document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._text.clear()
        if name in _KINDS_OF_XMP:
            self._within.append(name)
        self.found += [entry(_KINDS_OF_XMP[key], text) for key, text in attributes.items() if key in _KINDS_OF_XMP]

    def _end(self, name: str) -> None:
        if self._within and name in {_ITEM, self._within[-1]}:
            self.found.append(entry(_KINDS_OF_XMP[self._within[-1]], "".join(self._text)))
        self._text.clear()
        if self._within and name == self._within[-1]:
            self._within.pop()


def read_iptc(data: bytes) -> list[Entry | None]:
    """Return what records of IPTC say, of damaged ones as far as they can be read."""
    found: list[Entry | None] = []
    at = 0
    while data[at : at + 1] == b"\x1c" and at + 5 <= len(data) and len(found) < _MAX_ENTRIES:
        record, number, size = struct.unpack(">BBH", data[at + 1 : at + 5])
        if record == 2 and number in _KINDS_OF_IPTC:  # noqa: PLR2004  the one about the picture
            found.append(entry(_KINDS_OF_IPTC[number], _decoded(data[at + 5 : at + 5 + size])))
        at += 5 + size
    return found


def read_resources(data: bytes) -> list[Entry | None]:
    """Return what Photoshop's image resource blocks say, in which IPTC lies in a JPEG."""
    found: list[Entry | None] = []
    for number, block in _resources(data):
        if number == IPTC_RESOURCE:
            found += read_iptc(block)
        elif number == _XMP_RESOURCE:
            found += read_xmp(block)
    return found


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each block: "8BIM", number, name and content, both of even length."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 7 <= len(data):
        number, name = int.from_bytes(data[at + 4 : at + 6], "big"), data[at + 6]
        at += 6 + (name + 2) // 2 * 2
        size = int.from_bytes(data[at : at + 4], "big")
        yield number, data[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2


def read_exif(first: Any, taken: dict[int, Any]) -> list[Entry | None]:
    """Return what the first directory of EXIF says, and the one about how a picture was taken; values are Pillow's."""
    found = [
        entry("caption", _text(first.get(_DESCRIPTION))),
        entry("rating", str(first.get(_RATING, ""))),
        entry("caption", _comment(taken.get(_USER_COMMENT))),
    ]
    for tag, kind in _KINDS_OF_WINDOWS.items():
        value = first.get(tag)
        text = bytes(value).decode("utf-16-le", "replace") if isinstance(value, bytes | tuple) else ""
        found += [entry(kind, each) for each in (text.split(";") if kind == "keywords" else [text])]
    return found


def _rating(text: str) -> Entry | None:
    with suppress(ValueError, OverflowError):
        stars = int(float(text))
        return Entry("rating", str(stars)) if stars > 0 else None
    return None


def _is_by_machine(text: str) -> bool:
    return bool(_WORDLESS.fullmatch(text) or _BY_MACHINE.search(text[:_ENOUGH]))


def _text(value: object) -> str:
    if isinstance(value, str):
        with suppress(UnicodeError):  # Pillow takes for Latin-1 what most programs write as UTF-8
            return value.encode("latin-1").decode()
        return value
    return _decoded(value) if isinstance(value, bytes) else ""


def _comment(value: object) -> str:
    """Return a comment of EXIF, whose first eight bytes name its character set."""
    if not isinstance(value, bytes):
        return _text(value)
    charset = _CHARSETS.get(value[:8])
    if charset == "utf-16" and value[8:10] not in {b"\xff\xfe", b"\xfe\xff"}:
        charset = "utf-16-le" if value[9:10] == b"\0" else "utf-16-be"
    return value[8:].decode(charset, "replace") if charset else ""


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeError:
        return data.decode("latin-1")
