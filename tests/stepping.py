"""A small world in which steps are done without a gallery, and a door to the system that tests can stand in."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from siamese_search.actions import system
from siamese_search.actions.apply import Acting
from siamese_search.actions.journal import Run, open_journal
from siamese_search.actions.lines import Head
from siamese_search.actions.locks import only_actor
from siamese_search.actions.plan import Companion, Step
from siamese_search.actions.roots import Roots
from siamese_search.actions.undo import undo_journal
from siamese_search.images.files import hash_file
from siamese_search.results import Action, ActionReport

RUN = "2026-01-02_03.04.05_000000"
CHANGES = {
    os.rename,
    os.link,
    os.unlink,
    os.mkdir,
    os.rmdir,
    os.fchmod,
    os.fchown,
    os.utime,
    os.setxattr,
    os.removexattr,
    os.pwrite,
    system.rename_to_free,
}
Entry = tuple[bytes, int, int, int, int, int]
Tree = dict[str, Entry | int]
Call = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], None]


class Killed(BaseException):
    """The process ends here."""


def is_change(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    """Tell whether a call changes what is on the disk."""
    return function in CHANGES or (function is os.open and bool(arguments[1] & os.O_CREAT))


def tree(folder: Path) -> Tree:
    """Return all that is in a folder: files with bytes, mode, owner, time and number of links; folders with mode."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = stat.S_IMODE(status.st_mode)
        else:
            mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
            found[name] = (path.read_bytes(), mode, status.st_uid, status.st_gid, mtime, status.st_nlink)
    return found


def contents(folder: Path) -> set[bytes]:
    """Return the contents of all files in a folder."""
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@contextmanager
def standing_in_the_door(stand: Call) -> Iterator[None]:
    """Have something looked at, or done, before every system call of a step."""
    is_inside = False

    def through(_: system.Door, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal is_inside
        if not is_inside:  # what stands in the door does not disturb itself
            is_inside = True
            try:
                stand(function, arguments, options)
            finally:
                is_inside = False
        # No test here pulls the plug, and waiting for the disk is all that would take long.
        return None if function is os.fsync else function(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.Door, "__call__", through)
        yield


class Disk:
    """What the file system under a world can do; the rest fails as it does on others."""

    def __init__(self, world: "World", *, renames: bool = True, links: bool = True, is_other: bool = False) -> None:
        self._world = world
        self._renames = renames
        self._links = links
        self._is_other = is_other

    def __call__(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Fail where this disk would."""
        if function is system.rename_to_free:
            if self._is_other and self._crosses(arguments[0], arguments[2]):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            if not self._renames:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if function is os.link:
            if self._is_other and self._crosses(options["src_dir_fd"], options["dst_dir_fd"]):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            if not self._links:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def _crosses(self, first: int, second: int) -> bool:
        into = str(self._world.into)
        sides = {str(Path(f"/proc/self/fd/{folder}").readlink()).startswith(into) for folder in (first, second)}
        return len(sides) == 2


class World:
    """A root with a keeper, and in a folder of it a copy with a sidecar; one step puts the copy away.

    The objections of a gallery are left out: there is none.
    """

    def __init__(self, folder: Path, action: Action, *, same: bool = False) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.into = folder / "into"
        self.journal = folder / "plan.journal"
        self.action = action
        self.keep = self.root / "keep.jpg"
        self.copy = self.root / "sub" / "copy.jpg"
        self.sidecar = self.root / "sub" / "copy.xmp"
        self.target = (
            self.into / RUN / "root" / "sub" / "copy.jpg"
            if action is Action.MOVE
            else self.root / ".simsearch-trash" / RUN / "sub" / "copy.jpg"
        )
        self.protected: tuple[Path, ...] = ()
        self.copy.parent.mkdir(parents=True)
        self.copy.parent.chmod(0o750)
        self.keep.write_bytes(b"the copy" if same else b"the keeper")
        self.copy.write_bytes(b"the copy")
        self.sidecar.write_bytes(b"the sidecar")
        self.restore_facts()
        self.steps = [
            Step(
                copy=self.copy,
                copy_hash=hash_file(self.copy),
                keep=self.keep,
                keep_hash=hash_file(self.keep),
                companions=(Companion(path=self.sidecar, content_hash=hash_file(self.sidecar)),),
            )
        ]

    def restore_facts(self) -> None:
        """Give the copy and its sidecar the mode and time that they begin with."""
        self.copy.chmod(0o640)
        self.sidecar.chmod(0o600)
        os.utime(self.copy, ns=(10**18, 10**18 + 123))
        os.utime(self.sidecar, ns=(10**18, 10**18 + 456))

    def objection(self, _step: Step) -> None:
        """Say nothing against a step."""

    def root_of(self, _path: Path) -> Path:
        """Return the only root."""
        return self.root

    def apply(self) -> ActionReport:
        """Do all steps, as `apply_plan` does once it has opened the gallery."""
        into = self.into if self.action is Action.MOVE else None
        head = Head(action=self.action, gallery=str(self.folder / "no gallery"), run=RUN, into=into, roots=())
        with only_actor([self.root]), open_journal(self.journal, head) as journal, Roots(journal) as places:
            journal.begin_run(Run.APPLY)
            acting = Acting(journal, places, self)
            acting.work(self.steps)
            journal.end_run()
        return acting.report("")

    def undo(self) -> ActionReport:
        """Take it all back."""
        return undo_journal(self.journal)
