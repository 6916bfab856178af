"""What can be asked of a gallery: which pictures it holds, what is near a picture, which are near each other."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.embed import embed_pictures
from siamese_search.errors import EncoderError, FingerprintError, FolderError, ImageError, OptionError
from siamese_search.gallery.answer import Limits
from siamese_search.gallery.answers import Answers
from siamese_search.gallery.export import export
from siamese_search.gallery.hits import Query, combined, find_hits
from siamese_search.gallery.join import Embeddings, Join
from siamese_search.gallery.locations import Location, gallery_location, store_at
from siamese_search.gallery.parquet import write_parquet
from siamese_search.gallery.settings import (
    EncoderIdentity,
    calibration_in,
    identity_in,
    threshold_in,
)
from siamese_search.gallery.store import Store
from siamese_search.gallery.sync import Progress
from siamese_search.images.files import lies_in
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import Source, is_source, lasting, name_of, path_of
from siamese_search.paths import expanded
from siamese_search.results import (
    Calibration,
    EmbeddingPair,
    GalleryInfo,
    Hit,
    Item,
    QueryResult,
    SearchReport,
    Skipped,
    Threshold,
    ThresholdSource,
)

_MAX_DISTANCE = 2.0


class GalleryReader:
    """What can be asked of a gallery; nothing here changes one, but `answers`."""

    def __init__(
        self,
        location: Location | Store | None = None,
        *,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self._store = (
            store_at(gallery_location(location), notice=notice)
            if location is None or isinstance(location, str | Path)
            else location
        )
        self._encoder = encoder
        self._is_given = encoder is not None
        self._decoder = decoder
        self._notice = notice

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._store.count()

    def __bool__(self) -> bool:
        """Tell that this is a gallery, whatever is in it: `len(gallery)` counts the pictures."""
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"

    def close(self) -> None:
        """Let go of files and connections; the next use opens them again."""
        self._store.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that this thread reads inside belong to one moment, whatever others commit meanwhile."""
        with self._store.snapshot():
            yield

    # -- what is in it

    @property
    def location(self) -> str:
        """What `--index` takes to find this gallery again."""
        return self._store.location

    def exists(self) -> bool:
        """Tell whether there is a gallery at the location."""
        return self._store.exists()

    @property
    def state(self) -> str:
        """A word that is another one as soon as anything in the gallery changes, whoever changes it."""
        return self._store.state()

    @property
    def encoder(self) -> Encoder:
        """The encoder of this gallery, checked against the fingerprint of its embeddings."""
        identity = self._identity
        if self._encoder is None or not (self._is_given or self._encoder.fingerprint == identity.fingerprint):
            self._encoder = load_encoder(identity.location)
        identity.check(self._encoder, self.location)
        return self._encoder

    @property
    def encoder_location(self) -> str:
        """What `load_encoder` takes to find the encoder of this gallery, which may be another one by now."""
        return self._identity.location

    @property
    def threshold(self) -> Threshold:
        """The threshold in force: within it two pictures count as near-duplicates, where distance alone decides."""
        return threshold_in(self._store.settings(), self.location)

    @property
    def alike(self) -> float | None:
        """The distance up to which pictures are said to look alike; None where the encoder names none or is away."""
        try:
            return self.encoder.alike
        except EncoderError:
            return None

    @property
    def calibration(self) -> Calibration | None:
        """How the threshold in force was found; None while it is the one that came with the encoder."""
        return calibration_in(self._store.settings(), self.location)

    @property
    def answers(self) -> Answers:
        """What people said about pairs of its pictures."""
        return Answers(self._store)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The indexed folders."""
        return self._store.roots()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files under the gallery's roots that could not be embedded, by path."""
        return tuple(entry.skipped for entry in self._store.skipped() if not entry.is_waiting)

    @property
    def waiting(self) -> int:
        """The number of pictures that wait to be embedded by the present encoder, and are not found until then."""
        return sum(entry.is_waiting for entry in self._store.skipped())

    def items(self, folders: Sequence[str | Path] | None = None) -> list[Item]:
        """Return the indexed pictures in the order of their ids, all or those under `folders`.

        Raises FolderError when one of the folders holds none: it was misspelt, or not indexed yet.
        """
        if folders is None:
            return self._store.items()
        resolved = [expanded(folder).resolve() for folder in folders]
        items = self._store.items(resolved)
        for given, folder in zip(folders, resolved, strict=True):
            if not any(lies_in(item.path, [folder]) for item in items):
                raise FolderError(
                    f"{given}: no indexed pictures under it; first: simsearch index {given} --index {self.location}"
                )
        return items

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the pictures with some ids; ids that no picture has are left out."""
        return self._store.items_by_id(ids)

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Return the pictures indexed last, the last first: at most `limit`, and of these only ids less than `before`.

        Each of the `words` is in their paths, whatever the case. A page of a list is read without the rest of it.
        """
        return self._store.latest(limit, before=before, words=[word.casefold() for word in words])

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of items `(n, dim)`, named by their ids; raises KeyError for an unknown id."""
        return self._store.vectors_of(ids)

    def info(self) -> GalleryInfo:
        """Describe the gallery."""
        with self.snapshot():
            identity, store = self._identity, self._store.info()
            return GalleryInfo(
                location=self.location,
                encoder=identity.name,
                fingerprint=identity.fingerprint,
                dim=identity.dim,
                images=len(self),
                skipped=len(self.skipped),
                waiting=self.waiting,
                roots=self.roots,
                threshold=self.threshold,
                reach=self.reach.distance,
                index_kind=store.index_kind,
                index_recall=store.index_recall,
                size_on_disk=store.size_on_disk,
            )

    # -- searching

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a sequence too, and one picture
        self,
        images: Source,
        *,
        k: int = 5,
        threshold: float | None = None,
        details: bool = True,
        include_self: bool = False,
        progress: Progress | None = None,
    ) -> QueryResult: ...
    @overload
    def search(
        self,
        images: Iterable[Source],
        *,
        k: int = 5,
        threshold: float | None = None,
        details: bool = True,
        include_self: bool = False,
        progress: Progress | None = None,
    ) -> SearchReport: ...
    def search(
        self,
        images: Source | Iterable[Source],
        *,
        k: int = 5,
        threshold: float | None = None,
        details: bool = True,
        include_self: bool = False,
        progress: Progress | None = None,
    ) -> QueryResult | SearchReport:
        """Return the `k` different pictures nearest to a picture, nearest first, or to each of several.

        A picture is a path, the bytes of an image file, an open one, a PIL image, or an array of pixels; see `Source`.
        The file itself is no hit, unless `include_self`. Distance proposes, details confirm: of the first hits within
        `threshold` (default: the gallery's `reach`) those are the same picture whose details agree; without `details`
        all within the threshold (default: the one in force). Copies of one picture are one hit, see `Hit` and `Answer`.
        A single picture that cannot be read raises ImageError; of several it is among `skipped`. `progress` is called
        with the number of pictures embedded so far and their total.
        """
        _check_options(k, threshold)
        sources = [lasting(image) for image in ([images] if is_source(images) else cast("Iterable[Source]", images))]
        embedded, skipped = self._embedded(sources, progress)
        if skipped and is_source(images):
            raise ImageError(skipped[0].path, skipped[0].reason)
        queries = [
            Query(vector=vector, source=source, apart_from=() if include_self else path_of(source))
            for source, vector in embedded
        ]
        limit = self.threshold_or(threshold) if threshold is not None or not details else self.reach
        hits = self._hits(queries, k=k, limit=limit, details=details)
        results = tuple(
            QueryResult(query=name_of(source), hits=found, alike=self.alike)
            for (source, _), found in zip(embedded, hits, strict=True)
        )
        if is_source(images):
            return results[0]
        return SearchReport(threshold=limit, queries=results, skipped=tuple(skipped), details=details)

    def search_combined(
        self,
        images: Iterable[Source],
        *,
        k: int = 5,
        include_self: bool = False,
        progress: Progress | None = None,
    ) -> QueryResult:
        """Return the `k` different pictures nearest to several pictures taken together: to the sum of their embeddings.

        The sum has unit length again, and each distance is from it; it is no picture, so no hit is said to be the same
        or to look alike. The files themselves are no hits, unless `include_self`. Raises ImageError for a picture that
        cannot be read, OptionError for none, and for pictures that cancel one another.
        """
        _check_options(k, None)
        sources = [lasting(image) for image in images]
        embedded, skipped = self._embedded(sources, progress)
        if skipped:
            raise ImageError(skipped[0].path, skipped[0].reason)
        if not embedded:
            raise OptionError("no pictures to combine")
        vector = combined([vector for _, vector in embedded])
        own = () if include_self else tuple(path for source in sources for path in path_of(source))
        limits = Limits(reach=-1.0, copies=self.threshold.distance, alike=None)
        query = Query(vector=vector, apart_from=own)
        (hits,) = find_hits(self._store, [query], k=k, limits=limits, details=False, decoder=self._decoder)
        return QueryResult(query=" + ".join(map(name_of, sources)), hits=hits)

    def search_vectors(
        self, vectors: NDArray[np.float32], *, k: int = 5, threshold: float | None = None
    ) -> tuple[tuple[Hit, ...], ...]:
        """Return the `k` nearest pictures for each of the embeddings `(n, dim)`, which this gallery's encoder made.

        Distance alone decides what they are, and what is one picture.
        """
        _check_options(k, threshold)
        dim = self._identity.dim
        if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():  # noqa: PLR2004
            raise OptionError(f"embeddings of shape {vectors.shape}: expected finite numbers of shape (n, {dim})")
        if not vectors.any(axis=1).all():
            raise OptionError("embeddings: a vector without direction among them")
        queries = [Query(vector=vector) for vector in vectors]
        return tuple(self._hits(queries, k=k, limit=self.threshold_or(threshold), details=False))

    def _embedded(
        self, sources: Sequence[Source], progress: Progress | None
    ) -> tuple[list[tuple[Source, NDArray[np.float32]]], list[Skipped]]:
        """Return the pictures that can be read, with their embeddings, and the others."""
        embedded, skipped = [], []
        for source, result in zip(sources, embed_pictures(sources, self.encoder, decoder=self._decoder), strict=True):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                embedded.append((source, result))
            if progress:
                progress(len(embedded) + len(skipped), len(sources))
        return embedded, skipped

    def _hits(self, queries: Sequence[Query], *, k: int, limit: Threshold, details: bool) -> list[tuple[Hit, ...]]:
        copies = limit if limit.source is ThresholdSource.OPTION else self.threshold
        limits = Limits(reach=limit.distance, copies=copies.distance, alike=self.alike)
        return find_hits(self._store, queries, k=k, limits=limits, details=details, decoder=self._decoder)

    def pairs(
        self, threshold: float, *, exact: bool = False, progress: Progress | None = None
    ) -> Iterator[EmbeddingPair]:
        """Yield all pairs of pictures at most `threshold` apart, each once, in an order that is always the same.

        In a large gallery hardly one is missed: `Join` measures how many. `exact` compares all pictures with all.
        `progress` is called with per cent and 100.
        """
        _check_options(1, threshold)
        join = Join(self.embeddings(), threshold, exact=exact, progress=progress)
        for pairs in join.all_pairs():
            for first, second, distance in pairs.each():
                yield EmbeddingPair(first=first, second=second, distance=distance)

    def embeddings(
        self, *, only: NDArray[np.int64] | None = None, kinds: Mapping[int, int] | None = None
    ) -> Embeddings:
        """Return the embeddings to be joined, all or `only` those with some ids; `kinds` as in `Embeddings.of`."""
        with self.snapshot():
            ids, codes = self._store.embeddings()
            cells, near = self._store.cells(), self._store.within if self._store.is_asked() else None
            return Embeddings.of(ids, codes, self._identity.dim, cells=cells, near=near, only=only, kinds=kinds)

    def check_comparable(self, other: "GalleryReader") -> None:
        """Raise FingerprintError when the other gallery's embeddings were made by another encoder."""
        mine, theirs = self._identity, other._identity  # noqa: SLF001  another of the same class
        if mine.fingerprint != theirs.fingerprint:
            raise FingerprintError(
                f"{self.location} was indexed by encoder {mine.name} ({mine.fingerprint[:12]}), {other.location} by"
                f" {theirs.name} ({theirs.fingerprint[:12]}); index one of them again with the encoder of the other"
            )

    # -- the threshold

    def threshold_or(self, distance: float | None) -> Threshold:
        """Return the threshold that a user chose, or without a choice the one in force."""
        if distance is None:
            return self.threshold
        _check_options(1, distance)
        return Threshold(distance=distance, source=ThresholdSource.OPTION)

    @property
    def reach(self) -> Threshold:
        """The distance within which details are compared, and decide: as far as copies lie, if affordable."""
        own, limit = self.calibration, self.threshold
        if own is None or own.reach <= limit.distance:
            return limit
        return Threshold(distance=own.reach, source=limit.source)

    def threshold_for(self, *, precision: float) -> Threshold:
        """Return the loosest threshold that keeps this precision, by the gallery's own calibration or the encoder's.

        Raises OptionError when the table has none.
        """
        from siamese_search.calibration.table import promised_row  # noqa: PLC0415  (a query needs none of it)

        own = self.calibration
        table = own.table if own else self.encoder.calibration
        row = promised_row(table, precision)
        if row is None:
            best = max((row.precision for row in table), default=None)
            known = "there is no calibration table" if best is None else f"the table reaches at most {best:g}"
            raise OptionError(f"{self.location}: no threshold with precision {precision:g}: {known}")
        return Threshold(
            distance=row.threshold,
            source=own.threshold.source if own else ThresholdSource.ENCODER,
            expected_precision=row.precision,
            expected_recall=row.recall,
        )

    def export(self, place: str | Path) -> int:
        """Write `items.csv` and, in the order of its rows, `embeddings.npy` `(n, dim)`; return the number of rows.

        `place` is a folder. A name that ends in `.parquet` is that of one file with the same in it, and all that
        `take_in` makes a gallery of again. The folder is made when it is missing, in one that is there; each file is
        replaced as a whole. Raises FolderError, GalleryError.
        """
        write = write_parquet if Path(place).suffix == ".parquet" else export
        with self.snapshot():
            return write(self._store, Path(place), dim=self._identity.dim)

    # -- inside

    @property
    def _identity(self) -> EncoderIdentity:
        return identity_in(self._store.settings(), self.location)


def _check_options(k: int, threshold: float | None) -> None:
    if k < 1:
        raise OptionError(f"k is {k}: at least one hit has to be asked for")
    if threshold is not None and not 0 <= threshold <= _MAX_DISTANCE:
        raise OptionError(f"threshold {threshold}: distances lie in [0, 2]")
