"""Journals as version 0.x wrote them, format 1: absolute paths, no checksums, roots that are known by their path alone.

They are read as if they had been written in the format of today; what is added to one is.
"""

import json
from pathlib import Path
from typing import Any

from siamese_search.actions.texts import Damage, is_absolute
from siamese_search.results import Action

_FORMAT = 2  # that of the lines they are read as
_TRASH = ".simsearch-trash"
_EVENTS = {event: event for event in ("begin", "done", "failed", "undoing", "undone")}


def is_old(line: bytes) -> bool:
    """Tell whether a journal that begins with this line is one of format 1."""
    return line.startswith(b'{"simsearch": "journal", "format": 1,')


def translated(old: list[bytes]) -> list[dict[str, Any] | None]:
    """Return the lines of an old journal as data of today; None for one that cannot be what was written.

    The places of a file before and after a step must belong together; that finds most of what a checksum would.
    """
    try:
        first = json.loads(old[0])
        head = {key: first[key] for key in ("action", "gallery", "run", "into")}
        action = Action(head["action"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damage("its first line is another") from error
    roots: dict[tuple[str, str], int] = {}
    records: dict[str, dict[str, Any]] = {}
    events: list[dict[str, Any] | None] = []
    runs: dict[int, str] = {}
    for number, line in enumerate(old[1:]):
        try:
            data = json.loads(line)
            event = data["event"]
            if event in {"apply", "undo", "end"}:
                runs[number] = event
                events.append(None)
                continue
            if event == "begin":
                records[data["copy"]] = _record(data, action, head, roots)
            events.append({"event": _EVENTS[event], **records[data["copy"]]})
        except (ValueError, KeyError, TypeError, Damage):
            events.append(None)
    known = [{"path": path, "label": label, "device": None, "inode": None, "filesystem": None} for path, label in roots]
    whole = {"simsearch": "journal", "format": _FORMAT, **head, "roots": known}
    for number, event in runs.items():
        events[number] = {"event": event, **whole}
    return [{"event": "apply", **whole}, *events]


def _record(
    data: dict[str, Any], action: Action, head: dict[str, Any], roots: dict[tuple[str, str], int]
) -> dict[str, Any]:
    copy, keep = data["copy"], data["keep"]
    if not (is_absolute(copy) and is_absolute(keep)):
        raise Damage("its paths are none")
    root, label, below = _parted(Path(copy), Path(data["target"]) if data["target"] else None, action, head)
    number = roots.setdefault((str(root), label), len(roots))
    inside = Path(keep).is_relative_to(root)
    unknown = {"uid": None, "gid": None}
    return {
        "root": number,
        "files": [
            {
                "path": str(below),
                "content_hash": data["content_hash"],
                "size": data["size"],
                "mode": data["mode"] & 0o7777,
                "atime_ns": data["mtime_ns"],
                "mtime_ns": data["mtime_ns"],
                "xattrs": None,
                **unknown,
            }
        ],
        "folders": [{"mode": 0o700, **unknown}] * len(below.parent.parts),
        "keep_root": number if inside else None,
        "keep": str(Path(keep).relative_to(root)) if inside else keep,
        "keep_hash": None,
        "keep_inode": None,
    }


def _parted(copy: Path, target: Path | None, action: Action, head: dict[str, Any]) -> tuple[Path, str, Path]:
    """Return the root of a copy, its label, and the path below it."""
    if action not in {Action.TRASH, Action.MOVE} or target is None:
        return copy.parent, copy.parent.name or "root", Path(copy.name)
    if action is Action.TRASH:
        before, _, below = str(target).partition(f"/{_TRASH}/{head['run']}/")
        root, label = Path(before or "/"), Path(before).name or "root"
    else:
        label, _, below = str(target.relative_to(Path(head["into"], head["run"]))).partition("/")
        root = Path(str(copy).removesuffix(f"/{below}") or "/")
    if not below or root / below != copy:
        raise Damage("its places do not belong together")
    return root, label, Path(below)
