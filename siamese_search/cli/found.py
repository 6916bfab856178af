"""What `dedupe` prints for people: the groups, or the largest of many, and a summary of all."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese_search.cli.output import print_table, print_text
from siamese_search.results import DedupeReport, DuplicateGroup, Facts, Relation

_SHOWN = 10  # groups in a terminal
_COLUMNS = ("group", "", "distance", "pixels", "size", "what", "path")


def print_groups(report: DedupeReport, only: Sequence[Relation], *, quiet: bool, page: Path | None) -> None:
    """Print the groups, numbered as in the report; none where a page shows them.

    A program gets all of them, one line a picture with its whole path. In a terminal the ones that free most are
    shown, paths begin where all of them part, and pictures follow where it can show them.
    """
    if page or not report.groups:
        return
    numbered = list(enumerate(report.groups, start=1))
    if not sys.stdout.isatty():
        print_table(_COLUMNS, [row for number, group in numbered for row in _rows(number, group, root="")])
        return
    from siamese_search.report.views import common_root, group_paths  # noqa: PLC0415

    if len(numbered) > _SHOWN:
        numbered = sorted(numbered, key=lambda entry: -report.freed(entry[1], only))[:_SHOWN]
    root = common_root(path for _, group in numbered for path in group_paths(group))
    if root:
        print_text(f"In {root}:", "")
    rows: list[tuple[str, ...]] = []
    for number, group in numbered:
        rows += [*_rows(number, group, root=root), ("",) * len(_COLUMNS)]
    print_table(_COLUMNS, rows, right=("group", "distance", "pixels", "size"))
    if len(numbered) < len(report.groups):
        print_text(
            f"These {_SHOWN} of {len(report.groups):,} groups free most; --report page.html shows all of them.", ""
        )
    if not quiet:
        _show_pictures(numbered)


def print_summary(report: DedupeReport, only: Sequence[Relation], *, page: Path | None, plan: Path | None) -> None:
    """Print what was found in all, how sure it is, and what was written."""
    from siamese_search.report.words import (  # noqa: PLC0415
        counted,
        coverage_sentence,
        details_sentence,
        plan_sentence,
        promise_sentence,
        relations_sentence,
    )

    copies = sum(len(group.copies) for group in report.groups)
    beside = f" against {report.against}" if report.against else ""
    found = (
        f"{counted(len(report.groups), 'group')} with {counted(copies, 'copy', 'copies')}" if copies else "no copies"
    )
    each = f": {relations_sentence(report)}" if copies else ""
    print_text(f"{counted(report.images, 'image')}{beside}: {found}{each}.")
    if planned := plan_sentence(report, only):
        print_text(planned)
    print_text(details_sentence(report))
    if promise := promise_sentence(report.check):
        print_text(promise)
    print_text(coverage_sentence(report.coverage))
    if report.bursts:
        frames = sum(len(burst.pictures) for burst in report.bursts)
        bursts = counted(len(report.bursts), "burst")
        print_text(f"{frames:,} pictures were taken one after another, in {bursts}: no copies of one another.")
    if page:
        print_text(f"Report: {page}")
    if plan:
        print_text(f"Plan:   {plan}; look at it, then: simsearch apply {shlex.quote(str(plan))} --to trash --dry-run")


def _rows(number: int, group: DuplicateGroup, *, root: str) -> list[tuple[str, ...]]:
    from siamese_search.report.words import kind_words, reason_words  # noqa: PLC0415

    def shown(path: Path) -> str:
        return os.path.relpath(path, root) if root else str(path)

    keeper = (str(number), "keep", "", *_size(group.facts), reason_words(group.reason), shown(group.keep))
    copies = [
        (str(number), "copy", f"{copy.distance:.4f}", *_size(copy.facts), kind_words(copy), shown(copy.path))
        for copy in group.copies
    ]
    return [keeper, *copies]


def _show_pictures(groups: Sequence[tuple[int, DuplicateGroup]]) -> None:
    """Show groups, where the terminal can show pictures."""
    from siamese_search.report.terminal import picture_protocol, picture_row  # noqa: PLC0415

    protocol = picture_protocol(os.environ)
    if protocol is None:
        return
    for number, group in groups[:_SHOWN]:
        print_text(f"group {number}:")
        sys.stdout.write(picture_row((group.keep, *(copy.path for copy in group.copies)), protocol))


def _size(facts: Facts | None) -> tuple[str, str]:
    from siamese_search.report.words import human_bytes  # noqa: PLC0415

    return (f"{facts.width} x {facts.height}", human_bytes(facts.size)) if facts else ("", "")
