"""What people said about pairs of a gallery's pictures: the same picture, or different ones."""

import csv
from io import StringIO
from pathlib import Path
from time import time

import numpy as np

from siamese_search.atomic import whole_file
from siamese_search.errors import DataError, OptionError
from siamese_search.gallery.store import AnswerRow, Store
from siamese_search.results import Item, ReviewedPair
from siamese_search.vectors import distances


class Answers:
    """The answers in a store. They are about contents, so they hold wherever the files move."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[ReviewedPair]:
        """Return all answers, oldest first, with the paths and the distance of what is still in the gallery."""
        with self._store.snapshot():
            rows = self._store.answers()
            if not rows:
                return []
            there: dict[str, Item] = {}
            for item in self._store.items():
                there.setdefault(item.content_hash, item)
            ids = sorted({there[hash_].id for row in rows for hash_ in (row.first, row.second) if hash_ in there})
            vectors = dict(zip(ids, self._store.vectors_of(ids), strict=True))
        pairs = []
        for row in rows:
            first, second = there.get(row.first), there.get(row.second)
            pairs.append(
                ReviewedPair(
                    first=row.first,
                    second=row.second,
                    label=row.label,
                    time=row.time,
                    paths=(first.path, second.path) if first and second else None,
                    distance=_distance(vectors[first.id], vectors[second.id]) if first and second else None,
                )
            )
        return pairs

    def set(self, first: int, second: int, label: int) -> None:
        """Remember that two pictures are the same (label 0) or different ones (label 1), in place of an earlier answer.

        `first` and `second` are item ids. Raises OptionError for unknown ids, for another label, and for two files with
        the same bytes, about which there is nothing to say.
        """
        if label not in {0, 1}:
            raise OptionError(f"label {label}: 0 means the same picture, 1 different ones")
        self._store.set_answer(AnswerRow(*self._contents(first, second), label, time()))

    def forget(self, first: int, second: int) -> None:
        """Take back what was said about two pictures, if anything was."""
        self._store.remove_answer(*self._contents(first, second))

    def read(self, path: Path) -> int:
        """Take the answers in a CSV file (first, second, label: 0 the same, 1 different); return their number.

        Paths in it are relative to its folder. Raises DataError, and takes none, for a picture that is not indexed.
        """
        from siamese_search.calibration.pairs import read_pairs  # noqa: PLC0415

        names, pairs = read_pairs(path)
        by_path = {item.path: item.id for item in self._store.items()}
        ids = []
        for name in names:
            place = (path.parent / name).resolve()
            if place not in by_path:
                raise DataError(f"{path}: {place} is not in the gallery {self._store.location}; index its folder first")
            ids.append(by_path[place])
        for first, second, label in zip(pairs.first, pairs.second, pairs.label, strict=True):
            self.set(ids[first], ids[second], int(label))
        return len(pairs)

    def write(self, path: Path) -> int:
        """Write the CSV file that `read` takes, of all pictures that are still there; return the number of answers."""
        with whole_file(path) as half:
            half.write_bytes(self.csv())
        return sum(pair.paths is not None for pair in self.all())

    def csv(self) -> bytes:
        """Return what `write` writes: absolute paths, with the bytes that they have on disk."""
        from siamese_search.calibration.pairs import COLUMNS  # noqa: PLC0415

        text = StringIO()
        table = csv.writer(text)
        table.writerow(COLUMNS)
        table.writerows((*pair.paths, pair.label) for pair in self.all() if pair.paths)
        return text.getvalue().encode("utf-8", "surrogateescape")

    def _contents(self, first: int, second: int) -> tuple[str, str]:
        items = self._store.items_by_id([first, second])
        for item in (first, second):
            if item not in items:
                raise OptionError(f"{item}: no picture of {self._store.location} has this id")
        one, other = sorted((items[first].content_hash, items[second].content_hash))
        if one == other:
            raise OptionError(f"{items[first].path}: is the same file as {items[second].path}; nothing to answer")
        return one, other


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(distances(first[None], second[None])[0])
