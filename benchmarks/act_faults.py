"""Attack `apply` and `undo` with kills, other actors, a disturber, failing calls and forged files; see what is lost.

    python benchmarks/act_faults.py kills [--kills 300] [--actors 2] [--disturb] [--into DIR-on-another-disk]
    python benchmarks/act_faults.py errors                    # every error number at every call of a run of ten steps
    python benchmarks/act_faults.py forged [--count 2000]     # journals and plans, changed and sealed again
    python benchmarks/act_faults.py orders                    # two actors and a disturber, every order of their calls
    python benchmarks/act_faults.py speed [--steps 6000]      # seconds for apply and undo

kills: a folder of pictures with copies is indexed and planned for. In turn for trash, move and hardlink, apply is
started and killed (SIGKILL) at a random moment, again and again, then run to its end or straight taken back; undo is
killed and run to its end in the same way. With two actors, another plan of the same folder, which keeps what this one
puts away, is applied or undone at the same time, and killed as well. The disturber renames, replaces, chmods and
removes pictures all the while, and writes down what it has ended. After every kill, each content that was there at the
start must still be somewhere; after an undo that ended, the tree must be the one of the start: names, bytes, modes,
owners, times, links (with a disturber: the contents).
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_search.actions import apply_plan, read_plan, system, undo_journal
from siamese_search.actions.plan import Step, seal
from siamese_search.errors import SimsearchError
from siamese_search.results import Action

# What takes a step apart is shared with the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from stepping import World, contents, standing_in_the_door
from stepping import tree as whole_tree
from test_acting_attacked import paths_in, put, sealed
from test_step import DISKS, calls_of, failing, maker, on, run_failing
from test_step_orders import explore, through

ORIGINALS = 40
ACTIONS = ("trash", "move", "hardlink")
PICTURES = frozenset({".png", ".jpg"})
ERRORS = ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EXDEV", "ENAMETOOLONG", "EMFILE", "EIO")

Tree = dict[str, tuple[bytes, int, int, int, int]]

# Reads lines of JSON, [what, plan, action, into], and does each in a fork, whose number it prints; then how it ended.
SERVER = """
import json, os, sys, traceback
from pathlib import Path
from siamese_search.actions import apply_plan, undo_journal
from siamese_search.errors import SimsearchError
for line in sys.stdin:
    what, plan, action, into = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 0
        try:
            if what == "apply":
                report = apply_plan(Path(plan), action=action, into=Path(into) if into else None)
            else:
                report = undo_journal(Path(plan).with_suffix(".journal"))
            reasons = [refused.reason for refused in report.refused]
            Path(plan).with_suffix(".report").write_text(json.dumps([len(report.done), reasons]))
        except SimsearchError as error:
            Path(plan).with_suffix(".report").write_text(json.dumps([0, [str(error)]]))
            code = 1
        except BaseException:
            traceback.print_exc()
            code = 2
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def expect(holds: bool, broken: str) -> None:
    """End the campaign with what was broken."""
    if not holds:
        sys.exit(f"BROKEN: {broken}")


def environment() -> dict[str, str]:
    """Return the environment in which commands find this checkout, or the one that PYTHONPATH names."""
    here = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", here)}


def simsearch(*arguments: object) -> str:
    """Run a command to its end."""
    command = [sys.executable, "-m", "siamese_search.cli.app", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout


class Actor:
    """A process that applies and undoes one plan, and may be killed."""

    def __init__(self, plan: Path, into: Path) -> None:
        self.plan = plan
        self.journal = plan.with_suffix(".journal")
        self.into = into
        self.child = 0
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        if server.stdin is None or server.stdout is None:
            raise OSError("no pipes")
        self._server, self._say, self._hear = server, server.stdin, server.stdout

    def start(self, what: str, action: str) -> None:
        """Begin to apply or undo."""
        into = str(self.into) if action == "move" else ""
        self._say.write(json.dumps([what, str(self.plan), action, into]) + "\n")
        self._say.flush()
        self.child = int(self._hear.readline())

    def wait(self) -> int:
        """Wait for its end; return how that was: -9 when it was killed, 2 for a traceback."""
        code = int(self._hear.readline())
        expect(code != 2, "a traceback")
        return code

    def kill(self) -> None:
        """Kill it, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)

    def run(self, what: str, action: str) -> tuple[int, list[str]]:
        """Apply or undo to the end, when the other actor lets it; return how many steps, and the refusals."""
        while True:
            self.start(what, action)
            self.wait()
            done, refused = json.loads(self.plan.with_suffix(".report").read_text())
            if not any("another simsearch" in reason for reason in refused):
                return done, refused
            time.sleep(0.02)


class Disturber(threading.Thread):
    """Renames, replaces, chmods and removes pictures, and knows which contents it has ended and made."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.rng = folder, random.Random(seed)
        self.lost: set[bytes] = set()
        self.made: set[bytes] = set()
        self.acts: Counter[str] = Counter()
        self.over = threading.Event()

    def run(self) -> None:
        """Disturb until it is over."""
        numbers = count()
        while not self.over.wait(self.rng.uniform(0, 0.02)):
            files = [
                path for path in self.folder.rglob("*.*g") if not path.relative_to(self.folder).parts[0].startswith(".")
            ]
            path = self.rng.choice(files)
            what = self.rng.choice(("rename", "rename", "replace", "chmod", "chmod", "remove"))
            with suppress(FileNotFoundError, FileExistsError):
                self._disturb(what, path, next(numbers))
                self.acts[what] += 1

    def _disturb(self, what: str, path: Path, number: int) -> None:
        match what:
            case "rename":
                away = path.with_name(f"renamed {number}{path.suffix}")
                os.link(path, away)  # a rename over a file that came meanwhile would end that one
                ended = path.read_bytes()
                self._unlink(path, ended)
            case "replace":
                content = f"new {number}".encode()
                self.made.add(content)
                new = path.with_name(f".new {number}")
                new.write_bytes(content)
                self.lost.add(path.read_bytes())
                new.replace(path)
            case "chmod":
                path.chmod(self.rng.choice((0o600, 0o640, 0o644)))
            case "remove":
                self._unlink(path, path.read_bytes())

    def _unlink(self, path: Path, content: bytes) -> None:
        self.lost.add(content)
        path.unlink()


class Campaign:
    """One folder of pictures, and everything that is done to it."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.pictures = folder / "pictures"
        self.rng = random.Random(options.seed)
        self.kills: Counter[str] = Counter()
        self.rounds = self.steps = 0
        self.refused: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        draw(self.pictures, options.seed)
        (folder / "kept").mkdir()
        shutil.copytree(self.pictures, folder / "kept" / "pictures")
        self.into = Path(options.into or folder) / f"away-{os.getpid()}"
        index = folder / "index"
        simsearch("index", self.pictures, "--index", index, "--quiet")
        plans = [folder / "first.json", folder / "second.json"][: options.actors]
        prefer = self.pictures / "copies"
        simsearch("dedupe", "--index", index, "--threshold", "0.3", "--plan", plans[0], "--quiet")
        if options.actors > 1:
            simsearch(
                "dedupe", "--index", index, "--threshold", "0.3", "--prefer", prefer, "--plan", plans[1], "--quiet"
            )
        self.actors = [Actor(plan, self.into / plan.stem) for plan in plans]
        self.before = tree(self.pictures)
        print(f"{len(self.before)} pictures; steps: {[len(json.loads(plan.read_text())['steps']) for plan in plans]}")

    def check_contents(self, what: str, disturber: Disturber | None = None) -> None:
        """See that no content is lost."""
        there = {
            path.read_bytes()
            for top in (self.pictures, self.into)
            for path in top.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        wanted = {entry[0] for entry in self.before.values()}
        if disturber:
            wanted = (wanted | disturber.made) - disturber.lost
        expect(wanted <= there, f"{len(wanted - there)} contents lost after {what}")

    def hit(self, what: str, action: str) -> None:
        """Start all actors, and kill each at a random moment."""
        for actor in self.actors:
            if what == "apply" or actor.journal.exists():
                actor.start(what, action)
        for actor in self.actors:
            if what == "apply" or actor.journal.exists():
                time.sleep(self.rng.uniform(0, 1) ** 2 * self.options.longest)
                actor.kill()
                self.kills[f"{what} {action}"] += actor.wait() == -signal.SIGKILL

    def round(self, action: str) -> None:
        """Apply and undo once, with kills in between."""
        self.rounds += 1
        disturber = Disturber(self.pictures, self.rounds) if self.options.disturb else None
        if disturber:
            disturber.start()
        for _ in range(self.rng.randint(1, 3)):
            self.hit("apply", action)
            self.check_soon(f"a kill of apply {action}", disturber)
        if self.rng.random() < 0.7:
            for actor in self.actors:
                done, refused = actor.run("apply", action)
                self.steps += done
                self.refused.update(reason.partition(": /")[0] for reason in refused)
            self.check_soon(f"apply {action}", disturber)
        for _ in range(self.rng.randint(1, 3)):
            self.hit("undo", action)
            self.check_soon(f"a kill of undo {action}", disturber)
        if disturber:
            disturber.over.set()
            disturber.join()
            self.acts += disturber.acts
        self.check_contents("all kills", disturber)
        for actor in self.actors:
            if actor.journal.exists():
                actor.run("undo", action)
        self.check_contents("undo", disturber)
        self.start_anew() if disturber else self.check_restored(action)
        shutil.rmtree(self.into, ignore_errors=True)
        for actor in self.actors:
            actor.journal.unlink(missing_ok=True)

    def check_soon(self, what: str, disturber: Disturber | None) -> None:
        """See that no content is lost, where nothing moves while it is looked for."""
        if not disturber:
            self.check_contents(what)

    def check_restored(self, action: str) -> None:
        """See that the tree is the one of the start, and nothing is left behind."""
        after = tree(self.pictures)
        expect(after == self.before, f"undo of {action}: {differences(self.before, after)}")
        left = [path for path in self.pictures.rglob("*") if "simsearch" in path.name]
        expect(not left, f"left behind: {left}")

    def start_anew(self) -> None:
        """Put the pictures back, which a disturber has spoiled."""
        shutil.rmtree(self.pictures)
        shutil.copytree(self.folder / "kept" / "pictures", self.pictures)
        simsearch("index", self.pictures, "--index", self.folder / "index", "--quiet")


def kills(options: argparse.Namespace) -> None:
    """Kill apply and undo at random moments."""
    start = time.monotonic()
    with working_in(options.folder) as folder:
        campaign = Campaign(folder, options)
        while campaign.kills.total() < options.kills:
            campaign.round(ACTIONS[campaign.rounds % len(ACTIONS)])
        for what, number in sorted(campaign.kills.items()):
            print(f"{what:15} killed {number:3} times")
        restored = "no content lost but by the disturber" if options.disturb else "every tree restored byte for byte"
        print(
            f"{campaign.kills.total()} kills in {campaign.rounds} rounds, {campaign.steps} steps in runs that ended:"
            f" 0 contents lost, 0 tracebacks, {restored}; {time.monotonic() - start:.0f} s"
        )
        print(f"refused: {dict(campaign.refused.most_common(8))}; disturber: {dict(campaign.acts)}")


def errors(options: argparse.Namespace) -> None:
    """Let every call of a run of ten steps fail by every error number, once in apply and once in undo."""
    for kind in options.kind or DISKS:
        with tempfile.TemporaryDirectory(prefix="act-errors-", dir=memory()) as passing:
            world, disk = maker(kind, Path(passing))()
            add_steps(world, 9)
            before = whole_tree(world.root)
            numbers = {"apply": len(calls_of(disk, world.apply)), "undo": len(calls_of(disk, world.undo))}
            world.journal.unlink()
            for what, calls in numbers.items():
                start = time.monotonic()
                runs: Counter[str] = Counter()
                for at in range(1, calls + 1):
                    for name in ERRORS:
                        runs[fail_once(world, disk, what, at, name, before)] += 1
                seconds = time.monotonic() - start
                print(
                    f"{kind}, {what}: {calls} calls, {runs.total()} runs, {dict(runs)}: all as it was; {seconds:.0f} s",
                    flush=True,
                )


def fail_once(world: World, disk: Any, what: str, at: int, name: str, before: Any) -> str:
    """Let one call of an apply or undo fail; see that one undo brings back all, and return what was said."""
    said = f"{world.action}, {what}, call {at}, {name}"
    if what == "undo":
        on(disk, world.apply)
    with standing_in_the_door(failing(at, getattr(errno, name), disk)):
        report = run_failing(world.apply if what == "apply" else world.undo)
    expect(report is None or what == "undo" or len(report.refused) <= 1, f"{said}: {report}")
    if world.journal.exists():
        expect(not on(disk, world.undo).refused, f"{said}: undo refused")
        world.journal.unlink()
    if report is not None and "Restored, but not" in report.note:
        restore_facts(world.root, before)
    after = whole_tree(world.root)
    expect(after == before, f"{said}: {differences(before, after)}")
    if report is None:
        return "one line"
    return "refused or said" if report.refused or report.note else "none the less"


def add_steps(world: Any, number: int) -> None:
    """Give a world more copies of its kind."""
    first = world.steps[0]
    for copy in range(number):
        path = world.copy.with_name(f"more {copy}.jpg")
        shutil.copy2(world.copy, path)
        world.steps.append(Step(copy=path, copy_hash=first.copy_hash, keep=world.keep, keep_hash=first.keep_hash))


def restore_facts(root: Path, before: Any) -> None:
    """Give all files the mode and time again that a failing call kept from them, as was said."""
    for name, entry in before.items():
        if not isinstance(entry, int):
            (root / name).chmod(entry[1])
            os.utime(root / name, ns=(entry[4], entry[4]))


def forged(options: argparse.Namespace) -> None:
    """Change journals and plans at random, with the right seals, and apply and undo them."""
    rng = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    for attack in (forged_journals, forged_plans):
        start = time.monotonic()
        attack(options, rng, outcomes)
        print(f"{attack.__name__}: {options.count} in {time.monotonic() - start:.0f} s", flush=True)
    print(f"{dict(outcomes)}; nothing outside made, moved or removed; 0 tracebacks")


def forged_journals(options: argparse.Namespace, rng: random.Random, outcomes: Counter[str]) -> None:
    """Undo forged journals."""
    with tempfile.TemporaryDirectory(prefix="act-forged-", dir=memory()) as passing:
        for number in range(options.count):
            action = rng.choice((Action.TRASH, Action.MOVE, Action.HARDLINK))
            world = World(Path(passing) / str(number), action, same=action is Action.HARDLINK)
            everything = contents(world.root)
            before = whole_tree(world.root)
            world.apply()
            after = whole_tree(world.folder)
            lines = [json.loads(line) for line in world.journal.read_bytes().splitlines()]
            for _ in range(rng.randint(1, 3)):
                lines = forge(lines, rng, str(world.folder))
            world.journal.write_bytes(b"".join(map(sealed, lines)))
            try:
                report = world.undo()
                outcomes["journal: undone" if report.done else "journal: refused"] += 1
            except SimsearchError:
                outcomes["journal: one line"] += 1
            expect(everything <= contents(world.folder), f"journal {number}: contents lost")
            new = {name for name in whole_tree(world.folder) if name not in after}
            places = {f"root/{name}" for name in before}
            expect(new <= places, f"journal {number}: made {new - places}")
            shutil.rmtree(world.folder)


def forged_plans(options: argparse.Namespace, rng: random.Random, outcomes: Counter[str]) -> None:
    """Apply forged plans, and undo what they did."""
    with working_in(options.folder) as folder:
        pictures = folder / "pictures"
        draw(pictures, options.seed, originals=4)
        (folder / "outside").mkdir()
        shutil.copy2(pictures / "0.png", folder / "outside")
        simsearch("index", pictures, "--index", folder / "index", "--quiet")
        simsearch(
            "dedupe", "--index", folder / "index", "--threshold", "0.3", "--plan", folder / "plan.json", "--quiet"
        )
        plan = json.loads((folder / "plan.json").read_text())
        before, outside = tree(pictures), tree(folder / "outside")
        for number in range(options.count):
            data = forge([plan], rng, str(folder))[0]
            if isinstance(data, dict):
                data["seal"] = seal({key: value for key, value in data.items() if key not in {"seal", "steps"}})
            path = folder / "forged.json"
            path.write_text(json.dumps(data))
            journal = path.with_suffix(".journal")
            try:
                read_plan(path)
                report = apply_plan(path, action=Action.TRASH)
                outcomes["plan: applied in part" if report.done else "plan: all refused"] += 1
                keepers = {entry[0] for entry in tree(pictures).values()}
                expect(bool(keepers), f"plan {number}: nothing kept")
                undo_journal(journal)
            except SimsearchError:
                outcomes["plan: one line"] += 1
            expect(tree(pictures) == before, f"plan {number}: {differences(before, tree(pictures))}")
            expect(tree(folder / "outside") == outside, f"plan {number}: touched what is outside")
            journal.unlink(missing_ok=True)


def forge(lines: list[Any], rng: random.Random, folder: str) -> list[Any]:
    """Return lines of data with one value changed in one of them, or in all that have it."""
    values: list[Any] = [
        "/",
        "/etc",
        "..",
        "../../etc/passwd",
        "",
        "a\0b",
        "\ud800",
        -1,
        0,
        1,
        1 << 70,
        1.5,
        None,
        True,
    ]
    values += [
        [],
        {},
        [1],
        {"a": 1},
        folder,
        f"{folder}/outside/0.png",
        f"{folder}/root",
        "keep.jpg",
        "trash",
        "move",
        "hardlink",
    ]
    at = rng.randrange(len(lines))
    path = rng.choice(sorted(paths_in(lines[at]), key=repr))
    value = rng.choice(values)
    if rng.random() < 0.3:
        here = lines[at]
        with suppress(KeyError, IndexError, TypeError):
            for key in path:
                here = here[key]
            if isinstance(here, str) and here:
                cut = rng.randrange(len(here))
                value = rng.choice((here[:cut], here[:cut] + "/" + here[cut:], here[:cut] + "x" + here[cut + 1 :]))
            elif isinstance(here, int):
                value = here ^ 1 << rng.randrange(40)
    if rng.random() < 0.5:
        return [put(line, path, value) for line in lines]
    return [*lines[:at], put(lines[at], path, value), *lines[at + 1 :]]


def orders(_options: argparse.Namespace) -> None:
    """Let two actors and a disturber go in every order."""
    totals: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.Door, "__call__", through)
        for disk in ("trash", "move", "move to another disk"):
            for disturbance in ("", "remove", "rename", "replace", "make"):
                start = time.monotonic()
                with tempfile.TemporaryDirectory(prefix="act-orders-", dir=memory()) as passing:
                    states, tried, ends = explore(Path(passing), disk, disturbance)
                totals.update(states=states, orders=tried, ends=ends)
                seconds = time.monotonic() - start
                said = f"{disk}, {disturbance or 'undisturbed'}: {states} states, {tried} orders, {ends} ends"
                print(f"{said}; {seconds:.0f} s")
    print(dict(totals))


def speed(options: argparse.Namespace) -> None:
    """Time apply and undo."""
    with working_in(options.folder) as folder:
        pictures = folder / "pictures"
        draw(pictures, options.seed, originals=options.steps // 20, again=20)
        simsearch("index", pictures, "--index", folder / "index", "--quiet")
        plan = folder / "plan.json"
        simsearch("dedupe", "--index", folder / "index", "--threshold", "0.01", "--plan", plan, "--quiet")
        data = json.loads(plan.read_text())
        data["steps"] = [step for step in data["steps"] if step["relation"] == "identical"]
        plan.write_text(json.dumps(data))
        for command in (("apply", plan, "--to", "trash"), ("undo", plan.with_suffix(".journal"))):
            start = time.monotonic()
            said = simsearch(*command, "--quiet").splitlines()[0]
            print(f"{command[0]}: {said} {time.monotonic() - start:.1f} s")


def draw(folder: Path, seed: int, *, originals: int = ORIGINALS, again: int = 1) -> None:
    """Write pictures of smooth noise, and of each identical, re-encoded and smaller copies."""
    rng = np.random.default_rng(seed)
    (folder / "copies").mkdir(parents=True)
    for number in range(originals):
        noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = noise.resize((240, 200), Image.Resampling.BICUBIC)
        original = folder / f"{number}.png"
        image.save(original)
        for copy in range(again):
            shutil.copyfile(original, folder / "copies" / f"{number} again {copy}.png")
        if again == 1:
            image.save(folder / "copies" / f"{number}.jpg", quality=90)
            image.resize((180, 150)).save(folder / f"{number} small.png")


def tree(folder: Path) -> Tree:
    """Return every picture in its place with its bytes, mode, owner, time and number of names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.suffix in PICTURES and not name.startswith("."):
            status = path.stat()
            mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
            found[name] = (path.read_bytes(), mode, status.st_uid, mtime, status.st_nlink)
    return found


def differences(before: Any, after: Any) -> str:
    """Say in few words how two trees differ."""
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    return (
        f"missing {sorted(before.keys() - after.keys())}, new {sorted(after.keys() - before.keys())}, changed {changed}"
    )


def memory() -> str | None:
    """Return a folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


@contextmanager
def working_in(folder: Path | None) -> Iterator[Path]:
    """Give the folder to work in: an empty one that was named, or a passing one."""
    with tempfile.TemporaryDirectory(prefix="act-faults-") as passing:
        yield (folder or Path(passing)).resolve()


def main() -> None:
    """Run one campaign and print what was seen."""
    parser = argparse.ArgumentParser(description="Attack apply and undo.")
    campaigns: dict[str, Callable[[argparse.Namespace], None]] = {
        "kills": kills,
        "errors": errors,
        "forged": forged,
        "orders": orders,
        "speed": speed,
    }
    parser.add_argument("campaign", choices=campaigns)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--actors", type=int, choices=(1, 2), default=1)
    parser.add_argument("--disturb", action="store_true")
    parser.add_argument("--into", help="move to a folder in here, on another disk")
    parser.add_argument(
        "--longest", type=float, default=0.6, help="seconds after which an actor is killed at the latest"
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--kind", action="append", help="with errors: a kind of disk, of those in tests/test_step.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in; a passing one by default")
    options = parser.parse_args()
    campaigns[options.campaign](options)


if __name__ == "__main__":
    main()
