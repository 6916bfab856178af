"""One actor at a time on a folder and all below it, by locks of the kernel that end with their process."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from siamese_search.actions.system import call
from siamese_search.errors import PlanError


@contextmanager
def only_actor(folders: Iterable[Path]) -> Iterator[None]:
    """Be the only one who acts in some folders while inside; raises PlanError when somebody else does already.

    The folders themselves are locked, nothing is written. Those above are locked as well, but shared: so one who acts
    in a folder keeps out whoever wants to act in one around it. Folders that are not there are passed over.
    """
    wanted = sorted(set(folders))
    outer = [path for path in wanted if not any(other in path.parents for other in wanted)]
    above = {parent for path in outer for parent in path.parents} - set(outer)
    with ExitStack() as stack:
        for path in sorted(above):
            stack.enter_context(_locked(path, fcntl.LOCK_SH))
        for path in outer:
            stack.enter_context(_locked(path, fcntl.LOCK_EX))
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    try:
        folder = call(os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # what cannot be listed cannot be acted in
        yield
        return
    try:
        try:
            call(fcntl.flock, folder, kind | fcntl.LOCK_NB)
        except OSError as error:
            # Other errors: the file system knows no locks; each step proves its keeper all the same.
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise PlanError(f"{path}: another simsearch acts in this folder; try again when it is done") from None
        yield
        with suppress(OSError):
            call(fcntl.flock, folder, fcntl.LOCK_UN)  # a process that was started meanwhile must not keep it
    finally:
        os.close(folder)
