"""What `dedupe` reports as copies, by the details and by distance alone: true ones, by edit, and false ones.

    python benchmarks/confirmed.py SET [--index DIR]

SET is a folder as `near_duplicates.py` makes them: `images/` and `manifest.csv` (file, group, kind, transform). The
gallery is indexed where it is not yet, and its own threshold decides. A pair (original, copy) is found when both are in
one group; a reported copy is false when its keeper shows another photo.
"""

import csv
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from siamese_search import DedupeReport, DuplicateGroup, Gallery, Relation, find_duplicates
from siamese_search.results import SAFE_RELATIONS


def main(
    folder: Annotated[Path, typer.Argument(metavar="SET")],
    index: Annotated[Path | None, typer.Option(help="Where its gallery is.")] = None,
) -> None:
    """Count what is reported, with and without details."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with Gallery(index or folder / "gallery") as gallery:
        gallery.sync([folder / "images"])
        for details in (True, False):
            begin = time.perf_counter()
            report = find_duplicates(gallery, details=details)
            seconds = time.perf_counter() - begin
            name = "details" if details else "distance alone"
            sys.stdout.write(f"\n{name}: threshold {report.threshold.distance:.3f}, {seconds:.0f} s\n")
            sys.stdout.write("\n".join(counted(report, rows)) + "\n")


def counted(report: DedupeReport, rows: list[dict[str, str]]) -> list[str]:
    """Return lines: found pairs by edit, then true and false copies by relation."""
    origin = {Path(row["file"]).name: row["group"] for row in rows}
    base = {row["group"]: Path(row["file"]).name for row in rows if row["kind"] == "base"}
    group_of = {path.name: number for number, group in enumerate(report) for path in members(group)}
    relation = {copy.path.name: copy.relation for group in report for copy in group}
    total: Counter[str] = Counter()
    found: Counter[str] = Counter()
    safe: Counter[str] = Counter()
    for row in rows:
        name = Path(row["file"]).name
        if row["kind"] != "copy":
            continue
        total[row["transform"]] += 1
        together = group_of.get(name, -1) == group_of.get(base[row["group"]], -2)
        found[row["transform"]] += together
        both = {relation.get(name), relation.get(base[row["group"]])} - {None}
        safe[row["transform"]] += together and both <= {*SAFE_RELATIONS, Relation.NEAR}
    lines = [f"{edit:16} {found[edit]:4} of {total[edit]:4}, acted on {safe[edit]:4}" for edit in sorted(total)]
    lines.append(f"{'all':16} {found.total():4} of {total.total():4}, acted on {safe.total():4}")
    true: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for group in report:
        for copy in group:
            right = origin[copy.path.name] == origin[group.keep.name]
            (true if right else false)[copy.relation] += 1
    lines += [f"{name}: {true[name]} true, {false[name]} false" for name in Relation if true[name] or false[name]]
    return lines


def members(group: DuplicateGroup) -> list[Path]:
    """Return the keeper and the copies."""
    return [group.keep, *(copy.path for copy in group)]


if __name__ == "__main__":
    typer.run(main)
