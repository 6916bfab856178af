"""The files of a step as they are on disk at this moment: found, opened, read, and told apart."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from siamese_search.actions.files import OpenFile, open_file
from siamese_search.actions.folders import opened
from siamese_search.actions.journal import Content, State
from siamese_search.actions.keeper import Keeper, opened_keeper, protected_like
from siamese_search.actions.plan import Step
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.results import Action

PUTTING_AWAY = frozenset({Action.TRASH, Action.MOVE})


class Objections(Protocol):
    """What speaks against a step without looking at a file."""

    def objection(self, step: Step) -> str | None:
        """Return why a step must not be done, or None."""

    def root_of(self, path: Path) -> Path:
        """Return the indexed folder that holds a path."""

    @property
    def protected(self) -> Sequence[Path]:
        """Return the folders that nothing is taken from."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files that go, the copy first, and the keeper; all read in full and held open."""

    files: tuple[OpenFile, ...]
    keeper: Keeper


def check_named_once(step: Step, named: set[Path]) -> None:
    """Refuse a copy that a plan names again."""
    if step.copy in named:
        raise Refusal("is named twice in the plan")
    named.add(step.copy)


def is_done(content: Content, step: Step) -> bool:
    """Tell whether a journal has done a step; a file that has come back to a place put away is a new case."""
    if content.states.get(step.copy) is not State.DONE:
        return False
    match content.head.action:
        case Action.HARDLINK:
            try:
                return step.copy.samefile(step.keep)
            except OSError:
                return False
        case Action.REFLINK:
            return True
        case _:
            return not os.path.lexists(step.copy)


def split_path(path: Path, root: Path) -> tuple[Path, tuple[str, ...]]:
    """Part the folder of a file below `root` at the topmost folder on its disk: that one, and the names below it."""
    folder = path.parent
    device = _device(folder)
    top = folder
    while top != root and _device(top.parent) == device:
        top = top.parent
    return top, folder.relative_to(top).parts


def open_step(
    step: Step, action: Action, root: int, names: Sequence[str], protected: Sequence[Path], stack: ExitStack
) -> Found:
    """Open and read all files of a step, until `stack` closes them; raises Refusal unless the plan is right."""
    try:
        folder = stack.enter_context(opened(names, start=root))
    except OSError as error:
        raise refusal_of(error, "cannot be reached") from error
    copy = _open(folder, step.copy.name, step.copy_hash, stack)
    keeper = stack.enter_context(opened_keeper(step.keep, step.keep_hash))
    keeper.check_other_than(copy)
    if copy.status.st_nlink > 1:
        raise Refusal("is one of several names of a file (hard links): nothing to gain")
    if action is Action.HARDLINK and copy.status.st_dev != keeper.file.status.st_dev:
        raise Refusal("lies on another disk than its keeper")
    along = []
    for companion in step.companions if action in PUTTING_AWAY else ():
        try:
            along.append(_open(folder, companion.path.name, companion.content_hash, stack))
        except Refusal as refusal:
            raise Refusal(f"what is to go along {refusal}: {companion.path}") from None
    others = protected_like(step.copy, copy, protected)
    return Found((copy, *along), replace(keeper, others=others))


def _open(folder: int, name: str, content: str, stack: ExitStack) -> OpenFile:
    try:
        file = stack.enter_context(open_file(folder, name))
    except FileNotFoundError:
        raise Refusal("is gone or no regular file") from None
    except OSError as error:
        raise refusal_of(error, "cannot be read") from error
    if file.content_hash != content:
        raise Refusal("has changed since the plan was made")
    return file


def _device(folder: Path) -> int:
    try:
        return folder.lstat().st_dev
    except OSError as error:
        raise refusal_of(error, "cannot be reached") from error
