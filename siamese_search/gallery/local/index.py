"""An index that is always that of the catalogue: the one in memory, the file's, or a new one."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar

import numpy as np

from siamese_search.gallery.local.catalogue import CATALOGUE, Catalogue
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.local.exact import VectorIndex
from siamese_search.gallery.local.indexfile import StaleIndexError
from siamese_search.gallery.local.lock import is_written
from siamese_search.gallery.local.partition import grown, partition

INDEX = "index.faiss"

Index = VectorIndex | CellIndex
Answer = TypeVar("Answer")


class DerivedIndex:
    """The index file of a gallery folder: exact up to `exact_up_to` pictures, beyond that cells.

    Every method takes the open catalogue, inside a snapshot of it. `notice` is told when a file had to be replaced
    although nobody expected it.
    """

    def __init__(self, folder: Path, *, exact_up_to: int, notice: Callable[[str], None] | None) -> None:
        self.path = folder / INDEX
        self.exact_up_to = exact_up_to
        self._notice = notice
        self._index: Index | None = None
        self._lock = RLock()

    def forget(self) -> None:
        """Let go of the file and of what was read from it."""
        self._index = None

    def ask(self, catalogue: Catalogue, question: Callable[[Index], Answer]) -> Answer:
        """Return what the index answers; one that turns out to be damaged is built anew, and asked again."""
        try:
            return question(self.fresh(catalogue))
        except StaleIndexError as error:
            with self._lock:
                index = self._renewed(catalogue, error)
            return question(index)

    def fresh(self, catalogue: Catalogue, *, is_writer: bool = False, expected: bool = False) -> Index:
        """Return the index of the catalogue's present generation, and write it where the file is behind.

        `expected`: it is known to be behind, which is no news. While another process writes, the file is left to it.
        """
        with self._lock:
            index = self._index
            if index is None or index.generation != catalogue.generation:
                try:
                    index = self._index = self._loaded(catalogue)
                except StaleIndexError as error:
                    index = self._renewed(catalogue, error, is_writer=is_writer, expected=expected)
            return index

    def state(self, catalogue: Catalogue) -> str | None:
        """Say what is wrong with the file: "missing", "out of date" or "damaged"; None when it is the catalogue's."""
        try:
            index = self._loaded(catalogue)
            same = _has_vectors(index, catalogue) if isinstance(index, VectorIndex) else _has_cells(index, catalogue)
        except StaleIndexError as error:
            return str(error)
        return None if same else "damaged"

    # -- inside

    def _loaded(self, catalogue: Catalogue) -> Index:
        count, dim, generation = catalogue.count(), catalogue.dim, catalogue.generation
        if count <= self.exact_up_to:
            return VectorIndex.load(self.path, generation=generation, count=count, dim=dim)
        index = CellIndex.load(self.path, dim=dim, read=catalogue.vectors_of)
        if (index.generation, len(index)) != (generation, count):
            raise StaleIndexError("out of date")
        return index

    def _renewed(
        self, catalogue: Catalogue, trouble: StaleIndexError, *, is_writer: bool = False, expected: bool = False
    ) -> Index:
        if catalogue.count() <= self.exact_up_to:
            ids, vectors, generation = catalogue.vectors()
            index: Index = VectorIndex(ids, vectors, generation=generation)
        else:
            index = self._grown(catalogue) or self._partition(catalogue)
        self._index = index
        # While another process writes, the file is behind by nature, and that process will replace it, or just has.
        if is_writer or not (is_written(self.path.parent) or self._was_replaced(catalogue, trouble)):
            # A folder one may read but not write, or a full disk: the index in memory answers as well.
            with suppress(OSError):
                index.save(self.path)
            if not expected and self._notice:
                self._notice(f"{self.path}: was {trouble}; built anew from {CATALOGUE}")
        return index

    def _was_replaced(self, catalogue: Catalogue, trouble: StaleIndexError) -> bool:
        """Tell whether a file that was out of date is no more."""
        if str(trouble) != "out of date":
            return False
        try:
            self._loaded(catalogue)
        except StaleIndexError:
            return False
        return True

    def _grown(self, catalogue: Catalogue) -> CellIndex | None:
        """Return the cells there are with what is new, unless there are none that can be used."""
        try:
            old = self._index if isinstance(self._index, CellIndex) else None
            old = old or CellIndex.load(self.path, dim=catalogue.dim, read=catalogue.vectors_of)
            ids, checksums, generation = catalogue.checksums()
            return grown(old, ids, checksums, generation=generation, read=catalogue.vectors_of)
        except StaleIndexError:
            return None

    def _partition(self, catalogue: Catalogue) -> CellIndex:
        ids, codes, generation = catalogue.codes()
        _, checksums, _ = catalogue.checksums()
        return partition(ids, checksums, codes, dim=catalogue.dim, generation=generation, read=catalogue.vectors_of)


def _has_vectors(index: VectorIndex, catalogue: Catalogue) -> bool:
    ids, vectors, _ = catalogue.vectors()
    return np.array_equal(index.ids, ids) and np.array_equal(index.vectors, vectors)


def _has_cells(index: CellIndex, catalogue: Catalogue) -> bool:
    ids, checksums, _ = catalogue.checksums()
    members = index.members()  # checks them all
    order = np.argsort(members.ids)
    return np.array_equal(members.ids[order], ids) and np.array_equal(members.checksums[order], checksums)
