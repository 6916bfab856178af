"""Are copies confirmed, and nothing else? Right pairs are edits, wrong ones the nearest that the encoder finds.

    details.py make WORK PHOTOS [--listed FILE] [--pdf FILE ...] --half tune|report
    details.py run WORK

`make` builds three sets from one half of the photos and of the PDF files, and the pairs to compare: everyday edits and
heavy edits of photos (`sets.py`), and a mixed set (`mixed.py`) with everyday edits of its pictures. Every picture of
a set is paired with the nearest ones that are not its own copies or original. Thresholds were found on the half called
`tune`; figures are those of the other, which shares no photo, no manual and no template with it.
"""

import argparse
import csv
import hashlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from random import Random

import cv2
import numpy as np
from PIL import Image

import siamese_search as ss
from edits import EVERYDAY, HEAVY, JPEG_QUALITY, JPEG_QUALITY_OF
from mixed import make_mixed
from sets import SUITES, Photo, find_photos, make_set, read_set
from siamese_search.details import FINEST, LONGEST, Features, Verdict, compare, features, look_closer

HALVES = ("tune", "report")
SETS = ("B", "C", "mixed")
NEAREST = 3
# Edits of mixed pictures: those that leave the one picture, for the most part, as it was.
MIXED = EVERYDAY | {
    name: HEAVY[name] for name in ("tiny_64px", "jpeg_q5", "crop_area20", "rotate_30", "sepia_invert", "perspective")
}


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two pictures of a set, whether they are one, and the edit or the kind of picture that makes the pair hard."""

    first: str
    second: str
    same: int
    kind: str


# ---- making


def make(options: argparse.Namespace) -> None:
    """Build the three sets and their pairs."""
    own = HALVES.index(options.half)
    photos = [photo for photo in find_photos(options.photos, options.listed) if half_of(photo.name) == own]
    for name in options.sets:
        folder = options.work / name
        if name == "mixed":
            right, groups, kinds = make_mixed_set(folder, photos, sorted(options.pdf)[own::2], seed=options.seed + own)
        else:
            make_set(photos, SUITES[name], folder)
            rows = read_set(folder)
            bases = {row.group: row.file for row in rows if row.kind == "base"}
            right = [Pair(bases[row.group], row.file, 1, row.transform) for row in rows if row.kind == "copy"]
            groups, kinds = {row.file: row.group for row in rows}, {row.file: "photo" for row in rows}
        write_pairs(folder, right + nearest_wrong(folder / "images", groups, kinds))


def make_mixed_set(
    folder: Path, photos: Sequence[Photo], pdfs: Sequence[Path], *, seed: int
) -> tuple[list[Pair], dict[str, str], dict[str, str]]:
    """Draw pictures and their copies, and return the right pairs, and of every file its original and its family."""
    make_mixed(folder, [photo.path for photo in photos], pdfs, seed=seed, each=10, count=30)
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        families = {row["file"]: row["family"].split("_")[0] for row in csv.DictReader(file)}
    right = list(edited(folder / "images", families, photos))
    equal = {(folder / "images" / file).read_bytes(): file for file in sorted(families, reverse=True)}
    groups = {file: equal[(folder / "images" / file).read_bytes()] for file in families}  # chance repeats some
    groups |= {pair.second: groups[pair.first] for pair in right}
    kinds = {file: families[original] for file, original in groups.items()}
    return right, groups, kinds


def half_of(name: str) -> int:
    """Return the half that a photo belongs to."""
    return hashlib.sha256(name.encode()).digest()[0] % 2


def edited(images: Path, families: dict[str, str], photos: Sequence[Photo]) -> Iterator[Pair]:
    """Write three copies of every mixed picture, and yield the pairs."""
    for file in sorted(families):
        rng = Random(file)
        with Image.open(images / file) as image:
            picture = image.convert("RGB")
        for edit in rng.sample(sorted(MIXED), 3):
            copy = MIXED[edit](picture, rng, lambda k: Image.open(photos[k].path).convert("RGB"))
            name = f"{Path(file).stem}__{edit}.jpg"
            copy.save(images / name, quality=JPEG_QUALITY_OF.get(edit, JPEG_QUALITY))
            yield Pair(file, name, 1, f"{families[file]}/{edit}")


def nearest_wrong(images: Path, groups: dict[str, str], kinds: dict[str, str]) -> list[Pair]:
    """Return every picture with its nearest ones of other groups; `kinds` is what each is called in the table."""
    files = sorted(groups)
    vectors = ss.load_encoder("photo").embed([images / file for file in files])
    nearest = np.argsort(-(vectors @ vectors.T), axis=1)
    pairs = {}
    for row, columns in enumerate(nearest):
        others = (files[column] for column in columns)
        wrong = (file for file in others if not may_be_one(files[row], file, groups, kinds))
        for file in islice(wrong, NEAREST):
            first, second = sorted((files[row], file))
            pairs[first, second] = Pair(first, second, 0, kinds[first])
    return list(pairs.values())


def may_be_one(first: str, second: str, groups: dict[str, str], kinds: dict[str, str]) -> bool:
    """Tell whether two files may show one thing: copies of one original, or what an edit left of one template.

    A crop may hold only what its family has in common, and what differs in colour alone is one without colours.
    """
    if groups[first] == groups[second]:
        return True
    related = kinds[first] == kinds[second] and kinds[first] != "photo"
    without = ("crop", "combo") + (("gray", "sepia") if kinds[first] in {"icon", "recoloured"} else ())
    return related and any(edit in first + second for edit in without)


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write the pairs of a set."""
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["first", "second", "same", "kind"])
        rows.writerows(astuple(pair) for pair in sorted(pairs))


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a set."""
    with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return [Pair(row["first"], row["second"], int(row["same"]), row["kind"]) for row in csv.DictReader(file)]


# ---- comparing


@lru_cache(maxsize=2000)
def features_of(path: Path) -> tuple[Features, float]:
    """Return a picture's features, and the CPU seconds that they took."""
    with Image.open(path) as image:
        image.draft("RGB", (LONGEST, LONGEST))
        picture = image.convert("RGB")
    if max(picture.size) > LONGEST:
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    start = time.thread_time()
    found = features(np.asarray(picture))
    return found, time.thread_time() - start


def finest(path: Path) -> np.ndarray:
    """Return a picture as large as it is looked at."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((FINEST, FINEST), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def use_one_thread() -> None:
    """Leave the cores to the other processes of the pool."""
    cv2.setNumThreads(1)


def judge(images: Path, pair: Pair) -> tuple[Verdict, float, float, int]:
    """Return the verdict on a pair, the CPU seconds of comparing and of its first's features, and their bytes."""
    (first, spent), (second, _) = features_of(images / pair.first), features_of(images / pair.second)
    start = time.thread_time()
    found = compare(first, second)
    took = time.thread_time() - start
    if found.verdict is Verdict.CONFIRMED and found.drawn:
        pixels = finest(images / pair.first), finest(images / pair.second)
        start = time.thread_time()
        found = look_closer(*pixels, found)
        took += time.thread_time() - start
    return found.verdict, took, spent, first.nbytes


def run(options: argparse.Namespace) -> None:
    """Compare the pairs of the sets, and print what was confirmed."""
    for name in options.sets:
        folder = options.work / name
        pairs = read_pairs(folder)
        with ProcessPoolExecutor(os.cpu_count(), initializer=use_one_thread) as pool:
            judged = list(pool.map(partial(judge, folder / "images"), pairs, chunksize=50))
        table: dict[str, Counter[Verdict]] = defaultdict(Counter)
        for pair, (verdict, *_) in zip(pairs, judged, strict=True):
            edit, kind = pair.kind.split("/")[-1], pair.kind.split("/")[0]
            rows = [f"right {edit}", "right, all"] if pair.same else [f"wrong {kind}", "wrong, all"]
            if pair.same and name == "mixed":
                rows.append(f"right {kind} (edited)")
            for row in rows:
                table[row][verdict] += 1
            if verdict is Verdict.CONFIRMED and not pair.same:
                print(f"FALSE {pair.first} {pair.second}")
        print(f"\n| {name} | pairs | {' | '.join(Verdict)} |\n|---|---|{'---|' * len(Verdict)}")
        for row, counts in sorted(table.items()):
            print(f"| {row} | {counts.total()} | {' | '.join(str(counts[verdict]) for verdict in Verdict)} |")
        costs = np.array([numbers for _, *numbers in judged])
        same = np.array([pair.same for pair in pairs], bool)
        print(
            f"\n{name}: {1e3 * costs[:, 1].mean():.1f} CPU-ms and {costs[:, 2].mean() / 1e3:.0f} KB a picture; "
            f"{1e3 * costs[same, 0].mean():.1f} CPU-ms a right pair, {1e3 * costs[~same, 0].mean():.1f} a wrong one"
        )


def main() -> None:
    """Make the sets, or compare their pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make")
    making.add_argument("work", type=Path)
    making.add_argument("photos", type=Path)
    making.add_argument("--listed", type=Path)
    making.add_argument("--pdf", type=Path, action="append", default=[])
    making.add_argument("--seed", type=int, default=3, help="of the drawn templates")
    making.add_argument("--half", choices=HALVES, required=True)
    making.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    making.set_defaults(work_on=make)
    running = commands.add_parser("run")
    running.add_argument("work", type=Path)
    running.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    running.set_defaults(work_on=run)
    options = parser.parse_args()
    options.work_on(options)


if __name__ == "__main__":
    main()
