"""A journal taken back: every step that was done, last one first, and nothing overwritten."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from siamese_search.actions.files import FileFacts, status_at
from siamese_search.actions.journal import Journal, Run, State, open_journal, read_journal
from siamese_search.actions.lines import Record
from siamese_search.actions.locks import only_actor
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.actions.roots import Roots
from siamese_search.actions.step import Gone, take_back
from siamese_search.errors import SimsearchError
from siamese_search.gallery import Gallery
from siamese_search.results import Action, ActionReport, Refused

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]
_NAMED = 3  # files named where a sentence is about many


def undo_journal(path: str | Path, *, progress: Progress | None = None, stop: Stop | None = None) -> ActionReport:
    """Take back every step of a journal that was done, last one first; refuse where something is in the way.

    A run that was killed goes on where it was. The gallery takes back what was restored; when it is gone or its encoder
    cannot be loaded, the files are restored all the same. `stop` is that of `apply_plan`. Raises PlanError, also when
    another process acts in the same folders.
    """
    path = Path(path)
    roots = [root.path for root in read_journal(path).head.roots]
    with only_actor(roots), open_journal(path) as journal, Roots(journal) as places:
        journal.note_run(Run.UNDO)
        undoing = Undoing(journal, places)
        undoing.work(progress, stop)
        places.tidy()
        note = catch_up(journal.head.gallery, journal)
        journal.end_run()
    return undoing.report(note)


class Undoing:
    """One run over the steps of a journal, and what came of it."""

    def __init__(self, journal: Journal, places: Roots) -> None:
        self._journal = journal
        self._places = places
        self._done: list[Path] = []
        self._refused = [
            Refused(path=journal.path, reason=f"line {line} is damaged: what it says cannot be taken back")
            for line in journal.content.damaged
        ]
        self._size = 0
        self._lost: defaultdict[str, list[Path]] = defaultdict(list)
        self._already = sum(state is State.UNDONE for state in journal.content.states.values())

    def work(self, progress: Progress | None = None, stop: Stop | None = None) -> None:
        """Take back every step that was begun."""
        content = self._journal.content
        waiting = [
            (copy, record)
            for copy, record in reversed(content.steps.items())
            if content.states[copy] in {State.BEGIN, State.DONE, State.UNDOING}
        ]
        for count, (copy, record) in enumerate(waiting, start=1):
            if stop and stop():
                break
            try:
                self._undo(copy, record)
            except Refusal as refusal:
                self._refused.append(Refused(path=copy, reason=str(refusal)))
            except OSError as error:
                self._refused.append(Refused(path=copy, reason=str(refusal_of(error, "cannot be restored"))))
            if progress:
                progress(count, len(waiting))

    def report(self, note: str) -> ActionReport:
        """Return what was done."""
        lost = (f"Restored, but not the {what} of {_some(paths)}." for what, paths in self._lost.items())
        return ActionReport(
            action=self._journal.head.action,
            undo=True,
            done=tuple(self._done),
            refused=tuple(self._refused),
            already=self._already,
            size=self._size,
            journal=self._journal.path,
            places=(),
            note=" ".join(filter(None, (*lost, self._journal.trouble, note))),
        )

    def _undo(self, copy: Path, record: Record) -> None:
        announced = self._journal.content.states[copy] is State.BEGIN
        moved, lost = take_step_back(self._journal, self._places, record)
        self._journal.note(State.FAILED if announced and not moved else State.UNDONE, record)
        for what in lost:
            self._lost[what].append(copy)
        if moved or not announced:
            self._done.append(copy)
            self._size += sum(facts.size for facts in record.files)


def take_step_back(journal: Journal, places: Roots, record: Record) -> tuple[bool, list[str]]:
    """Bring the files of a step back; tell whether one was elsewhere, and what could not be given back to it.

    Each file is brought back if it can be, whatever happens to the others. Raises Refusal or OSError for the first that
    cannot be.
    """
    moved, lost = False, []
    trouble: Refusal | OSError | None = None
    _announce_undo(journal, places, record)
    for facts in reversed(record.files):
        try:
            was_moved, lacks = _take_file_back(journal, places, record, facts)
            moved = moved or was_moved
            lost += lacks
        except (Refusal, OSError) as error:
            trouble = trouble or error
    if trouble:
        raise trouble
    return moved, lost


def _announce_undo(journal: Journal, places: Roots, record: Record) -> None:
    """Say that files are brought back to places that are free, so that what is there later is known to be theirs."""
    if journal.content.states[journal.head.path_of(record)] is not State.DONE:
        return
    with places.source(record) as source:
        taken = source is not None and any(status_at(source, _name(facts)) for facts in record.files)
        if journal.head.action is Action.HARDLINK or not taken:
            # Within a disk the name alone tells how far an undo came, so this need not be on the disk first.
            journal.note(State.UNDOING, record, settle=journal.head.action is not Action.TRASH)


def _take_file_back(journal: Journal, places: Roots, record: Record, facts: FileFacts) -> tuple[bool, list[str]]:
    action, state = journal.head.action, journal.content.states[journal.head.path_of(record)]
    name, names = _name(facts), places.names(record, facts)
    with ExitStack() as stack:
        target = stack.enter_context(places.target(record))
        is_away = target is not None and any(status_at(target, at) for at in (name, names.back))
        source = stack.enter_context(places.source(record, make=is_away))
        before = None if source is None else status_at(source, name)
        gone = Gone(
            facts=facts,
            name=name,
            source=source,
            target=target,
            names=names,
            announced=state is State.BEGIN,
            undoing=state is State.UNDOING,
            where=str(places.where(record, facts) or journal.head.path_of(record)),
            keep_inode=record.keep_inode,
        )
        lost = take_back(action, gone)
        after = None if source is None else status_at(source, name)
        moved = after is not None and (before is None or before.st_ino != after.st_ino)
        return moved, lost


def catch_up(gallery: Gallery | str, journal: Journal) -> str:
    """Bring a gallery in step with what has gone or come back; return a word about it when that failed."""
    try:
        if isinstance(gallery, str):
            with Gallery(gallery) as found:
                return catch_up(found, journal)
        if not gallery.exists():
            return f"The gallery is gone: {gallery.location}."
        gallery.refresh(list(_paths(journal)))
    except SimsearchError as error:
        return f"The gallery was not brought in step ({error}); simsearch index does that."
    return ""


def _paths(journal: Journal) -> Iterable[Path]:
    for record in journal.content.steps.values():
        root = journal.head.roots[record.root].path
        yield from (root / facts.path for facts in record.files)


def _name(facts: FileFacts) -> str:
    return PurePosixPath(facts.path).name


def _some(paths: list[Path]) -> str:
    named = ", ".join(map(str, paths[:_NAMED]))
    return f"{named} and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else named
