"""The keeper of a step, proven by its content before and after: whatever its path says, it must still be there."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from siamese_search.actions.files import OpenFile, open_file
from siamese_search.actions.folders import opened
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.actions.system import FILE, call, change_time


@dataclass(frozen=True, slots=True)
class Keeper:
    """A keeper that was read in full, and is held open."""

    path: Path
    file: OpenFile
    changed: int  # when its inode was changed last, in nanoseconds
    others: tuple[Path, ...] = ()  # files in protected folders, that could be the copy under another name

    def check_other_than(self, copy: OpenFile) -> None:
        """Refuse when both are one file on disk, as far as can be told before one of them moves."""
        if os.path.samestat(self.file.status, copy.status):
            raise Refusal("is the same file on disk as its keeper: nothing to gain")
        if _traits(self.file.status) == _traits(copy.status):
            raise Refusal("is the same file as its keeper, seen through another mount")

    def prove(self, *, linked: bool = False) -> None:
        """Refuse unless the keeper is at its path, with its content, untouched by the move of the copy.

        Two paths of one file give themselves away here: the move of one takes the other away or changes its inode,
        whatever device and inode numbers its file systems invent. `linked`: it was given another name meanwhile.
        """
        for path in self.others:
            if not _can_be_opened(path):
                raise Refusal(f"is the same file as one in a protected folder: {path}")
        with opened_keeper(self.path, self.file.content_hash) as again:
            if linked or not os.path.samestat(again.file.status, self.file.status):
                return
            if (again.changed, call(change_time, self.file.descriptor)) != (self.changed, self.changed):
                raise Refusal("its keeper was changed just now, or is the same file: left where it was")


@contextmanager
def opened_keeper(path: Path, content: str) -> Iterator[Keeper]:
    """Open a keeper by its path, through no link, and read it; raises Refusal unless it has this content."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(opened(path.parent))
            file = stack.enter_context(open_file(folder, path.name))
            changed = call(change_time, file.descriptor)
        except (FileNotFoundError, NotADirectoryError):
            raise Refusal(f"its keeper is gone, or no regular file: {path}") from None
        except OSError as error:
            raise Refusal(f"its keeper {refusal_of(error, 'cannot be read')}: {path}") from error
        except Refusal as refusal:
            raise Refusal(f"its keeper {refusal}: {path}") from None
        if file.content_hash != content:
            raise Refusal(f"its keeper has changed since the plan was made: {path}")
        yield Keeper(path, file, changed)


def protected_like(copy: Path, file: OpenFile, protected: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files in protected folders that have the path of a copy, below some folder of its own.

    One of them may be the copy itself, seen through another mount: that is told by its traits, or by its going with it.
    Raises Refusal for the first.
    """
    found = []
    for folder in protected:
        for depth in range(1, len(copy.parts)):
            path = folder.joinpath(*copy.parts[depth:])
            try:
                status = call(os.lstat, path)
            except OSError:
                continue
            if os.path.samestat(status, file.status) or _traits(status) == _traits(file.status):
                raise Refusal(f"is the same file as one in a protected folder: {path}")
            found.append(path)
    return tuple(found)


def _can_be_opened(path: Path) -> bool:
    """Tell whether a path leads to a file; it is opened, for whether a name is there is answered from memory."""
    try:
        os.close(call(os.open, path, FILE | os.O_RDONLY))
    except OSError as error:
        return error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
    return True


def _traits(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
