"""A plan put into practice: every step checked just before, announced before it is done, and killable."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from siamese_search.actions import look
from siamese_search.actions.checks import Checks
from siamese_search.actions.files import status_at
from siamese_search.actions.foresee import rehearse
from siamese_search.actions.journal import Journal, Run, State, open_journal
from siamese_search.actions.lines import Head, Record
from siamese_search.actions.locks import only_actor
from siamese_search.actions.plan import Plan, Step, journal_of, read_plan
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.actions.roots import Roots
from siamese_search.actions.step import Going, perform
from siamese_search.actions.undo import catch_up, take_step_back
from siamese_search.errors import FolderError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in
from siamese_search.paths import expanded
from siamese_search.results import Action, ActionReport, Refused

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


def apply_plan(
    plan: Plan | str | Path,
    *,
    action: Action | str,
    journal: Path | None = None,
    into: Path | None = None,
    protect: Sequence[Path] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> ActionReport:
    """Do something with every copy of a plan that passes all checks; refuse the others, one reason each.

    `plan` is a file that `write_plan` wrote, or what `read_plan` made of it; `action` may be a word: "trash", "move",
    "hardlink" or "reflink". Steps that `journal` (default: the one beside the file) knows as done are not done again,
    so a run that was killed goes on where it was. The gallery forgets what has gone. `dry_run` checks everything that
    can be foreseen and changes nothing. `stop` is asked between steps, and ends the run well when it returns True.
    Raises PlanError when the plan or journal as a whole will not do, or another process acts in the same folders;
    GalleryError, OptionError.
    """
    action = Action(action)
    if not isinstance(plan, Plan):
        journal = journal or journal_of(Path(plan))
        plan = read_plan(Path(plan))
    if journal is None:
        raise OptionError("a plan without its file needs a journal")
    with Gallery(plan.gallery) as gallery, Gallery(plan.against or plan.gallery) as other:
        roots = {*gallery.roots, *other.roots}
        now = datetime.now(UTC).strftime("%Y-%m-%d_%H.%M.%S_%f")
        destination = _destination(action, into, roots=roots, protected=(*plan.protected, *protect))
        head = Head(action=action, gallery=plan.gallery, run=now, into=destination, roots=())
        checks = Checks(plan, gallery, other, action=action, protect=protect, dry_run=dry_run)
        if dry_run:
            return rehearse(plan.steps, checks, head, journal)
        with only_actor(roots), open_journal(journal, head) as opened, Roots(opened) as places:
            opened.begin_run(Run.APPLY)
            acting = Acting(opened, places, checks)
            acting.work(plan.steps, progress, stop)
            note = catch_up(gallery, opened)
            opened.end_run()
    return acting.report(note)


class Acting:
    """One run over the steps of a plan, and what came of it."""

    def __init__(self, journal: Journal, places: Roots, checks: look.Objections) -> None:
        self._journal = journal
        self._places = places
        self._checks = checks
        self._done: list[Path] = []
        self._refused: list[Refused] = []
        self._already = 0
        self._size = 0

    def work(self, steps: Sequence[Step], progress: Progress | None = None, stop: Stop | None = None) -> None:
        """Do every step that nothing speaks against."""
        named: set[Path] = set()
        for count, step in enumerate(steps, start=1):
            if stop and stop():
                break
            try:
                look.check_named_once(step, named)
                if look.is_done(self._journal.content, step):
                    self._already += 1
                else:
                    self._size += self._do(step)
                    self._done.append(step.copy)
            except Refusal as refusal:
                self._refused.append(Refused(path=step.copy, reason=str(refusal)))
            except OSError as error:
                self._refused.append(Refused(path=step.copy, reason=str(refusal_of(error, "cannot be changed"))))
            if progress:
                progress(count, len(steps))

    def report(self, note: str) -> ActionReport:
        """Return what was done."""
        content = self._journal.content
        places = {
            self._places.place(record) for copy, record in content.steps.items() if content.states[copy] is State.DONE
        }
        return ActionReport(
            action=content.head.action,
            undo=False,
            done=tuple(self._done),
            refused=tuple(self._refused),
            already=self._already,
            size=self._size,
            journal=self._journal.path,
            places=tuple(sorted(place for place in places if place)),
            note=" ".join(filter(None, (self._journal.trouble, note))),
        )

    def _do(self, step: Step) -> int:
        """Do one step, or raise Refusal or OSError with all files as they were; return the bytes that went."""
        self._settle(step)
        if objection := self._checks.objection(step):
            raise Refusal(objection)
        action = self._journal.head.action
        with ExitStack() as stack:
            top, names = look.split_path(step.copy, self._checks.root_of(step.copy))
            number = self._number_of(top)
            found = look.open_step(step, action, self._places.folder(number), names, self._checks.protected, stack)
            keep_root, keep = self._places.keeper_place(step.keep)
            record = Record(
                root=number,
                files=tuple(file.facts("/".join((*names, file.name))) for file in found.files),
                folders=self._places.facts(number, names),
                keep_root=keep_root,
                keep=keep,
                keep_hash=step.keep_hash,
                keep_inode=found.keeper.file.status.st_ino,
            )
            self._journal.begin(record)
            try:
                with self._places.new_target(record) as target:
                    perform(action, self._going(found, record, target), found.keeper)
            except (Refusal, OSError) as trouble:
                self._fail(record, trouble)
                raise
            self._journal.note(State.DONE, record)
        return sum(facts.size for facts in record.files)

    def _going(self, found: look.Found, record: Record, target: int | None) -> list[Going]:
        if target is not None and any(status_at(target, file.name) for file in found.files):
            raise Refusal("the place it would go to is taken")
        return [
            Going(file=file, facts=facts, target=target, names=self._places.names(record, facts))
            for file, facts in zip(found.files, record.files, strict=True)
        ]

    def _number_of(self, top: Path) -> int:
        try:
            return self._places.number_of(top)
        except OSError as error:
            raise refusal_of(error, "lies in a folder that cannot be opened") from error

    def _settle(self, step: Step) -> None:
        """Take back what an earlier run has begun with a step, so that all of it is checked again."""
        state = self._journal.content.states.get(step.copy)
        if state in {State.BEGIN, State.UNDOING}:
            record = self._journal.content.steps[step.copy]
            take_step_back(self._journal, self._places, record)
            self._journal.note(State.FAILED, record, "an earlier run was ended in the middle")
        elif state is State.DONE and self._journal.head.action in look.PUTTING_AWAY:
            raise Refusal("was put away by this plan and is there again; make a new plan")

    def _fail(self, record: Record, trouble: Refusal | OSError) -> None:
        """Bring everything back after a step that failed; what cannot be brought back is named."""
        try:
            _, lost = take_step_back(self._journal, self._places, record)
        except (Refusal, OSError) as more:
            raise Refusal(f"{_said(trouble)}; and then: {_said(more)}") from trouble
        self._places.drop_target(record)
        self._journal.note(State.FAILED, record, _said(trouble))
        if lost:
            raise Refusal(f"{_said(trouble)}; restored, but not its {' and '.join(lost)}") from trouble


def _said(trouble: Refusal | OSError) -> str:
    return str(refusal_of(trouble, "cannot be changed") if isinstance(trouble, OSError) else trouble)


def _destination(action: Action, into: Path | None, *, roots: set[Path], protected: Sequence[Path]) -> Path | None:
    """Return the real path of the folder to move to, which need not be there yet."""
    if (action is Action.MOVE) != (into is not None):
        raise OptionError("--to move needs --into DIR, and only it")
    if into is None:
        return None
    try:
        resolved = expanded(into).resolve()
        if resolved.exists() and not resolved.is_dir():
            raise FolderError(f"{into}: is a file; name a folder")
    except (OSError, RuntimeError) as error:
        raise FolderError(f"{into}: cannot be looked at: {error}") from error
    if lies_in(resolved, roots):
        raise OptionError(f"{into}: lies in a folder of the gallery, where the copies would be found again")
    if lies_in(resolved, protected):
        raise OptionError(f"{into}: lies in a protected folder")
    return resolved
