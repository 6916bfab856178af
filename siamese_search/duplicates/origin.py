"""Where a picture comes from: written by a camera, or derived from what one wrote."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from siamese_search.cores import usable_cores
from siamese_search.duplicates.companions import Belongings, Companions
from siamese_search.images.catalogued import Entry
from siamese_search.images.metadata import Metadata
from siamese_search.images.raw import RAW_KINDS
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Item

_CAMERA_FORMATS = RAW_KINDS | {"JPEG", "HEIF", "HEIC", "AVIF", "TIFF"}  # none writes PNG, WebP or BMP
_NONE = Belongings()
_RESIZED = "resized or cropped"
_EDITED_AFTER = timedelta(minutes=1)  # between capture and the last writing; a camera needs seconds

_EDITORS = re.compile(
    r"acdsee|affinity|astra|camera raw|canva|capture one|capture nx|corel|darktable|digikam|dxo|facetune|faststone|gimp"
    r"|graphicsmagick|imagemagick|instagram|irfanview|lightroom|luminar|meitu|nik collection|on1 |paint|photofiltre"
    r"|photo (editor|gallery|viewer)|photoscape|photoshop|picasa|picsart|pixelmator|polarr|rawtherapee|shotwell|skylum"
    r"|snapseed|topaz|ulead|vsco|xnview|zoner",
    re.IGNORECASE,
)
SCREENSHOT = "a screenshot"
# Of a name without its extension, whatever its case; people and programs name copies in many languages.
_DERIVED_NAMES = {
    SCREENSHOT: r"screen[ _-]?shot|bildschirmfoto|capture d.{1,4}cran|captura de pantalla|schermafbeelding",
    "from a messenger": (r"^(IMG-\d{8}-WA\d+|WhatsApp|FB_IMG_\d|received_\d|signal-\d{4}-|photo_\d{4}-\d\d-\d\d_)"),
    "a thumbnail": r"(^|[ ._-])(thumb|thumbnail|vorschau|preview)s?([ ._-]|$)|[-_]\d{2,4}x\d{2,4}$",
    "edited, by its name": (
        r"(^|[ ._-])(edit|edited|bearbeitet|modifié|modifie|editado|modificato|bewerkt)[ ._-]?\d*$"
        r"|^IMG_E\d{4}|-(COLLAGE|ANIMATION|EFFECTS)$|~\d+$"
    ),
    "a copy, by its name": (
        r"\(\d{1,2}\)$|(^|[ ._-])\(?(copy|kopie|copie|copia|kopia|cópia)\)?[ ._-]*\(?\d*\)?$"
        r"|^(copy|kopie|copie|copia)( \(\d+\))? (of|von|de|di) |\.bak$"
    ),
}
_PATTERNS = {words: re.compile(pattern, re.IGNORECASE) for words, pattern in _DERIVED_NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of where a picture comes from.

    `derived` says in words what it was made by, as its data or its name tell, or is empty; `named` what its name alone
    tells. `is_resized`: its data name another size. `is_cameras` tells that a camera wrote the file, and nothing in it
    says that anybody wrote it again.
    """

    metadata: Metadata
    derived: str = ""
    is_cameras: bool = False
    named: str = ""
    is_resized: bool = False
    belongings: Belongings = _NONE

    @property
    def companions(self) -> tuple[Path, ...]:
        """All files that belong to it, to it alone or not."""
        shared = (each.path for each in self.belongings.shared)
        return (*self.belongings.own, *shared, *self.belongings.settings)

    @property
    def known(self) -> tuple[Entry, ...]:
        """What would be lost with it: what its file knows, and what programs keep of it in folders of their own."""
        edits = (Entry(f"edits ({path.name})", "") for path in self.belongings.settings)
        return (*self.metadata.known, *edits)

    @property
    def words(self) -> str:
        """The camera and the time of capture, or what it is instead."""
        if self.is_cameras and self.metadata.captured:
            return f"{self.metadata.camera}, {self.metadata.captured:%Y-%m-%d %H:%M:%S}"
        if self.metadata.camera and self.metadata.captured and not self.derived:
            return "in a format that no camera writes"
        return self.derived or "without a camera's data"


class Origins:
    """The origins of the pictures of one run; each file is looked at once."""

    def __init__(self, items: Iterable[Item] = (), decoder: Decoder | None = None) -> None:
        """Look at some pictures at once, by a few threads."""
        self._companions = Companions()
        self._decoder = decoder or Decoder()
        some = list(items)
        with ThreadPoolExecutor(usable_cores()) as pool:
            found = pool.map(self._read, some)
            self._known = dict(zip((item.path for item in some), found, strict=True))

    def of(self, item: Item) -> Origin:
        """Return where a picture comes from."""
        if item.path not in self._known:
            self._known[item.path] = self._read(item)
        return self._known[item.path]

    def _read(self, item: Item) -> Origin:
        return read_origin(item, self._companions, self._decoder)


def read_origin(item: Item, companions: Companions, decoder: Decoder) -> Origin:
    """Look at a file's data, its name and its neighbours."""
    metadata = decoder.metadata(item.path)
    rewritten, named = _rewritten(item, metadata), derived_name(item.path.stem)
    return Origin(
        metadata=metadata,
        derived=rewritten or named,
        named=named,
        is_resized=rewritten.startswith(_RESIZED),
        is_cameras=bool(metadata.camera and metadata.captured) and item.format in _CAMERA_FORMATS and not rewritten,
        belongings=companions.of(item.path),
    )


def derived_name(stem: str) -> str:
    """Say what a file is derived by, as far as its name tells, "" if it does not."""
    return next((words for words, pattern in _PATTERNS.items() if pattern.search(stem)), "")


def _rewritten(item: Item, metadata: Metadata) -> str:
    """Say by what a file was written again since it was captured, as far as its data tell."""
    if editor := _EDITORS.search(metadata.software):
        return f"edited with {metadata.software[editor.start() :]}"
    size = metadata.size
    if size and size not in {(item.width, item.height), (item.height, item.width)}:
        return f"{_RESIZED} from {size[0]} \N{MULTIPLICATION SIGN} {size[1]}"
    if metadata.captured and metadata.changed and metadata.changed - metadata.captured > _EDITED_AFTER:
        return f"written again {metadata.changed:%Y-%m-%d %H:%M}"
    return ""
