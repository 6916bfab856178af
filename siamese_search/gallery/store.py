"""The seam under a gallery: what it asks of whatever keeps it.

It is cut where values are plain: paths, numbers, arrays of embeddings, and the frozen dataclasses of `results`. Below
it are files, locks and servers, and whoever keeps a gallery elsewhere writes these methods and nothing else. Above it
nobody knows where a gallery lies: what a threshold is, how folders are walked, what an answer means is written once.
tests/test_store.py holds every store to these promises.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import Codes
from siamese_search.results import Answer, ImageFile, Item, Skipped

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Settings = Mapping[str, dict[str, Any]]
"""JSON objects by name: "encoder", "threshold" and, once there are any, "calibration" and "former" encoders."""

WAITING = "waits to be embedded anew, for the encoder is another one since"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that could not be embedded, as it was then, so that it is tried again only when it changed.

    Or one that was, by an earlier encoder: then its reason is `WAITING`.
    """

    file: ImageFile
    reason: str

    @property
    def is_waiting(self) -> bool:
        """Whether it is a picture of which only an earlier encoder's embedding was known."""
        return self.reason == WAITING

    @property
    def skipped(self) -> Skipped:
        """The same as a result for people."""
        return Skipped(path=self.file.path, reason=self.reason)


class AnswerRow(NamedTuple):
    """What a person said about two contents: their hashes, the lesser first, the answer, Unix seconds."""

    first: str
    second: str
    answer: Answer
    time: float


class Cells(NamedTuple):
    """A partition of a gallery's embeddings, in the order of their ids: the nearest of the `centroids` of each."""

    centroids: Vectors
    cell_of_row: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What a store tells about its index and its size, in bytes; `index_recall` as in `GalleryInfo`."""

    index_kind: str
    index_recall: float
    size_on_disk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What a store found wrong with itself, what it repaired, and what needs nothing done, in words."""

    problems: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class DamagedError(GalleryError):
    """A gallery that is not as it was written: `detail`."""

    def __init__(
        self, place: str | Path, location: str | Path, detail: object, *, way_out: str = "try: {repair}"
    ) -> None:
        repair = f"simsearch verify --repair --index {location}"
        super().__init__(f"{place}: damaged or not a gallery ({detail}); {way_out.format(repair=repair)}")
        self.detail = str(detail)


class Store(Protocol):
    """Whatever keeps a gallery. Every method may be called from any thread, and raises GalleryError when it cannot.

    Ids are given once and never again. Paths are absolute. Nothing is read or written before the first call.
    """

    @property
    def location(self) -> str:
        """What `--index` takes to find this store again."""

    # -- its life

    def exists(self) -> bool:
        """Tell whether there is a gallery; False where one could be made."""

    def state(self) -> str:
        """Return a word that is another one as soon as anything that is committed changes, at the cost of a glance."""

    def create(self, settings: Settings) -> None:
        """Make an empty gallery, whole or not at all; inside `writing`."""

    def close(self) -> None:
        """Let go of files and connections of all threads; the next call opens them again."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Let everything that this thread reads inside belong to one moment, whatever others commit meanwhile."""

    def writing(self) -> AbstractContextManager[None]:
        """Be the only process that writes while inside; searches find what was written once it is left.

        Waits some seconds for another writer, then raises GalleryError that names it.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Commit everything that this thread writes inside, or, when anything is raised, nothing."""

    # -- what a gallery knows of itself

    def settings(self) -> Settings:
        """Return all settings; what they mean is not the store's business."""

    def set_setting(self, name: str, value: dict[str, Any]) -> None:
        """Put a setting in place of an earlier one; inside `transaction`.

        Once all pictures are removed, "encoder" may be another one; raises GalleryError where embeddings of its length
        do not fit.
        """

    def roots(self) -> tuple[Path, ...]:
        """Return the indexed folders in order; none lies inside another."""

    def add_root(self, folder: Path) -> None:
        """Make sure that a folder lies in a root; roots inside it become part of it. Inside `transaction`."""

    def move_root(self, old: Path, new: Path) -> None:
        """Record that everything under a root lies in another folder now; inside `transaction`."""

    def remove_roots(self, roots: Iterable[Path]) -> None:
        """Forget roots under which nothing is left; inside `transaction`."""

    # -- pictures

    def count(self) -> int:
        """Return the number of pictures, at the cost of a glance."""

    def items(self, folders: Sequence[Path] | None = None) -> list[Item]:
        """Return the pictures in the order of their ids: all, or those under some folders."""

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the pictures with some ids; ids that no picture has are left out."""

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Return the pictures with the greatest ids, those first: at most `limit`, all with ids less than `before`.

        Each of the `words`, which are casefolded, is in their paths, casefolded. No more is read than it takes.
        """

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None = None) -> None:
        """Add a picture where nothing was known, or replace what was known of it as `item`; inside `transaction`.

        A file that was skipped before is so no more. Raises EncoderError for an embedding without direction.
        """

    def move(self, item: int, file: ImageFile) -> None:
        """Record where a picture's unchanged content is now, with its size and time there; inside `transaction`."""

    def remove(self, items: Iterable[int]) -> None:
        """Forget pictures and their embeddings; inside `transaction`."""

    def skipped(self) -> list[SkippedFile]:
        """Return the files that could not be embedded, or wait for it, by path."""

    def skip(self, entry: SkippedFile) -> None:
        """Record that a file cannot be embedded; inside `transaction`."""

    def unskip(self, paths: Iterable[Path]) -> None:
        """Forget skipped files; inside `transaction`."""

    # -- answers

    def answers(self) -> list[AnswerRow]:
        """Return what people said, oldest first."""

    def set_answer(self, answer: AnswerRow) -> None:
        """Keep an answer at once, in place of an earlier one about the same two contents."""

    def remove_answer(self, first: str, second: str) -> None:
        """Take an answer back at once, if there is one; the lesser hash comes first."""

    # -- embeddings

    def vectors_of(self, ids: Sequence[int]) -> Vectors:
        """Return the embeddings of some pictures `(n, dim)`, in their order; raises KeyError for an unknown id."""

    def embeddings(self) -> tuple[Ids, Codes]:
        """Return all ids, ascending, and their embeddings as codes `(n, code_bytes)`."""

    def cells(self) -> Cells | None:
        """Return a partition of these embeddings, where the store has found one for its own searches."""

    def is_asked(self) -> bool:
        """Tell whether near pairs are better found by asking `within` for each, than from `embeddings` and `cells`."""

    def search(self, vectors: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """Return for each row of `(n, dim)` the `k` nearest as (id, distance), by distance, then by id.

        Distances are those of the stored embeddings, computed from the differences: what is equal lies at 0. Fewer than
        `k` come back only where there are fewer. A large gallery may miss a few; `info` tells how many it finds.
        """

    def within(self, vectors: Vectors, distance: float) -> list[list[tuple[int, float]]]:
        """Return for each row of `(n, dim)` all that lie at most `distance` away, as `search` does."""

    # -- upkeep

    def info(self) -> StoreInfo:
        """Describe the index and what the gallery takes up."""

    def verify(self, *, repair: bool) -> StoreReport:
        """Read everything against its checksums; with `repair` mend what can be, and lose no answer and no whole row.

        What is not as it was written, and was not repaired, is among the `problems`; what is slow or behind but right
        is a note.
        """
