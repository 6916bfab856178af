"""Folders watched: whenever something changes in them, the smallest folders around it are named."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_search.errors import FolderError, OptionError
from siamese_search.images.files import folder_trouble, lies_in

if TYPE_CHECKING:
    from watchfiles import Change

_QUIET_MS = 300  # changes that follow each other faster are one batch
_LONGEST_MS = 5000  # but none waits longer than this
_LOOK_MS = 2000  # how often it is seen whether a drive came or went


def changes(
    roots: Sequence[Path], *, apart_from: Path | None, stop: threading.Event | None = None
) -> Iterator[list[Path]]:
    """Yield, until stopped, the folders in which something changed, first all that are there.

    A root that vanishes is not named until it is back. Changes under `apart_from`, where the gallery itself
    is written, do not count. Raises OptionError when the extra that this needs is not installed.
    """
    try:
        from watchfiles import watch  # noqa: PLC0415  an extra
    except ImportError:
        raise OptionError("--watch needs an extra: pip install 'siamese-search[watch]'") from None
    stop = stop or threading.Event()
    while not stop.is_set():
        present = _present(roots)
        if not present:
            stop.wait(_LOOK_MS / 1000)
            continue
        events: Iterator[set[tuple[Change, str]]] = watch(
            *present,
            watch_filter=None,
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            rust_timeout=_LOOK_MS // 4,
            yield_on_timeout=True,
            stop_event=stop,
            ignore_permission_denied=True,
        )
        try:
            next(events, None)  # now it is watching: what changes from here on is not missed
        except (OSError, RuntimeError) as error:  # such as too few watches allowed
            raise FolderError(f"{present[0]}: cannot be watched: {error}; index without --watch") from error
        yield present
        for batch in events:
            if folders := _folders((path for _, path in batch), present, apart_from and apart_from.resolve()):
                yield folders
            if _present(roots) != present:
                break


def _present(roots: Sequence[Path]) -> list[Path]:
    return [root for root in roots if folder_trouble(root) is None]


def _folders(paths: Iterable[Any], roots: Sequence[Path], apart_from: Path | None) -> list[Path]:
    """Return the nearest existing folder in a root around each path."""
    found = set()
    for name in paths:
        path = Path(name)
        if (apart_from and lies_in(path, [apart_from])) or not lies_in(path, roots):
            continue
        if any(part.startswith(".") for part in _inside(path, roots).parts):
            continue  # hidden, as for every sync
        while not path.is_dir() and path not in roots:
            path = path.parent
        if path.is_dir():
            found.add(path)
    return sorted(found)


def _inside(path: Path, roots: Sequence[Path]) -> Path:
    return path.relative_to(next(root for root in roots if lies_in(path, [root])))
