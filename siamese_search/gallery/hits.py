"""Hits: the pictures nearest to a query, what they are of it, and which of them are copies of one another.

Distance proposes, details confirm, as in `dedupe`; but only the first few hits within reach are looked at.
"""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from siamese_search.errors import ImageError, OptionError
from siamese_search.gallery.answer import Answer, Limits
from siamese_search.gallery.store import DamagedError, Store
from siamese_search.images.files import content_hash
from siamese_search.images.reasons import image_errors
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import Source, is_file, name_of, opened
from siamese_search.results import Hit, Item

if TYPE_CHECKING:
    from siamese_search.gallery.looking import Look

_COMPARED = 2  # hits of a query, the nearest within reach, that are looked at together
_ROUNDS = 3  # of that, at the most
_SPARE = 8  # hits to look through beyond what is wanted: copies, and the query itself
_MAX_WIDTH = 1024  # hits that are looked through for the last of the copies
_BLOCK = 256  # queries answered together, so that their details stay in memory
_NO_DIRECTION = 1e-3  # length of a sum of embeddings that says nothing
_EQUAL = 0.01  # distance of equal files: embeddings are kept in a few bits a number


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """An embedding to search with, and its picture, where that can be looked at.

    `apart_from` are files that are no hits, whatever their names in the gallery: those asked with.
    """

    vector: NDArray[np.float32]
    source: Source | None = None
    apart_from: tuple[Path, ...] = ()


def combined(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the sum of some embeddings, of unit length again; raises OptionError where they cancel one another."""
    total = np.sum(vectors, axis=0)
    length = float(np.linalg.norm(total))
    if length < _NO_DIRECTION:
        raise OptionError("these pictures cancel one another: nothing lies between them")
    return np.asarray(total / length, np.float32)


def find_hits(
    store: Store,
    queries: Sequence[Query],
    *,
    k: int,
    limits: Limits,
    details: bool,
    decoder: Decoder | None = None,
) -> list[tuple[Hit, ...]]:
    """Return for each query the `k` nearest different pictures, with their copies."""
    found: list[tuple[Hit, ...]] = []
    with nullcontext(decoder) if decoder else Decoder() as shared:
        for start in range(0, len(queries), _BLOCK):
            search = _Search(store, queries[start : start + _BLOCK], limits, shared if details else None)
            found += search.hits(k)
    return found


class _Search:
    """Some queries on their way to their answers; without a `decoder` distance alone decides."""

    def __init__(self, store: Store, queries: Sequence[Query], limits: Limits, decoder: Decoder | None) -> None:
        self._store = store
        self._queries = queries
        self._decoder = decoder
        self._answers = [Answer(limits, details=decoder is not None and query.source is not None) for query in queries]
        self._look: Look | None = None
        # What is looked at: items by their ids, and queries by numbers that no id is.
        self._pictures: dict[int, Source] = {
            -1 - place: query.source for place, query in enumerate(queries) if query.source is not None
        }

    def hits(self, k: int) -> list[tuple[Hit, ...]]:
        """Look through more and more hits, until each query has `k` different pictures and all their copies."""
        waiting, width = list(range(len(self._queries))), 2 * k + _SPARE
        while waiting:
            self._fetch(waiting, width)
            if self._decoder:
                self._look_at(waiting, self._decoder)
            waiting = [place for place in waiting if self._answers[place].wants_more(k, within=width < _MAX_WIDTH)]
            width *= 4
        return [answer.hits(k) for answer in self._answers]

    def _fetch(self, places: Sequence[int], width: int) -> None:
        """Find the `width` nearest pictures of some queries, without their own files."""
        store = self._store
        with store.snapshot():
            found = store.search(np.stack([self._queries[place].vector for place in places]), width)
            ids = sorted({item for hits in found for item, _ in hits})
            items = store.items_by_id(ids)
            if len(items) != len(ids):  # anybody can make the checksums of an index file
                raise DamagedError(store.location, store.location, "its index names pictures that are not there")
            vectors = store.vectors_of(ids)
        row_of = {item: row for row, item in enumerate(ids)}
        for place, hits in zip(places, found, strict=True):
            query, answer = self._queries[place], self._answers[place]
            near = [(items[item], distance) for item, distance in hits if not _is_itself(query, items[item], distance)]
            rows = [row_of[item.id] for item, _ in near]
            answer.take(near, vectors[rows], is_all=len(hits) < width)
            if query.source is not None and near and near[0][1] <= _EQUAL:
                answer.mark_equals(_digest(query.source))

    def _look_at(self, places: Sequence[int], decoder: Decoder) -> None:
        """Look at the first few hits of each query, and at a few more where those are its own picture."""
        for _ in range(_ROUNDS):
            asked = [(place, item) for place in places for item in self._answers[place].to_look_at(_COMPARED)]
            if not asked:
                return
            self._compare(asked, decoder)

    def _compare(self, asked: Sequence[tuple[int, Item]], decoder: Decoder) -> None:
        """Compare the details of hits with those of their queries, then of hits that may be copies of one another."""
        from siamese_search.gallery.looking import Look  # noqa: PLC0415  (OpenCV, which many a query can do without)

        self._pictures |= {item.id: item.path for _, item in asked}
        look = self._look = self._look or Look(self._pictures, decoder)
        pairs = [(-1 - place, item.id) for place, item in asked]
        for (place, item), pair, found in zip(asked, pairs, look.compare(pairs), strict=True):
            self._answers[place].mark(item, found.verdict, same_pixels=look.same_pixels(*pair))
        places = sorted({place for place, _ in asked})
        between = [(place, both) for place in places for both in self._answers[place].pairs()]
        self._pictures |= {item.id: item.path for _, both in between for item in both}
        compared = look.compare([(first.id, second.id) for _, (first, second) in between])
        for (place, both), found in zip(between, compared, strict=True):
            self._answers[place].mark_pair(both, found.verdict)


def _is_itself(query: Query, item: Item, distance: float) -> bool:
    """Tell whether a picture is the query's own file, by this name or another."""
    if item.path in query.apart_from:
        return True
    with suppress(OSError):
        return distance <= _EQUAL and any(map(item.path.samefile, query.apart_from))
    return False


def _digest(source: Source) -> str:
    """Return the content hash of a picture file, "" of what is none, or cannot be read any more."""
    if not is_file(source):
        return ""
    with suppress(ImageError), image_errors(name_of(source)), opened(source) as file:
        return content_hash(file)
    return ""
