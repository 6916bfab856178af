"""A folder as people have them: photos, bursts, pages, screens, plots, icons, memes, with copies whose truth is known.

    household.py make OUT PHOTOS --pdf FILE ... [--screens DIR] [--icons DIR] [--seed 1]
    household.py run OUT
    household.py hashes OUT [--without icon]        (in a Python with pdqhash and imagehash)

Pages are those of PDF files (`pdftoppm`), screens any pictures taken of one browser, icons SVG or PNG files with
transparency; plots, memes and bursts are drawn. Of a fifth of all, a copy is planted
that shows the whole picture: re-encoded, resized, turned, framed; of some one that is cropped or captioned. No other
two are one. `run` indexes the folder and says what `dedupe` would act on; `hashes` finds the best thresholds of PDQ and
of pHash, with the truth at hand.
"""

import argparse
import csv
import io
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from edits import EVERYDAY, cut, font
from sets import ENDINGS

Picture = Image.Image

# ---- what lies in the folder


def pages(pdfs: Sequence[Path], each: int) -> Iterator[tuple[str, Picture]]:
    """Yield pages of manuals, 110 dots an inch, from the tenth on."""
    for pdf in pdfs:
        with tempfile.TemporaryDirectory() as scratch:
            plain = Path(scratch) / "a.pdf"
            if pdf.suffix == ".gz":
                plain.write_bytes(subprocess.run(["zcat", str(pdf)], check=True, capture_output=True).stdout)
            else:
                plain.symlink_to(pdf)
            command = ["pdftoppm", "-r", "110", "-f", "10", "-l", str(9 + each), "-png", str(plain), f"{scratch}/p"]
            subprocess.run(command, check=True, capture_output=True)
            for page in sorted(Path(scratch).glob("p*.png")):
                with Image.open(page) as image:
                    yield f"page_{pdf.name.split('.')[0]}_{page.stem.split('-')[-1]}", image.convert("RGB")


def plots(seed: int) -> Iterator[tuple[str, Picture]]:
    """Yield plots of four sorts, other numbers in each."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    for kind in ("line", "bars", "dots", "matrix"):
        for number in range(8):
            rng = np.random.default_rng((seed, number))
            figure, axes = plt.subplots(figsize=(6.4, 4.8), dpi=100)
            if kind == "line":
                axes.plot(np.cumsum(rng.normal(size=80)), label="loss")
                axes.legend()
            elif kind == "bars":
                axes.bar([*"ABCDEFG"], rng.random(7))
            elif kind == "dots":
                axes.scatter(rng.normal(size=70), rng.normal(size=70))
            else:
                axes.imshow(rng.random((9, 9)))
            axes.set_title("Results")
            file = io.BytesIO()
            figure.savefig(file)
            plt.close(figure)
            yield f"plot_{kind}_{number}", Image.open(file).convert("RGB")


def icons(folder: Path, count: int, rng: Random) -> Iterator[tuple[str, Picture]]:
    """Yield icons with their transparency, and one folder in all the colours that there are."""
    files = sorted(folder.glob("*.svg"))
    coloured = [path for path in files if path.stem.removeprefix("folder-") in COLOURS and not path.is_symlink()]
    others = [path for path in files if path not in coloured and not path.is_symlink()]
    for path in (*coloured, *rng.sample(others, count)):
        drawn = subprocess.run(["rsvg-convert", "-w", "256", str(path)], check=True, capture_output=True).stdout
        yield f"icon_{path.stem}", Image.open(io.BytesIO(drawn)).convert("RGBA")


COLOURS = "black blue brown cyan green grey magenta orange red teal violet white yellow".split()  # noqa: SIM905


def memes(photos: Sequence[Path], rng: Random) -> Iterator[tuple[str, Picture]]:
    """Yield three photos under eight captions each."""
    for template, path in enumerate(rng.sample(photos, 3)):
        base = _photo(path, 720)
        for number in range(8):
            picture = base.copy()
            draw = ImageDraw.Draw(picture)
            for y, line in ((12, SAYINGS[number][0]), (picture.height - 70, SAYINGS[number][1])):
                draw.text((24, y), line, font=font(48), fill="white", stroke_width=3, stroke_fill="black")
            yield f"meme_{template}_{number}", picture


SAYINGS = (
    ("ONE DOES NOT", "SIMPLY WALK"), ("WHEN THE CODE", "RUNS AT ONCE"), ("MONDAY", "AGAIN"), ("NOT SURE IF", "OR NOT"),
    ("YOU SHALL", "NOT PASS"), ("THAT FACE", "WHEN IT RAINS"), ("I WANT", "ALL OF IT"), ("GOOD NEWS", "EVERYONE"),
)  # fmt: skip


def bursts(photos: Sequence[Path], rng: Random) -> Iterator[tuple[str, Picture]]:
    """Yield five frames each of five scenes: the hand moves, and so does somebody."""
    for scene, path in enumerate(rng.sample(photos, 5)):
        base, walker = _photo(path, 900), _photo(rng.choice(photos), 170)
        mask = Image.new("L", walker.size, 0)
        ImageDraw.Draw(mask).ellipse((0, 0, walker.width - 1, walker.height - 1), fill=255)
        for number in range(5):
            frame = base.copy()
            frame.paste(walker, (60 + 110 * number, base.height // 2), mask)
            yield f"burst_{scene}_{number}", cut(frame, rng.uniform(0.95, 0.98), rng)


def _photo(path: Path, width: int) -> Picture:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.BICUBIC)


# ---- copies

WHOLE: dict[str, Callable[[Picture], tuple[Picture, str, int]]] = {
    "re-encoded": lambda p: (p, "jpg", 45),
    "other format": lambda p: (p, "webp", 80),
    "half the size": lambda p: (p.resize((p.width // 2, p.height // 2), Image.Resampling.LANCZOS), "jpg", 85),
    "larger": lambda p: (p.resize((p.width * 3 // 2, p.height * 3 // 2), Image.Resampling.BICUBIC), "jpg", 90),
    "turned": lambda p: (p.transpose(Image.Transpose.ROTATE_90), "jpg", 85),
    "framed": lambda p: (ImageOps.expand(p, border=p.width // 16, fill=(12, 12, 12)), "jpg", 85),
    "darker": lambda p: (ImageEnhance.Brightness(p).enhance(0.8), "jpg", 80),
    "on a telephone": lambda p: (EVERYDAY["screenshot"](p, Random(1), lambda _: p), "png", 0),
}
PART: dict[str, Callable[[Picture], tuple[Picture, str, int]]] = {
    "cropped to 85 %": lambda p: (cut(p, 0.85), "jpg", 85),
    "captioned": lambda p: (EVERYDAY["text_overlay"](p, Random(2), lambda _: p), "jpg", 85),
}


def make(options: argparse.Namespace) -> None:
    """Write the folder and `manifest.csv`: file, group, family, edit; an original's edit is empty."""
    rng = Random(options.seed)
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in ENDINGS)
    kept = rng.sample(photos, 300)
    sources: list[Iterator[tuple[str, Picture]]] = [
        ((f"photo_{number:03}", _photo(path, 640)) for number, path in enumerate(kept[:240])),
        pages(options.pdf, 20),
        plots(options.seed),
        memes(kept[240:], rng),
        bursts(kept[240:], rng),
    ]
    if options.screens:
        sources.append((path.stem, Image.open(path).convert("RGB")) for path in sorted(options.screens.glob("*.png")))
    if options.icons:
        sources.append(icons(options.icons, 30, rng))
    images = options.out / "images"
    shutil.rmtree(options.out, ignore_errors=True)
    images.mkdir(parents=True)
    edits = {**WHOLE, **PART}
    number = 0
    with (options.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "group", "family", "edit"])
        for source in sources:
            for place, (name, picture) in enumerate(source):
                picture.save(images / f"{name}.png")
                family = name.split("_")[0]
                rows.writerow([f"{name}.png", name, family, ""])
                if place % 4 == 1:
                    edit = [*edits][number % len(edits)]
                    number += 1
                    flat = Image.new("RGB", picture.size, "white")
                    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
                    copy, ending, quality = edits[edit](flat)
                    copy.convert("RGB").save(images / f"{name}__copy.{ending}", quality=quality)
                    rows.writerow([f"{name}__copy.{ending}", name, family, edit])


# ---- what is found


def read(out: Path) -> list[dict[str, str]]:
    """Return the rows of the manifest."""
    with (out / "manifest.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(options: argparse.Namespace) -> None:
    """Index the folder, and say what is reported, by family, and which copies are false."""
    from siamese_search import Gallery, find_duplicates  # noqa: PLC0415
    from siamese_search.results import SAFE_RELATIONS  # noqa: PLC0415

    rows = read(options.out)
    group_of = {row["file"]: row["group"] for row in rows}
    with Gallery(options.out / "gallery") as gallery:
        gallery.sync([options.out / "images"])
        report = find_duplicates(gallery)
    together: dict[str, tuple[int, bool]] = {}
    false = []
    for number, group in enumerate(report):
        together[group.keep.name] = number, True
        for copy in group:
            safe = copy.relation in SAFE_RELATIONS
            together[copy.path.name] = number, safe
            if group_of[copy.path.name] != group_of[group.keep.name]:
                false.append((copy.relation.value, copy.path.name, group.keep.name))
    table: Counter[tuple[str, str]] = Counter()
    for row in rows:
        table[row["family"], "pictures"] += 1
        if not row["edit"]:
            continue
        one, other = together.get(row["file"]), together.get(f"{row['group']}.png")
        found = one is not None and other is not None and one[0] == other[0]
        acted = found and one is not None and other is not None and one[1] and other[1]
        kind = "part" if row["edit"] in PART else "whole"
        for name in (row["family"], row["edit"]):
            table[name, kind] += 1
            table[name, f"{kind} acted on"] += acted
            table[name, f"{kind} altered"] += found and not acted
        if not acted and kind == "whole":
            print(f"not acted on: {row['file']} ({row['edit']}){', altered' if found else ''}")
    columns = ("pictures", "whole", "whole acted on", "whole altered", "part", "part acted on", "part altered")
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name in dict.fromkeys(name for name, _ in table):
        print(f"| {name} | {' | '.join(str(table[name, column]) for column in columns)} |")
    for relation, copy, keeper in sorted(false):
        print(f"FALSE {relation}: {copy} as {keeper}")
    print(f"{report.details}; {report.check}; threshold {report.threshold.distance:.3f}")


def hashes(options: argparse.Namespace) -> None:
    """Say how well PDQ and pHash do at the threshold of their best F1, over all pairs."""
    import imagehash  # noqa: PLC0415
    import pdqhash  # noqa: PLC0415

    rows = [row for row in read(options.out) if row["family"] not in options.without]
    bits: dict[str, list[np.ndarray]] = {"PDQ": [], "pHash": []}
    for row in rows:
        picture = Image.open(options.out / "images" / row["file"])
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
        bits["PDQ"].append(np.asarray(pdqhash.compute(np.asarray(flat))[0]))
        bits["pHash"].append(imagehash.phash(flat).hash.ravel())
    groups = np.array([row["group"] for row in rows])
    one, other = np.triu_indices(len(rows), 1)
    same = groups[one] == groups[other]
    whole = np.array([row["edit"] not in PART for row in rows])
    for name, values in bits.items():
        table = np.array(values, np.float32)
        apart = (table @ (1 - table).T + (1 - table) @ table.T)[one, other]
        best = max(
            ((limit, (same & (apart <= limit)).sum(), (apart <= limit).sum()) for limit in range(table.shape[1] // 2)),
            key=lambda row: 2 * row[1] / (row[2] + same.sum()),
        )
        found = same & (apart <= best[0])
        wholes = same & whole[one] & whole[other]
        print(
            f"{name}: at {best[0]} bits, precision {best[1] / best[2]:.3f}, {best[2] - best[1]} false pairs;"
            f" recall {found.sum() / same.sum():.3f}, of whole copies {(found & wholes).sum() / wholes.sum():.3f}"
        )
        exact = [limit for limit in range(table.shape[1] // 2) if not (~same & (apart <= limit)).any()]
        limit = max(exact, default=-1)
        print(f"  without a false pair: at {limit} bits, recall {(same & (apart <= limit)).sum() / same.sum():.3f}")


def main() -> None:
    """Make the folder, or say what is found in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make")
    making.add_argument("out", type=Path)
    making.add_argument("photos", type=Path)
    making.add_argument("--pdf", type=Path, action="append", default=[])
    making.add_argument("--screens", type=Path)
    making.add_argument("--icons", type=Path)
    making.add_argument("--seed", type=int, default=1)
    making.set_defaults(work_on=make)
    for name, work in (("run", run), ("hashes", hashes)):
        command = commands.add_parser(name)
        command.add_argument("out", type=Path)
        command.add_argument("--without", nargs="*", default=[], help="families that hashes leave out")
        command.set_defaults(work_on=work)
    options = parser.parse_args()
    options.work_on(options)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
