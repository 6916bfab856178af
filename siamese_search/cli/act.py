"""Acting on a plan, and taking it back."""

from pathlib import Path
from typing import Annotated

import typer

from siamese_search.cli.options import JsonOption, QuietOption, writable_folder
from siamese_search.cli.output import print_json, print_text, progress_bar
from siamese_search.results import Action, ActionReport

app = typer.Typer()

_NAMED = 50  # files whose refusal is shown one by one


@app.command(epilog="Example: simsearch apply plan.json --to trash --dry-run")
def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="What simsearch dedupe --plan wrote.")],
    to: Annotated[Action, typer.Option(help="What to do with the copies.")],
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", callback=writable_folder, help="With --to move: where to.")
    ] = None,
    protect: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Never touch what is in here, whatever the plan says.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do what a plan says with the copies, never with what is kept.

    Every file is checked again before it is touched, and every step is written to a journal beside the plan, so that
    simsearch undo can take it back. Interrupted, the same command goes on. Into the trash means the folder
    .simsearch-trash at the top of the indexed folder; delete it to free the space for good. Hardlinks and reflinks are
    made of identical files only. What is refused stays as it is; when nothing could be done, the exit code is 1.
    """
    from siamese_search.actions import apply_plan, journal_of  # noqa: PLC0415
    from siamese_search.actions.plan import read_plan  # noqa: PLC0415
    from siamese_search.images.files import resolve_folders  # noqa: PLC0415

    with progress_bar("Acting", quiet=quiet) as progress:
        report = apply_plan(
            read_plan(plan),
            action=to,
            journal=journal_of(plan),
            into=into,
            protect=resolve_folders(protect or ()),
            dry_run=dry_run,
            progress=progress,
        )
    _print(report, json=json)


@app.command(epilog="Example: simsearch undo plan.journal")
def undo(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="What simsearch apply wrote beside the plan.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take back what an apply did: every file returns to its place.

    A file whose place is taken by now is left where it was put, and named. When nothing could be restored, the exit
    code is 1.
    """
    from siamese_search.actions import undo_journal  # noqa: PLC0415

    with progress_bar("Restoring", quiet=quiet) as progress:
        report = undo_journal(journal, progress=progress)
    _print(report, json=json)


def _print(report: ActionReport, *, json: bool) -> None:
    from siamese_search.report.data import action_json, refused_by_reason  # noqa: PLC0415
    from siamese_search.report.words import action_words  # noqa: PLC0415

    if json:
        print_json(action_json(report))
    else:
        for refused in report.refused[:_NAMED]:
            print_text(f"refused: {refused.path} {refused.reason}")
        if len(report.refused) > _NAMED:
            print_text(f"refused: and {len(report.refused) - _NAMED:,} more; --json names them all")
        print_text(action_words(report))
        for reason, count in refused_by_reason(report).items():
            print_text(f"  {count:,} refused: {reason}")
        _print_places(report)
    if report.refused and not report.done and not report.already:
        raise typer.Exit(1)


def _print_places(report: ActionReport) -> None:
    for place in report.places:
        free = "; delete it to free the space for good" if report.action is Action.TRASH else ""
        print_text(f"They are in {place}{free}.")
    if report.note:
        print_text(report.note)
    if report.journal and not report.undo and (report.done or report.already):
        print_text(f"To take it back: simsearch undo {report.journal}")
