"""Finding duplicates: the groups in a table, as data, as a page, and as a plan."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from siamese_search.atomic import made_folder
from siamese_search.cli.found import print_groups, print_summary
from siamese_search.cli.options import (
    CsvOption,
    DetailsOption,
    IndexOption,
    JsonOption,
    QuietOption,
    ThresholdOption,
    one_format,
    say_waiting,
    writable_file,
    writable_folder,
)
from siamese_search.cli.output import print_csv, print_json, progress_bar, silent_decoders
from siamese_search.errors import OptionError
from siamese_search.memory import keep_memory
from siamese_search.results import KEEP_RULES, SAFE_RELATIONS, DedupeReport, DuplicateGroup, Relation

app = typer.Typer()

_PAGES = frozenset({".html", ".htm"})


def _is_page(report: Path) -> bool:
    return report.suffix.lower() in _PAGES


def _page(report: Path) -> Path:
    """Return the file that a report goes into: the one that was named, or the first page of a folder."""
    return report if _is_page(report) else report / "index.html"


def _writable_page(report: Path | None) -> Path | None:
    if report:
        (writable_file if _is_page(report) else writable_folder)(report)
    return report


_ONLY = (*SAFE_RELATIONS, Relation.ALTERED)


@app.command(epilog="Example: simsearch dedupe --keep oldest --protect ~/Pictures/Originals --report duplicates")
def dedupe(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER|IMAGE", help="Only these indexed folders or pictures.  [default: all]"),
    ] = None,
    threshold: ThresholdOption = None,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="P",
            help="Instead of --threshold: the distance within which that share are true copies, on photos.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Compare with the pictures of this gallery alone, and keep those."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help=f"What to keep, in order: {', '.join(KEEP_RULES)}.  [default: all in this order, but newest]",
        ),
    ] = None,
    prefer: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Keep pictures in here first; earlier ones win.")
    ] = None,
    protect: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Never plan to touch what is in here.")
    ] = None,
    details: DetailsOption = True,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RELATION",
            help=f"Plan for these copies alone: {', '.join(_ONLY)}.  [default: {', '.join(SAFE_RELATIONS)}]",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Miss no pair: compare all pictures with all, also in a large gallery.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|HTML",
            callback=_writable_page,
            help="Write a page there: all groups, to look at and to choose from.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", callback=writable_file, help="Draw the group with the largest copies as one picture."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=writable_file, help="Write what could be done, for simsearch apply."),
    ] = None,
    index: IndexOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the near-duplicates within a gallery.

    Each group has one picture worth keeping, and the copies of it: identical, same-pixels or confirmed ones, that a
    plan acts on; altered ones, that stay unless asked for with --only; with --no-details near ones, of which no more is
    known than their distance. What is merely alike is no copy. No picture is touched.
    """
    one_format(json=json, csv=csv)
    if threshold is not None and precision is not None:
        raise OptionError("--threshold and --precision both choose the distance; give one of them")
    from siamese_search.duplicates.find import find_duplicates  # noqa: PLC0415
    from siamese_search.duplicates.keeper import KeeperRules  # noqa: PLC0415
    from siamese_search.duplicates.scope import opened_galleries  # noqa: PLC0415
    from siamese_search.report.data import dedupe_csv, dedupe_json  # noqa: PLC0415

    keep_memory()
    wanted = _relations(only or ())
    rules = KeeperRules.named(keep or (), prefer=prefer or (), protect=protect or ())
    with ExitStack() as stack, silent_decoders():
        with progress_bar("Embedding", quiet=quiet) as progress:
            gallery, other = stack.enter_context(
                opened_galleries(
                    index, against=against, folders=folders or (), to_act=plan is not None, progress=progress
                )
            )
        for one in filter(None, (gallery, other)):
            say_waiting(one)
        limit = threshold if precision is None else gallery.threshold_for(precision=precision)
        with progress_bar("Comparing", quiet=quiet) as progress:
            found = find_duplicates(
                gallery,
                threshold=limit,
                folders=folders or None,
                against=other,
                rules=rules,
                details=details,
                exact=exact,
                progress=progress,
            )
        if plan:
            from siamese_search.actions import write_plan  # noqa: PLC0415

            write_plan(plan, found, gallery, against=other, protected=rules.protect, only=wanted)
        if report:
            from siamese_search.actions import choices_json  # noqa: PLC0415
            from siamese_search.report.html import write_dedupe_html  # noqa: PLC0415

            choices = choices_json(found, gallery, against=other, protected=rules.protect, only=wanted)
            with progress_bar("Drawing", quiet=quiet) as progress:
                write_dedupe_html(found, _page_in_its_folder(report), choices=choices, only=wanted, progress=progress)
        if sheet:
            from siamese_search.report.sheet import write_group_sheet  # noqa: PLC0415

            write_group_sheet(_largest(found), sheet)
    if json:
        print_json(dedupe_json(found, wanted))
    elif csv:
        print_csv(dedupe_csv(found, wanted))
    else:
        print_groups(found, wanted, quiet=quiet, page=_page(report) if report else None)
        if not quiet:
            print_summary(found, wanted, page=_page(report) if report else None, plan=plan)


def _page_in_its_folder(report: Path) -> Path:
    return _page(report) if _is_page(report) else _page(made_folder(report))


def _relations(names: Sequence[str]) -> tuple[Relation, ...]:
    chosen = [name for value in names for name in value.split(",")]
    for name in chosen:
        if name not in _ONLY:
            raise OptionError(f"--only {name or 'with an empty name'}: no such relation; there are {', '.join(_ONLY)}")
    return tuple(Relation(name) for name in chosen)


def _largest(report: DedupeReport) -> DuplicateGroup:
    if not report.groups:
        raise OptionError("--sheet draws a group, and there is none")
    return max(report.groups, key=report.freed)
