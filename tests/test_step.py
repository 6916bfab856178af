"""One step, stopped, failed and disturbed at every one of its calls: nothing is lost, and every state ends well."""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from siamese_search.errors import PlanError
from siamese_search.results import Action, ActionReport
from stepping import Disk, Killed, World, contents, is_change, standing_in_the_door, tree

# What a file system can do decides how a file gets its new name: in one call, by two names, after a look, by a copy.
DISKS: dict[str, tuple[Action, dict[str, bool]]] = {
    "trash": (Action.TRASH, {}),
    "trash by two names": (Action.TRASH, {"renames": False}),
    "trash without links": (Action.TRASH, {"renames": False, "links": False}),
    "move": (Action.MOVE, {}),
    "move to another disk": (Action.MOVE, {"is_other": True}),
    "move to another disk without links": (Action.MOVE, {"is_other": True, "renames": False, "links": False}),
    "hardlink": (Action.HARDLINK, {}),
}
ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EXDEV,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.EIO,
)
Made = Callable[[], tuple[World, Disk]]


@pytest.fixture(params=DISKS)
def make(request: pytest.FixtureRequest, swift_path: Path) -> Made:
    """Give a function that makes a new world on a disk of each kind."""
    return maker(request.param, swift_path)


@pytest.fixture(params=["trash by two names", "move to another disk", "hardlink"])
def make_some(request: pytest.FixtureRequest, swift_path: Path) -> Made:
    """Give the same for the three kinds that differ most."""
    return maker(request.param, swift_path)


def maker(kind: str, folder: Path) -> Made:
    """Return a function that makes a new world on a disk of one kind."""
    action, able = DISKS[kind]
    numbers = count(1)

    def make_world() -> tuple[World, Disk]:
        world = World(folder / str(next(numbers)), action, same=action is Action.HARDLINK)
        return world, Disk(world, **able)

    return make_world


def killed_before(change: int, disk: Disk, run: Callable[[], ActionReport]) -> bool:
    """Run something that is killed before a change of the disk; tell whether it came that far."""
    left = change
    is_dead = False

    def kill(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        nonlocal left, is_dead
        left -= is_change(function, arguments)
        is_dead = is_dead or left == 0
        if is_dead:  # nothing that would tidy up gets anywhere
            raise Killed
        disk(function, arguments, options)

    try:
        with standing_in_the_door(kill):
            run()
    except Killed:
        return True
    return False


def on(disk: Disk, run: Callable[[], ActionReport]) -> ActionReport:
    """Run something undisturbed."""
    with standing_in_the_door(disk):
        return run()


def test_killed_before_every_change(make: Made) -> None:
    """Wherever apply is killed, all is there; a second one ends as the first would have, and undo restores all."""
    world, disk = make()
    before, whole = tree(world.root), contents(world.root)
    for change in range(1, 200):
        killed = killed_before(change, disk, world.apply)
        assert whole <= contents(world.folder)
        if world.journal.exists() and change % 2:  # undo of half a step
            assert on(disk, world.undo).refused == ()
            assert tree(world.root) == before
        else:
            again = on(disk, world.apply)
            assert (len(again.done) + again.already, again.refused) == (1, ())
            assert on(disk, world.apply).already == 1
        assert on(disk, world.undo).refused == ()
        assert on(disk, world.undo).refused == ()
        assert tree(world.root) == before
        world.journal.unlink()
        if not killed:
            break
    assert 10 < change < 199


def test_undo_killed_before_every_change(make: Made) -> None:
    """Wherever undo is killed, all is there, and a second one restores all; the same when it is killed twice."""
    world, disk = make()
    before, whole = tree(world.root), contents(world.root)
    for change in range(1, 200):
        assert on(disk, world.apply).refused == ()
        killed = killed_before(change, disk, world.undo)
        assert whole <= contents(world.folder)
        killed_before(max(change // 2, 1), disk, world.undo)
        assert whole <= contents(world.folder)
        assert on(disk, world.undo).refused == ()
        assert tree(world.root) == before
        world.journal.unlink()
        if not killed:
            break
    assert 8 < change < 199


def test_killed_twice(make_some: Made) -> None:
    """A kill of the apply or undo that goes on after a kill loses nothing either: every pair of changes."""
    world, disk = make_some()
    before, whole = tree(world.root), contents(world.root)
    first = 1
    while killed_before(first, disk, world.apply):
        if world.journal.exists():
            on(disk, world.undo)
            world.journal.unlink()
        second = 1
        while True:
            killed_before(first, disk, world.apply)
            run = world.undo if world.journal.exists() and (first + second) % 2 else world.apply
            killed = killed_before(second, disk, run)
            assert whole <= contents(world.folder)
            if world.journal.exists():
                assert on(disk, world.undo).refused == ()
                world.journal.unlink()
            assert tree(world.root) == before
            second += 1
            if not killed:
                break
        first += 1


def calls_of(disk: Disk, run: Callable[[], ActionReport]) -> list[Callable[..., Any]]:
    """Return the functions of all calls that something makes."""
    functions = []

    def count(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        functions.append(function)
        disk(function, arguments, options)

    with standing_in_the_door(count):
        run()
    return functions


def failing(
    at: int, code: int, disk: Disk, *, ever_after: bool = False
) -> Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], None]:
    """Return what makes a call fail, or it and all later ones of its kind."""
    number = 0
    broken: Callable[..., Any] | None = None

    def fail(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        nonlocal number, broken
        number += 1
        if number == at or (ever_after and function is broken):
            broken = function
            raise OSError(code, os.strerror(code))
        disk(function, arguments, options)

    return fail


def run_failing(run: Callable[[], ActionReport]) -> ActionReport | None:
    """Run something whose calls fail; None when it gave up with one line."""
    with suppress(PlanError):
        return run()
    return None


def test_every_call_of_apply_fails(make: Made) -> None:
    """A call that fails ends in one refusal, with all as it was and nothing stray; then the step can be done."""
    world, disk = make()
    before = tree(world.root)
    calls = len(calls_of(disk, world.apply))
    on(disk, world.undo)
    world.journal.unlink()
    for at in range(1, calls + 1):
        code = ERRORS[at % len(ERRORS)]
        with standing_in_the_door(failing(at, code, disk)):
            report = run_failing(world.apply)
        if report is None or report.refused:
            assert tree(world.root) == before, f"call {at}, {errno.errorcode[code]}"
            assert not any(world.into.rglob("*"))
        if report is not None:
            assert len(report.done) + len(report.refused) == 1
        assert on(disk, world.apply).refused == ()
        assert on(disk, world.undo).refused == ()
        assert tree(world.root) == before, f"call {at}, {errno.errorcode[code]}"
        world.journal.unlink()


def test_every_call_of_undo_fails(make: Made) -> None:
    """A call of undo that fails loses nothing, and the next undo restores all, or was told what it could not."""
    world, disk = make()
    before, whole = tree(world.root), contents(world.root)
    on(disk, world.apply)
    calls = len(calls_of(disk, world.undo))
    world.journal.unlink()
    in_part = 0
    for at in range(1, calls + 1):
        code = ERRORS[at % len(ERRORS)]
        assert on(disk, world.apply).refused == ()
        with standing_in_the_door(failing(at, code, disk)):
            report = run_failing(world.undo)
        assert whole <= contents(world.folder)
        assert report is None or len(report.refused) <= 1
        assert on(disk, world.undo).refused == ()
        if report is not None and "Restored, but not" in report.note:
            in_part += 1
            world.restore_facts()
        assert tree(world.root) == before, f"call {at}, {errno.errorcode[code]}"
        world.journal.unlink()
    assert in_part < 10


def test_a_kind_of_call_fails_from_then_on(make: Made) -> None:
    """When taking back fails as well, all is there, and is brought back as soon as calls work again."""
    world, disk = make()
    before, whole = tree(world.root), contents(world.root)
    calls = len(calls_of(disk, world.apply))
    on(disk, world.undo)
    world.journal.unlink()
    for at in range(1, calls + 1):
        code = ERRORS[at % len(ERRORS)]
        said = ""
        with standing_in_the_door(failing(at, code, disk, ever_after=True)):
            report = run_failing(world.apply)
            said += "".join(refused.reason for refused in report.refused) if report else ""
            report = run_failing(world.undo) if world.journal.exists() else None
            said += report.note if report else ""
        assert whole <= contents(world.folder)
        if world.journal.exists():
            assert on(disk, world.undo).refused == ()
            world.journal.unlink()
        if "estored, but not" in said:
            world.restore_facts()
        # What could not be removed, for as long as that failed, are empty folders.
        for left in (world.root / ".simsearch-trash", world.into):
            assert not [path for path in left.rglob("*") if path.is_file()]
            shutil.rmtree(left, ignore_errors=True)
        assert tree(world.root) == before, f"call {at}, {errno.errorcode[code]}"
