"""The near-duplicate benchmark: how well simsearch, and the systems beside it, find edited copies of photos.

It starts from any folder of photos that no system was trained on. README.md tells what is measured and how to get the
other systems.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from classes import Limit, limits, limits_by_size, meaning
from galleries import Outcome, edit_table, outcome_table, self_calibrated, wrong_table
from pages import cells, kind_of
from queries import ask, draw_queries, drawn_queries, summary
from runs import installed, load, markdown, run_system, save, tables, work_of
from sets import SUITES, Photo, Suite, find_photos, make_set
from siamese_search import load_encoder
from systems import SYSTEMS

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Photos = Annotated[Path, typer.Argument(metavar="PHOTOS", help="A folder of photos, with all inside.")]
ListOption = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="Only the photos it lists, a relative path a line.")
]
OutOption = Annotated[Path, typer.Option(metavar="DIR", help="Where sets and results are kept.")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="|".join(SUITES), help="Which sets.")]
EncoderOption = Annotated[str, typer.Option(metavar="NAME|DIR", help="The encoder of simsearch.")]
BENCH = Path("data/benchmark")
SIZES = (500, 1000, 2000, 5000)  # of galleries in which the limit is tried
LIMITS = (0.85, 0.9, 0.94, 0.98, 1.02, 1.06, 1.1)  # of what looks alike


@app.command(epilog="Example: python benchmarks/near_duplicates.py compare ~/Pictures --python fastdup=venv/bin/python")
def compare(
    photos: Photos,
    listed: ListOption = None,
    out: OutOption = BENCH,
    sets: SetOption = ["B", "C"],  # noqa: B006  (typer reads it)
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these systems.  [default: all that are installed]")
    ] = None,
    python: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PYTHON", help="The Python that a system is installed in.")
    ] = None,
    encoder: EncoderOption = "photo",
) -> None:
    """Run simsearch and the systems that are installed over the sets, one after the other, and print the tables.

    Results are kept as they come in `results.json`; a system that is named again is run again.
    """
    pythons = dict(pair.split("=", 1) for pair in python or ())
    for name in (*(system or ()), *pythons):
        if name not in SYSTEMS:
            sys.exit(f"{name}: no such system; there are {', '.join(SYSTEMS)}")
    results = out / "results.json"
    for name in sets:
        folder = made(name, SUITES[name], find_photos(photos, listed), out)
        for each in system or SYSTEMS:
            if not installed(each, pythons.get(each, sys.executable)):
                tell(f"{each}: {SYSTEMS[each].needs} is not installed, left out")
                continue
            tell(f"{each} on {name} ...")
            try:
                run = run_system(each, folder, python=pythons.get(each, sys.executable), encoder=encoder)
            except subprocess.CalledProcessError as error:
                tell(f"{each}: it failed ({error})")
                continue
            runs = load(results)
            runs.setdefault(name, {})[each] = run
            save(results, runs)
    for name, of_set in load(results).items():
        print(tables(name, of_set))


@app.command(epilog="Example: python benchmarks/near_duplicates.py thresholds ~/Pictures --one-class holidays/2019")
def thresholds(
    photos: Photos,
    listed: ListOption = None,
    out: OutOption = BENCH,
    sets: SetOption = ["B", "C", "turns"],  # noqa: B006  (typer reads it)
    truth: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Also a folder with a groundtruth.csv: path, group_id (empty: its own)."),
    ] = None,
    one_class: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Also a gallery of the photos under PHOTOS/NAME alone.")
    ] = None,
    encoder: EncoderOption = "photo",
) -> None:
    """Let galleries calibrate themselves, and hold what they promise against the truth."""
    found = find_photos(photos, listed)
    folders = {name: made(name, SUITES[name], found, out) for name in sets}
    for name in one_class or ():
        of_class = [photo for photo in found if photo.path.is_relative_to(photos / name)]
        bases = len(of_class) // 4
        suite = Suite(SUITES["B"].edits, bases=bases, distractors=len(of_class) - bases)
        folders[f"only {name}"] = made(f"only-{name.replace('/', '-')}", suite, of_class, out)
    folders |= {folder.name: folder for folder in truth or ()}
    outcomes: list[Outcome] = []
    for name, folder in folders.items():
        tell(f"gallery of {name} ...")
        index = out / "indexes" / folder.name
        shutil.rmtree(index, ignore_errors=True)  # it would keep an earlier threshold
        outcomes.append(self_calibrated(name, folder, index, encoder=encoder))
    print(outcome_table(outcomes))
    print(edit_table(outcomes))
    print(wrong_table(outcomes))


@app.command(epilog="Example: python benchmarks/near_duplicates.py classes ~/photos-by-class")
def classes(photos: Photos, listed: ListOption = None, encoder: EncoderOption = "photo") -> None:
    """Ask whether the nearest photos are of the same class, the folder they lie in, beside raw ImageNet features."""
    found = find_photos(photos, listed)
    rows = []
    for name in ("simsearch", "imagenet"):
        features = work_of(name, [photo.path for photo in found], encoder=encoder).features.astype(np.float32)
        result = meaning(features / np.linalg.norm(features, axis=1, keepdims=True), found)
        shares = f"{100 * result.recall_at_1:.1f}", f"{100 * result.mean_average_precision:.1f}"
        rows.append([f"{name} ({SYSTEMS[name].about})", f"{result.queries:,}", *shares])
    print(markdown(["system", "queries", "recall@1", "mAP"], rows))
    own = features_of(found, encoder)
    print(limit_table("within", [f"{distance:.2f}" for distance in LIMITS], limits(own, found, LIMITS)))
    if (alike := load_encoder(encoder).alike) is not None:
        sizes = [size for size in SIZES if size < len(found)] + [len(found)]
        by_size = limits_by_size(own, found, alike, sizes)
        print(limit_table(f"photos, within {alike:.2f}", [f"{size:,}" for size in sizes], by_size))


def limit_table(first: str, names: list[str], tried: list[Limit]) -> str:
    """Return what limits are worth, in Markdown, in %."""
    shares = [[f"{100 * share:.0f}" for share in (one.precision, one.answered, one.refused)] for one in tried]
    heads = [first, "same class", "photos answered", "none, where the class is not there"]
    return markdown(heads, [[name, *each] for name, each in zip(names, shares, strict=True)])


def features_of(photos: list[Photo], encoder: str) -> NDArray[np.float32]:
    """Return the embeddings of photos, in their order."""
    features = work_of("simsearch", [photo.path for photo in photos], encoder=encoder).features.astype(np.float32)
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


@app.command(epilog="Example: python benchmarks/near_duplicates.py queries ~/photos-by-class queries.jpg")
def queries(
    photos: Photos,
    picture: Annotated[Path, typer.Argument(metavar="JPG", help="The sheet to draw.")],
    listed: ListOption = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A class folder that holds no one kind of thing.")
    ] = None,
    encoder: EncoderOption = "photo",
) -> None:
    """Ask with twenty photos of twenty classes, drawn by lot; draw the five nearest of each, and say what they are."""
    found = find_photos(photos, listed)
    alike = load_encoder(encoder).alike
    if alike is None:
        sys.exit(f"{encoder}: does not say up to which distance pictures look alike")
    asked = ask(features_of(found, encoder), found, drawn_queries(found, without=without or ()))
    draw_queries(asked, found, picture, alike=alike)
    print(summary(asked, alike))


@app.command(epilog="Example: python benchmarks/near_duplicates.py pages ~/scans ~/screenshots --encoder photo")
def pages(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of one kind of pictures each.")],
    encoder: Annotated[list[str], typer.Option(metavar="NAME|DIR", help="Encoders of simsearch.")] = ["photo"],  # noqa: B006
) -> None:
    """Say how near different pictures of one kind come, and where a copy's original ranks among them."""
    heads = ["kind", "pictures", "nearest 0.1 %", "nearest 1 %", "half", "first", "first five", "worst rank"]
    for each in encoder:
        print(f"\n{each}\n")
        print(markdown(heads, [cells(kind_of(folder, each)) for folder in folders]))


@app.command(epilog="Example: python benchmarks/near_duplicates.py int8 ~/Pictures --list unseen.txt")
def int8(
    photos: Photos,
    listed: ListOption = None,
    out: OutOption = BENCH,
    sets: SetOption = ["B", "C"],  # noqa: B006  (typer reads it)
    encoder: EncoderOption = "photo",
    calibrated_on: Annotated[int, typer.Option(min=8, help="Photos outside the list that tell the ranges.")] = 200,
) -> None:
    """Compute the encoder's convolutions in eight bits, and run both over the sets; prints the tables."""
    from int8 import write_int8  # noqa: PLC0415  (the extra `train`)

    found = find_photos(photos, listed)
    taken = {photo.path for photo in found}
    others = [photo.path for photo in find_photos(photos) if photo.path not in taken] or sorted(taken)
    write_int8(encoder, others[:: max(1, len(others) // calibrated_on)][:calibrated_on], out / "int8")
    for name in sets:
        folder = made(name, SUITES[name], found, out)
        runs = {}
        for each, chosen in (("as it ships", encoder), ("int8", str(out / "int8"))):
            tell(f"{each} on {name} ...")
            runs[each] = run_system("simsearch", folder, encoder=chosen)
        print(tables(name, runs))


@app.command(epilog="Example: python benchmarks/near_duplicates.py sheet docs/encoder-photo.jpg")
def sheet(
    picture: Annotated[Path, typer.Argument(metavar="JPG", help="The picture to write.")],
    encoder: EncoderOption = "photo",
) -> None:
    """Draw the heavy edits of scikit-image's sample photos, and how far the encoder sees them from the originals."""
    from sheet import draw_sheet  # noqa: PLC0415  (the extra `demo`)

    draw_sheet(picture, encoder=encoder)


def made(name: str, suite: Suite, photos: list[Photo], out: Path) -> Path:
    """Return the folder of a set, made when it is not there."""
    folder = out / name
    if not (folder / "set.json").exists():
        tell(f"making {name} ...")
        make_set(photos, suite, folder)
    return folder


def tell(text: str) -> None:
    """Say what is going on, beside the results."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
