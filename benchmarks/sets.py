"""The sets: some photos under many edits, hidden among photos that are none of theirs.

A set is a folder: `images/`, `manifest.csv` (a row a picture), `set.json` (how it was made, and the hash of all its
pictures). It is a function of the photos and the seed alone. Every copy has a generator of its own, so an edit more
changes no other copy.
"""

import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from edits import EVERYDAY, HEAVY, JPEG_QUALITY, JPEG_QUALITY_OF, TURNS, Edit

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
SEED = 7


@dataclass(frozen=True, slots=True)
class Suite:
    """What a set is made of: edits, how many photos get them, how many distractors, and other photos lent a photo."""

    edits: dict[str, Edit]
    bases: int
    distractors: int
    hosts: int = 0

    @property
    def photos(self) -> int:
        """How many photos it takes."""
        return self.bases * (1 + self.hosts) + self.distractors


SUITES = {
    "B": Suite(EVERYDAY, bases=150, distractors=1950),
    "C": Suite(HEAVY, bases=100, distractors=1600, hosts=4),
    "turns": Suite(TURNS, bases=100, distractors=500),
}


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One picture of a set: pictures of one `group` show the same photo. `kind` is base, distractor or copy."""

    file: str
    group: str
    kind: str
    transform: str


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to draw from, and its name in a set: where it lies in its folder, in one word."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Job:
    """The copies to make of one photo."""

    photo: Photo
    hosts: Sequence[Photo]
    folder: Path
    edits: dict[str, Edit]
    seed: int


def find_photos(folder: Path, listed: Path | None = None) -> list[Photo]:
    """Return the photos in a folder, by name: all, or those that a file lists, a relative path a line."""
    if listed:
        places = [Path(line) for line in listed.read_text(encoding="utf-8").splitlines() if line]
    else:
        places = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in ENDINGS]
    by_name: dict[str, Photo] = {}
    for place in sorted(places, key=flat):  # of `a.jpg` and `a.png` one is taken: their copies would have one name
        by_name.setdefault(Path(flat(place)).stem, Photo(folder / place, Path(flat(place)).stem))
    return list(by_name.values())


def flat(place: Path) -> str:
    """Return a relative path as one word."""
    return place.as_posix().replace("/", "__")


def fitted(suite: Suite, photos: int) -> Suite:
    """Return the suite for as many photos as there are: as it is when they suffice, smaller in proportion when not."""
    share = min(1.0, photos / suite.photos)
    bases = int(suite.bases * share)
    if bases == 0:
        sys.exit(f"{photos} photos are too few to make a set of; at least {-(-suite.photos // suite.bases)} are needed")
    return Suite(suite.edits, bases=bases, distractors=int(suite.distractors * share), hosts=suite.hosts)


def make_set(photos: Sequence[Photo], suite: Suite, out: Path, *, seed: int = SEED) -> None:
    """Make a set in the folder `out`, on every core; a smaller one where the photos are fewer than the suite takes."""
    suite = fitted(suite, len(photos))
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    drawn = list(photos)
    Random(seed).shuffle(drawn)
    bases, others = drawn[: suite.bases], drawn[suite.bases :]
    distractors, rest = others[: suite.distractors], others[suite.distractors :]
    rows: list[Row] = []
    for kind, members in (("base", bases), ("distractor", distractors)):
        rows += [Row(keep_original(photo, images), photo.name, kind, "original") for photo in members]
    # Hosts lie outside the set and are lent once: copies share no host, and no host is a distractor.
    jobs = [
        Job(photo, rest[suite.hosts * number :][: suite.hosts], images, suite.edits, seed)
        for number, photo in enumerate(bases)
    ]
    with ProcessPoolExecutor() as pool:
        for made in pool.map(make_copies, jobs, chunksize=4):
            rows += made
    rows.sort()
    write_set(rows, suite, out, seed=seed)


def keep_original(photo: Photo, images: Path) -> str:
    """Copy a photo into the set as it is, and return its name there."""
    target = images / (photo.name + photo.path.suffix.lower().replace("jpeg", "jpg"))
    if not target.exists():
        shutil.copyfile(photo.path, target)
    return target.name


def make_copies(job: Job) -> list[Row]:
    """Write the edited copies of one photo, and return their rows."""
    picture = load(job.photo)
    rows = []
    for name, edit in job.edits.items():
        rng = Random(f"{job.seed}/{job.photo.name}/{name}")
        copy = edit(picture, rng, lambda k: load(job.hosts[k]))
        row = Row(f"{job.photo.name}__{name}.jpg", job.photo.name, "copy", name)
        copy.save(job.folder / row.file, quality=JPEG_QUALITY_OF.get(name, JPEG_QUALITY))
        rows.append(row)
    return rows


def load(photo: Photo) -> Image.Image:
    """Return a photo at full size, upright, in RGB."""
    with Image.open(photo.path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def write_set(rows: Sequence[Row], suite: Suite, out: Path, *, seed: int) -> None:
    """Write what a set holds beside its pictures."""
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(row) for row in rows)
    digest = hashlib.sha256()
    for row in rows:
        digest.update((out / "images" / row.file).read_bytes())
    about = {
        "images": len(rows),
        "bases": suite.bases,
        "distractors": suite.distractors,
        "transforms": list(suite.edits),
        "seed": seed,
        "sha256": digest.hexdigest(),
    }
    (out / "set.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_set(folder: Path) -> list[Row]:
    """Return the rows of a set."""
    return list(_rows(folder / "manifest.csv"))


def _rows(manifest: Path) -> Iterator[Row]:
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Row(row["file"], row["group"], row["kind"], row["transform"])
