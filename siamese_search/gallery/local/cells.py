"""The index of a large gallery: embeddings by cells, of which a search looks into those near its query.

A cell holds what is nearest to its centroid (k-means), in one bit a number (RaBitQ; more when there are few numbers).
That is enough to propose neighbours; the distances that leave this module are those of the embeddings themselves, which
`read` fetches from the catalogue. The file is mapped, not read: a search reads, checks and keeps the cells it needs.
"""

import mmap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Self

import faiss
import numpy as np
import xxhash
from numpy.typing import NDArray

from siamese_search.faiss_threads import one_thread
from siamese_search.gallery.codes import Codes
from siamese_search.gallery.local.indexfile import (
    StaleIndexError,
    check_head,
    describe,
    open_index,
    read_description,
    unreadable,
    write_index,
)
from siamese_search.vectors import distances

KIND = "cells"
_QUERY_BITS = 4  # of each number of a query while it is compared with bits: finds as much as 8, and faster
_MIN_BITS, _MAX_BITS = 256, 8  # of an embedding in a cell, and of one of its numbers
_AT_ONCE = 256  # queries

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Places = NDArray[np.int64]
Read = Callable[[list[int]], Vectors]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the file of an index says of it.

    `probes` cells are searched, and the best `proposals` (or four times as many as are asked for) ranked by their
    embeddings. `recall` is the share of the ten nearest that this found, as measured on `measured` embeddings when the
    centroids were found, with `trained` pictures. `version` is that of FAISS, whose codes may change.
    """

    generation: int
    images: int
    dim: int
    cells: int
    probes: int
    proposals: int
    recall: float
    measured: int
    trained: int
    version: str = faiss.__version__

    @property
    def possible(self) -> bool:
        """Tell whether it can be true."""
        counts = (self.images, self.dim, self.cells, self.probes, self.proposals, self.trained)
        return (
            all(type(count) is int and count > 0 for count in counts)
            and self.probes <= self.cells
            and isinstance(self.recall, float)
            and isinstance(self.measured, int)
        )

    @property
    def head_bytes(self) -> int:
        """The length of the head: centroids, and the size and the checksum of each cell."""
        return self.cells * (4 * self.dim + 16)


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What is in cells: item ids, the checksums of their embeddings, the cell of each, and codes `(n, code_size)`."""

    ids: Ids
    checksums: Ids
    homes: Ids
    codes: Codes

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, chosen: NDArray[np.bool_]) -> "Members":
        """Return some of them."""
        return Members(self.ids[chosen], self.checksums[chosen], self.homes[chosen], self.codes[chosen])

    @classmethod
    def none(cls) -> "Members":
        """Return no members."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, np.empty((0, 0), np.uint8))

    @classmethod
    def together(cls, parts: Iterable["Members"]) -> "Members":
        """Return several as one."""
        columns = zip(*((part.ids, part.checksums, part.homes, part.codes) for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


class CellIndex:
    """The cells of a gallery; `generation` is the state of the catalogue that they were filled from.

    Whatever looks into a cell that is damaged raises StaleIndexError.
    """

    def __init__(self, about: About, payload: memoryview, *, read: Read) -> None:
        """Take cells from a payload: the head, then each cell, which is its ids, their checksums and their codes.

        Raises StaleIndexError when the sizes in the head are not those of the payload.
        """
        self.about = about
        self._payload = payload
        self._read = read
        # Copies, since the numbers in a file need not be aligned.
        head = payload[: about.head_bytes]
        shape = about.cells, about.dim
        self._centroids: Vectors = np.frombuffer(head, "<f4", about.cells * about.dim).reshape(shape).astype(np.float32)
        sizes, checksums = np.frombuffer(head, "<i8", offset=self._centroids.nbytes).reshape(2, -1)
        self._sizes: Ids = sizes.astype(np.int64)
        self._checksums: list[int] = checksums.astype(np.uint64).tolist()
        self._quantizer: Any = faiss.IndexFlatL2(about.dim)
        self._quantizer.add(self._centroids)
        self._ivf: Any = faiss.IndexIVFRaBitQ(
            self._quantizer, about.dim, about.cells, faiss.METRIC_L2, True, _bits(about.dim)
        )
        self._ivf.is_trained = True  # there is nothing to it but the centroids
        if ((self._sizes < 0) | (self._sizes > about.images)).any() or self._sizes.sum() != about.images:
            raise StaleIndexError("damaged")
        self._ends: Ids = np.cumsum(self._sizes) * (16 + self._ivf.code_size) + about.head_bytes
        if self._ends[-1] != len(payload) or not np.isfinite(self._centroids).all():
            raise StaleIndexError("damaged")
        self._known = np.zeros(about.cells, bool)
        self._lock = Lock()

    def __len__(self) -> int:
        return self.about.images

    @property
    def generation(self) -> int:
        """The state of the catalogue that the cells were filled from."""
        return self.about.generation

    @property
    def kind(self) -> str:
        """The index type, in words for `info`."""
        about, bits = self.about, _bits(self.about.dim)
        return (
            f"cells (IVF {about.cells:,}, {bits} bit{'s' * (bits > 1)}), recall@10 {about.recall:.2f} measured on"
            f" {about.measured} pictures, searching {about.probes:,} cells"
        )

    @property
    def recall(self) -> float:
        """The share of the ten nearest that a search finds, as it was measured."""
        return self.about.recall

    # -- on disk

    @classmethod
    def filled(cls, about: About, centroids: Vectors, members: Members, *, read: Read) -> Self:
        """Make an index, in memory, of what is in its cells."""
        order = np.lexsort((members.ids, members.homes))
        sizes = np.bincount(members.homes, minlength=about.cells)
        blocks = [
            members.ids[some].astype("<i8").tobytes()
            + members.checksums[some].astype("<i8").tobytes()
            + members.codes[some].tobytes()
            for some in np.split(order, np.cumsum(sizes)[:-1])
        ]
        checksums = np.array([xxhash.xxh3_64_intdigest(block) for block in blocks], "<u8")
        head = centroids.astype("<f4").tobytes() + sizes.astype("<i8").tobytes() + checksums.tobytes()
        payload = memoryview(b"".join([head, *blocks]))
        return cls(replace(about, images=len(members)), payload, read=read)

    @classmethod
    def load(cls, path: Path, *, dim: int, read: Read) -> Self:
        """Open an index file of any generation; raises StaleIndexError unless its head is whole and its size right."""
        try:
            with open_index(path) as file:
                described = read_description(file, kind=KIND)
                start = file.tell()
                payload = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
            about = About(**{field.name: described[field.name] for field in fields(About)})
        except (OSError, KeyError, ValueError) as error:
            raise unreadable(error) from error
        if not about.possible or about.dim != dim or about.head_bytes > len(payload):
            raise StaleIndexError("damaged")
        check_head(described, payload[: about.head_bytes])
        if about.version != faiss.__version__:
            raise StaleIndexError("out of date")
        return cls(about, payload, read=read)

    def save(self, path: Path) -> None:
        """Write atomically: a reader sees the old file or the new one. Raises OSError."""
        line = describe({"kind": KIND, **asdict(self.about)}, self._payload[: self.about.head_bytes])
        write_index(path, (line, self._payload))

    # -- what is in it

    @property
    def centroids(self) -> Vectors:
        """The middles of the cells `(c, dim)`."""
        return self._centroids

    @cached_property
    def cell_of_row(self) -> NDArray[np.int32]:
        """The cell of each embedding, in the order of their ids; reads all cells."""
        members = self.members()
        return members.homes[np.argsort(members.ids)].astype(np.int32)

    def members(self) -> Members:
        """Read all cells, checked, in their order."""
        return Members.together(self._cell(cell) for cell in range(self.about.cells))

    @one_thread()
    def placed(self, ids: Ids, checksums: Ids, vectors: Vectors) -> Members:
        """Return what embeddings `(n, dim)` are when they are members of the cells nearest to them."""
        homes = self._quantizer.search(vectors, 1)[1][:, 0]
        codes = np.empty((len(ids), self._ivf.code_size), np.uint8)
        addresses = map(_address, (vectors, homes, codes))
        self._ivf.encode_vectors(len(ids), *addresses, False)
        return Members(ids, checksums, homes, codes)

    @one_thread()
    def nearest_cells(self, queries: Vectors, count: int) -> tuple[Vectors, Places]:
        """Return for each query the squared distances of the nearest cells `(n, count)`, and which these are."""
        squares, cells = self._quantizer.search(queries, count)
        return squares, cells

    def _cell(self, cell: int) -> Members:
        size, end = int(self._sizes[cell]), int(self._ends[cell])
        block = bytes(self._payload[end - size * (16 + self._ivf.code_size) : end])
        if xxhash.xxh3_64_intdigest(block) != self._checksums[cell]:
            raise StaleIndexError("damaged")
        ids, checksums = np.frombuffer(block, "<i8", 2 * size).astype(np.int64).reshape(2, size)
        codes = np.frombuffer(block, np.uint8, offset=16 * size).reshape(size, self._ivf.code_size)
        return Members(ids, checksums, np.full(size, cell, np.int64), codes)

    # -- answers

    def search(self, vectors: Vectors, *, k: int) -> list[list[tuple[int, float]]]:
        """Return for each row of `(n, dim)` the `k` nearest that were found as (id, distance), by distance, then by id.

        Fewer than `k` come back only when the index holds fewer. The numbers must be finite.
        """
        queries = np.ascontiguousarray(vectors, np.float32)
        found: list[list[tuple[int, float]]] = []
        for start in range(0, len(queries), _AT_ONCE):
            found += self._search(queries[start : start + _AT_ONCE], min(k, len(self)))
        return found

    def _search(self, queries: Vectors, k: int) -> list[list[tuple[int, float]]]:
        probes = self.about.probes
        while ((proposed := self._proposed(queries, probes, k)) >= 0).sum(axis=1).min() < k:
            probes = min(2 * probes, self.about.cells)
        ids = np.unique(proposed[proposed >= 0])
        try:
            vectors = self._read(ids.tolist())
        except KeyError as error:  # its checksums are right, but anybody can write them
            raise StaleIndexError("damaged") from error
        found = []
        for query, row in zip(queries, proposed, strict=True):
            its_ids = np.unique(row[row >= 0])
            apart = distances(vectors[np.searchsorted(ids, its_ids)], query)
            order = np.argsort(apart, kind="stable")[:k]
            found.append([(int(its_ids[place]), float(apart[place])) for place in order])
        return found

    @one_thread()
    def _proposed(self, queries: Vectors, probes: int, k: int) -> Ids:
        """Return the ids of what seems nearest in the nearest cells `(n, proposals)`, -1 where there is no more."""
        squares, cells = self.nearest_cells(queries, probes)
        self._know(np.unique(cells))
        proposals = max(self.about.proposals, 4 * k)
        ids, apart = np.empty((len(queries), proposals), np.int64), np.empty((len(queries), proposals), np.float32)
        parameters = faiss.IVFRaBitQSearchParameters()  # of this search: other threads may look into more cells
        parameters.nprobe, parameters.qb = probes, _QUERY_BITS
        addresses = map(_address, (cells, squares, apart, ids))
        self._ivf.search_preassigned_c(len(queries), _address(queries), proposals, *addresses, False, parameters)
        return ids

    def _know(self, cells: Places) -> None:
        """Give cells that were not looked into before to FAISS."""
        with self._lock:
            for cell in cells[~self._known[cells]].tolist():
                members = self._cell(cell)
                addresses = map(_address, (members.ids, members.codes))
                self._ivf.invlists.add_entries(cell, len(members), *addresses)
                self._known[cell] = True


def _address(array: Any) -> Any:
    return faiss.swig_ptr(array)


def _bits(dim: int) -> int:
    """Return in how many bits cells hold a number of embeddings of `dim`."""
    return max(1, min(_MIN_BITS // dim, _MAX_BITS))
