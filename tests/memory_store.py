"""A store that keeps a gallery in dictionaries: what the seam asks for, with nothing beside it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import EncoderError, GalleryError
from siamese_search.gallery.codes import Codes, code_bytes, decode, encode
from siamese_search.gallery.store import (
    AnswerRow,
    Ids,
    Settings,
    SkippedFile,
    StoreInfo,
    StoreReport,
    Vectors,
)
from siamese_search.images.files import lies_in
from siamese_search.results import ImageFile, Item
from siamese_search.vectors import distances


@dataclass
class Contents:
    """All that is kept."""

    settings: dict[str, dict[str, Any]]
    roots: list[Path] = field(default_factory=list)
    items: dict[int, Item] = field(default_factory=dict)
    codes: dict[int, bytes] = field(default_factory=dict)
    skipped: dict[Path, SkippedFile] = field(default_factory=dict)
    answers: dict[tuple[str, str], AnswerRow] = field(default_factory=dict)
    given: int = 0  # the last id


class MemoryStore:
    """A gallery in memory; one lock makes snapshots, transactions and writers."""

    location = "memory"

    def __init__(self) -> None:
        self._contents: Contents | None = None
        self._lock = RLock()

    def exists(self) -> bool:
        """Tell whether it was created."""
        return self._contents is not None

    def state(self) -> str:
        """Return a word that stands for all contents."""
        with self._lock:
            return repr(self._all)

    def create(self, settings: Settings) -> None:
        """Begin with nothing but settings."""
        self._contents = Contents({name: dict(value) for name, value in settings.items()})

    def close(self) -> None:
        """Keep everything: there is nothing to let go of."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep others out."""
        with self._lock:
            yield

    writing = snapshot

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Put back what was, when anything is raised."""
        with self._lock:
            before = deepcopy(self._all)
            try:
                yield
            except BaseException:
                self._contents = before
                raise

    def settings(self) -> Settings:
        """Return them."""
        return self._all.settings

    def set_setting(self, name: str, value: dict[str, Any]) -> None:
        """Keep one."""
        self._all.settings[name] = value

    def roots(self) -> tuple[Path, ...]:
        """Return them in order."""
        return tuple(sorted(self._all.roots))

    def add_root(self, folder: Path) -> None:
        """Add it, in place of those inside."""
        if not lies_in(folder, self._all.roots):
            self._all.roots = [root for root in self._all.roots if not lies_in(root, [folder])] + [folder]

    def move_root(self, old: Path, new: Path) -> None:
        """Rename everything under it."""
        everything = self._all
        everything.roots = [new if root == old else root for root in everything.roots]
        for id_, item in everything.items.items():
            if lies_in(item.path, [old]):
                file = ImageFile(path=new / item.path.relative_to(old), size=item.size, mtime_ns=item.mtime_ns)
                everything.items[id_] = _item(id_, file, item)

    def remove_roots(self, roots: Iterable[Path]) -> None:
        """Drop them."""
        gone = set(roots)
        self._all.roots = [root for root in self._all.roots if root not in gone]

    def count(self) -> int:
        """Count the pictures."""
        return len(self._all.items)

    def items(self, folders: Sequence[Path] | None = None) -> list[Item]:
        """Return them in the order of their ids."""
        items = [item for _, item in sorted(self._all.items.items())]
        return items if folders is None else [item for item in items if lies_in(item.path, folders)]

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return those that are there."""
        return {id_: self._all.items[id_] for id_ in ids if id_ in self._all.items}

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Go through all, from the end."""
        found = [item for _, item in sorted(self._all.items.items(), reverse=True)]
        called = [item for item in found if all(word in str(item.path).casefold() for word in words)]
        return [item for item in called if before is None or item.id < before][:limit]

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None = None) -> None:
        """Keep a picture and its code."""
        try:
            code = encode(embedded.vector[None]).tobytes()
        except ValueError as error:
            raise EncoderError(f"{file.path}: {error}") from error
        everything = self._all
        if item is None:
            everything.given += 1
        id_ = item or everything.given
        everything.items[id_] = _item(id_, file, embedded)
        everything.codes[id_] = code
        everything.skipped.pop(file.path, None)

    def move(self, item: int, file: ImageFile) -> None:
        """Rename a picture."""
        self._all.items[item] = _item(item, file, self._all.items[item])
        self._all.skipped.pop(file.path, None)

    def remove(self, items: Iterable[int]) -> None:
        """Forget pictures."""
        for item in items:
            del self._all.items[item], self._all.codes[item]

    def skipped(self) -> list[SkippedFile]:
        """Return them by path."""
        return [entry for _, entry in sorted(self._all.skipped.items())]

    def skip(self, entry: SkippedFile) -> None:
        """Keep one."""
        self._all.skipped[entry.file.path] = entry

    def unskip(self, paths: Iterable[Path]) -> None:
        """Drop some."""
        for path in paths:
            self._all.skipped.pop(path, None)

    def answers(self) -> list[AnswerRow]:
        """Return them, oldest first."""
        return sorted(self._all.answers.values(), key=lambda row: (row.time, row.first, row.second))

    def set_answer(self, answer: AnswerRow) -> None:
        """Keep one."""
        self._all.answers[answer.first, answer.second] = answer

    def remove_answer(self, first: str, second: str) -> None:
        """Drop one."""
        self._all.answers.pop((first, second), None)

    def vectors_of(self, ids: Sequence[int]) -> Vectors:
        """Decode them."""
        return decode(self._codes(ids), self._dim)

    def embeddings(self) -> tuple[Ids, Codes]:
        """Return all codes."""
        ids = sorted(self._all.codes)
        return np.array(ids, np.int64), self._codes(ids)

    def cells(self) -> None:
        """Find none: everything is compared."""

    def is_asked(self) -> bool:
        """Prefer comparing all."""
        return False

    def search(self, vectors: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """Compare with all."""
        return [hits[:k] for hits in self.within(vectors, np.inf)]

    def within(self, vectors: Vectors, distance: float) -> list[list[tuple[int, float]]]:
        """Compare with all."""
        ids = sorted(self._all.codes)
        if not ids:
            return [[] for _ in vectors]
        kept, found = self.vectors_of(ids), []
        for query in decode(encode(vectors), vectors.shape[1]):
            apart = distances(kept, query)
            order = np.argsort(apart, kind="stable")
            found.append([(ids[place], float(apart[place])) for place in order if apart[place] <= distance])
        return found

    def info(self) -> StoreInfo:
        """Tell that everything is compared."""
        return StoreInfo(index_kind="exact", index_recall=1.0, size_on_disk=0)

    def verify(self, *, repair: bool) -> StoreReport:  # noqa: ARG002  nothing can be damaged
        """Find nothing."""
        _ = self._all
        return StoreReport()

    def _codes(self, ids: Sequence[int]) -> Codes:
        joined = b"".join(self._all.codes[id_] for id_ in ids)
        return np.frombuffer(joined, np.uint8).reshape(len(ids), code_bytes(self._dim))

    @property
    def _dim(self) -> int:
        return int(self._all.settings["encoder"]["dim"])

    @property
    def _all(self) -> Contents:
        if self._contents is None:
            raise GalleryError("memory: no gallery here")
        return self._contents


def _item(id_: int, file: ImageFile, content: Embedded | Item) -> Item:
    return Item(
        id=id_,
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
        content_hash=content.content_hash,
        width=content.width,
        height=content.height,
        format=content.format,
    )
