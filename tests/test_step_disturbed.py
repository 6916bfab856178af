"""Somebody renames, replaces, writes and removes files while a step is done: before every one of its calls."""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from siamese_search.actions import system
from siamese_search.errors import PlanError
from siamese_search.results import Action, ActionReport
from stepping import Disk, Killed, World, contents, is_change, standing_in_the_door

DISKS: dict[str, tuple[Action, dict[str, bool]]] = {
    "trash": (Action.TRASH, {}),
    "trash by two names": (Action.TRASH, {"renames": False}),
    "move to another disk": (Action.MOVE, {"is_other": True}),
    "hardlink": (Action.HARDLINK, {}),
}


class Disturber:
    """Does one thing to the files of a world, and knows which contents it has ended and which it has made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.outside = world.folder / "outside"
        self.outside.mkdir()
        (self.outside / "copy.jpg").write_bytes(b"of somebody else")
        self.lost: set[bytes] = set()
        self.made: set[bytes] = {b"of somebody else"}

    def _replace(self, path: Path) -> None:
        self.lost.add(path.read_bytes())
        self._make(self.world.folder / "new").replace(path)

    def _write(self, path: Path) -> None:
        self.lost.add(path.read_bytes())
        with path.open("ab") as file:
            file.write(b", and more")
        self.made = self.made - self.lost | {path.read_bytes()}

    def _remove(self, path: Path) -> None:
        self.lost.add(path.read_bytes())
        path.unlink()

    def _make(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(b"new")
        self.made.add(b"new")
        return path

    def replace_copy(self) -> None:
        """Replace the copy as editors do."""
        self._replace(self.world.copy)

    def write_copy(self) -> None:
        """Write to the copy in place."""
        self._write(self.world.copy)

    def rename_copy(self) -> None:
        """Give the copy another name."""
        self.world.copy.rename(self.world.copy.with_name("elsewhere.jpg"))

    def remove_copy(self) -> None:
        """Remove the copy."""
        self._remove(self.world.copy)

    def make_copy(self) -> None:
        """Make another file where the copy was."""
        self._make(self.world.copy)

    def replace_keeper(self) -> None:
        """Replace the keeper."""
        self._replace(self.world.keep)

    def write_keeper(self) -> None:
        """Write to the keeper in place."""
        self._write(self.world.keep)

    def rename_keeper(self) -> None:
        """Give the keeper another name."""
        self.world.keep.rename(self.world.keep.with_name("elsewhere.jpg"))

    def remove_keeper(self) -> None:
        """Remove the keeper."""
        self._remove(self.world.keep)

    def take_place(self) -> None:
        """Make a file where the copy would go."""
        self._make(self.world.target)

    def remove_sidecar(self) -> None:
        """Remove what is to go along."""
        self._remove(self.world.sidecar)

    def link_folder(self) -> None:
        """Put a link to a folder outside in the place of the copy's."""
        self.world.copy.parent.rename(self.world.root / "away")
        self.world.copy.parent.symlink_to(self.outside)

    def rename_root(self) -> None:
        """Put an empty folder in the place of the root."""
        self.world.root.rename(self.world.folder / "away")
        self.world.root.mkdir()


# What happens to names between two other calls is the same as if it happened before the next of these.
ON_NAMES = {os.open, os.stat, os.link, os.unlink, os.rename, os.mkdir, os.rmdir, system.rename_to_free}
DISTURBANCES = [name for name in vars(Disturber) if not name.startswith("_")]
OF_THE_KEEPER = {"replace_keeper", "write_keeper", "rename_keeper", "remove_keeper"}


class Run:
    """One step that is disturbed before a call, and perhaps killed before the change after that."""

    def __init__(self, world: World, disk: Disk, disturbance: str, at: int, *, kill_after: int = 0) -> None:
        self.world, self.disk = world, disk
        self.disturber = Disturber(world)
        self.whole = contents(world.root)
        self.proven_at = self.number = self.changes = 0
        self._disturbance, self._at, self._kill_after = disturbance, at, kill_after
        self._is_dead = self._may_disturb = False

    def __call__(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Stand in the door."""
        if self._is_dead:
            raise Killed
        if function in ON_NAMES or self._disturbance.startswith("write"):
            self.number += 1
            self._may_disturb = True
        if function is os.open and arguments[0] == self.world.keep.name:
            self.proven_at = self.number
        if self.number == self._at and self._may_disturb:
            self._may_disturb = False
            with suppress(FileNotFoundError, FileExistsError):
                getattr(self.disturber, self._disturbance)()
        elif self.number >= self._at and is_change(function, arguments):
            self.changes += 1
            if self.changes == self._kill_after:
                self._is_dead = True
                raise Killed
        self.disk(function, arguments, options)

    def check_contents(self) -> None:
        """See that all is there that nobody but the disturber has ended."""
        missing = ((self.whole - self.disturber.lost) | self.disturber.made) - contents(self.world.folder)
        assert not missing, f"{self._disturbance} before call {self._at}: {missing}"

    def go_on(self, run: Callable[[], ActionReport]) -> None:
        """Run something once more, undisturbed by now."""
        if self.world.journal.exists():
            with standing_in_the_door(self.disk), suppress(PlanError):
                run()
        self.check_contents()


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("kind", DISKS)
def test_disturbed_before_every_call(kind: str, disturbance: str, swift_path: Path) -> None:
    """Nothing is lost but by the disturber; no copy goes whose keeper is not whole when it was last looked at."""
    action, able = DISKS[kind]
    for at in count(1):
        world = World(swift_path / str(at), action, same=action is Action.HARDLINK)
        run = Run(world, Disk(world, **able), disturbance, at)
        with standing_in_the_door(run):
            report = world.apply()
        run.check_contents()
        assert len(report.done) + len(report.refused) == 1
        if report.done and disturbance in OF_THE_KEEPER:
            assert at > run.proven_at
        run.go_on(world.apply)
        run.go_on(world.undo)
        run.go_on(world.undo)
        if run.number < at:
            break
    assert at > 20


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("kind", ["trash", "move to another disk", "hardlink"])
def test_disturbed_and_killed(kind: str, disturbance: str, swift_path: Path) -> None:
    """The same when it is killed before the first, or the second change after that."""
    action, able = DISKS[kind]
    for at in count(1, 2):
        for kill_after in (1, 2):
            world = World(swift_path / f"{at} {kill_after}", action, same=action is Action.HARDLINK)
            run = Run(world, Disk(world, **able), disturbance, at, kill_after=kill_after)
            with suppress(Killed), standing_in_the_door(run):
                world.apply()
            run.check_contents()
            run.go_on(world.undo if kill_after == 1 else world.apply)
            run.go_on(world.undo)
        if run.number < at:
            break
