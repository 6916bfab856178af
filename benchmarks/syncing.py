"""What it costs to bring a gallery in step with its folders, beside walking over the same folders alone.

    python benchmarks/syncing.py [--sizes 1000 10000 100000] [--new 100] [--rounds 3] [--folder DIR]

Galleries of each size are filled with clustered embeddings (`filled.py`), and for each of their items a file of the
right name, size and time is made, without content. Then, each in a fresh process: the folders are walked and every file
is asked for its size and time (`walk`), the gallery is synced when nothing has changed, and synced with some new
pictures, drawn here. Those are also indexed by themselves, into a new gallery.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from filled import ROOT, filled_gallery
from measures import RESULTS, Cost, about, cost_of, in_turn, keep, plot, slope, table, tell
from siamese_search.gallery import Gallery

NEW = "new"
WALK = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        os.stat(os.path.join(folder, name))
"""
SYNC = "import sys; from siamese_search import Gallery; Gallery(sys.argv[1]).sync([sys.argv[2]])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What was paid at one size: a walk, a sync without changes, a sync with new pictures, and those alone."""

    walk: Cost
    unchanged: Cost
    grown: Cost
    alone: Cost

    @property
    def growth(self) -> float:
        """Seconds of CPU that new pictures cost beyond a sync without changes."""
        return max(self.grown.cpu - self.unchanged.cpu, 0.001)


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="pictures in the galleries"
    )
    parser.add_argument("--new", type=int, default=100, help="how many pictures are added")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncing-", dir=given.folder) as temporary:
        drawn = Path(temporary, "drawn")
        draw(drawn, given.new)
        found = {size: synced(size, drawn, Path(temporary, str(size)), given.rounds) for size in given.sizes}
    print(about("numpy", "faiss-cpu"))
    rows = [
        [
            f"{size:,}",
            f"{one.walk.cpu:.2f}",
            f"{one.unchanged.cpu:.2f}",
            f"{one.unchanged.cpu / one.walk.cpu:.1f}",
            f"{1e6 * one.unchanged.cpu / size:.0f}",
            f"{one.grown.cpu:.2f}",
            f"{one.alone.cpu:.2f}",
            f"{one.grown.peak / 2**20:.0f}",
        ]
        for size, one in found.items()
    ]
    columns = [
        "pictures",
        "walk CPU-s",
        "sync CPU-s",
        "ratio",
        "µs a picture",
        f"with {given.new} new",
        "those alone",
        "peak MB",
    ]
    print(table(columns, rows))
    costs = {
        "sync, nothing changed": [one.unchanged.cpu for one in found.values()],
        "walk alone": [one.walk.cpu for one in found.values()],
        f"more for {given.new} new pictures": [one.growth for one in found.values()],
    }
    keep("syncing", {"sizes": given.sizes, "costs": found}, given.out)
    for name, values in costs.items() if len(given.sizes) > 1 else ():
        print(
            f"{name}: grows with size^{slope(given.sizes, values):.2f}, from the last but one size to the last ", end=""
        )
        print(f"with size^{slope(given.sizes[-2:], values[-2:]):.2f}")
    plot(
        given.out / "syncing.svg",
        "Bringing a gallery in step",
        {name: (given.sizes, values) for name, values in costs.items()},
        size="pictures in the gallery",
        cost="seconds of CPU",
    )


def synced(size: int, drawn: Path, work: Path, rounds: int) -> Synced:
    """Measure at one size; the folder to work in is removed afterwards."""
    tell(f"{size:,}: making the gallery and its files")
    gallery, pictures = work / "gallery", work / "pictures"
    filled_gallery(gallery, size)
    touch_all(gallery, pictures)
    sync = (sys.executable, "-c", SYNC)
    cost_of((*sync, gallery, pictures))  # builds the index
    costs = in_turn({"walk": (sys.executable, "-c", WALK, pictures), "sync": (*sync, gallery, pictures)}, rounds)
    grown, alone = [], []
    for number in range(rounds):
        tell(f"{size:,}: with new pictures, round {number + 1} of {rounds}")
        shutil.copytree(drawn, pictures / NEW)
        grown.append(cost_of((*sync, gallery, pictures)))
        alone.append(cost_of((*sync, work / f"alone-{number}", pictures / NEW)))
        shutil.rmtree(pictures / NEW)
        cost_of((*sync, gallery, pictures))
    shutil.rmtree(work)
    return Synced(
        walk=costs["walk"],
        unchanged=costs["sync"],
        grown=sorted(grown, key=lambda cost: cost.cpu)[len(grown) // 2],
        alone=sorted(alone, key=lambda cost: cost.cpu)[len(alone) // 2],
    )


def touch_all(gallery: Path, pictures: Path) -> None:
    """Make a file for every item of a filled gallery, and tell the gallery that they are there."""
    with Gallery(gallery) as opened:
        for item in opened.items():
            path = pictures / item.path.relative_to(ROOT)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(item.size)  # takes no room
            os.utime(path, ns=(item.mtime_ns, item.mtime_ns))
        opened.relocate(ROOT, pictures)


def draw(folder: Path, count: int) -> None:
    """Write pictures of smooth noise, 320 x 240, all different."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        noise.resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)


if __name__ == "__main__":
    main()
