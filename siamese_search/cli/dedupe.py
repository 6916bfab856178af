"""Finding duplicates: the groups in a table, as data, as a page, and as a plan."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from siamese_search.cli.options import (
    CsvOption,
    DetailsOption,
    IndexOption,
    JsonOption,
    QuietOption,
    ThresholdOption,
    one_format,
)
from siamese_search.cli.output import print_csv, print_json, print_table, print_text, progress_bar, silent_decoders
from siamese_search.errors import OptionError
from siamese_search.results import KEEP_RULES, SAFE_RELATIONS, DedupeReport, DuplicateGroup, Facts, Relation

app = typer.Typer()

_ONLY = (*SAFE_RELATIONS, Relation.ALTERED)
_SHOWN = 10  # groups with their pictures in a terminal


@app.command(epilog="Example: simsearch dedupe --keep oldest --protect ~/Pictures/Originals --report duplicates")
def dedupe(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER|IMAGE", help="Only these indexed folders or pictures.  [default: all]"),
    ] = None,
    threshold: ThresholdOption = None,
    precision: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, metavar="P", help="Instead of --threshold: the share of true copies to expect."),
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
        Path | None, typer.Option(metavar="DIR", help="Write a page with all groups and their pictures there.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the group with the largest copies as one picture.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what could be done, for simsearch apply.")
    ] = None,
    index: IndexOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the near-duplicates within a gallery.

    Each group has one picture worth keeping, and the copies of it that could go. No picture is touched.
    """
    one_format(json=json, csv=csv)
    if threshold is not None and precision is not None:
        raise OptionError("--threshold and --precision both choose the distance; give one of them")
    from siamese_search.duplicates.find import find_duplicates  # noqa: PLC0415
    from siamese_search.duplicates.keeper import KeeperRules  # noqa: PLC0415
    from siamese_search.duplicates.scope import opened_galleries  # noqa: PLC0415
    from siamese_search.report.data import dedupe_csv, dedupe_json  # noqa: PLC0415

    wanted = _relations(only or ())
    rules = KeeperRules.named(keep or (), prefer=prefer or (), protect=protect or ())
    with ExitStack() as stack, silent_decoders():
        with progress_bar("Embedding", quiet=quiet) as progress:
            gallery, other = stack.enter_context(
                opened_galleries(
                    index, against=against, folders=folders or (), to_act=plan is not None, progress=progress
                )
            )
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
            from siamese_search.report.html import write_dedupe_html  # noqa: PLC0415

            with progress_bar("Drawing", quiet=quiet) as progress:
                write_dedupe_html(found, report / "index.html", progress=progress)
        if sheet:
            from siamese_search.report.sheet import write_group_sheet  # noqa: PLC0415

            write_group_sheet(_largest(found), sheet)
    if json:
        print_json(dedupe_json(found))
    elif csv:
        print_csv(dedupe_csv(found))
    else:
        _print_dedupe(found, wanted, page=report / "index.html" if report else None, plan=plan)


def _relations(names: Sequence[str]) -> tuple[Relation, ...]:
    chosen = [name for value in names for name in value.split(",")]
    for name in chosen:
        if name not in _ONLY:
            raise OptionError(f"--only {name}: no such relation; there are {', '.join(_ONLY)}")
    return tuple(Relation(name) for name in chosen)


def _largest(report: DedupeReport) -> DuplicateGroup:
    if not report.groups:
        raise OptionError("--sheet draws a group, and there is none")
    return max(report.groups, key=report.freed)


def _show_pictures(report: DedupeReport) -> None:
    """Show the groups with the largest copies, where the terminal can show pictures."""
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from siamese_search.report.terminal import picture_protocol, picture_row  # noqa: PLC0415

    protocol = picture_protocol(os.environ)
    if protocol is None or not sys.stdout.isatty():
        return
    numbers = {id(group): number for number, group in enumerate(report.groups, start=1)}
    for group in sorted(report.groups, key=report.freed, reverse=True)[:_SHOWN]:
        print_text(f"group {numbers[id(group)]}:")
        sys.stdout.write(picture_row((group.keep, *(copy.path for copy in group.copies)), protocol))


def _print_dedupe(report: DedupeReport, only: Sequence[Relation], *, page: Path | None, plan: Path | None) -> None:
    from siamese_search.report.words import (  # noqa: PLC0415
        counted,
        coverage_sentence,
        details_sentence,
        human_bytes,
        kind_words,
        reason_words,
        relations_sentence,
    )

    rows = []
    for number, group in enumerate(report.groups, start=1):
        rows.append((str(number), "keep", "", *_size(group.facts), reason_words(group.reason), str(group.keep)))
        rows.extend(
            (str(number), "copy", f"{copy.distance:.4f}", *_size(copy.facts), kind_words(copy), str(copy.path))
            for copy in group.copies
        )
    if rows:
        columns = ("group", "", "distance", "pixels", "size", "what", "path")
        print_table(columns, rows, right=("group", "distance", "pixels", "size"))
        _show_pictures(report)
    copies = sum(len(group.copies) for group in report.groups)
    free = sum(report.freed(group, only) for group in report)
    beside = f" against {report.against}" if report.against else ""
    print_text(
        f"{counted(report.images, 'image')}{beside}: {counted(len(report.groups), 'group')} with"
        f" {counted(copies, 'copy', 'copies')},"
        f" {human_bytes(free)} to free."
    )
    if copies:
        print_text(f"{relations_sentence(report)}.")
    print_text(details_sentence(report))
    print_text(coverage_sentence(report.coverage))
    if report.bursts:
        frames = sum(len(burst.pictures) for burst in report.bursts)
        print_text(f"{frames:,} pictures were taken one after another, in {len(report.bursts):,} bursts: no copies.")
    if page:
        print_text(f"Report: {page}")
    if plan:
        print_text(f"Plan:   {plan}; look at it, then: simsearch apply {shlex.quote(str(plan))} --to trash --dry-run")


def _size(facts: Facts | None) -> tuple[str, str]:
    from siamese_search.report.words import human_bytes  # noqa: PLC0415

    return (f"{facts.width} x {facts.height}", human_bytes(facts.size)) if facts else ("", "")
