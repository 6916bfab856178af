"""Pairs of pictures with labels: 0 similar, 1 dissimilar, and in the matrices of a batch -1 for unknown.

Files hold the words `same` and `different`; 0 and 1 in them, as they were written once, are read too.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_search.errors import DataError
from siamese_search.results import Answer

SIMILAR, DISSIMILAR, UNKNOWN = 0, 1, -1
COLUMNS = ("first", "second", "label")

_LABELS = {Answer.SAME.value: SIMILAR, Answer.DIFFERENT.value: DISSIMILAR, "0": SIMILAR, "1": DISSIMILAR}
_ANSWERS = {SIMILAR: Answer.SAME, DISSIMILAR: Answer.DIFFERENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of positions in a sequence of pictures: `first`, `second` and `label`, each (n,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, chosen: NDArray[np.int64]) -> "Pairs":
        """Return the pairs at these positions."""
        return Pairs(first=self.first[chosen], second=self.second[chosen], label=self.label[chosen])


def read_answers(path: Path) -> list[tuple[dict[str, str], Answer]]:
    """Read a CSV with the columns first, second, label; return its rows, all columns, and what each of them says."""
    try:
        # A name that is not UTF-8 keeps its bytes.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read as a CSV of pairs: {detail}") from error
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise DataError(f"{path}: expected a CSV with the columns {', '.join(COLUMNS)} and at least one pair")
    for number, row in enumerate(rows, start=2):
        if row["label"] not in _LABELS:
            raise DataError(f"{path}, line {number}: label is {row['label']!r}, expected same or different")
        if not row["first"] or not row["second"]:
            raise DataError(f"{path}, line {number}: a picture is missing")
    return [(row, _ANSWERS[_LABELS[row["label"]]]) for row in rows]


def read_pairs(path: Path) -> tuple[list[str], Pairs]:
    """Read the same; return the names, sorted, and the pairs of their positions."""
    rows = [row for row, _ in read_answers(path)]
    names = sorted({row[column] for row in rows for column in ("first", "second")})
    number_of = {name: i for i, name in enumerate(names)}
    return names, Pairs(
        first=np.array([number_of[row["first"]] for row in rows], np.int64),
        second=np.array([number_of[row["second"]] for row in rows], np.int64),
        label=np.array([_LABELS[row["label"]] for row in rows], np.int8),
    )


def write_pairs(path: Path, pairs: Pairs, names: list[str]) -> None:
    """Write the CSV that `read_pairs` reads."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for first, second, label in zip(pairs.first, pairs.second, pairs.label, strict=True):
            writer.writerow((names[first], names[second], _ANSWERS[int(label)]))
