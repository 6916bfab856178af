"""A journal taken back: every step that was done, last one first, and nothing overwritten."""

from collections.abc import Callable
from pathlib import Path

from siamese_search.actions import disk
from siamese_search.actions.apply import finish
from siamese_search.actions.journal import Journal, Record, State, open_journal
from siamese_search.errors import SimsearchError
from siamese_search.gallery import Gallery
from siamese_search.images.files import hash_file
from siamese_search.results import Action, ActionReport, Refused

Progress = Callable[[int, int], None]


def undo_journal(path: str | Path, *, progress: Progress | None = None) -> ActionReport:
    """Take back every step of a journal that was done, last one first; refuse where something is in the way.

    A run that was killed goes on where it was. The gallery takes back what was restored; when it is gone or its encoder
    cannot be loaded, the files are restored all the same. Raises PlanError.
    """
    path = Path(path)
    done: list[Path] = []
    refused: list[Refused] = []
    size = 0
    with open_journal(path) as journal:
        journal.mark_run("undo")
        action = journal.head.action
        waiting = [
            record
            for record in reversed(journal.steps.values())
            if journal.states[record.copy] in {State.BEGIN, State.DONE, State.UNDOING}
        ]
        for count, record in enumerate(waiting, start=1):
            if journal.states[record.copy] is State.BEGIN and not finish(journal, record):
                continue
            trouble = _restore(journal, record)
            if trouble:
                refused.append(Refused(path=Path(record.copy), reason=trouble))
            else:
                done.append(Path(record.copy))
                size += record.size
            if progress:
                progress(count, len(waiting))
        already = sum(state is State.UNDONE for state in journal.states.values()) - len(done)
        note = _take_back(journal)
        journal.mark_run("end")
    return ActionReport(
        action=action,
        undo=True,
        done=tuple(done),
        refused=tuple(refused),
        already=already,
        size=size,
        journal=path,
        places=(),
        note=note,
    )


def _restore(journal: Journal, record: Record) -> str | None:
    """Take one step back; return what is in the way, or None."""
    action, copy, target = journal.head.action, Path(record.copy), Path(record.target)
    trouble = None
    try:
        match action:
            case Action.TRASH | Action.MOVE:
                trouble = _bring_back(journal, record, copy, target)
            case Action.HARDLINK:
                disk.drop_part(copy)
                if disk.same_file(copy, Path(record.keep)):
                    journal.mark(State.UNDOING, record.copy)
                    disk.unlink_in_place(copy, record.content_hash, mode=record.mode, mtime_ns=record.mtime_ns)
            case Action.REFLINK:
                pass  # the copy never stopped being a file of its own
    except OSError as error:
        trouble = f"cannot be restored: {error.strerror or error}"
    if trouble is None:
        journal.mark(State.UNDONE, record.copy)
    return trouble


def _bring_back(journal: Journal, record: Record, copy: Path, target: Path) -> str | None:
    if disk.finish_transfer(target, copy, record.content_hash):
        return None  # it was restored, by a run that was killed or by hand
    if disk.regular_file(target) is None:
        return f"is no longer at {target}"
    if hash_file(target) != record.content_hash:
        return f"was changed at {target}; move it by hand"
    if copy.is_symlink() or copy.exists():
        return f"another file is in its place now; what was there is at {target}"
    journal.mark(State.UNDOING, record.copy)
    disk.transfer(target, copy, record.content_hash)
    disk.drop_empty_folders(target.parent)
    return None


def _take_back(journal: Journal) -> str:
    """Bring the gallery in step with what was restored; return a word about it when that failed."""
    restored = [Path(copy) for copy, state in journal.states.items() if state is State.UNDONE]
    try:
        with Gallery(journal.head.gallery) as gallery:
            gallery.refresh(restored)
    except SimsearchError as error:
        return f"the gallery was not brought in step: {error}"
    return ""
