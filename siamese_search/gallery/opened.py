"""A gallery folder opened: its catalogue, its encoder, and an index that is always that of the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder import Encoder, load_encoder
from siamese_search.errors import FingerprintError, FolderError
from siamese_search.gallery.local.catalogue import Catalogue
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.local.exact import VectorIndex
from siamese_search.gallery.local.indexfile import StaleIndexError
from siamese_search.gallery.local.lock import is_written
from siamese_search.gallery.local.partition import grown, partition
from siamese_search.gallery.local.settings import EncoderIdentity
from siamese_search.images.files import lies_in
from siamese_search.results import Item, Skipped, Threshold

CATALOGUE = "gallery.db"
INDEX = "index.faiss"
EXACT_UP_TO = 50_000  # pictures; with more, a search looks into cells

Index = VectorIndex | CellIndex
Answer = TypeVar("Answer")


class OpenGallery:
    """What every use of a gallery needs; see `Gallery`."""

    def __init__(
        self,
        folder: str | Path,
        *,
        encoder: Encoder | None = None,
        notice: Callable[[str], None] | None = None,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        self.folder = Path(folder)
        self.exact_up_to = exact_up_to
        self._notice = notice
        self._encoder = encoder
        self._opened: Catalogue | None = None
        self._index: Index | None = None
        self._is_writer = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue and the index's file; the next use opens them again."""
        self._index = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside belong to one moment, whatever another process commits meanwhile."""
        with self._catalogue.snapshot():
            yield

    def exists(self) -> bool:
        """Tell whether there is a gallery at the location."""
        return self._exists()

    # -- what is in it

    @property
    def encoder(self) -> Encoder:
        """The encoder of this gallery, checked against the fingerprint of its embeddings."""
        identity = self._catalogue.encoder
        if self._encoder is None:
            self._encoder = load_encoder(identity.location)
        self._check(self._encoder, identity)
        return self._encoder

    @property
    def threshold(self) -> Threshold:
        """The threshold in force: distances at or below it count as duplicates."""
        return self._catalogue.threshold

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files under the gallery's roots that could not be embedded, by path."""
        return tuple(entry.skipped for entry in self._catalogue.skipped())

    @property
    def roots(self) -> tuple[Path, ...]:
        """The indexed folders."""
        return self._catalogue.roots()

    def __len__(self) -> int:
        return self._catalogue.count()

    def items(self, folders: Sequence[str | Path] | None = None) -> list[Item]:
        """Return the indexed pictures in the order of their ids, all or those under `folders`.

        Raises FolderError when one of the folders holds none: it was misspelt, or not indexed yet.
        """
        items = self._catalogue.items()
        if folders is None:
            return items
        resolved = [Path(folder).expanduser().resolve() for folder in folders]
        for given, folder in zip(folders, resolved, strict=True):
            if not any(lies_in(item.path, [folder]) for item in items):
                raise FolderError(
                    f"{given}: no indexed pictures under it; first: simsearch index {given} --index {self.folder}"
                )
        return [item for item in items if lies_in(item.path, resolved)]

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of items `(n, dim)`, named by their ids; raises KeyError for an unknown id."""
        return self._catalogue.vectors_of(ids)

    # -- inside

    @property
    def _catalogue(self) -> Catalogue:
        if self._opened is None:
            self._opened = Catalogue(self.folder / CATALOGUE)
        return self._opened

    def _exists(self) -> bool:
        return self._opened is not None or Catalogue.exists(self.folder / CATALOGUE)

    def _check(self, encoder: Encoder, identity: EncoderIdentity) -> None:
        if encoder.fingerprint != identity.fingerprint:
            raise FingerprintError(
                f"{self.folder}: was indexed by encoder {identity.name} ({identity.fingerprint[:12]}), which is not"
                f" {encoder.name} ({encoder.fingerprint[:12]}); use another --index, or delete this one and index again"
            )

    def _ask(self, question: Callable[[Index], Answer]) -> Answer:
        """Return what the index answers; one that turns out to be damaged is built anew, and asked again."""
        with self.snapshot():
            try:
                return question(self._fresh_index())
            except StaleIndexError as error:
                return question(self._renewed(error))

    def _fresh_index(self, *, expected: bool = False) -> Index:
        """Return the index of the catalogue's present generation: the one in memory, the file's, or a new one.

        A file that had to be replaced although nobody expected it is told of.
        """
        with self.snapshot():
            if self._index is None or self._index.generation != self._catalogue.generation:
                try:
                    self._index = self._loaded()
                except StaleIndexError as error:
                    self._index = self._renewed(error, expected=expected)
        return self._index

    def _loaded(self) -> Index:
        catalogue, path = self._catalogue, self.folder / INDEX
        count, dim, generation = catalogue.count(), catalogue.encoder.dim, catalogue.generation
        if count <= self.exact_up_to:
            return VectorIndex.load(path, generation=generation, count=count, dim=dim)
        index = CellIndex.load(path, dim=dim, read=self.vectors_of)
        if (index.generation, len(index)) != (generation, count):
            raise StaleIndexError("out of date")
        return index

    def _renewed(self, trouble: StaleIndexError, *, expected: bool = False) -> Index:
        path = self.folder / INDEX
        if self._catalogue.count() <= self.exact_up_to:
            ids, vectors, generation = self._catalogue.vectors()
            index: Index = VectorIndex(ids, vectors, generation=generation)
        else:
            index = self._grown() or self._partition()
        self._index = index
        # While another process writes, the file is behind by nature, and that process will replace it, or just has.
        if self._is_writer or not (is_written(self.folder) or self._was_replaced(trouble)):
            self._keep(index, path)
            if not expected and self._notice:
                self._notice(f"{path}: was {trouble}; built anew from {CATALOGUE}")
        return index

    def _was_replaced(self, trouble: StaleIndexError) -> bool:
        """Tell whether a file that was out of date is no more."""
        if str(trouble) != "out of date":
            return False
        try:
            self._loaded()
        except StaleIndexError:
            return False
        return True

    def _grown(self) -> CellIndex | None:
        """Return the cells there are with what is new, unless there are none that can be used."""
        try:
            dim = self._catalogue.encoder.dim
            old = self._index if isinstance(self._index, CellIndex) else None
            old = old or CellIndex.load(self.folder / INDEX, dim=dim, read=self.vectors_of)
            ids, seals, generation = self._catalogue.seals()
            return grown(old, ids, seals, generation=generation, read=self.vectors_of)
        except StaleIndexError:
            return None

    def _partition(self) -> CellIndex:
        catalogue = self._catalogue
        ids, codes, generation = catalogue.codes()
        _, seals, _ = catalogue.seals()
        return partition(ids, seals, codes, dim=catalogue.encoder.dim, generation=generation, read=self.vectors_of)

    def _keep(self, index: Index, path: Path) -> None:
        # A folder one may read but not write, or a full disk: the index in memory answers as well.
        with suppress(OSError):
            index.save(path)
