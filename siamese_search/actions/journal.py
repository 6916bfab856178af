"""The journal of an action: a file of JSON lines, each on disk before the step that it announces.

The first line says what is done and for which gallery; the others say what happened to which file:

    begin    about to act; holds all that is needed to undo it
    done     acted
    failed   nothing happened, and why
    undoing  about to undo
    undone   restored
    undo     an undo was begun: steps may only be undone until `end`
    apply    an apply was begun
    end      the run came to its end

A kill can tear the last line; it announced a step that was not begun, so it is dropped. One process at a time holds a
journal.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from siamese_search.errors import PlanError
from siamese_search.results import Action

FORMAT = 1


class State(StrEnum):
    """How far a step has come."""

    BEGIN = "begin"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first line. `run` names the folder inside a trash; `into` is where copies are moved to."""

    action: Action
    gallery: str
    run: str
    into: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One step as it was announced. `target` is where the copy goes; "" where it stays in its place."""

    copy: str
    keep: str
    target: str
    content_hash: str
    size: int
    mode: int
    mtime_ns: int


class Journal:
    """An open journal, held by this process. `steps` are in the order in which they were begun."""

    def __init__(self, path: Path, file: BinaryIO, head: Head, lines: list[dict[str, Any]]) -> None:
        self.path = path
        self.head = head
        self.steps: dict[str, Record] = {}
        self.states: dict[str, State] = {}
        self.undo_pending = False
        self._file = file
        for line in lines:
            self._take(line)

    def begin(self, record: Record) -> None:
        """Announce a step."""
        self._write({"event": State.BEGIN, **asdict(record)})

    def mark(self, state: State, copy: str, reason: str = "") -> None:
        """Note how far a step has come."""
        self._write({"event": state, "copy": copy, **({"reason": reason} if reason else {})})

    def mark_run(self, event: str) -> None:
        """Note that an `apply` or an `undo` begins, or its `end`."""
        self._write({"event": event})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        event = line["event"]
        if event == "end":
            self.undo_pending = False
        elif event in {"apply", "undo"}:
            self.undo_pending = event == "undo"
        elif event == State.BEGIN:
            record = Record(**{key: value for key, value in line.items() if key != "event"})
            self.steps.pop(record.copy, None)
            self.steps[record.copy] = record
            self.states[record.copy] = State.BEGIN
        else:
            self.states[line["copy"]] = State(event)


@contextmanager
def open_journal(path: Path, head: Head | None = None) -> Iterator[Journal]:
    """Open a journal for this process alone; with `head` it is made when it is missing, or must agree with it.

    Raises PlanError when it is missing, damaged, too new, in use, or about something else.
    """
    try:
        file = path.open("r+b" if head is None else "a+b")
    except OSError as error:
        raise PlanError(f"{path}: the journal cannot be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PlanError(f"{path}: another simsearch is working on this journal; wait for it to end") from None
        lines = _whole_lines(file)
        if not lines:
            if head is None:
                raise PlanError(f"{path}: not a journal; name the file that simsearch apply wrote")
            first = {"simsearch": "journal", "format": FORMAT, **asdict(head)}
            file.write(json.dumps(first).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            yield Journal(path, file, head, [])
            return
        try:
            found, events = _parse(lines)
            journal = Journal(path, file, found, events)
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(f"{path}: not a journal, or damaged ({error})") from error
        if head and (found.action, found.gallery, found.into) != (head.action, head.gallery, head.into):
            raise PlanError(
                f"{path}: begun with --to {found.action}{f' --into {found.into}' if found.into else ''}; go on with"
                f" that, or undo it and remove the journal"
            )
        yield journal


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """Return all lines that were written to their end, and cut off a torn last one."""
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    file.seek(whole)
    return content[:whole].splitlines()


def _parse(lines: list[bytes]) -> tuple[Head, list[dict[str, Any]]]:
    first, *events = [json.loads(line) for line in lines]
    if first.pop("simsearch") != "journal":
        raise ValueError("its first line is another")
    if first.pop("format") != FORMAT:
        raise ValueError(f"of a format other than {FORMAT}")
    return Head(**{**first, "action": Action(first["action"])}), events
