"""How fast pictures are embedded: `simsearch index` beside two other ways, and beside what cannot be done faster.

    python benchmarks/embedding.py PHOTOS [--sizes 1000 3000 10000] [--rounds 3] [--python PYTHON]

The photos are copied into folders of the given sizes, all their pictures different. At the first size these run in
turn, each a fresh process: `simsearch index` into a new gallery, the plain way (Pillow, and EfficientNet-Lite0 in torch
in batches of 64), and sscd-distilled where PYTHON has it. The floor is 1 / (1 / decode + 1 / model): both alone, in as
many threads as there are cores. The other sizes are indexed once each, to see how the cost grows.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from measures import HERE, RESULTS, SIMSEARCH, Command, Cost, about, cost_of, in_turn, keep, plot, slope, table, tell
from runs import installed
from sets import find_photos
from systems import BATCH

OTHERS = ("plain", "sscd-distilled")


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of photos, all different")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10_000], help="numbers of pictures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", nargs="*", choices=OTHERS, default=OTHERS, help="what it is set beside")
    parser.add_argument("--python", default=sys.executable, help="the Python that sscd-distilled is installed in")
    parser.add_argument("--device", default="cpu", help="of simsearch index: auto, cpu or cuda")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = [photo.path for photo in find_photos(given.photos)]
    sizes = sorted({min(size, len(found)) // BATCH * BATCH for size in given.sizes})
    with tempfile.TemporaryDirectory(prefix="embedding-") as temporary:
        work = Path(temporary)
        folders = {size: copied(found, size, work / str(size)) for size in sizes}
        listed = work / "pictures.txt"
        listed.write_text("".join(f"{path}\n" for path in sorted(folders[sizes[0]].iterdir())), encoding="utf-8")
        commands = {"simsearch index": index(folders[sizes[0]], work / "gallery", given.device)}
        for name in given.beside:
            python = sys.executable if name == "plain" else given.python
            if name == "plain" or installed(name, python):
                commands[name] = (python, HERE / "embedders.py", name, listed)
            else:
                tell(f"{name}: not installed in {python}, left out")
        costs = in_turn(commands, given.rounds)
        rates = {name: alone(name, listed, sizes[0], given.rounds, work) for name in ("decode", "model")}
        grown = {sizes[0]: costs["simsearch index"]}
        for size in sizes[1:]:
            tell(f"simsearch index of {size:,}")
            grown[size] = cost_of(index(folders[size], work / f"gallery-{size}", given.device))
    floor = 1 / sum(1 / rate for rate in rates.values())
    print(about("onnxruntime", "pillow", "torch"))
    print(shown(sizes[0], costs, rates, floor))
    others = {name: sizes[0] / cost.cpu for name, cost in costs.items() if name in OTHERS}
    print(shown_growth(grown, others | {"floor": floor}))
    keep("embedding", {"sizes": sizes, "costs": costs, "alone": rates, "floor": floor, "grown": grown}, given.out)
    lines = {name: ([sizes[0]], [cost.cpu]) for name, cost in costs.items() if name != "simsearch index"}
    plot(
        given.out / "embedding.svg",
        "Embedding photos",
        {"simsearch index": (sizes, [grown[size].cpu for size in sizes]), **lines}
        | {"floor: decode + model": (sizes, [size / floor for size in sizes])},
        size="pictures",
        cost="seconds of CPU",
    )


def copied(photos: list[Path], size: int, folder: Path) -> Path:
    """Copy so many photos, spread over all, into one folder."""
    folder.mkdir()
    for number in range(size):
        photo = photos[number * len(photos) // size]
        shutil.copyfile(photo, folder / f"{number:06}{photo.suffix}")
    return folder


def index(folder: Path, gallery: Path, device: str) -> Command:
    """Return the command that indexes a folder from nothing, in a shell that first removes the gallery."""
    command = " ".join(f"'{part}'" for part in (*SIMSEARCH, "index", folder, "--index", gallery, "--device", device))
    return ("bash", "-c", f"rm -rf '{gallery}' && exec {command} --quiet")


def alone(name: str, listed: Path, size: int, rounds: int, work: Path) -> float:
    """Return how many pictures a second of CPU one of the two stages takes by itself, the median of all rounds."""
    seconds: list[float] = []
    for _ in range(rounds):
        tell(f"{name} alone")
        cost_of((sys.executable, HERE / "embedders.py", name, listed), out=work / "alone.json")
        seconds.append(json.loads((work / "alone.json").read_text(encoding="utf-8"))["cpu"])
    return size / median(seconds)


def shown(size: int, costs: dict[str, Cost], rates: dict[str, float], floor: float) -> str:
    """Return the table of one size: everything in pictures for a second, and as a ratio to simsearch."""
    ours = costs["simsearch index"]
    rows = [
        [
            name,
            f"{size / cost.cpu:.1f}",
            f"{size / cost.wall:.1f}",
            f"{cost.cpu / ours.cpu:.2f}",
            f"{cost.wall / ours.wall:.2f}",
            f"{cost.peak / 2**20:.0f}",
        ]
        for name, cost in costs.items()
    ]
    rows += [
        [f"{name} alone", f"{rate:.1f}", "", f"{ours.cpu * rate / size:.2f}", "", ""] for name, rate in rates.items()
    ]
    rows.append(["floor", f"{floor:.1f}", "", f"{size / floor / ours.cpu:.2f}", "", ""])
    columns = [f"{size:,} pictures", "img / CPU-s", "img / s", "CPU / simsearch", "wall / simsearch", "peak MB"]
    return table(columns, rows)


def shown_growth(grown: dict[int, Cost], others: dict[str, float]) -> str:
    """Return the table of all sizes, with how many times as fast as the others they were, and the slope."""
    rows = [
        [
            f"{size:,}",
            f"{size / cost.cpu:.1f}",
            f"{size / cost.wall:.1f}",
            *(f"{size / cost.cpu / rate:.2f}" for rate in others.values()),
        ]
        for size, cost in grown.items()
    ]
    columns = ["pictures indexed", "img / CPU-s", "img / s", *(f"times {name}" for name in others)]
    costs = [cost.cpu for cost in grown.values()]
    return table(columns, rows) + (f"\nCPU grows with size^{slope(list(grown), costs):.2f}\n" if len(grown) > 1 else "")


if __name__ == "__main__":
    main()
