"""Writing to a server so that it is done at once or not at all: what counts is said last, by one row."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import EncoderError, GalleryError
from siamese_search.gallery.codes import decode, encode
from siamese_search.gallery.milvus.head import Head
from siamese_search.gallery.milvus.lease import Lease
from siamese_search.gallery.milvus.reading import Reader
from siamese_search.gallery.milvus.rows import (
    EMBEDDING,
    PICTURES,
    RECORDS,
    Row,
    ended_rows,
    picture_row,
    skipped_row,
)
from siamese_search.gallery.milvus.server import Server
from siamese_search.gallery.store import SkippedFile, Vectors
from siamese_search.results import ImageFile, Item

A_MILLISECOND = 20  # bits: so many numbers it has, and when they are used up those of the next
_SEALED_FROM = 1024  # pictures: of so many a server makes an index
_HEADS = 8  # kept until they are cleared away


@dataclass(slots=True)
class Draft:
    """What a transaction is about to write; `head` as it will be, the number of pictures and its own aside."""

    head: Head
    shown: dict[int, tuple[ImageFile, Embedded, Vectors]] = field(default_factory=dict)
    moved: dict[int, ImageFile] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    skipped: dict[Path, SkippedFile | None] = field(default_factory=dict)  # None: no more
    ended: set[int] = field(default_factory=set)  # rows of a repair
    count: int | None = None

    def change_head(self, **values: Any) -> None:
        """Put values in place of those of the head."""
        self.head = replace(self.head, **values)

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None) -> None:
        """Add a picture, or replace what was known of it."""
        try:
            (vector,) = decode(encode(embedded.vector[None]), len(embedded.vector))
        except ValueError as error:
            raise EncoderError(f"{file.path}: {error}") from error
        if item is None:
            self.change_head(given=self.head.given + 1)
            item = self.head.given
        self.moved.pop(item, None)
        self.removed.discard(item)
        self.shown[item] = file, embedded, vector
        self.skipped[file.path] = None

    def move(self, item: int, file: ImageFile) -> None:
        """Record where a picture is now."""
        if item in self.shown:
            self.shown[item] = file, *self.shown[item][1:]
        else:
            self.moved[item] = file
        self.skipped[file.path] = None

    def remove(self, items: Iterable[int]) -> None:
        """Forget pictures."""
        for item in items:
            self.shown.pop(item, None)
            self.moved.pop(item, None)
            self.removed.add(item)


class _Rows(NamedTuple):
    """What is written for a draft, and the numbers that are left; the head gets its own last."""

    numbers: Iterator[int]
    pictures: list[Row]
    records: list[Row]
    head: Head


class Writer:
    """Writes drafts, one after the other, while it holds the lease."""

    def __init__(self, server: Server, reader: Reader, lease: Lease, head: Head) -> None:
        self._server, self._reader, self._lease = server, reader, lease
        self._skipped: dict[Path, int] | None = None
        self._heads = [head.last]
        self._is_lost = False
        self.has_written = False
        self.head = head

    def commit(self, draft: Draft) -> None:
        """Write what a draft holds; the head, which is written last, makes it count."""
        self._lease.check()
        if self._is_lost:
            raise GalleryError(
                f"{self._server.location}: it is not known whether the last write was done; run the same command again"
            )
        self._is_lost = True  # until all of it is done
        rows = self._rows_of(draft)
        if not (rows.pictures or rows.records or rows.head != self.head):
            self._is_lost = False
            return
        head = replace(rows.head, last=next(rows.numbers), unsealed=rows.head.unsealed + len(rows.pictures))
        self._server.insert(PICTURES, rows.pictures)
        self._server.insert(RECORDS, rows.records)
        self._lease.check()
        self._server.insert(RECORDS, [head.row()])
        self._is_lost = False
        self.has_written = True
        if head.bases != self.head.bases:  # they are called otherwise now
            self._skipped = None
        self.head = head
        self._heads.append(head.last)
        if len(self._heads) > _HEADS:
            self._server.delete(RECORDS, self._heads[:-1])
            del self._heads[:-1]

    def finish(self) -> None:
        """Have the server index what was written, when it is much, and wait until everybody can read it."""
        if self.head.unsealed >= _SEALED_FROM:
            self._server.seal()
            self.commit(Draft(replace(self.head, unsealed=0)))
        if self.has_written:
            self._reader.settle(self.head)

    def _rows_of(self, draft: Draft) -> _Rows:
        old, new = self.head, draft.head
        numbers = count(first_number(old.last))
        moved = self._reader.pictures_of(old, draft.moved, embedding=True)
        before = moved | self._reader.pictures_of(old, [i for i in (*draft.shown, *draft.removed) if i <= old.given])
        shown: dict[int, tuple[ImageFile, Embedded | Item, Any]] = dict(draft.shown)
        for item, row in moved.items():
            shown[item] = draft.moved[item], self._reader.item(old, row), row[EMBEDDING]
        pictures = [
            picture_row(next(numbers), item, new.place(file.path), file, content, vector)
            for item, (file, content, vector) in sorted(shown.items())
        ]
        ended = draft.ended | {row["row"] for row in before.values()}
        records: list[Row] = []
        for path, entry in draft.skipped.items():
            if number := self._skipped_files.pop(path, None):
                ended.add(number)
            if entry:
                records.append(skipped_row(next(numbers), new.place(path), entry))
                self._skipped_files[path] = records[-1]["row"]
        records += ended_rows(numbers, ended)
        pictures_now = old.count - len(before) + len(shown) if draft.count is None else draft.count
        return _Rows(numbers, pictures, records, replace(new, count=pictures_now))

    @property
    def _skipped_files(self) -> dict[Path, int]:
        """The files that could not be embedded, with the numbers of their records, as the last commit leaves them."""
        if self._skipped is None:
            rows = self._reader.skipped(self.head)
            self._skipped = {self._reader.skipped_file(self.head, row).file.path: row["row"] for row in rows}
        return self._skipped


def first_number(last: int) -> int:
    """Return the least number that a row may have now, after another one: by the clock, and never again the same."""
    return max(last + 1, int(time() * 1000) << A_MILLISECOND)
