"""Who writes to a gallery: one process at a time, known by name, and forgotten by the kernel when it dies."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import get_ident

from siamese_search.errors import BusyError, GalleryError

LOCK = "gallery.lock"
WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MAX_BYTES = 1000

_held: set[tuple[int, Path]] = set()  # the threads of this process that are writers, and of what


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only writer of a gallery folder while inside.

    Waits WAIT_SECONDS for another one, then raises GalleryError that tells which process it is and since when. Readers
    take no lock. What counts is the kernel's lock on the file, which ends with its process, not the file.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    path = folder / LOCK
    while (descriptor := _locked(path, folder, deadline)) is None:
        pass
    mine = (get_ident(), folder)
    _held.add(mine)
    try:
        with suppress(OSError):  # a full disk: who holds the lock stays unsaid
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"process": os.getpid(), "since": time.time()}).encode(), 0)
        yield
    finally:
        _held.discard(mine)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_mine(folder: Path) -> bool:
    """Tell whether it is this thread that is the writer of a gallery folder."""
    return (get_ident(), folder) in _held


def is_written(folder: Path) -> bool:
    """Tell whether a process is writing to a gallery folder just now."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _acquired(descriptor, fcntl.LOCK_SH)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _locked(path: Path, folder: Path, deadline: float) -> int | None:
    """Return a descriptor of the locked file, or None when its last holder has removed it meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be written: {error.strerror}; mend that and run it again") from error
    held = False
    try:
        while not _acquired(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise _busy(descriptor, folder)
            time.sleep(_POLL_SECONDS)
        held = os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise GalleryError(
            f"{folder}: cannot be locked: {error.strerror}; put the gallery on another disk: --index DIR"
        ) from error
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _acquired(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy(descriptor: int, folder: Path) -> BusyError:
    holder = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        about = json.loads(os.pread(descriptor, _MAX_BYTES, 0))
        since = datetime.fromtimestamp(float(about["since"])).astimezone()
        holder = f"process {int(about['process'])}, since {since:%Y-%m-%d %H:%M:%S},"
    return BusyError(f"{folder}: busy, {holder} is writing to it; try again when it is done")
