"""One actor at a time on a folder and all below it, by locks of the kernel that end with their process."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from siamese_search.actions.system import FILE, call
from siamese_search.duplicates.aliases import file_identity
from siamese_search.errors import PlanError

_FILE = ".simsearch-lock"  # where a file system locks files, but no folders: NFS


@contextmanager
def only_actor(folders: Iterable[Path]) -> Iterator[None]:
    """Be the only one who acts in some folders while inside; raises PlanError when somebody else does already.

    The folders themselves are locked, nothing is written. Those above are locked as well, but shared: so one who acts
    in a folder keeps out whoever wants to act in one around it. Folders that are not there are passed over. One folder
    under two mounts is locked once.
    """
    wanted = sorted(set(folders))
    outer = [path for path in wanted if not any(other in path.parents for other in wanted)]
    once = {file_identity(path) or path: path for path in reversed(outer)}
    above = sorted({parent for path in outer for parent in path.parents})
    with ExitStack() as stack:
        for path in above:
            if (file_identity(path) or path) not in once:
                _lock(path, fcntl.LOCK_SH, stack)
        for path in sorted(once.values()):
            _lock(path, fcntl.LOCK_EX, stack)
        yield


def _lock(path: Path, kind: int, stack: ExitStack) -> None:
    try:
        folder = call(os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # what cannot be listed cannot be acted in
        return
    stack.callback(os.close, folder)
    if _is_locked(path, folder, kind, stack) or kind == fcntl.LOCK_SH:
        return
    # Where that cannot be had either, each step proves its keeper all the same.
    with suppress(OSError):
        file = call(os.open, _FILE, FILE | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=folder)
        stack.callback(os.close, file)
        is_locked = _is_locked(path, file, kind, stack)
        stack.callback(_remove, folder)
        if is_locked and not os.path.samestat(call(os.fstat, file), call(os.stat, _FILE, dir_fd=folder)):
            raise _busy(path)  # its last holder has just removed it


def _is_locked(path: Path, descriptor: int, kind: int, stack: ExitStack) -> bool:
    try:
        call(fcntl.flock, descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            raise _busy(path) from None
        return False
    stack.callback(_unlock, descriptor)  # a process that was started meanwhile must not keep it
    return True


def _unlock(descriptor: int) -> None:
    with suppress(OSError):
        call(fcntl.flock, descriptor, fcntl.LOCK_UN)


def _remove(folder: int) -> None:
    with suppress(OSError):
        call(os.unlink, _FILE, dir_fd=folder)


def _busy(path: Path) -> PlanError:
    return PlanError(f"{path}: another simsearch acts in this folder; try again when it is done")
