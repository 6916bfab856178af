"""What counts of the rows on a server, by a head: those numbered up to its own that did not end."""

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import Codes, encode
from siamese_search.gallery.milvus.head import Head, NewerError
from siamese_search.gallery.milvus.rows import (
    ANSWER,
    EMBEDDING,
    ENDED,
    FIELDS,
    HEAD,
    PICTURES,
    RECORDS,
    SKIPPED,
    Row,
    item_of,
    skipped_of,
)
from siamese_search.gallery.milvus.server import Server
from siamese_search.gallery.store import DamagedError, Ids, SkippedFile
from siamese_search.results import Item

ABOUT = tuple(FIELDS[PICTURES])  # all of a picture but its embedding
RECORD = tuple(FIELDS[RECORDS])
_ITEMS_AT_ONCE = 16_384  # ids in one answer; with embeddings a quarter
_NAMED_AT_ONCE = 1000  # ids in one question


class Reader:
    """Reads the rows of a gallery. Every head was read before what it counts, so a strong read after it sees that."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._settled: dict[str, int] = {}  # up to which head a collection was strongly read
        self._ended: tuple[int, frozenset[int]] = (0, frozenset())

    def heads(self, *, strong: bool = False) -> list[Row]:
        """Return the rows of the heads that are there, newest first."""
        rows = self._server.query(RECORDS, f"kind == {HEAD}", RECORD, strong=strong)
        return sorted(rows, key=lambda row: -int(row["row"]))

    def head(self, *, strong: bool = False) -> Head | None:
        """Return the newest head, None where no gallery was made."""
        rows = self.heads(strong=strong)
        if not rows:
            return None
        try:
            return Head.of(rows[0])
        except NewerError as error:
            raise GalleryError(
                f"{self._server.location}: was made by a newer version of simsearch ({error}); upgrade this one"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"its head: {error}") from error

    def settle(self, head: Head) -> None:
        """Wait until everybody can read what a head counts."""
        for table in (PICTURES, RECORDS):
            self._server.query(table, f"row == {head.last}", ["row"], strong=True)
            self._settled[table] = head.last

    def rows(self, table: str, head: Head, where: str, fields: Sequence[str]) -> list[Row]:
        """Return these fields, the number among them, of the rows that count and for which an expression holds."""
        ended = self.ended(head)
        return [row for row in self._rows(table, head, where, fields) if row["row"] not in ended]

    def _rows(self, table: str, head: Head, where: str, fields: Sequence[str]) -> list[Row]:
        strong = self.is_new(table, head)
        rows = self._server.query(table, f"row <= {head.last} and {where}", fields, strong=strong)
        self._settled[table] = max(head.last, self._settled.get(table, 0))
        return rows

    def is_new(self, table: str, head: Head) -> bool:
        """Tell whether a strong read is needed to see all that a head counts."""
        return head.last > self._settled.get(table, 0)

    def ended(self, head: Head) -> frozenset[int]:
        """Return the numbers of the rows that ended."""
        known, numbers = self._ended
        if known != head.last:
            rows = self._rows(RECORDS, head, f"kind == {ENDED}", ["data"])
            numbers = frozenset(number for row in rows for number in json.loads(row["data"]))
            self._ended = head.last, numbers
        return numbers

    # -- pictures

    def item(self, head: Head, row: Row) -> Item:
        """Return the picture that a row is about; raises DamagedError for one that lies nowhere."""
        try:
            return item_of(row, head.bases)
        except ValueError as error:
            raise self._damaged(error) from error

    def pictures(self, head: Head) -> Iterator[Row]:
        """Yield what is known of all pictures, without embeddings, by their ids."""
        for rows in self._windows(head, ABOUT, _ITEMS_AT_ONCE):
            yield from rows

    def backwards(self, head: Head, before: int, *, at_once: int) -> Iterator[list[Row]]:
        """Yield what is known of the pictures with ids less than `before`, from the greatest on, by more and more."""
        high = min(before - 1, head.given)
        while high > 0:
            low = max(0, high - at_once)
            rows = _newest(self.rows(PICTURES, head, _between(low, high), ABOUT))
            yield [rows[item] for item in sorted(rows, reverse=True)]
            high, at_once = low, min(4 * at_once, _ITEMS_AT_ONCE)

    def pictures_of(self, head: Head, items: Iterable[int], *, embedding: bool = False) -> dict[int, Row]:
        """Return what is known of some pictures, by their ids; ids that no picture has are left out."""
        wanted = sorted(set(items))
        fields = (*ABOUT, EMBEDDING) if embedding else ABOUT
        found: dict[int, Row] = {}
        for start in range(0, len(wanted), _NAMED_AT_ONCE):
            some = wanted[start : start + _NAMED_AT_ONCE]
            found |= _newest(self.rows(PICTURES, head, f"item in {some}", fields))
        return found

    def everything(self, head: Head) -> Iterator[Row]:
        """Yield all rows of pictures, with embeddings, newer ones of a picture first: there should be one."""
        fields = (*ABOUT, EMBEDDING)
        for low in range(0, head.given, _ITEMS_AT_ONCE // 4):
            rows = self.rows(PICTURES, head, _between(low, low + _ITEMS_AT_ONCE // 4), fields)
            yield from sorted(rows, key=lambda row: (row["item"], -row["row"]))

    def embeddings(self, head: Head) -> tuple[Ids, Codes]:
        """Return all ids, ascending, and their embeddings as codes."""
        ids, codes = [np.empty(0, np.int64)], [encode(np.empty((0, head.dim), np.float32))]
        for rows in self._windows(head, ("row", "item", EMBEDDING), _ITEMS_AT_ONCE // 4):
            ids.append(np.array([row["item"] for row in rows], np.int64))
            codes.append(encode(np.array([row[EMBEDDING] for row in rows], np.float32)))
        return np.concatenate(ids), np.concatenate(codes)

    def _windows(self, head: Head, fields: Sequence[str], size: int) -> Iterator[list[Row]]:
        """Yield the pictures by their ids, those of `size` ids at once: an answer of a server is bounded."""
        for low in range(0, head.given, size):
            rows = _newest(self.rows(PICTURES, head, _between(low, low + size), fields))
            if rows:
                yield [rows[item] for item in sorted(rows)]

    # -- skipped files

    def skipped(self, head: Head) -> list[Row]:
        """Return the records of the files that could not be embedded."""
        return self.rows(RECORDS, head, f"kind == {SKIPPED}", RECORD)

    def skipped_file(self, head: Head, row: Row) -> SkippedFile:
        """Return the file that such a record is about; raises DamagedError for one that lies nowhere."""
        try:
            return skipped_of(row, head.bases)
        except (ValueError, TypeError) as error:
            raise self._damaged(error) from error

    def answers(self) -> list[Row]:
        """Return the records of all that people said; they count by themselves."""
        return self._server.query(RECORDS, f"kind == {ANSWER}", RECORD)

    # -- what there is

    def required(self, *, strong: bool = False) -> Head:
        """Return the newest head; raises GalleryError where no gallery was made."""
        try:
            head = self.head(strong=strong)
        except DamagedError:
            raise
        except GalleryError:  # there is nothing, or a server just started
            ready = all(map(self._server.is_ready, (RECORDS, PICTURES)))
            head = self.head(strong=strong) if ready else None
        if head is None:
            raise self.nothing_here()
        return head

    def _damaged(self, detail: object) -> DamagedError:
        return DamagedError(self._server.location, self._server.location, detail)

    def nothing_here(self) -> GalleryError:
        """Return the error of who asks for a gallery that was not made."""
        place = self._server.location
        return GalleryError(f"{place}: no gallery here; make one with: simsearch index FOLDER --index {place}")


def _between(low: int, high: int) -> str:
    return f"item > {low} and item <= {high}"


def _newest(rows: Iterable[Row]) -> dict[int, Row]:
    """Return rows by their items, the newest of each."""
    return {row["item"]: row for row in sorted(rows, key=lambda row: int(row["row"]))}
