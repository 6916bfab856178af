"""The journal of an action: a file of JSON lines, each on disk before the change that it announces.

Every line is whole by itself and begins with its own checksum:

    {"sum": "…", "event": "begin", "root": 0, "files": […], "folders": […], "keep": "…", …}

    apply    an apply was begun, undo: an undo was begun, end: it came to its end; each holds the head: what is done,
             for which gallery, and the roots that all paths start from. A new journal begins with two of them
    begin    about to act; holds all that is needed to undo it, as the other events of a step do
    done     acted
    failed   nothing happened, and why
    undoing  about to undo
    undone   restored

A kill can tear the last line; it announced a change that was not begun, so it is dropped. A damaged line inside is
passed over and named. One process at a time holds a journal, and it is opened for writing only once it was read and
found to be one.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import xxhash

from siamese_search.actions.files import Names, drop, place, write_at
from siamese_search.actions.folders import Root, sync
from siamese_search.actions.lines import Head, Record, event_line, head_of, lines_of, record_of
from siamese_search.actions.refusal import Refusal, words_of
from siamese_search.actions.system import FILE, FOLDER, call
from siamese_search.actions.texts import Damage
from siamese_search.errors import PlanError

_MARK = b'"simsearch": "journal"'
_MAX_BYTES = 4 << 30  # more is no journal


class State(StrEnum):
    """How far a step has come."""

    BEGIN = "begin"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


class Run(StrEnum):
    """What a process does with a journal."""

    APPLY = "apply"
    UNDO = "undo"
    END = "end"


@dataclass(slots=True)
class Content:
    """What a journal says. `steps` are in the order in which they were begun; `damaged` holds numbers of lines."""

    head: Head
    steps: dict[Path, Record]
    states: dict[Path, State]
    undo_pending: bool
    damaged: tuple[int, ...]
    whole: int  # bytes, without a torn last line

    def take(self, event: str, record: Record) -> None:
        """Note what an event says of a step."""
        copy = self.head.path_of(record)
        if event == State.BEGIN:
            self.steps.pop(copy, None)
        self.steps[copy] = record
        self.states[copy] = State(event)


class Journal:
    """An open journal, held by this process."""

    def __init__(self, path: Path, file: int, content: Content) -> None:
        self.path = path
        self.content = content
        self.trouble = ""  # why a line could not be written, if one could not
        self._file = file
        self._size: int | None = content.whole  # None: nothing more can be written

    @property
    def head(self) -> Head:
        """What is done, and the roots that were met so far."""
        return self.content.head

    def add_root(self, root: Root) -> None:
        """Let paths start from another root."""
        head = replace(self.content.head, roots=(*self.content.head.roots, root))
        self._write(Run.APPLY, {"head": head})
        self.content.head = head

    def begin_run(self, run: Run) -> None:
        """Note that an `apply` or an `undo` begins; raises PlanError when that cannot be written."""
        try:
            self._write(run, {"head": self.head})
        except Refusal as refusal:
            raise PlanError(f"{self.path}: {refusal}; nothing was done") from None
        self.content.undo_pending = run is Run.UNDO

    def end_run(self) -> None:
        """Note that it came to its end."""
        self.note_run(Run.END)
        self.content.undo_pending = False

    def note_run(self, run: Run) -> None:
        """Note how far a run is, where that is not needed to go on."""
        with suppress(Refusal):
            self._write(run, {"head": self.head})

    def begin(self, record: Record) -> None:
        """Announce a step; raises Refusal when that is not on disk, so that nothing may be done."""
        self._write(State.BEGIN, {"record": record})
        self.content.take(State.BEGIN, record)

    def note(self, state: State, record: Record, reason: str = "", *, settle: bool = False) -> None:
        """Note how far a step is. Where that cannot be written, what is on disk is looked at by whoever goes on.

        `settle`: it must be on the disk before what comes next. What follows a change is taken along by the next one.
        """
        with suppress(Refusal):
            self._write(state, {"record": record, "reason": reason}, settle=settle)
        self.content.take(state, record)

    def _write(self, event: str, about: dict[str, Any], *, settle: bool = True) -> None:
        line = event_line(event, **about)
        try:
            if self._size is None:
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # noqa: TRY301
            write_at(self._file, line, self._size)
            if settle:
                call(os.fsync, self._file)
        except OSError as error:
            self.trouble = f"the journal cannot be written: {words_of(error)}"
            self._cut()
            raise Refusal(self.trouble) from error
        self._size += len(line)

    def _cut(self) -> None:
        """Take half a line away; where that fails, nothing more is written."""
        try:
            if self._size is not None:
                call(os.ftruncate, self._file, self._size)
        except OSError:
            self._size = None


def read_journal(path: Path) -> Content:
    """Read a journal without touching it; raises PlanError when it is missing, too new, damaged or none."""
    try:
        file = call(os.open, path, os.O_RDONLY | FILE & ~os.O_NOFOLLOW)
    except OSError as error:
        raise PlanError(f"{path}: the journal cannot be opened: {words_of(error)}") from error
    try:
        return _content(path, file)
    finally:
        os.close(file)


@contextmanager
def open_journal(path: Path, head: Head | None = None) -> Iterator[Journal]:
    """Open a journal for this process alone; with `head` it is made when it is missing, or must agree with it.

    Raises PlanError when it is missing, damaged, too new, in use, or about something else.
    """
    if head is not None and not os.path.lexists(path):
        _create(path, head)
    read_journal(path)
    try:
        file = call(os.open, path, os.O_RDWR | FILE & ~os.O_NOFOLLOW)
    except OSError as error:
        raise PlanError(f"{path}: the journal cannot be written: {words_of(error)}") from error
    try:
        try:
            call(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlanError(f"{path}: another simsearch is working on this journal; wait for it to end") from None
        except OSError as error:
            raise PlanError(f"{path}: the journal cannot be locked: {words_of(error)}") from error
        content = _content(path, file)
        if head:
            check_agrees(path, content, head)
        yield Journal(path, file, content)
    finally:
        os.close(file)


def check_agrees(path: Path, content: Content, head: Head) -> None:
    """Raise PlanError unless an apply may go on with a journal."""
    found = content.head
    if (found.action, found.gallery, found.into) != (head.action, head.gallery, head.into):
        raise PlanError(
            f"{path}: begun with --to {found.action}{f' --into {found.into}' if found.into else ''}; go on with that,"
            f" or undo it and remove the journal"
        )
    if content.damaged:
        raise PlanError(f"{path}: line {content.damaged[0]} is damaged; take back what was done: simsearch undo {path}")
    if content.undo_pending:
        raise PlanError(f"{path}: an undo was begun and not ended; first: simsearch undo {path}")


def _create(path: Path, head: Head) -> None:
    """Make a journal that is whole from its first moment; one that somebody makes meanwhile is left alone."""
    half = Names.of(xxhash.xxh3_64_hexdigest(os.fsencode(path.name))).part
    lines = 2 * event_line(Run.APPLY, head=head)  # one damaged line must not cost all others
    try:
        with _parent_of(path) as folder:
            try:
                file = call(os.open, half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FILE, 0o600, dir_fd=folder)
                try:
                    write_at(file, lines, 0)
                    call(os.fsync, file)
                finally:
                    os.close(file)
                with suppress(FileExistsError):
                    place(folder, half, folder, path.name)
                sync(folder)
            finally:
                drop(folder, half)
    except OSError as error:
        raise PlanError(f"{path}: the journal cannot be made: {words_of(error)}") from error


@contextmanager
def _parent_of(path: Path) -> Iterator[int]:
    folder = call(os.open, path.parent, FOLDER & ~os.O_NOFOLLOW)
    try:
        yield folder
    finally:
        os.close(folder)


def _content(path: Path, file: int) -> Content:
    """Return what an open file says as a journal; raises PlanError when it is none."""
    try:
        status = call(os.fstat, file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise PlanError(f"{path}: not a journal; name the file that simsearch apply wrote")
        data = bytearray()
        while chunk := call(os.pread, file, 1 << 20, len(data)):
            data += chunk
            if _MARK not in data:  # it is in the first two lines
                raise PlanError(f"{path}: not a journal; name the file that simsearch apply wrote")
    except OSError as error:
        raise PlanError(f"{path}: the journal cannot be read: {words_of(error)}") from error
    whole = data.rfind(b"\n") + 1
    try:
        return _parse(bytes(data[:whole]), whole)
    except Damage as damage:
        raise PlanError(
            f"{path}: not a journal, or damaged: {damage}; name the file that simsearch apply wrote"
        ) from None


def _parse(data: bytes, whole: int) -> Content:
    lines = lines_of(data)
    heads = [head_of(line) for line in lines if line is not None and "action" in line]
    if not heads:
        raise Damage("it does not say what was done")
    content = Content(head=_joined(heads), steps={}, states={}, undo_pending=False, damaged=(), whole=whole)
    damaged = []
    for number, line in enumerate(lines, start=1):
        try:
            if line is None:
                raise Damage("its checksum differs")  # noqa: TRY301
            event = str(line.get("event"))
            if "action" in line:
                content.undo_pending = Run(event) is Run.UNDO
            else:
                content.take(State(event), record_of(line, content.head))
        except (Damage, ValueError):
            damaged.append(number)
    content.damaged = tuple(damaged)
    return content


def _joined(heads: Sequence[Head]) -> Head:
    """Return the head that knows most roots; the others must say the same, as far as they go."""
    longest = max(heads, key=lambda head: len(head.roots))
    for head in heads:
        if replace(head, roots=longest.roots) != longest or longest.roots[: len(head.roots)] != head.roots:
            raise Damage("its lines contradict one another")
    return longest
