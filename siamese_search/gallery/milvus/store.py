"""A gallery kept on a Milvus server: `NAME` holds its pictures with their embeddings, `NAME__records` all else.

There are no transactions on such a server. Rows are never changed; which of them count is said by the newest head, a
single row, which is written last: whoever is killed before leaves rows that nobody sees, and the next writer clears
them away. See `rows`, `head` and `lease`.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import randbelow
from threading import Lock, local
from typing import Any

import numpy as np

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import Codes, decode, encode
from siamese_search.gallery.milvus.head import Head
from siamese_search.gallery.milvus.lease import Lease
from siamese_search.gallery.milvus.reading import Reader
from siamese_search.gallery.milvus.rows import (
    ANSWER,
    EMBEDDING,
    NOTHING_DIM,
    PICTURES,
    RECORDS,
    answer_row,
    answers_in,
)
from siamese_search.gallery.milvus.search import Search
from siamese_search.gallery.milvus.server import Server
from siamese_search.gallery.milvus.upkeep import clear, index_recall, repaired, size_of, verified
from siamese_search.gallery.milvus.writing import A_MILLISECOND, Draft, Writer, first_number
from siamese_search.gallery.store import AnswerRow, Ids, Settings, SkippedFile, StoreInfo, StoreReport, Vectors
from siamese_search.images.files import lies_in
from siamese_search.results import ImageFile, Item

COMPARED_UP_TO = 50_000  # pictures


class _Here(local):
    """What the thread at work holds: the head of a snapshot, the writer, the draft of a transaction."""

    head: Head | None = None
    entered: ExitStack | None = None
    writer: Writer | None = None
    draft: Draft | None = None
    answers: list[AnswerRow] | None = None  # of the snapshot, once they were read


class MilvusStore:
    """The store at `milvus://HOST:PORT/NAME`: see `Store` for what each method promises."""

    def __init__(self, location: str, *, compared_up_to: int = COMPARED_UP_TO) -> None:
        """Name a store; near pairs of more than `compared_up_to` pictures are found by its index."""
        self._location = location
        self._compared_up_to = compared_up_to
        self._server = Server(location)
        self._reader = Reader(self._server)
        self._here = _Here()
        self._saying = Lock()
        self._said = 0

    @property
    def location(self) -> str:
        """The address, as it was named."""
        return self._location

    # -- its life

    def exists(self) -> bool:
        """Tell whether there is a gallery; collections without a head are none: who made them was killed."""
        if self._here.writer or self._here.head:
            return True
        return all(map(self._server.is_ready, (PICTURES, RECORDS))) and bool(self._reader.heads())

    def state(self) -> str:
        """Return the number of the newest head and that of the rows about answers, none of which goes."""
        return f"{self._head.last:x}-{self._server.count(RECORDS, f'kind == {ANSWER}'):x}"

    def create(self, settings: Settings) -> None:
        """Make an empty gallery: its collections, then its head."""
        entered = self._here.entered
        if entered is None:
            raise RuntimeError("a gallery is created inside `writing`")
        dim = int(settings["encoder"]["dim"])
        other_dim = self._server.exists(PICTURES) and self._server.dim() != dim
        wanted = {RECORDS: NOTHING_DIM} if other_dim else {RECORDS: NOTHING_DIM, PICTURES: dim}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._server.make, wanted.keys(), wanted.values()))
        lease = entered.enter_context(Lease(self._server).held())
        head = self._reader.head(strong=True)
        if head is None:
            if other_dim:  # made by one who was killed before there was a head
                self._server.drop(PICTURES)
                self._server.make(PICTURES, dim)
            head = Head(last=first_number(0), settings={name: dict(value) for name, value in settings.items()})
            self._server.insert(RECORDS, [head.row()])
        elif head.settings["encoder"] != settings["encoder"]:
            raise GalleryError(f"{self.location}: was made by another process meanwhile, with another encoder")
        self._here.writer = Writer(self._server, self._reader, lease, head)
        self._here.writer.has_written = True

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._server.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that this thread reads inside belong to one moment: that of a head."""
        here = self._here
        if here.head or here.writer:
            yield
            return
        here.head = self._reader.required()
        try:
            yield
        finally:
            here.head = here.answers = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer while inside, by a lease in the gallery itself, or from its creation on."""
        here = self._here
        if here.entered:
            yield
            return
        with ExitStack() as entered:
            here.entered = entered
            try:
                if self.exists():
                    lease = entered.enter_context(Lease(self._server).held())
                    head = self._reader.required(strong=True)
                    clear(self._server, self._reader, head)
                    here.writer = Writer(self._server, self._reader, lease, head)
                yield
                if here.writer:
                    here.writer.finish()
            finally:
                here.entered = here.writer = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that this thread writes inside, or, when anything is raised, nothing."""
        here = self._here
        with self.writing():
            if here.writer is None:
                raise self._reader.nothing_here()
            here.draft = Draft(here.writer.head)
            try:
                yield
                here.writer.commit(here.draft)
            finally:
                here.draft = None

    # -- what a gallery knows of itself

    def settings(self) -> Settings:
        """Return all settings."""
        return self._newest.settings

    def set_setting(self, name: str, value: dict[str, Any]) -> None:
        """Put a setting in place of an earlier one; raises GalleryError for an encoder of another dim."""
        if name == "encoder" and value["dim"] != self._draft.head.dim:
            raise GalleryError(
                f"{self.location}: holds embeddings of {self._draft.head.dim} numbers, this encoder makes"
                f" {value['dim']}; index the folders again into another --index: what is here stays as it is"
            )
        self._draft.change_head(settings=self._draft.head.settings | {name: value})

    def roots(self) -> tuple[Path, ...]:
        """Return the indexed folders in order."""
        return self._newest.roots

    def add_root(self, folder: Path) -> None:
        """Make sure that a folder lies in a root."""
        self._draft.head = self._draft.head.with_root(folder)

    def move_root(self, old: Path, new: Path) -> None:
        """Record that a root lies elsewhere now."""
        self._draft.head = self._draft.head.with_moved(old, new)

    def remove_roots(self, roots: Iterable[Path]) -> None:
        """Forget roots."""
        self._draft.head = self._draft.head.without_roots(roots)

    # -- pictures

    def count(self) -> int:
        """Return the number of pictures."""
        return self._head.count

    def items(self, folders: Sequence[Path] | None = None) -> list[Item]:
        """Return the pictures: all, or those under some folders."""
        head = self._head
        items = [self._reader.item(head, row) for row in self._reader.pictures(head)]
        return items if folders is None else [item for item in items if lies_in(item.path, folders)]

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the pictures with some ids."""
        head = self._head
        return {id_: self._reader.item(head, row) for id_, row in self._reader.pictures_of(head, ids).items()}

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Return the pictures with the greatest ids."""
        head = self._head
        found: list[Item] = []
        for rows in self._reader.backwards(head, head.given + 1 if before is None else before, at_once=2 * limit):
            items = (self._reader.item(head, row) for row in rows)
            found += [item for item in items if all(word in str(item.path).casefold() for word in words)]
            if len(found) >= limit:
                break
        return found[:limit]

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None = None) -> None:
        """Add a picture, or replace what was known of it."""
        self._draft.add(file, embedded, item=item)

    def move(self, item: int, file: ImageFile) -> None:
        """Record where a picture is now."""
        self._draft.move(item, file)

    def remove(self, items: Iterable[int]) -> None:
        """Forget pictures."""
        self._draft.remove(items)

    def skipped(self) -> list[SkippedFile]:
        """Return the files that could not be embedded."""
        head = self._head
        entries = [self._reader.skipped_file(head, row) for row in self._reader.skipped(head)]
        return sorted(entries, key=lambda entry: entry.file.path)

    def skip(self, entry: SkippedFile) -> None:
        """Record that a file cannot be embedded."""
        self._draft.skipped[entry.file.path] = entry

    def unskip(self, paths: Iterable[Path]) -> None:
        """Forget skipped files."""
        self._draft.skipped |= dict.fromkeys(paths)

    # -- answers

    def answers(self) -> list[AnswerRow]:
        """Return what people said."""
        here, head = self._here, self._head
        if here.answers is not None:
            return list(here.answers)
        answers = answers_in(self._reader.answers())
        if here.head is head:
            here.answers = answers
        return list(answers)

    def set_answer(self, answer: AnswerRow) -> None:
        """Keep an answer."""
        self._say(answer.first, answer.second, answer)

    def remove_answer(self, first: str, second: str) -> None:
        """Take an answer back."""
        self._say(first, second, None)

    # -- embeddings

    def vectors_of(self, ids: Sequence[int]) -> Vectors:
        """Return the embeddings of some pictures."""
        head = self._head
        rows = self._reader.pictures_of(head, ids, embedding=True)
        return np.array([rows[id_][EMBEDDING] for id_ in ids], np.float32).reshape(len(ids), head.dim)

    def embeddings(self) -> tuple[Ids, Codes]:
        """Return all ids and embeddings."""
        head = self._head
        return self._reader.embeddings(head)

    def cells(self) -> None:
        """Find none: a server does not tell how it searches."""

    def is_asked(self) -> bool:
        """Prefer the server's index where comparing all takes longer than a minute."""
        return self.count() > self._compared_up_to

    def search(self, vectors: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """Return the nearest pictures."""
        return self._search.nearest(_as_kept(vectors), k)

    def within(self, vectors: Vectors, distance: float) -> list[list[tuple[int, float]]]:
        """Return all that lie within a distance."""
        return self._search.within(_as_kept(vectors), distance)

    # -- upkeep

    def info(self) -> StoreInfo:
        """Describe the index; its recall is measured, and its size reckoned from what is in it."""
        head = self._head
        return StoreInfo(
            index_kind="HNSW on Milvus",
            index_recall=index_recall(self._server, self._reader, head),
            size_on_disk=size_of(head),
        )

    def verify(self, *, repair: bool) -> StoreReport:
        """Read everything; a repair ends the rows that are not as they were written, and builds the index anew."""
        if not repair:
            return verified(self._server, self._reader, self._head)
        with self.writing():
            if self._here.writer is None:
                raise self._reader.nothing_here()
            return repaired(self._server, self._reader, self._here.writer)

    # -- inside

    @property
    def _head(self) -> Head:
        """What counts for this thread now."""
        here = self._here
        if here.writer:
            return here.writer.head
        return here.head or self._reader.required()

    @property
    def _newest(self) -> Head:
        """The same, with what its transaction changes in it."""
        return self._here.draft.head if self._here.draft else self._head

    @property
    def _draft(self) -> Draft:
        if self._here.draft is None:
            raise RuntimeError("nothing is written outside `transaction`")
        return self._here.draft

    @property
    def _search(self) -> Search:
        head = self._head
        return Search(self._server, self._reader, head)

    def _say(self, first: str, second: str, answer: AnswerRow | None) -> None:
        """Write what a person said, or takes back, beside all that was said before."""
        _ = self._head  # tells where there is no gallery
        with self._saying:
            self._said = number = first_number(self._said) + randbelow(1 << A_MILLISECOND)
        self._server.insert(RECORDS, [answer_row(number, first, second, answer)])
        self._here.answers = None


def _as_kept(vectors: Vectors) -> Vectors:
    """Return embeddings as those in the gallery are kept, so that a picture finds itself at 0."""
    return decode(encode(vectors), vectors.shape[1])
