"""Which picture is kept: camera originals among an edit, a screenshot, a messenger's, a resized and a renamed copy.

    python benchmarks/keepers.py PHOTOS [--originals 20] [--bursts 5] [--frames 10] [--out data/keepers.json]

Each copy is made so that it would win by size, format, pixels, date or name alone. Bursts are crops of one photo that
wander by a few pixels, taken a tenth of a second apart.
"""

import argparse
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance, ImageFilter

from siamese_search.duplicates.find import find_duplicates
from siamese_search.gallery import Gallery
from siamese_search.images.decode import picture_extensions
from siamese_search.results import DedupeReport

THRESHOLD = 0.7
TAKEN = 1_700_000_000  # seconds since 1970, of the originals' files


def main() -> None:
    """Make the pictures, find their groups, and print what was kept of each kind of copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--originals", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=5)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("data/keepers.json"))
    options = parser.parse_args()
    paths = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in picture_extensions())
    chosen = random.Random(0).sample(paths, options.originals + options.bursts)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photos")
        folder.mkdir()
        for number, path in enumerate(chosen[: options.originals]):
            make_copies(path, folder, number)
        for number, path in enumerate(chosen[options.originals :]):
            make_burst(path, folder, number, options.frames)
        with Gallery(Path(scratch, "gallery")) as gallery:
            gallery.sync([folder], calibrate=False)
            figures = judged(find_duplicates(gallery, threshold=THRESHOLD), options.originals, options.frames)
    print(json.dumps(figures, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=2))


def exif(number: int, *, fraction: int = 0) -> Image.Exif:
    """Return the data of a camera that takes a picture every minute."""
    made = Image.Exif()
    made[0x010F], made[0x0110] = "Canon", "Canon EOS 80D"
    made[0x0132] = f"2024:05:01 10:{number % 60:02}:00"
    made.get_ifd(0x8769).update({0x9003: made[0x0132], 0x9291: f"{fraction:03}"})
    return made


def make_copies(path: Path, folder: Path, number: int) -> None:
    """Save a photo as a camera would, and what people's programs make of it."""
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    original = folder / f"DSC{number:05}.jpg"
    data = exif(number)
    photo.save(original, quality=85, exif=data)
    screen = Image.new("RGB", (photo.width + 200, photo.height + 400), "black")
    screen.paste(photo, (100, 200))
    saved: dict[str, Callable[[Path], Any]] = {
        "edit": lambda path: ImageEnhance.Color(photo).enhance(1.4).save(path.with_suffix(".png"), exif=data),
        "screenshot": lambda path: screen.save(path.with_suffix(".png")),
        "messenger": lambda path: photo.save(path.with_name(f"IMG-20240501-WA{number:04}.jpg"), quality=95),
        "resized": lambda path: photo.resize((photo.width * 3 // 2, photo.height * 3 // 2)).save(path, quality=95),
        "renamed": lambda path: path.with_name(f"D{number} (1).jpg").write_bytes(original.read_bytes()),
    }
    for kind, save in saved.items():
        place = folder / kind
        place.mkdir(exist_ok=True)
        save(place / f"{number}.jpg")
        for copy in place.iterdir():
            os.utime(copy, (TAKEN - 1000, TAKEN - 1000))  # as if it were older
    os.utime(original, (TAKEN, TAKEN))


def make_burst(path: Path, folder: Path, number: int, frames: int) -> None:
    """Save frames of one scene, the sharpest in the middle."""
    place = folder / f"burst{number}"
    place.mkdir()
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    for frame in range(frames):
        box = (frame, frame, photo.width - frames + frame, photo.height - frames + frame)
        blur = abs(frame - frames // 2) * 0.3
        picture = photo.crop(box).filter(ImageFilter.GaussianBlur(blur)) if blur else photo.crop(box)
        picture.save(place / f"{frame}.jpg", quality=92, exif=exif(30 + number, fraction=100 * frame))


def judged(report: DedupeReport, originals: int, frames: int) -> dict[str, Any]:
    """Count for each kind of copy how often the camera's own file is kept beside it."""
    beside = {path: group for group in report.groups for path in (group.keep, *(copy.path for copy in group.copies))}
    kept: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for group in report.groups:
        for copy in group.copies:
            found[copy.path.parent.name] += 1
            kept[copy.path.parent.name] += group.keep.parent.name == "photos"
    lost = [path.name for path in beside if path.parent.name == "photos" and beside[path].keep != path]
    whole = [burst for burst in report.bursts if len(burst.pictures) == frames]
    return {
        "originals": originals,
        "kept": {kind: f"{kept[kind]} of {found[kind]} found" for kind in sorted(found)},
        "originals that would go": lost,
        "bursts": len(report.bursts),
        "whole bursts": len(whole),
        "sharpest is right": sum(
            burst.sharpest is not None and burst.sharpest.stem == str(frames // 2) for burst in report.bursts
        ),
        "frames called copies": sum(path.parent.name.startswith("burst") for path in beside),
    }


if __name__ == "__main__":
    main()
