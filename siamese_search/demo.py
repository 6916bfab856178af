"""A small gallery to try things on: free sample pictures that scikit-image ships, and edited copies of them.

Nothing is downloaded and nothing is random: the same library versions write the same bytes. data/README.md names the
source and licence of each picture.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from siamese_search.atomic import made_folder
from siamese_search.duplicates.find import find_duplicates
from siamese_search.errors import DataError, FolderError
from siamese_search.gallery import Gallery
from siamese_search.report.html import write_page
from siamese_search.results import DedupeReport, SearchReport, SyncReport
from siamese_search.tables import Printed

Progress = Callable[[int, int], None]

_HIDDEN = "clock_motion.png"  # searched with, but never in the gallery
_BROKEN = "broken.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted(Printed):
    """A copy in the gallery, the picture it was made from, and what was done to it."""

    path: Path
    original: Path
    edit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo(Printed):
    """What `make_demo` wrote: the folder to index, its pictures, and pictures to search with that are not in it."""

    gallery: Path
    originals: tuple[Path, ...]
    planted: tuple[Planted, ...]
    broken: Path
    queries: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoScore(Printed):
    """How many planted copies were grouped with a picture of the same origin, and how many pictures with a stranger."""

    planted: int
    found: int
    false: int
    missed: tuple[Planted, ...]

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        false = {0: "none was grouped wrongly", 1: "1 picture was grouped wrongly"}
        wrong = false.get(self.false, f"{self.false} pictures were grouped wrongly")
        return f"{self.found} of the {self.planted} copies were found, {wrong}."


def make_demo(folder: Path) -> Demo:
    """Write the gallery to `folder/pictures` and the query pictures to `folder/queries`.

    Files that are already there with the same bytes are left untouched, so indexing again embeds nothing. Raises
    DataError where scikit-image or one of its pictures is missing, FolderError where the folder cannot be written.
    """
    samples = _samples_folder()
    folder = folder.resolve()
    gallery, queries = folder / "pictures", folder / "queries"
    originals: list[Path] = []
    planted: list[Planted] = []
    for name, edits in _GALLERY.items():
        data = _sample(samples, name)
        original = _write(gallery / name, data)
        originals.append(original)
        for edit in edits:
            ending, change = _EDITS[edit]
            copy = _write(gallery / "copies" / f"{original.stem} {edit}.{ending}", change(data))
            planted.append(Planted(path=copy, original=original, edit=edit))
    coffee, rocket = _sample(samples, "coffee.png"), _sample(samples, "rocket.jpg")
    return Demo(
        gallery=gallery,
        originals=tuple(originals),
        planted=tuple(planted),
        broken=_write(gallery / _BROKEN, rocket[: len(rocket) // 3]),
        queries=(
            _write(queries / "coffee cropped and captioned.jpg", _jpeg(_captioned(_cropped(_picture(coffee))), 60)),
            _write(queries / "rocket mirrored and grey.jpg", _jpeg(_grey(ImageOps.mirror(_picture(rocket))), 60)),
            _write(queries / "clock.png", _sample(samples, _HIDDEN)),
        ),
    )


def score_demo(demo: Demo, report: DedupeReport) -> DemoScore:
    """Compare the groups that were found with the copies that were planted."""
    origin = {planted.path: planted.original for planted in demo.planted} | {path: path for path in demo.originals}
    grouped: set[Path] = set()
    false = 0
    for group in report.groups:
        keep = group.keep.resolve()
        for copy in group.copies:
            path = copy.path.resolve()
            if path in origin and origin[path] == origin.get(keep):
                grouped |= {path, keep}  # the keeper may be a planted copy as well
            else:
                false += 1
    missed = tuple(planted for planted in demo.planted if planted.path not in grouped)
    return DemoScore(planted=len(demo.planted), found=len(demo.planted) - len(missed), false=false, missed=missed)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport(Printed):
    """What the demo made and found; `page` shows it with pictures."""

    demo: Demo
    synced: SyncReport
    search: SearchReport
    duplicates: DedupeReport
    score: DemoScore
    page: Path


def run_demo(
    folder: str | Path, gallery: Gallery, *, stage: Callable[[str], AbstractContextManager[Progress]] | None = None
) -> DemoReport:
    """Go the whole way on the sample pictures: index them, search, find copies, and write `folder/report/index.html`.

    `stage` is called with the name of each long step, and gives a context in which its progress is shown.
    """
    stage = stage or _quiet
    folder = Path(folder)
    made = make_demo(folder)
    page = folder / "report" / "index.html"
    with stage("Embedding") as progress:
        synced = gallery.sync([made.gallery], progress=progress)
    search = gallery.search(made.queries)
    with stage("Comparing") as progress:
        found = find_duplicates(gallery, folders=[made.gallery], progress=progress)
    score = score_demo(made, found)
    made_folder(page.parent)
    with stage("Drawing") as progress:
        write_page(
            page,
            title="simsearch demo",
            lead=f"{len(made.originals)} sample pictures, {score.planted} edited copies of them. {score.sentence}",
            search=search,
            dedupe=found,
            pictures=[str(path) for path in (*made.originals, *(planted.path for planted in made.planted))],
            progress=progress,
        )
    return DemoReport(demo=made, synced=synced, search=search, duplicates=found, score=score, page=page)


@contextmanager
def _quiet(_stage: str) -> Iterator[Progress]:
    yield lambda _done, _total: None


def _samples_folder() -> Path:
    found = find_spec("skimage")  # finds without importing: scikit-image takes half a second
    if found is None or not found.submodule_search_locations:
        raise DataError("the demo needs scikit-image's sample pictures: pip install 'siamese-search[demo]'")
    return Path(found.submodule_search_locations[0]) / "data"


def _sample(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise DataError(
            f"{folder / name}: this scikit-image has no such sample picture: pip install --force-reinstall scikit-image"
        ) from error


def _write(path: Path, data: bytes) -> Path:
    try:
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise FolderError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _picture(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _jpeg(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _lossless(data: bytes) -> bytes:
    out = io.BytesIO()
    _picture(data).save(out, "WEBP", lossless=True, method=1)
    return out.getvalue()


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 10, height // 8, width * 9 // 10, height * 19 // 20))


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _captioned(image: Image.Image) -> Image.Image:
    image = image.copy()
    band = image.height // 6
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height - band, image.width, image.height), fill="#111111")
    middle = (image.width / 2, image.height - band / 2)
    draw.text(middle, "Wish you were here", fill="white", font=ImageFont.load_default(size=band * 0.5), anchor="mm")
    return image


def _resized(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 2 // 5, image.height * 2 // 5), Image.Resampling.LANCZOS)


def _edited(change: Callable[[Image.Image], Image.Image]) -> tuple[str, Callable[[bytes], bytes]]:
    return "jpg", lambda data: _jpeg(change(_picture(data)))


_EDITS: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = MappingProxyType(
    {
        "re-encoded": ("jpg", lambda data: _jpeg(_picture(data), 12)),
        "resized": _edited(_resized),
        "cropped": _edited(_cropped),
        "mirrored": _edited(ImageOps.mirror),
        "turned": _edited(lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        "captioned": _edited(_captioned),
        "grey": _edited(_grey),
        "brightened": _edited(lambda image: ImageEnhance.Brightness(image).enhance(1.4)),
        "lossless": ("webp", _lossless),
        "backup": ("png", lambda data: data),
    }
)

# Every edit meets easy pictures (faces, things) and hard ones (textures, slides under a microscope).
_GALLERY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "astronaut.png": ("re-encoded", "cropped", "mirrored", "backup"),
        "brick.png": ("resized", "brightened", "turned"),
        "camera.png": ("captioned", "cropped", "re-encoded"),
        "cell.png": ("mirrored", "resized", "brightened"),
        "chelsea.png": ("grey", "turned", "captioned"),
        "coffee.png": ("resized", "brightened", "grey", "lossless"),
        "coins.png": ("re-encoded", "mirrored", "cropped"),
        "grass.png": ("re-encoded", "captioned", "resized"),
        "gravel.png": ("brightened", "cropped", "mirrored"),
        "hubble_deep_field.jpg": ("grey", "re-encoded", "captioned"),
        "ihc.png": ("turned", "cropped", "grey"),
        "retina.jpg": ("brightened", "resized", "mirrored"),
        "rocket.jpg": ("turned", "captioned", "grey"),
    }
)
