"""Kill `simsearch apply` and `simsearch undo` at random moments, and look whether anything was lost.

    python benchmarks/act_faults.py [--kills 100] [--seed 0] [--folder DIR]

A folder of pictures with copies is indexed and planned for. Then, in turn for trash, move and hardlink: apply is
started and killed (SIGKILL) at a random moment after its first step, again and again at random, then run to its end or
straight taken back; undo is killed and run to its end in the same way. After every kill each content that was there at
the start must still be there somewhere; after an apply that ended, exactly the planned copies must be gone from their
places, each acted on once; after an undo that ended, the tree must be the one of the start: names, bytes, modes, times.
"""

import argparse
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ORIGINALS = 40
ACTIONS = ("trash", "move", "hardlink")
SIMSEARCH = (sys.executable, "-m", "siamese_search.cli.app")

Tree = dict[str, tuple[bytes, int, int]]


class Campaign:
    """One folder of pictures, and everything that is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"
        self.rng = random.Random(seed)
        self.plan = folder / "plan.json"
        self.journal = folder / "plan.journal"
        self.kills: Counter[str] = Counter()
        self.rounds = 0
        draw(self.pictures, seed)
        self.run("index", self.pictures, "--index", folder / "index", "--quiet")
        self.run("dedupe", "--index", folder / "index", "--threshold", "0.3", "--plan", self.plan, "--quiet")
        self.before = tree(self.pictures)
        steps = json.loads(self.plan.read_text())["steps"]
        self.planned = {step["copy"] for step in steps}
        self.identical = {step["copy"] for step in steps if step["relation"] == "identical"}
        print(
            f"{len(self.before)} pictures, {len(steps)} copies planned, {len(self.identical)} of them identical files"
        )

    def run(self, *arguments: object) -> str:
        """Run a command to its end."""
        command = [*SIMSEARCH, *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def kill(self, what: str, *arguments: object) -> bool:
        """Start a command, kill it at a random moment after it has touched the journal; False if it ended before."""
        size = self.journal.stat().st_size if self.journal.exists() else 0
        process = subprocess.Popen(
            [*SIMSEARCH, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not (self.journal.exists() and self.journal.stat().st_size > size):
            time.sleep(0.001)
        time.sleep(self.rng.uniform(0, 0.4) ** 2 * 5)  # early moments more often: there the steps are
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.kills[what] += alive
        self.check_contents(what)
        return alive

    def check_contents(self, what: str) -> None:
        """See that no content is lost."""
        there = {path.read_bytes() for path in self.folder.rglob("*.*g") if path.is_file()}
        lost = {content for content, _, _ in self.before.values()} - there
        expect(not lost, f"{len(lost)} contents lost after a kill of {what}")

    def round(self, action: str) -> None:
        """Apply and undo once, with kills in between."""
        self.rounds += 1
        apply = ["apply", self.plan, "--to", action, *(["--into", self.folder / "away"] if action == "move" else [])]
        for _ in range(self.rng.randint(1, 3)):
            self.kill(f"apply {action}", *apply)
        if self.rng.random() < 0.7:
            self.run(*apply)
            self.check_applied(action)
        for _ in range(self.rng.randint(1, 3)):
            self.kill(f"undo {action}", "undo", self.journal)
        self.run("undo", self.journal)
        after = tree(self.pictures)
        expect(after == self.before, f"undo of {action}: {differences(self.before, after)}")
        left = [path for path in self.folder.rglob("*") if "simsearch-part" in path.name or "trash" in path.name]
        expect(not left, f"left behind: {left}")
        self.journal.unlink()
        shutil.rmtree(self.folder / "away", ignore_errors=True)
        status = json.loads(self.run("info", "--index", self.folder / "index", "--json"))
        expect(status["images"] == len(self.before), f"the gallery knows {status['images']} of {len(self.before)}")

    def check_applied(self, action: str) -> None:
        """See that an apply which ended did each step once, and no other."""
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()[1:]]
        done = Counter(line["copy"] for line in lines if line["event"] == "done")
        wanted = self.identical if action == "hardlink" else self.planned
        expect(done == Counter(wanted), f"done: {len(done)} of {len(wanted)}, {max(done.values())} times at most")
        gone = {str(self.pictures / name) for name in self.before.keys() - tree(self.pictures).keys()}
        expect(gone == (set() if action == "hardlink" else self.planned), f"{len(gone)} gone")


def expect(holds: bool, broken: str) -> None:
    """End the campaign with what was broken."""
    if not holds:
        sys.exit(f"BROKEN: {broken}")


def draw(folder: Path, seed: int) -> None:
    """Write pictures of smooth noise, and of each an identical, a re-encoded and a smaller copy."""
    rng = np.random.default_rng(seed)
    (folder / "copies").mkdir(parents=True)
    for number in range(ORIGINALS):
        noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = noise.resize((240, 200), Image.Resampling.BICUBIC)
        original = folder / f"{number}.png"
        image.save(original)
        shutil.copyfile(original, folder / "copies" / f"{number} again.png")
        image.save(folder / "copies" / f"{number}.jpg", quality=90)
        image.resize((180, 150)).save(folder / f"{number} small.png")


def tree(folder: Path) -> Tree:
    """Return every picture in its place with its bytes, mode and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith("."):
            status = path.stat()
            found[name] = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


def differences(before: Tree, after: Tree) -> str:
    """Say in few words how two trees differ."""
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    return (
        f"missing {sorted(before.keys() - after.keys())}, new {sorted(after.keys() - before.keys())}, changed {changed}"
    )


def main() -> None:
    """Run the campaign and print what was seen."""
    parser = argparse.ArgumentParser(description="Kill apply and undo at random moments.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in; a temporary one by default")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="act-faults-") as passing:
        campaign = Campaign((options.folder or Path(passing)).resolve(), options.seed)
        while campaign.kills.total() < options.kills:
            campaign.round(ACTIONS[campaign.rounds % len(ACTIONS)])
    for what, count in sorted(campaign.kills.items()):
        print(f"{what:15} killed {count:3} times")
    print(
        f"{campaign.kills.total()} kills in {campaign.rounds} rounds: no content lost, no step done twice, every tree"
        f" restored byte for byte; {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    main()
