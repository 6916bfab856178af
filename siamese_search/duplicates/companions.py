"""Files that belong to a picture: the RAW beside the JPEG, a sidecar, the clip of a live photo, a voice memo."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from siamese_search.images.decode import picture_extensions
from siamese_search.results import Shared

_RAW = frozenset(
    f".{extension}"
    for extension in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "k25", "kdc", "mef", "mos", "mrw"),
        *("nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
# Of the same name as a picture, and worth something by themselves all the same: documents, music, films, archives.
_BY_THEMSELVES = frozenset(
    f".{extension}"
    for extension in (
        *("7z", "ai", "avi", "blend", "c", "cpp", "css", "csv", "doc", "docx", "epub", "exe", "flac", "gz", "h", "htm"),
        *("html", "indd", "ipynb", "js", "kra", "lnk", "m4a", "m4v", "md", "mkv", "mp3", "mpeg", "mpg", "mts", "odp"),
        *("ods", "odt", "ogg", "opus", "pdf", "ppt", "pptx", "ps", "psb", "py", "rar", "rtf", "sketch", "svg", "tar"),
        *("tex", "ts", "url", "webm", "wma", "wmv", "xcf", "xls", "xlsx", "zip"),
    )
)
_CLIPS = frozenset({".mov", ".mp4", ".wav"})
_MAX_CLIP = 100_000_000  # bytes; a longer one is a film, and the picture its poster
_GOOGLE = ".supplemental-metadata"  # cut short where the whole name would be longer than 51 characters
_GOOGLE_LENGTH = 51
_NUMBERED = re.compile(r"(.+)(\(\d+\))")
_APPLES_ORIGINAL = re.compile(r"img_o(\d+)\.aae")  # of what was edited as IMG_1234
_SETTINGS = {"nksc_param": (".nksc",), "captureone": (".cos",)}  # folders of programs, and what they keep there


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to a picture: `own` files beside it, those `shared` with others, and `settings` in other folders."""

    own: tuple[Path, ...] = ()
    shared: tuple[Shared, ...] = ()
    settings: tuple[Path, ...] = ()


class Companions:
    """Tells which files belong to a picture; each folder is listed once, so one of these serves one run."""

    def __init__(self) -> None:
        self._listed = cache(_Folder)

    def of(self, picture: Path) -> Belongings:
        """Return what belongs to a picture, by name; nothing to one whose folder cannot be listed."""
        folder = self._listed(picture.parent)
        own: list[Path] = []
        shared: list[Shared] = []
        for name in folder.near(picture.name):
            path = picture.with_name(name)
            pictures = folder.pictures(picture.stem) if is_named_by_stem(name, picture.name) else [picture.name]
            if picture.name not in pictures or not (is_named_after(name, picture.name) and _is_short(path)):
                continue
            if len(pictures) == 1:
                own.append(path)
            else:
                shared.append(Shared(path=path, pictures=tuple(map(picture.with_name, pictures))))
        return Belongings(tuple(own), tuple(shared), folder.settings_of(picture.name))


class _Folder:
    """The names in a folder, by those of the pictures that they may belong to."""

    def __init__(self, folder: Path) -> None:
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        self._pictures: defaultdict[str, list[str]] = defaultdict(list)
        self._raw: defaultdict[str, list[str]] = defaultdict(list)
        self._settings: defaultdict[str, list[Path]] = defaultdict(list)
        for name, is_file in _entries(folder):
            if is_file:
                self._add(name.lower(), name)
            for path in () if is_file else _settings_in(folder / name):
                self._settings[_split(path.name.lower())[0]].append(path)

    def _add(self, lower: str, name: str) -> None:
        stem, extension = _split(lower)
        if extension in _RAW:
            self._raw[stem].append(name)
        elif extension in picture_extensions():
            self._pictures[stem].append(name)
        if original := _APPLES_ORIGINAL.fullmatch(lower):
            self._by_stem[f"img_{original[1]}"].append(name)
        parts = lower.split(".")
        for count in range(1, len(parts) + 1):
            self._by_stem[".".join(parts[:count])].append(name)

    def near(self, picture: str) -> Sequence[str]:
        """Return the names that may belong to a picture."""
        stem = _split(picture.lower())[0]
        numbered = _NUMBERED.fullmatch(stem)
        return [*self._by_stem.get(stem, ()), *(self._by_stem.get(numbered[1], ()) if numbered else ())]

    def pictures(self, stem: str) -> Sequence[str]:
        """Return the pictures of a stem; a RAW is one where there is no other."""
        stem = stem.lower()
        return self._pictures[stem] if stem in self._pictures else self._raw.get(stem, ())

    def settings_of(self, picture: str) -> tuple[Path, ...]:
        """Return what programs keep of a picture in folders of their own, by its name or its stem alone."""
        stem = _split(picture.lower())[0]
        alone = len(self.pictures(stem)) == 1
        return (*self._settings.get(picture.lower(), ()), *(self._settings.get(stem, ()) if alone else ()))


def is_named_after(companion: str, picture: str) -> bool:
    """Tell by the names of two files of one folder whether one may belong to the other, a picture."""
    companion, picture = companion.lower(), picture.lower()
    if companion == picture:
        return False
    stem, extension = _split(picture)
    if numbered := _NUMBERED.fullmatch(stem):  # IMG_1.jpg(2).json belongs to IMG_1(2).jpg
        rest = companion.removeprefix(f"{numbered[1]}{extension}")
        if rest != companion and rest.endswith(f"{numbered[2]}.json"):
            return _GOOGLE.startswith(rest.removesuffix(f"{numbered[2]}.json"))
    if companion.startswith(f"{picture}."):
        rest = companion.removeprefix(picture)
        is_cut = len(companion) >= _GOOGLE_LENGTH - 1
        if rest.endswith(".json") and _GOOGLE.startswith(rest.removesuffix(".json")) and is_cut:
            return True
        return rest == f"{_GOOGLE}.json" or (rest.count(".") == 1 and _may_belong(rest))
    return is_named_by_stem(companion, picture) and _may_belong(_split(companion)[1])


def is_named_by_stem(companion: str, picture: str) -> bool:
    """Tell whether a name may belong to whatever pictures of a stem there are: IMG_1.xmp, and not IMG_1.jpg.xmp.

    So does PXL_1.MP to PXL_1.MP.jpg.
    """
    companion, stem = companion.lower(), _split(picture.lower())[0]
    original = _APPLES_ORIGINAL.fullmatch(companion)
    return stem in {_split(companion)[0], companion} or bool(original and stem == f"img_{original[1]}")


def _may_belong(extension: str) -> bool:
    """Tell by its extension whether a file may belong to a picture: neither a picture nor worth something by itself."""
    return extension in _RAW or not (extension in picture_extensions() or extension in {*_BY_THEMSELVES, ""})


def _is_short(path: Path) -> bool:
    """Tell a clip or memo from a film of the same name; all other files pass."""
    if path.suffix.lower() not in _CLIPS:
        return True
    try:
        return path.stat().st_size <= _MAX_CLIP
    except OSError:
        return False


def _settings_in(folder: Path) -> Iterable[Path]:
    """Yield the settings of pictures in the folder of a program, such as CaptureOne/Settings153/IMG_1.CR2.cos."""
    extensions = _SETTINGS.get(folder.name.lower(), ())
    if not extensions:
        return
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in sorted(names) if name.lower().endswith(extensions))


def _entries(folder: Path) -> Sequence[tuple[str, bool]]:
    """Return the names in a folder, and of each whether it is a file; of links, what they lead to."""
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted((entry.name, entry.is_file()) for entry in entries)
    return []


def _split(name: str) -> tuple[str, str]:
    return os.path.splitext(name)  # noqa: PTH122  plain text, and many of it
