"""Files that belong to a picture: the RAW beside the JPEG, a sidecar, the clip of a live photo, Google's JSON."""

import os
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from siamese_search.images.decode import picture_extensions

_RAW = frozenset(
    f".{extension}"
    for extension in (
        *(
            "3fr",
            "arw",
            "cr2",
            "cr3",
            "crw",
            "dcr",
            "dng",
            "erf",
            "fff",
            "iiq",
            "k25",
            "kdc",
            "mef",
            "mos",
            "mrw",
            "nef",
        ),
        *("nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
_BESIDE = _RAW | {".aae", ".dop", ".mov", ".mp4", ".on1", ".pp3", ".thm", ".xmp"}  # IMG_1.xmp beside IMG_1.jpg
_BEHIND = (".dop", ".json", ".pp3", ".xmp")  # IMG_1.jpg.xmp
_GOOGLE = ".supplemental-metadata.json"  # cut short where the whole name would be longer than 51 characters
_GOOGLE_LENGTH = 51
_NUMBERED = re.compile(r"(.+)(\(\d+\))")


class Companions:
    """Tells which files belong to a picture; each folder is listed once, so one of these serves one run.

    A file that belongs to two pictures by its name, one of which may stay, belongs to neither.
    """

    def __init__(self) -> None:
        self._listed = cache(_listed)

    def of(self, picture: Path) -> tuple[Path, ...]:
        """Return the companions of a picture, by name; none for one whose folder cannot be listed."""
        by_stem, pictures = self._listed(picture.parent)
        name, stem = picture.name.lower(), picture.stem.lower()
        found = [
            companion
            for companion in by_stem.get(stem, ())
            if companion.lower() != name and _belongs(companion.lower(), name, alone=pictures[stem] == 1)
        ]
        if numbered := _NUMBERED.fullmatch(stem):  # IMG_1.jpg(2).json belongs to IMG_1(2).jpg
            jsons = f"{numbered[1]}{picture.suffix.lower()}{numbered[2]}"
            found += [each for each in by_stem.get(jsons, ()) if each.lower() == f"{jsons}.json"]
        return tuple(picture.with_name(companion) for companion in found)


def _belongs(companion: str, picture: str, *, alone: bool) -> bool:
    if companion.startswith(picture):
        rest = companion[len(picture) :]
        cut = len(companion) >= _GOOGLE_LENGTH - 1 and rest.endswith(".json")
        return rest in {*_BEHIND, _GOOGLE} or (cut and _GOOGLE.startswith(rest.removesuffix(".json")))
    stem, extension = os.path.splitext(companion)  # noqa: PTH122  plain text
    return alone and extension in _BESIDE and stem == os.path.splitext(picture)[0]  # noqa: PTH122


def _listed(folder: Path) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return the names in a folder by the stem of the picture they may belong to, and the pictures of each stem."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    pictures: defaultdict[str, int] = defaultdict(int)
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names are enough
    except OSError:
        names = []
    for name in names:
        stem, extension = os.path.splitext(name.lower())  # noqa: PTH122  plain text, and many of it
        if extension in picture_extensions() and extension not in _RAW:
            pictures[stem] += 1
        first = name.lower().split(".")
        for parts in range(1, len(first)):
            by_stem[".".join(first[:parts])].append(name)
    return by_stem, pictures
