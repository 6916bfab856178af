"""What people said about pairs of a gallery's pictures: the same picture, or different ones."""

import csv
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from time import time

import numpy as np

from siamese_search.atomic import output_file
from siamese_search.errors import DataError, OptionError
from siamese_search.gallery.store import AnswerRow, Store
from siamese_search.paths import expanded
from siamese_search.results import Answer, AnsweredPair, Item
from siamese_search.vectors import distances

_HASH = re.compile("[0-9a-f]{32}")


class Answers:
    """The answers in a store. They are about contents, so they hold wherever the files move."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[AnsweredPair]:
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
                AnsweredPair(
                    first=row.first,
                    second=row.second,
                    answer=row.answer,
                    time=row.time,
                    paths=(first.path, second.path) if first and second else None,
                    distance=_distance(vectors[first.id], vectors[second.id]) if first and second else None,
                )
            )
        return pairs

    def set(self, first: int, second: int, answer: Answer | str) -> None:
        """Remember that two pictures are the same or different ones, in place of an earlier answer.

        `first` and `second` are item ids, `answer` may be the word. Raises OptionError for unknown ids, for another
        word, and for two files with the same bytes, about which there is nothing to say.
        """
        try:
            said = Answer(answer)
        except ValueError:
            raise OptionError(f"answer {answer!r}: expected same or different") from None
        self._store.set_answer(AnswerRow(*self._contents(first, second), said, time()))

    def forget(self, first: int, second: int) -> None:
        """Take back what was said about two pictures, by their ids, if anything was."""
        self._store.remove_answer(*self._contents(first, second))

    def remove(self, pair: AnsweredPair) -> None:
        """Take back one of the answers, whether its pictures are still there or not."""
        self._store.remove_answer(pair.first, pair.second)

    def named(self, names: Sequence[str | Path]) -> list[AnsweredPair]:
        """Return the answers that some names mean: ids of answers, or the paths of the two pictures of one.

        Raises OptionError where there is no such answer.
        """
        known = self.all()
        by_id = {pair.id: pair for pair in known}
        found = [by_id[str(name)] for name in names if str(name) in by_id]
        places = [expanded(name).resolve() for name in names if str(name) not in by_id]
        if not places:
            return found
        if len(places) != 2:  # noqa: PLR2004
            raise OptionError(f"{places[0]}: name both pictures of an answer, or its id")
        contents = {item.content_hash for item in self._store.items() if item.path in places}
        pair = next((pair for pair in known if {pair.first, pair.second} == contents), None)
        if pair is None:
            raise OptionError(f"{places[0]} and {places[1]}: there is no answer about these two in this gallery")
        return [*found, pair]

    def read(self, path: Path) -> int:
        """Take the answers in a CSV file (first, second, label: same or different); return their number.

        Paths in it are relative to its folder. With columns first_hash and second_hash the answers are about these
        contents, wherever they lie. Raises DataError, and takes none, for a picture that is not indexed or has another
        content by now.
        """
        from siamese_search.calibration.pairs import read_answers  # noqa: PLC0415

        rows = read_answers(path)
        known = {item.path: item.content_hash for item in self._store.items()}
        said = []
        for number, (row, answer) in enumerate(rows, start=2):
            one, other = sorted(self._content_in(row, side, known, path, number) for side in ("first", "second"))
            if one == other:
                raise DataError(f"{path}, line {number}: both are the same file; there is nothing to answer")
            said.append(AnswerRow(one, other, answer, time()))
        for row_said in said:
            self._store.set_answer(row_said)
        return len(said)

    def _content_in(
        self, row: Mapping[str, str | None], side: str, known: Mapping[Path, str], path: Path, number: int
    ) -> str:
        place = (path.parent / (row[side] or "")).resolve()
        content = row.get(f"{side}_hash")
        if content and not _HASH.fullmatch(content):
            raise DataError(f"{path}, line {number}: {side}_hash is {content!r}, which is no checksum")
        if content and known.get(place, content) != content:
            raise DataError(f"{path}, line {number}: {place} has another content than was answered about")
        if not content and place not in known:
            raise DataError(f"{path}: {place} is not in the gallery {self._store.location}; index its folder first")
        return content or known[place]

    def write(self, path: Path) -> int:
        """Write the CSV file that `read` takes, of all pictures that are still there; return the number of answers."""
        with output_file(path) as half:
            half.write_bytes(self.csv())
        return sum(pair.paths is not None for pair in self.all())

    def csv(self) -> bytes:
        """Return what `write` writes: absolute paths, with the bytes that they have on disk."""
        from siamese_search.calibration.pairs import COLUMNS  # noqa: PLC0415

        text = StringIO()
        table = csv.writer(text)
        table.writerow(COLUMNS)
        table.writerows((*pair.paths, pair.answer.value) for pair in self.all() if pair.paths)
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
