"""A gallery folder opened: its catalogue, its encoder, and an index that is always that of the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from siamese_search.encoder import Encoder, load_encoder
from siamese_search.errors import FingerprintError, FolderError
from siamese_search.files import lies_in
from siamese_search.gallery.catalogue import Catalogue, EncoderIdentity
from siamese_search.gallery.index import StaleIndexError, VectorIndex
from siamese_search.gallery.lock import is_written
from siamese_search.results import Item, Skipped, Threshold

CATALOGUE = "gallery.db"
INDEX = "index.faiss"


class OpenGallery:
    """What every use of a gallery needs; see `Gallery`."""

    def __init__(
        self, folder: str | Path, *, encoder: Encoder | None = None, notice: Callable[[str], None] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._notice = notice
        self._encoder = encoder
        self._opened: Catalogue | None = None
        self._index: VectorIndex | None = None
        self._is_writer = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue; the next use opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside belong to one moment, whatever another process commits meanwhile."""
        with self._catalogue.snapshot():
            yield

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

    def _fresh_index(self, *, expected: bool = False) -> VectorIndex:
        """Return the index of the catalogue's present generation: the one in memory, the file's, or a new one.

        A file that had to be replaced although nobody expected it is told of.
        """
        with self.snapshot():
            catalogue = self._catalogue
            generation = catalogue.generation
            if self._index is None or self._index.generation != generation:
                path = self.folder / INDEX
                try:
                    count, dim = catalogue.count(), catalogue.encoder.dim
                    self._index = VectorIndex.load(path, generation=generation, count=count, dim=dim)
                except StaleIndexError as error:
                    ids, vectors, generation = catalogue.vectors()
                    self._index = VectorIndex.build(ids, vectors, generation=generation)
                    # While another process writes, the file is behind by nature, and that process will replace it.
                    if self._is_writer or not is_written(self.folder):
                        self._keep(self._index, path)
                        if not expected and self._notice:
                            self._notice(f"{path}: was {error}; built anew from {CATALOGUE}")
        return self._index

    def _keep(self, index: VectorIndex, path: Path) -> None:
        # A folder one may read but not write, or a full disk: the index in memory answers as well.
        with suppress(OSError):
            index.save(path)
