"""What `apply` would do, as far as that can be foreseen without changing anything."""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from siamese_search.actions import look
from siamese_search.actions.folders import opened
from siamese_search.actions.journal import Content, check_agrees, read_journal
from siamese_search.actions.lines import Head
from siamese_search.actions.plan import Step
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.actions.roots import TRASH
from siamese_search.results import Action, ActionReport, Refused


def rehearse(steps: Sequence[Step], checks: look.Objections, head: Head, journal: Path) -> ActionReport:
    """Check every step and the places they would go to; change nothing. Raises PlanError as `apply_plan` does."""
    content = None
    if os.path.lexists(journal):
        content = read_journal(journal)
        check_agrees(journal, content, head)
    rehearsal = _Rehearsal(checks, head, content)
    done, refused, already, size = [], [], 0, 0
    named: set[Path] = set()
    for step in steps:
        try:
            look.check_named_once(step, named)
            if content is not None and look.is_done(content, step):
                already += 1
                continue
            size += rehearsal.try_step(step)
            done.append(step.copy)
        except Refusal as refusal:
            refused.append(Refused(path=step.copy, reason=str(refusal)))
        except OSError as error:
            refused.append(Refused(path=step.copy, reason=str(refusal_of(error, "cannot be looked at"))))
    return ActionReport(
        action=head.action,
        undo=False,
        done=tuple(done),
        refused=tuple(refused),
        already=already,
        size=size,
        journal=None,
        places=(),
    )


class _Rehearsal:
    """Knows how much room is left for what would be copied to another disk."""

    def __init__(self, checks: look.Objections, head: Head, content: Content | None) -> None:
        self._checks = checks
        self._head = head
        self._content = content
        self._room: int | None = None

    def try_step(self, step: Step) -> int:
        """Return the bytes that a step would put away; raises Refusal and OSError where it could not be done."""
        known = self._content is not None and self._content.states.get(step.copy)
        if known == "done" and self._head.action in look.PUTTING_AWAY:
            raise Refusal("was put away by this plan and is there again; make a new plan")
        if objection := self._checks.objection(step):
            raise Refusal(objection)
        top, names = look.split_path(step.copy, self._checks.root_of(step.copy))
        with ExitStack() as stack:
            root = stack.enter_context(opened(top))
            found = look.open_step(step, self._head.action, root, names, self._checks.protected, stack)
            size = sum(file.status.st_size for file in found.files)
            if self._head.action is Action.REFLINK:
                _check_writable(step.copy)
                return size
            for file in found.files:
                _check_removable(step.copy.parent, file.status)
            match self._head.action:
                case Action.TRASH:
                    _check_folder(top / TRASH)
                case Action.MOVE:
                    self._check_room(found.files[0].status.st_dev, size)
        return size

    def _check_room(self, device: int, size: int) -> None:
        assert self._head.into is not None  # noqa: S101  a move has one
        folder = _check_folder(self._head.into)
        if device_of(folder) == device:
            return
        if self._room is None:
            disk = os.statvfs(folder)
            self._room = disk.f_bavail * disk.f_frsize
        if size > self._room:
            raise Refusal(f"there is no room for it at: {self._head.into}")
        self._room -= size


def device_of(folder: Path) -> int:
    """Return the number of the disk that a folder is on."""
    return folder.stat().st_dev


def _check_removable(folder: Path, file: os.stat_result) -> None:
    """Refuse a file that this user could not take out of its folder."""
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise Refusal("lies in a folder that may not be written")
    status = folder.stat()
    if status.st_mode & stat.S_ISVTX and os.geteuid() not in {0, file.st_uid, status.st_uid}:
        raise Refusal("belongs to somebody else, in a folder where only owners may remove files")


def _check_folder(folder: Path) -> Path:
    """Refuse when a folder is neither there to be written nor could be made; return it or the one it would lie in."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise Refusal(f"the place it would go to is no folder: {there}")
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise Refusal(f"the place it would go to may not be written: {there}")
    return there


def _check_writable(file: Path) -> None:
    if not os.access(file, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise Refusal("may not be written")
