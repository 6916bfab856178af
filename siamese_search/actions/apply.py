"""A plan put into practice: every step checked just before, announced before it is done, and killable."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from siamese_search.actions import disk
from siamese_search.actions.checks import Checks
from siamese_search.actions.journal import Head, Journal, Record, State, open_journal
from siamese_search.actions.plan import Plan, Step, journal_of, read_plan
from siamese_search.errors import FolderError, OptionError, PlanError
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in, resolve_folders
from siamese_search.results import Action, ActionReport, Refused

Progress = Callable[[int, int], None]


def apply_plan(
    plan: Plan | str | Path,
    *,
    action: Action | str,
    journal: Path | None = None,
    into: Path | None = None,
    protect: Sequence[Path] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ActionReport:
    """Do something with every copy of a plan that passes all checks; refuse the others, one reason each.

    `plan` is a file that `write_plan` wrote, or what `read_plan` made of it; `action` may be a word: "trash", "move",
    "hardlink" or "reflink". Steps that `journal` (default: the one beside the file) knows as done are not done again,
    so a run that was killed goes on where it was. The gallery forgets what has gone. `dry_run` checks everything and
    changes nothing. Raises PlanError when the plan or journal as a whole will not do, GalleryError, OptionError.
    """
    action = Action(action)
    if not isinstance(plan, Plan):
        journal = journal or journal_of(Path(plan))
        plan = read_plan(Path(plan))
    if journal is None:
        raise OptionError("a plan without its file needs a journal")
    into = _destination(action, into, plan)
    with Gallery(plan.gallery) as gallery, Gallery(plan.against or plan.gallery) as other:
        checks = Checks(plan, gallery, other, action=action, protect=protect)
        if dry_run:
            return _rehearse(plan, checks, action)
        now = datetime.now(UTC).strftime("%Y-%m-%d_%H.%M.%S_%f")
        head = Head(action=action, gallery=str(plan.gallery), run=now, into=str(into) if into else None)
        with open_journal(journal, head) as opened:
            if opened.undo_pending:
                raise PlanError(f"{journal}: an undo was begun and not ended; first: simsearch undo {journal}")
            opened.mark_run("apply")
            for copy, state in list(opened.states.items()):
                if state is State.BEGIN:
                    finish(opened, opened.steps[copy])
            report = _work(plan, checks, opened, gallery.roots, progress)
            gallery.refresh(Path(copy) for copy in opened.steps)
            opened.mark_run("end")
    return report


def _work(
    plan: Plan, checks: Checks, journal: Journal, roots: Sequence[Path], progress: Progress | None
) -> ActionReport:
    done: list[Path] = []
    refused: list[Refused] = []
    already = size = 0
    places: dict[Path, None] = {}
    for count, step in enumerate(plan.steps, start=1):
        if _still_done(journal, step):
            already += 1
        else:
            trouble = checks.objection(step)
            if trouble is None:
                record, trouble = _act(journal, step, roots)
            if trouble is not None:
                refused.append(Refused(path=step.copy, reason=trouble))
            else:
                done.append(Path(record.copy))
                size += record.size
        if progress:
            progress(count, len(plan.steps))
    for record in journal.steps.values():
        if record.target and journal.states[record.copy] is State.DONE:
            places.setdefault(_place(journal, Path(record.target)))
    return ActionReport(
        action=journal.head.action,
        undo=False,
        done=tuple(done),
        refused=tuple(refused),
        already=already,
        size=size,
        journal=journal.path,
        places=tuple(places),
    )


def _still_done(journal: Journal, step: Step) -> bool:
    """Tell whether this journal has done a step; a file that has come back to a place put away is a new case."""
    if journal.states.get(str(step.copy)) is not State.DONE:
        return False
    return journal.head.action in {Action.HARDLINK, Action.REFLINK} or not step.copy.exists()


def _act(journal: Journal, step: Step, roots: Sequence[Path]) -> tuple[Record, str | None]:
    """Announce and do one step that nothing speaks against; return what was announced, and what went wrong."""
    if journal.states.get(str(step.copy)) is State.DONE:
        return journal.steps[str(step.copy)], "was put away by this plan and is there again; make a new plan"
    status = step.copy.lstat()
    record = Record(
        copy=str(step.copy),
        keep=str(step.keep),
        target=str(_target(journal, step.copy, roots) or ""),
        content_hash=step.copy_hash,
        size=status.st_size,
        mode=status.st_mode,
        mtime_ns=status.st_mtime_ns,
    )
    journal.begin(record)
    try:
        match journal.head.action:
            case Action.HARDLINK:
                disk.link_in_place(step.copy, step.keep)
            case Action.REFLINK:
                disk.share_blocks(step.copy, step.keep)
            case Action.TRASH | Action.MOVE:
                disk.transfer(step.copy, Path(record.target), record.content_hash)
    except OSError as error:
        if not _happened(journal.head.action, record):
            trouble = f"cannot be changed: {error.strerror or error}"
            journal.mark(State.FAILED, record.copy, trouble)
            return record, trouble
    journal.mark(State.DONE, record.copy)
    return record, None


def finish(journal: Journal, record: Record) -> bool:
    """Settle a step that was announced and perhaps interrupted; tell whether it took place."""
    happened = _happened(journal.head.action, record)
    journal.mark(State.DONE if happened else State.FAILED, record.copy)
    return happened


def _happened(action: Action, record: Record) -> bool:
    copy = Path(record.copy)
    if action in {Action.TRASH, Action.MOVE}:
        return disk.finish_transfer(copy, Path(record.target), record.content_hash)
    if action is Action.HARDLINK:
        disk.drop_part(copy)
        return disk.same_file(copy, Path(record.keep))
    return False  # sharing blocks again does no harm


def _target(journal: Journal, copy: Path, roots: Sequence[Path]) -> Path | None:
    root = next(root for root in roots if lies_in(copy, [root]))
    match journal.head.action:
        case Action.TRASH:
            return disk.trash_place(copy, root, journal.head.run)
        case Action.MOVE:
            # Two roots may hold the same relative path, so the name of the root is part of the place.
            return Path(str(journal.head.into), journal.head.run, root.name, copy.relative_to(root))
        case _:
            return None


def _place(journal: Journal, target: Path) -> Path:
    """Return the folder that holds what this run has put away."""
    run = target.parts.index(journal.head.run)
    return Path(*target.parts[: run + 1])


def _destination(action: Action, into: Path | None, plan: Plan) -> Path | None:
    if (action is Action.MOVE) != (into is not None):
        raise OptionError("--to move needs --into DIR, and only it")
    if into is None:
        return None
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{into}: cannot be made: {error.strerror}") from error
    (resolved,) = resolve_folders([into])
    with Gallery(plan.gallery) as gallery:
        if lies_in(resolved, gallery.roots):
            raise OptionError(f"{into}: lies in a folder of the gallery, where the copies would be found again")
    if lies_in(resolved, plan.protected):
        raise OptionError(f"{into}: lies in a protected folder")
    return resolved


def _rehearse(plan: Plan, checks: Checks, action: Action) -> ActionReport:
    done: list[Path] = []
    refused: list[Refused] = []
    size = 0
    for step in plan.steps:
        trouble = checks.objection(step)
        if trouble:
            refused.append(Refused(path=step.copy, reason=trouble))
        else:
            done.append(step.copy)
            size += step.copy.lstat().st_size
    return ActionReport(
        action=action,
        undo=False,
        done=tuple(done),
        refused=tuple(refused),
        already=0,
        size=size,
        journal=None,
        places=(),
    )
