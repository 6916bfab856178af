"""Two actors whose plans contradict each other, and a disturber: every order of what they do to two files.

The lock that keeps actors apart is left out, so that the steps themselves are what saves the files.
"""

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from siamese_search.actions import system
from siamese_search.actions.apply import Acting
from siamese_search.actions.journal import Run, open_journal
from siamese_search.actions.lines import Head
from siamese_search.actions.plan import Step
from siamese_search.actions.roots import Roots
from siamese_search.actions.undo import undo_journal
from siamese_search.images.files import hash_file
from siamese_search.results import Action, ActionReport
from stepping import Killed

FIRST, SECOND = "x.jpg", "y.jpg"
# Calls on these names are what others can see; whatever lies between two of them touches what only one actor knows.
SHARED = {FIRST, SECOND, ".simsearch-trash"}


class Actor(threading.Thread):
    """Puts one of the two away in favour of the other, one shared call at a time."""

    protected = ()

    def __init__(self, world: "World", *, first: bool) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.copy, self.keep = (FIRST, SECOND) if first else (SECOND, FIRST)
        self.journal = world.folder / f"{self.copy}.journal"
        self.run_name = f"2026-01-02_03.04.05_00000{int(first)}"
        self.may_go, self.has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.is_over = self.is_abandoned = False
        self.seen: list[Hashable] = []
        self.report: ActionReport | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do the step; `error` is what must not happen."""
        try:
            self.may_go.acquire()
            self.report = self._apply()
        except BaseException as error:  # noqa: BLE001  the test shows it
            self.error = error
        self.is_over = True
        self.has_stopped.release()

    def go_on(self) -> None:
        """Let it make its shared call, and all up to the next one."""
        self.may_go.release()
        self.has_stopped.acquire()

    def stop(self) -> None:
        """Wait for the next turn."""
        self.has_stopped.release()
        self.may_go.acquire()

    def objection(self, _step: Step) -> None:
        """Say nothing against a step."""

    def root_of(self, _path: Path) -> Path:
        """Return the only root."""
        return self.world.root

    def _apply(self) -> ActionReport:
        root = self.world.root
        hashes = self.world.hashes
        step = Step(
            copy=root / self.copy, copy_hash=hashes[self.copy], keep=root / self.keep, keep_hash=hashes[self.keep]
        )
        into = self.world.folder / "into" if self.world.action is Action.MOVE else None
        head = Head(action=self.world.action, gallery=str(root.parent / "none"), run=self.run_name, into=into, roots=())
        with open_journal(self.journal, head) as journal, Roots(journal) as places:
            journal.begin_run(Run.APPLY)
            acting = Acting(journal, places, self)
            acting.work([step])
            journal.end_run()
        return acting.report("")


@dataclass
class World:
    """Two files that look alike, and what was done to them."""

    folder: Path
    action: Action
    crosses: bool
    disturbance: str
    is_disturbed: bool = False
    lost: set[bytes] = field(default_factory=set)
    made: set[bytes] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        for name in (FIRST, SECOND):
            (self.root / name).write_bytes(name.encode())
            self.hashes[name] = hash_file(self.root / name)
        self.actors = {"A": Actor(self, first=True), "B": Actor(self, first=False)}

    def disturb(self) -> None:
        """Do the one thing that the disturber does."""
        self.is_disturbed = True
        path = self.root / FIRST
        with suppress(FileNotFoundError, FileExistsError):
            match self.disturbance:
                case "remove":
                    self.lost.add(path.read_bytes())
                    path.unlink()
                case "rename":
                    path.rename(self.root / "elsewhere.jpg")
                case "replace":
                    self.lost.add(path.read_bytes())
                    self._make(self.folder / "new").replace(path)
                case "make":
                    self._make(path)

    def _make(self, path: Path) -> Path:
        with path.open("xb") as file:
            file.write(b"new")
        self.made.add(b"new")
        return path

    def enabled(self) -> list[str]:
        """Return who can do something."""
        who = [name for name, actor in self.actors.items() if not actor.is_over]
        return [*who, "D"] if self.disturbance and not self.is_disturbed else who

    def state(self) -> Hashable:
        """Return all that decides what can happen from now on: the files, and what each actor has seen."""
        files = tuple(
            (str(path.relative_to(self.folder)), path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.folder.rglob("*"))
            if path.suffix != ".journal"
        )
        return files, *(tuple(actor.seen) for actor in self.actors.values()), self.is_disturbed

    def contents(self) -> set[bytes]:
        """Return the contents of all pictures, wherever they are."""
        return {path.read_bytes() for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".journal"}


def through(_: system.Door, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Make a call; an actor waits for its turn before a shared one, and remembers how it ended."""
    if function is os.fsync:
        return None
    actor = threading.current_thread()
    names = [argument for argument in arguments if argument in SHARED] if isinstance(actor, Actor) else []
    if isinstance(actor, Actor) and actor.world.crosses and function is system.rename_to_free:
        sides = {"into" in os.readlink(f"/proc/self/fd/{folder}") for folder in arguments[::2]}  # noqa: PTH115
        if len(sides) == 2:
            raise OSError(18, os.strerror(18))
    if not names or not isinstance(actor, Actor):
        return function(*arguments, **options)
    if not actor.is_abandoned:
        actor.stop()
    if actor.is_abandoned:
        raise Killed
    outcome: Hashable = "done"
    try:
        return function(*arguments, **options)
    except OSError as error:
        outcome = error.errno
        raise
    finally:
        path = actor.world.root / names[0]
        content = path.read_bytes() if path.is_file() else None
        actor.seen.append((function.__name__, names[0], outcome, content))


def replay(folder: Path, order: str, action: Action, *, crosses: bool, disturbance: str) -> World:
    """Return a new world in which everybody has done their part, in this order."""
    world = World(folder, action, crosses, disturbance)
    for actor in world.actors.values():
        actor.start()
        actor.go_on()
    for who in order:
        if who == "D":
            world.disturb()
        else:
            world.actors[who].go_on()
    return world


def abandon(world: World) -> None:
    """End all actors where they are."""
    for actor in world.actors.values():
        actor.is_abandoned = True
        if not actor.is_over:
            actor.go_on()


def check_end(world: World, order: str) -> None:
    """See that nothing is lost, that one of the two is kept, and that both can be had back."""
    said = f"{order}: {[actor.report for actor in world.actors.values()]}"
    for actor in world.actors.values():
        assert actor.error is None, f"{order}: {actor.error!r}"
    wanted = ({FIRST.encode(), SECOND.encode()} | world.made) - world.lost
    assert wanted <= world.contents(), said
    gone = [name for name in (FIRST, SECOND) if not (world.root / name).exists()]
    assert len(gone) < 2 or world.is_disturbed, said
    if not world.is_disturbed:
        done = [actor.copy for actor in world.actors.values() if actor.report and actor.report.done]
        assert done == gone, said
    for actor in world.actors.values():
        for _ in range(2):
            undo_journal(actor.journal)
    assert wanted <= world.contents(), said
    if not world.is_disturbed:
        assert {path.name for path in world.root.iterdir()} == {FIRST, SECOND}, said


def explore(folder: Path, disk: str, disturbance: str) -> tuple[int, int, int]:
    """Try every order of calls, but not again from a state that was met; return how many states, orders and ends."""
    action = Action.TRASH if disk == "trash" else Action.MOVE
    met: set[Hashable] = set()
    waiting = deque([""])
    ends = 0
    for number in count(1):
        if not waiting:
            return len(met), number - 1, ends
        order = waiting.popleft()
        world = replay(folder / str(number), order, action, crosses="another" in disk, disturbance=disturbance)
        state, enabled = world.state(), world.enabled()
        if state not in met:
            met.add(state)
            waiting.extend(order + who for who in enabled)
        if any(who in "AB" for who in enabled):
            abandon(world)
        else:
            ends += 1
            check_end(world, order)
        shutil.rmtree(world.folder)
    raise AssertionError


# The others of trash, move, "move to another disk" with remove, rename, replace, make are in benchmarks/act_faults.py.
@pytest.mark.parametrize(
    ("disk", "disturbance"),
    [("trash", ""), ("move", ""), ("move to another disk", ""), ("move to another disk", "make")],
)
def test_every_order(disk: str, disturbance: str, swift_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From every state that any order of calls leads to, the run ends well."""
    monkeypatch.setattr(system.Door, "__call__", through)
    _, orders, ends = explore(swift_path, disk, disturbance)
    assert orders > 400
    assert ends > 5
