"""A gallery folder: searched by picture, compared with itself, and told by people what is the same."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from time import time
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from siamese_search.errors import FingerprintError, OptionError
from siamese_search.gallery.codes import decode, encode
from siamese_search.gallery.join import Cells, Embeddings, Join
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.opened import Index
from siamese_search.gallery.upkeep import KeptGallery
from siamese_search.images.sandbox import Decoder
from siamese_search.results import (
    Calibration,
    EmbeddingPair,
    Hit,
    Item,
    ReviewedPair,
    Threshold,
    ThresholdSource,
)

_GREATEST_DISTANCE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryInfo:
    """What `info` tells about a gallery; `size_on_disk` in bytes.

    `index_recall` is the share of the ten nearest that a search finds, as measured when the index was built: 1 where it
    is exact.
    """

    folder: str
    encoder: str
    fingerprint: str
    dim: int
    images: int
    skipped: int
    roots: tuple[str, ...]
    threshold: Threshold
    index_kind: str
    index_recall: float
    size_on_disk: int


class Gallery(KeptGallery):
    """The gallery in `folder`. Nothing is read or written before the first use; `sync` creates it when missing.

    Without an `encoder` the one that the gallery was made with is loaded when needed, for a new gallery "photo". An
    encoder whose fingerprint differs from the gallery's raises FingerprintError at its first use. `notice` is called
    with one line when something was mended on the way that the user should know of.
    """

    def info(self) -> GalleryInfo:
        """Describe the gallery."""
        catalogue = self._catalogue
        identity = catalogue.encoder
        index = self._fresh_index()
        return GalleryInfo(
            folder=str(self.folder),
            encoder=identity.name,
            fingerprint=identity.fingerprint,
            dim=identity.dim,
            images=catalogue.count(),
            skipped=len(catalogue.skipped()),
            roots=tuple(str(root) for root in catalogue.roots()),
            threshold=catalogue.threshold,
            index_kind=index.kind,
            index_recall=index.recall,
            size_on_disk=sum(map(_size, self.folder.iterdir())),
        )

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
        try:
            queries = decode(
                encode(vectors), dim
            )  # as those in the gallery are kept, so that a picture finds itself at 0
        except ValueError as error:
            raise OptionError(f"embeddings: {error} among them") from error
        with self.snapshot():
            found = self._ask(lambda index: index.search(queries, k=k))
            items = self._catalogue.indexed(sorted({item for hits in found for item, _ in hits}))
        return tuple(
            tuple(
                Hit(rank=rank, path=items[item].path, distance=distance, duplicate=distance <= limit)
                for rank, (item, distance) in enumerate(hits, start=1)
            )
            for hits in found
        )

    def pairs(
        self, threshold: float, *, exact: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[EmbeddingPair]:
        """Yield all pairs of pictures at most `threshold` apart, each once, in an order that is always the same.

        In a large gallery hardly one is missed: `Join` measures how many. `exact` compares all pictures with all.
        `progress` is called with per cent and 100.
        """
        _check_options(1, threshold)
        yield from _one_by_one(Join(self.embeddings(), threshold, exact=exact, progress=progress))

    def embeddings(
        self, *, only: NDArray[np.int64] | None = None, kinds: Mapping[int, int] | None = None
    ) -> Embeddings:
        """Return the embeddings to be joined, all or `only` those with some ids; `kinds` as in `Embeddings.of`."""
        with self.snapshot():
            cells = self._ask(_cells) if len(self) > self.exact_up_to else None
            ids, codes, _ = self._catalogue.codes()
            return Embeddings.of(ids, codes, self._catalogue.encoder.dim, cells=cells, only=only, kinds=kinds)

    def check_comparable(self, other: "Gallery") -> None:
        """Raise FingerprintError when the other gallery's embeddings were made by another encoder."""
        mine, theirs = self._catalogue.encoder, other._catalogue.encoder  # noqa: SLF001  another of the same class
        if mine.fingerprint != theirs.fingerprint:
            raise FingerprintError(
                f"{self.folder} was indexed by encoder {mine.name} ({mine.fingerprint[:12]}), {other.folder} by"
                f" {theirs.name} ({theirs.fingerprint[:12]}); index one of them again with the encoder of the other"
            )

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the pictures with some ids; ids that no picture has are left out."""
        return self._catalogue.items_by_id(ids)

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
        with self.snapshot():
            hashes = {item.id: item.content_hash for item in self._catalogue.items()}
            seen = {(first, second) for first, second, _, _ in self._catalogue.reviewed()}
            numbers = {content: number for number, content in enumerate(hashes.values())}
            embeddings = self.embeddings(kinds={id_: numbers[content] for id_, content in hashes.items()})
        found: list[EmbeddingPair] = []
        reach = 0.05
        # Few pairs lie close to the threshold and millions far beyond it, so the window opens step by step.
        while len(found) < count and reach < 2 * _GREATEST_DISTANCE:
            found = []
            for pairs in Join(embeddings, min(middle + reach, _GREATEST_DISTANCE)):
                off = abs(pairs.distance - middle)
                nearest = np.argsort(off, kind="stable")[: count + len(seen)]
                new = [
                    EmbeddingPair(first=first, second=second, distance=distance)
                    for first, second, distance in pairs.take(nearest[off[nearest] <= reach]).each()
                    if (min(hashes[first], hashes[second]), max(hashes[first], hashes[second])) not in seen
                ]
                found = nsmallest(count, [*found, *new], key=lambda pair: abs(pair.distance - middle))
            reach *= 2
        return found

    def distances(self, pairs: Sequence[tuple[int, int]]) -> list[float]:
        """Return the distances between items, named by their ids; raises KeyError for an unknown id."""
        ids = sorted({item for pair in pairs for item in pair})
        vectors = dict(zip(ids, self.vectors_of(ids).astype(np.float64), strict=True))
        return [float(np.linalg.norm(vectors[first] - vectors[second])) for first, second in pairs]

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


def _cells(index: Index) -> Cells | None:
    return Cells(index.centroids, index.cell_of_row) if isinstance(index, CellIndex) else None


def _one_by_one(join: Join) -> Iterator[EmbeddingPair]:
    for pairs in join.all_pairs():
        for first, second, distance in pairs.each():
            yield EmbeddingPair(first=first, second=second, distance=distance)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a writer's temporary file
        return 0


def _check_options(k: int, threshold: float | None) -> None:
    if k < 1:
        raise OptionError(f"k is {k}: at least one hit has to be asked for")
    if threshold is not None and not 0 <= threshold <= _GREATEST_DISTANCE:
        raise OptionError(f"threshold {threshold}: distances lie in [0, 2]")
