"""The threshold that a gallery finds by itself: what it promises, and what is true where the truth is known.

The real command line indexes a folder, which calibrates the gallery, and looks for its duplicates; then every pair
within the threshold, and every (keeper, copy) pair of the groups reported, is held against the truth.
"""

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs import markdown
from sets import read_set
from siamese_search.gallery import Gallery

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How many pairs were reported, how many of them are right, and how many right ones there were to find."""

    reported: int
    right: int
    there: int

    @property
    def precision(self) -> float:
        """The share of the reported that is right; 1 when nothing is reported."""
        return self.right / self.reported if self.reported else 1.0

    @property
    def recall(self) -> float:
        """The share of what is there that is reported; 1 when nothing is there."""
        return self.right / self.there if self.there else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A gallery and its own threshold. `pairs` judges all pairs within it, `copies` the copies that dedupe reports.

    `wrong` are the copies reported of another picture.
    """

    name: str
    images: int
    threshold: float
    source: str
    promised: float | None
    pairs: Judged
    copies: Judged
    per_edit: Mapping[str, float]
    wrong: tuple[Pair, ...]


def groups_of(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder of pictures, and by relative path the group of each: of a set, or of a `groundtruth.csv`.

    A picture without a group there is its own.
    """
    if (folder / "manifest.csv").exists():
        return folder / "images", {row.file: row.group for row in read_set(folder)}
    with (folder / "groundtruth.csv").open(newline="", encoding="utf-8") as file:
        return folder, {row["path"]: row["group_id"] or row["path"] for row in csv.DictReader(file)}


def self_calibrated(name: str, folder: Path, index: Path, *, encoder: str = "photo") -> Outcome:
    """Index a folder whose truth is known into a new gallery, and judge the threshold that it found."""
    pictures, group = groups_of(folder)
    simsearch("index", pictures, "--index", index, "--encoder", encoder)
    report = simsearch("dedupe", "--index", index)
    with Gallery(index) as gallery:
        limit = gallery.threshold
        names = {item.id: relative(item.path, pictures) for item in gallery.items()}
        within = [(names[pair.first], names[pair.second]) for pair in gallery.pairs(limit.distance)]
    known = {file: group[file] for file in names.values() if file in group}
    copies = [
        (relative(Path(found["keep"]), pictures), relative(Path(copy["path"]), pictures))
        for found in report["groups"]
        for copy in found["copies"]
    ]
    sizes = Counter(known.values()).values()
    return Outcome(
        name=name,
        images=len(names),
        threshold=limit.distance,
        source=limit.source,
        promised=limit.expected_precision,
        pairs=judged(within, known, there=sum(size * (size - 1) // 2 for size in sizes)),
        copies=judged(copies, known, there=sum(size - 1 for size in sizes)),
        per_edit=recall_of_edits(within, folder),
        wrong=tuple(pair for pair in copies if len({known.get(file, file) for file in pair}) > 1),
    )


def simsearch(*arguments: str | Path) -> dict[str, Any]:
    """Run the command line and return the object it prints."""
    command = [sys.executable, "-m", "siamese_search.cli.app", *map(str, arguments), "--json", "--quiet"]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def relative(path: Path, folder: Path) -> str:
    """Return where a picture lies in a folder."""
    return path.relative_to(folder.resolve()).as_posix()


def judged(pairs: Sequence[Pair], group: Mapping[str, str], *, there: int) -> Judged:
    """Hold pairs against the truth; those of pictures that nothing is known of are left out."""
    known = [(first, second) for first, second in pairs if first in group and second in group]
    return Judged(reported=len(known), right=sum(group[a] == group[b] for a, b in known), there=there)


def recall_of_edits(pairs: Sequence[Pair], folder: Path) -> dict[str, float]:
    """Return the share of each edit's copies that are paired with their original; nothing where edits are not known."""
    if not (folder / "manifest.csv").exists():
        return {}
    rows = read_set(folder)
    original = {row.group: row.file for row in rows if row.kind == "base"}
    found = {frozenset(pair) for pair in pairs}
    edits: dict[str, list[bool]] = {}
    for row in rows:
        if row.kind == "copy":
            edits.setdefault(row.transform, []).append(frozenset((original[row.group], row.file)) in found)
    return {edit: sum(hits) / len(hits) for edit, hits in edits.items()}


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """Return the promises beside the truth, in Markdown; all shares in %."""
    columns = [
        "gallery", "pictures", "threshold", "from", "promised", "precision", "false / all pairs", "recall",
        "precision of dedupe", "false / copies", "copies found",
    ]  # fmt: skip
    return markdown(columns, list(_cells(outcomes)))


def _cells(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    for outcome in outcomes:
        promised = "-" if outcome.promised is None else f"{100 * outcome.promised:.2f}"
        head = [outcome.name, f"{outcome.images:,}", f"{outcome.threshold:.3f}", outcome.source, promised]
        for what in (outcome.pairs, outcome.copies):
            wrong = f"{what.reported - what.right:,} / {what.reported:,}"
            head += [f"{100 * what.precision:.2f}", wrong, f"{100 * what.recall:.1f}"]
        yield head


def edit_table(outcomes: Sequence[Outcome]) -> str:
    """Return which share of each edit's copies a threshold pairs with their originals, in Markdown, in %."""
    known = [outcome for outcome in outcomes if outcome.per_edit]
    edits = dict.fromkeys(edit for outcome in known for edit in outcome.per_edit)
    rows = [
        [edit, *(f"{100 * outcome.per_edit[edit]:.0f}" if edit in outcome.per_edit else "" for outcome in known)]
        for edit in edits
    ]
    return markdown(["edit", *(outcome.name for outcome in known)], rows)


def wrong_table(outcomes: Sequence[Outcome], *, most: int = 8) -> str:
    """Return some of the wrong copies that dedupe reported, in Markdown."""
    rows = [[outcome.name, *pair] for outcome in outcomes for pair in outcome.wrong[:most]]
    return markdown(["gallery", "kept", "wrongly a copy of it"], rows)
