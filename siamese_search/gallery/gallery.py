"""A gallery folder: kept in step with folders of pictures, searched by picture, and compared with itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from time import perf_counter, time
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from siamese_search.decoder import Decoder
from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.folder import SHIPPED
from siamese_search.errors import FingerprintError, FolderError, GalleryError, OptionError
from siamese_search.files import lies_in
from siamese_search.gallery.catalogue import Catalogue, EncoderIdentity
from siamese_search.gallery.index import StaleIndexError, VectorIndex
from siamese_search.gallery.lock import LOCK, is_written, writing
from siamese_search.gallery.sync import Progress, Stop, bring_in_step, forget, refresh, relocate, scope_of
from siamese_search.results import (
    Calibration,
    EmbeddingPair,
    Hit,
    Item,
    ReviewedPair,
    Skipped,
    SyncReport,
    Threshold,
    ThresholdSource,
)

_DEFAULT_ENCODER = "photo"
_CATALOGUE = "gallery.db"
_INDEX = "index.faiss"
_GREATEST_DISTANCE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryInfo:
    """What `info` tells about a gallery; `size_on_disk` in bytes."""

    folder: str
    encoder: str
    fingerprint: str
    dim: int
    images: int
    skipped: int
    roots: tuple[str, ...]
    threshold: Threshold
    index_kind: str
    size_on_disk: int


class Gallery:
    """The gallery in `folder`. Nothing is read or written before the first use; `sync` creates it when missing.

    Without an `encoder` the one that the gallery was made with is loaded when needed, for a new gallery "photo". An
    encoder whose fingerprint differs from the gallery's raises FingerprintError at its first use. `notice` is called
    with one line when something was mended on the way that the user should know of.
    """

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

    def info(self) -> GalleryInfo:
        """Describe the gallery."""
        catalogue = self._catalogue
        identity = catalogue.encoder
        return GalleryInfo(
            folder=str(self.folder),
            encoder=identity.name,
            fingerprint=identity.fingerprint,
            dim=identity.dim,
            images=catalogue.count(),
            skipped=len(catalogue.skipped()),
            roots=tuple(str(root) for root in catalogue.roots()),
            threshold=catalogue.threshold,
            index_kind=self._fresh_index().kind,
            size_on_disk=sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file()),
        )

    # -- keeping in step

    def sync(
        self, folders: Sequence[str | Path] = (), *, progress: Progress | None = None, stop: Stop | None = None
    ) -> SyncReport:
        """Make the gallery agree with what is in `folders` (default: all its roots) now; the rest stays as it is.

        Only new and changed files are embedded, in committed batches, so that an interrupted run goes on where it was.
        Files that failed before are tried again when they changed. What cannot be listed keeps its items, and so does a
        root that is not there: a drive that is not connected. Raises FolderError, and changes nothing, when another of
        `folders` is missing. `progress` is called with the number of files embedded so far and their total; `stop` is
        asked between pictures, and ends the run well when it returns True.
        """
        start = perf_counter()
        scope_of(folders, self._catalogue if self._exists() else None)  # nothing is made or waited for on a slip
        if not (folders or self._exists()):
            raise OptionError(f"{self.folder}: no gallery here yet; name the folders to index")
        with self._writing():
            if not self._exists():
                self._create()
            catalogue = self._catalogue
            before = catalogue.generation
            scope = scope_of(folders, catalogue)
            outcome = bring_in_step(catalogue, scope, encoder=lambda: self.encoder, progress=progress, stop=stop)
            self._fresh_index(expected=catalogue.generation != before or not before)
            return SyncReport(
                added=outcome.added,
                changed=outcome.changed,
                moved=outcome.moved,
                removed=outcome.removed + outcome.lost,
                unchanged=outcome.unchanged,
                skipped=(
                    *(entry.skipped for entry in catalogue.skipped() if lies_in(entry.file.path, scope.present)),
                    *outcome.unseen,
                ),
                images=catalogue.count(),
                seconds=perf_counter() - start,
                index=str(self.folder),
                stopped=outcome.stopped,
            )

    def refresh(self, paths: Iterable[Path]) -> None:
        """Bring single files in step, as `sync` does for folders: forget what is gone, embed what is new or changed.

        Paths outside the gallery's roots are passed over.
        """
        with self._writing():
            refresh(self._catalogue, paths, encoder=lambda: self.encoder)
            self._fresh_index(expected=True)

    def remove(self, paths: Sequence[str | Path]) -> int:
        """Forget all pictures at or under some paths; return how many. The files themselves are not touched.

        Raises FolderError, and forgets nothing, when one of the paths holds none.
        """
        with self._writing():
            images = forget(self._catalogue, paths)
            self._fresh_index(expected=True)
        return images

    def relocate(self, old: str | Path, new: str | Path) -> int:
        """Record that an indexed folder is elsewhere now, with all that is in it; return the number of its pictures.

        Nothing is embedded again. Raises FolderError, and changes nothing, unless `old` is one of `roots` and `new`
        holds its pictures.
        """
        with self._writing():
            return relocate(self._catalogue, old, new)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer while inside; makes the folder when there is no gallery yet."""
        if self._exists():
            if self._encoder is not None:
                self._check(self._encoder, self._catalogue.encoder)
        else:
            self._make_folder()
        with writing(self.folder):
            for rest in self.folder.glob(f"{_INDEX}.*.tmp"):  # of a process that was killed
                rest.unlink(missing_ok=True)
            self.close()  # a repair may have put another catalogue in its place while this process waited
            self._is_writer = True
            try:
                yield
            finally:
                self._is_writer = False

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in self.folder.iterdir()]
        except OSError as error:
            raise GalleryError(f"{self.folder}: cannot be made a gallery: {error.strerror}") from error
        foreign = [name for name in names if not name.startswith((_CATALOGUE, _INDEX, LOCK))]
        if foreign:
            raise GalleryError(f"{self.folder}: holds other files ({foreign[0]}); name a new or empty folder")

    def _create(self) -> None:
        encoder = self._encoder = self._encoder or load_encoder(_DEFAULT_ENCODER)
        identity = EncoderIdentity(
            name=encoder.name, location=_location(encoder), fingerprint=encoder.fingerprint, dim=encoder.dim
        )
        self._opened = Catalogue.create(self.folder / _CATALOGUE, identity, encoder.threshold)

    # -- searching

    def search(self, image: str | Path | BinaryIO, *, k: int = 5, threshold: float | None = None) -> tuple[Hit, ...]:
        """Return the `k` pictures nearest to an image file or an open binary stream, nearest first.

        A picture that is in the gallery finds itself, at distance 0. `threshold` (default: the one in force) decides
        which hits are duplicates. Raises ImageError.
        """
        _check_options(k, threshold)
        encoder = self.encoder
        source = Path(image) if isinstance(image, str) else image
        with Decoder(size=encoder.input_size, channels=encoder.channels) as decoder:
            picture = decoder.load(source)
        return self.search_vectors(encoder.embed_pixels(picture.pixels[None]), k=k, threshold=threshold)[0]

    def search_vectors(
        self, vectors: NDArray[np.float32], *, k: int = 5, threshold: float | None = None
    ) -> tuple[tuple[Hit, ...], ...]:
        """Return the `k` nearest pictures for each of the embeddings `(n, dim)`, which this gallery's encoder made."""
        _check_options(k, threshold)
        dim = self._catalogue.encoder.dim
        if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():  # noqa: PLR2004
            raise OptionError(f"embeddings of shape {vectors.shape}: expected finite numbers of shape (n, {dim})")
        limit = self.threshold.distance if threshold is None else threshold
        with self.snapshot():
            found = self._fresh_index().search(vectors, k=k)
            items = self._catalogue.items_by_id(sorted({item for hits in found for item, _ in hits}))
        return tuple(
            tuple(
                Hit(rank=rank, path=str(items[item].path), distance=distance, duplicate=distance <= limit)
                for rank, (item, distance) in enumerate(hits, start=1)
            )
            for hits in found
        )

    def pairs(self, threshold: float) -> Iterator[EmbeddingPair]:
        """Yield all pairs of pictures at most `threshold` apart, by first id, then second id; exact."""
        _check_options(1, threshold)
        yield from self._fresh_index().pairs(threshold)

    def pairs_with(self, other: "Gallery", threshold: float) -> Iterator[EmbeddingPair]:
        """Yield all pairs of a picture here (`first`) and one of another gallery (`second`) at most `threshold` apart.

        Raises FingerprintError when two encoders made the galleries.
        """
        _check_options(1, threshold)
        mine, theirs = self._catalogue.encoder, other._catalogue.encoder  # noqa: SLF001  another of the same class
        if mine.fingerprint != theirs.fingerprint:
            raise FingerprintError(
                f"{self.folder} was indexed by encoder {mine.name} ({mine.fingerprint[:12]}), {other.folder} by"
                f" {theirs.name} ({theirs.fingerprint[:12]}); index one of them again with the encoder of the other"
            )
        yield from self._fresh_index().pairs_with(other._fresh_index(), threshold)  # noqa: SLF001

    @property
    def calibration(self) -> Calibration | None:
        """How the threshold in force was found; None while it is the one that came with the encoder."""
        return self._catalogue.calibration

    def set_calibration(self, calibration: Calibration) -> None:
        """Put a calibration's threshold in force."""
        with self._catalogue.transaction():
            self._catalogue.set_calibration(calibration)

    def threshold_or(self, distance: float | None) -> Threshold:
        """Return the threshold that a user chose, or without a choice the one in force."""
        if distance is None:
            return self.threshold
        _check_options(1, distance)
        return Threshold(distance=distance, source=ThresholdSource.OPTION)

    def threshold_for(self, *, precision: float) -> Threshold:
        """Return the loosest threshold that keeps this precision, by the gallery's own calibration or the encoder's.

        Raises OptionError when the table has none.
        """
        own = self.calibration
        table = own.table if own else self.encoder.calibration
        rows = [row for row in table if row.precision >= precision]
        if not rows:
            best = max((row.precision for row in table), default=None)
            known = "there is no calibration table" if best is None else f"the table reaches at most {best:g}"
            raise OptionError(f"{self.folder}: no threshold with precision {precision:g}: {known}")
        row = max(rows, key=lambda row: row.threshold)
        return Threshold(
            distance=row.threshold,
            source=own.threshold.source if own else ThresholdSource.ENCODER,
            expected_precision=row.precision,
            expected_recall=row.recall,
        )

    # -- what a person said

    def review(self, first: int, second: int, label: int) -> None:
        """Remember that two pictures are the same (label 0) or different ones (label 1), in place of an earlier answer.

        `first` and `second` are item ids; the answer is about their contents. Raises OptionError for unknown ids, for
        another label, and for two files with the same bytes, about which there is nothing to say.
        """
        if label not in {0, 1}:
            raise OptionError(f"label {label}: 0 means the same picture, 1 different ones")
        self._catalogue.review(self._contents(first, second), label, time=time())

    def unreview(self, first: int, second: int) -> None:
        """Take back what was said about two pictures, if anything was."""
        self._catalogue.unreview(self._contents(first, second))

    def reviewed(self) -> list[ReviewedPair]:
        """Return all answers, oldest first."""
        answers = self._catalogue.reviewed()
        if not answers:
            return []
        there: dict[str, Item] = {}
        for item in self._catalogue.items():
            there.setdefault(item.content_hash, item)
        both = [
            (there[first].id, there[second].id) for first, second, _, _ in answers if {first, second} <= there.keys()
        ]
        distances = dict(zip(both, self.distances(both), strict=True))
        pairs = []
        for first, second, label, when in answers:
            known = {first, second} <= there.keys()
            pairs.append(
                ReviewedPair(
                    first=first,
                    second=second,
                    label=label,
                    time=when,
                    paths=(there[first].path, there[second].path) if known else None,
                    distance=distances[there[first].id, there[second].id] if known else None,
                )
            )
        return pairs

    def borderline(self, count: int, *, around: float | None = None) -> list[EmbeddingPair]:
        """Return the `count` pairs whose distance is nearest to `around` (default: the threshold), nearest first.

        Pairs that a person has reviewed are left out, as are files with the same bytes; of pairs with the same two
        contents one is returned.
        """
        middle = self.threshold.distance if around is None else around
        hashes = {item.id: item.content_hash for item in self._catalogue.items()}
        seen = {(first, second) for first, second, _, _ in self._catalogue.reviewed()}
        found: list[EmbeddingPair] = []
        reach = 0.05
        # Few pairs lie close to the threshold and millions far beyond it, so the window opens step by step.
        while len(found) < count and reach < 2 * _GREATEST_DISTANCE:
            nearest: dict[tuple[str, str], EmbeddingPair] = {}
            for pair in self.pairs(min(middle + reach, _GREATEST_DISTANCE)):
                if pair.distance < middle - reach or not {pair.first, pair.second} <= hashes.keys():
                    continue
                first, second = sorted((hashes[pair.first], hashes[pair.second]))
                if first != second and (first, second) not in seen:
                    nearest.setdefault((first, second), pair)
            found = nsmallest(count, nearest.values(), key=lambda pair: abs(pair.distance - middle))
            reach *= 2
        return found

    def distances(self, pairs: Sequence[tuple[int, int]]) -> list[float]:
        """Return the distances between items, named by their ids; raises KeyError for an unknown id."""
        ids = sorted({item for pair in pairs for item in pair})
        vectors = dict(zip(ids, self.vectors_of(ids).astype(np.float64), strict=True))
        return [float(np.linalg.norm(vectors[first] - vectors[second])) for first, second in pairs]

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of items `(n, dim)`, named by their ids; raises KeyError for an unknown id."""
        return self._catalogue.vectors_of(ids)

    # -- inside

    def _contents(self, first: int, second: int) -> tuple[str, str]:
        items = self._catalogue.items_by_id([first, second])
        for item in (first, second):
            if item not in items:
                raise OptionError(f"{item}: no picture of {self.folder} has this id")
        hashes = items[first].content_hash, items[second].content_hash
        if hashes[0] == hashes[1]:
            raise OptionError(f"{items[first].path}: is the same file as {items[second].path}; nothing to review")
        return hashes

    @property
    def _catalogue(self) -> Catalogue:
        if self._opened is None:
            self._opened = Catalogue(self.folder / _CATALOGUE)
        return self._opened

    def _exists(self) -> bool:
        return self._opened is not None or Catalogue.exists(self.folder / _CATALOGUE)

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
                path = self.folder / _INDEX
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
                            self._notice(f"{path}: was {error}; built anew from {_CATALOGUE}")
        return self._index

    def _keep(self, index: VectorIndex, path: Path) -> None:
        # A folder one may read but not write, or a full disk: the index in memory answers as well.
        with suppress(OSError):
            index.save(path)


def _location(encoder: Encoder) -> str:
    """Return what finds the encoder again: the name of one that ships, wherever this package lies, or the folder."""
    folder = encoder.folder.resolve()
    return folder.name if folder.parent == SHIPPED.resolve() else str(folder)


def _check_options(k: int, threshold: float | None) -> None:
    if k < 1:
        raise OptionError(f"k is {k}: at least one hit has to be asked for")
    if threshold is not None and not 0 <= threshold <= _GREATEST_DISTANCE:
        raise OptionError(f"threshold {threshold}: distances lie in [0, 2]")
