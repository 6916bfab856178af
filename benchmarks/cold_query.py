"""What one `simsearch query` costs, from nothing to the printed answer, beside loading torch alone.

    python benchmarks/cold_query.py [--sizes 1000 10000 100000] [--rounds 7] [--folder DIR]

Galleries of each size are filled with clustered embeddings (`filled.py`). Then these run in turn, each a fresh process:
`python -c "import torch"`, `simsearch --help`, and for each gallery `simsearch query` of one picture, drawn here. What
details cost is seen in a small gallery of drawn pictures, of one of which an edited copy is asked for. Files are in the
page cache, as after the first query of a day. With `--folder` the galleries are kept, and used again.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from filled import filled_gallery
from measures import RESULTS, SIMSEARCH, Command, about, cost_of, in_turn, keep, plot, slope, table, tell

TORCH = 'python -c "import torch"'


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="pictures in the galleries"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the galleries are kept; a temporary one by default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cold-query-") as temporary:
        folder = given.folder or Path(temporary)
        image = Path(temporary, "picture.jpg")
        draw(image)
        commands: dict[str, Command] = {
            TORCH: (sys.executable, "-c", "import torch"),
            "simsearch --help": (*SIMSEARCH, "--help"),
        }
        for size in given.sizes:
            command = (*SIMSEARCH, "query", image, "--index", gallery_of(size, folder), "--quiet")
            first = cost_of(command)
            tell(f"the first query among {size:,} builds what is missing: {first.cpu:.1f} s of CPU")
            commands[f"query among {size:,}"] = command
        edited, drawn = drawn_gallery(Path(temporary))
        of_a_copy = (*SIMSEARCH, "query", edited, "--index", drawn, "--quiet")
        commands["query of an edited copy"] = of_a_copy
        commands["the same, --no-details"] = (*of_a_copy, "--no-details")
        costs = in_turn(commands, given.rounds)
    torch = costs[TORCH]
    rows = [
        [
            name,
            f"{cost.wall:.3f}",
            f"{cost.wall / torch.wall:.2f}",
            f"{cost.cpu:.3f}",
            f"{cost.cpu / torch.cpu:.2f}",
            f"{cost.peak / 2**20:.0f}",
        ]
        for name, cost in costs.items()
    ]
    print(about("torch", "onnxruntime", "faiss-cpu", "numpy", "typer"))
    print(table([f"median of {given.rounds}", "s", "ratio", "CPU-s", "CPU ratio", "peak MB"], rows))
    keep("cold_query", {"sizes": given.sizes, "costs": costs}, given.out)
    walls = [costs[f"query among {size:,}"].wall for size in given.sizes]
    if len(walls) > 1:
        print(f"time grows with size^{slope(given.sizes, walls):.2f}\n")
    plot(
        given.out / "cold_query.svg",
        "One query, from nothing to the answer",
        {"simsearch query": (given.sizes, walls), TORCH: (given.sizes, [torch.wall] * len(given.sizes))},
        size="pictures in the gallery",
        cost="seconds",
    )


def gallery_of(size: int, folder: Path) -> Path:
    """Return a filled gallery, which is made unless it is there already."""
    gallery = folder / f"filled-{size}"
    if not (gallery / "gallery.db").exists():
        tell(f"filling a gallery with {size:,} embeddings")
        shutil.rmtree(gallery, ignore_errors=True)
        filled_gallery(gallery, size)
    return gallery


def drawn_gallery(folder: Path) -> tuple[Path, Path]:
    """Index forty pictures of coloured squares; return an edited copy of one, and the gallery."""
    rng = np.random.default_rng(1)
    (folder / "drawn").mkdir()
    for number in range(40):
        squares = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(squares).resize((640, 480), Image.Resampling.NEAREST).save(folder / "drawn" / f"{number}.png")
    with Image.open(folder / "drawn" / "7.png") as picture:
        picture.crop((30, 20, 640, 480)).resize((500, 380)).save(folder / "edited.jpg", quality=70)
    cost_of((*SIMSEARCH, "index", folder / "drawn", "--index", folder / "gallery", "--quiet"))
    return folder / "edited.jpg", folder / "gallery"


def draw(path: Path) -> None:
    """Write a picture of smooth noise, 640 x 480."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)


if __name__ == "__main__":
    main()
