"""What a page of thousands of groups costs: to write, in bytes, and to open in a browser.

    python benchmarks/page.py [--groups 2000] [--rounds 3] [--folder DIR]

A thousand pictures of 800 x 600 are drawn, and groups of two to four of them written as one page, without and with
choices. Each is opened in a headless Chromium, where there is one: the seconds until its document can be used and until
two frames were drawn, the middle one of some rounds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import CHROMIUM, Browser
from siamese_search.actions import choices_json
from siamese_search.gallery import Gallery
from siamese_search.report.html import write_dedupe_html
from siamese_search.results import (
    Copy,
    DedupeReport,
    DetailCounts,
    DuplicateGroup,
    Facts,
    Reason,
    Relation,
    Rule,
    Threshold,
    ThresholdSource,
)

PICTURES = 1000
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
READY = "performance.getEntriesByType('navigation')[0].domInteractive"


def main() -> None:
    """Write both pages, open them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = made_report(folder, options.groups)
        pages = {"looked at": None, "chosen from": choices_json(report, Gallery(folder / "gallery"))}
        pictures = options.groups + sum(map(len, report))
        print(f"{options.groups:,} groups, {pictures:,} pictures")
        print("| page | MB | written in s | ready in s | drawn in s |\n| --- | ---: | ---: | ---: | ---: |")
        for name, choices in pages.items():
            path = folder / f"{name}.html"
            start = time.perf_counter()
            write_dedupe_html(report, path, choices=choices)
            written = time.perf_counter() - start
            ready, drawn = opened(path, options.rounds) if CHROMIUM else (float("nan"), float("nan"))
            print(f"| {name} | {path.stat().st_size / 1e6:.1f} | {written:.1f} | {ready:.2f} | {drawn:.2f} |")


def made_report(folder: Path, groups: int) -> DedupeReport:
    """Draw pictures, and return a report of groups of them."""
    rng = Random(0)
    paths = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for path in paths:
        noise = Image.effect_noise((10, 8), 120).resize((800, 600), Image.Resampling.BICUBIC)
        colours = [noise, noise.rotate(180), Image.linear_gradient("L").resize((800, 600)).rotate(rng.randrange(360))]
        Image.merge("RGB", rng.sample(colours, 3)).save(path, quality=85)
    made = []
    for number in range(groups):
        keep, *others = (paths[(3 * number + place) % PICTURES] for place in range(2 + number % 3))
        copies = [
            Copy(path=path, distance=0.1, relation=Relation.CONFIRMED, facts=facts(path, place + 4 * number))
            for place, path in enumerate(others, start=1)
        ]
        reason = Reason(rule=Rule.PIXELS, keeper="800 x 600", runner_up="400 x 300")
        made.append(DuplicateGroup(keep=keep, copies=tuple(copies), reason=reason, facts=facts(keep, 4 * number)))
    return DedupeReport(
        threshold=Threshold(distance=0.7, source=ThresholdSource.GALLERY),
        images=PICTURES,
        groups=tuple(made),
        skipped=(),
        details=DetailCounts(compared=groups, confirmed=groups, altered=0, alike=0, unchecked=0, left_out=0),
    )


def facts(path: Path, number: int) -> Facts:
    """Return what a gallery would know of a picture."""
    return Facts(size=path.stat().st_size, width=800, height=600, format="JPEG", content_hash=f"{number:032x}")


def opened(path: Path, rounds: int) -> tuple[float, float]:
    """Return in how many seconds a page is ready, and drawn."""
    ready, drawn = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(Path(profile)) as page:
            start = time.perf_counter()
            page.open(path.as_uri())
            page.evaluate(FRAMES)
            drawn.append(time.perf_counter() - start)
            ready.append(page.evaluate(READY) / 1000)
    return statistics.median(ready), statistics.median(drawn)


if __name__ == "__main__":
    main()
