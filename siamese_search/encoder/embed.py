"""Pictures in, embeddings out: decoding and inference overlap, order is kept, and no picture stops the others."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from siamese_search.cores import usable_cores
from siamese_search.errors import ImageError
from siamese_search.images.decode import Picture
from siamese_search.images.files import content_hash
from siamese_search.images.reasons import CHANGED, image_errors
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import MAX_BYTES, Source
from siamese_search.results import Skipped

T = TypeVar("T")
R = TypeVar("R")


class Embeds(Protocol):
    """What embedding takes of an encoder."""

    @property
    def input_size(self) -> int:
        """Edge of the square that pictures are squashed to, in pixels."""
        ...

    @property
    def channels(self) -> Literal[1, 3]:
        """3 for RGB, 1 for grey."""
        ...

    @property
    def batch(self) -> int:
        """How many pictures are best embedded at once."""
        ...

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings of unit length: (n, s, s, c) pixels -> (n, dim) float32. Thread-safe."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """One picture's embedding, float32 `(dim,)`, with what was learned about its file on the way; see `Picture`."""

    path: Path
    vector: NDArray[np.float32]
    content_hash: str
    width: int
    height: int
    format: str
    frames: int = 1
    note: str = ""


def embed_files(
    paths: Iterable[Path],
    encoder: Embeds,
    *,
    workers: int | None = None,
    batch: int | None = None,
    decoder: Decoder | None = None,
) -> Iterator[Embedded | Skipped]:
    """Yield one result a path, in the order of `paths`: an embedding, or the reason why there is none.

    Each of `workers` threads (default: one a usable core) decodes and embeds whole batches (default: as large as suits
    the encoder). At most two batches a worker wait to be taken, whatever the number of paths. Without a `decoder` that
    others use too, one is made for this call.
    """
    with nullcontext(decoder) if decoder else Decoder() as shared:

        def embed(some: list[Path]) -> list[Embedded | Skipped]:
            return _embed([_decode(path, encoder, shared) for path in some], encoder)

        yield from _in_batches(paths, embed, workers=workers, batch=batch or encoder.batch)


def embed_pictures(
    sources: Iterable[Source], encoder: Embeds, *, decoder: Decoder | None = None
) -> Iterator[NDArray[np.float32] | Skipped]:
    """Yield the embedding of each picture, float32 `(dim,)`, however they come, or the reason why there is none.

    In order, and as fast as `embed_files`, with a `decoder` of its own or the one given. Raises OptionError for what
    cannot be a picture.
    """
    with nullcontext(decoder) if decoder else Decoder() as shared:

        def decode(source: Source) -> Picture | Skipped:
            try:
                return shared.square(source, size=encoder.input_size, channels=encoder.channels)
            except ImageError as error:
                return Skipped(path=Path(error.path), reason=error.reason)

        def embed(some: list[Source]) -> list[NDArray[np.float32] | Skipped]:
            decoded = [decode(source) for source in some]
            pixels = [picture.pixels for picture in decoded if isinstance(picture, Picture)]
            vectors = iter(encoder.embed_pixels(np.stack(pixels)) if pixels else ())
            return [next(vectors) if isinstance(entry, Picture) else entry for entry in decoded]

        yield from _in_batches(sources, embed, workers=None, batch=encoder.batch)


def _in_batches(
    sources: Iterable[T], work: Callable[[list[T]], list[R]], *, workers: int | None, batch: int
) -> Iterator[R]:
    """Yield what some threads make of batches of the sources, in order and only a little ahead of the reader."""
    workers = workers or usable_cores()
    rest = iter(sources)
    first = list(islice(rest, batch))
    if len(first) < batch:  # no more than that: no thread is worth its start
        yield from work(first) if first else ()
        return
    rest = chain(first, rest)
    waiting: deque[Future[list[R]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        try:
            while some := list(islice(rest, batch)):
                waiting.append(pool.submit(work, some))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _embed(decoded: "list[_Decoded | Skipped]", encoder: Embeds) -> list[Embedded | Skipped]:
    pixels = [entry.picture.pixels for entry in decoded if isinstance(entry, _Decoded)]
    vectors = iter(encoder.embed_pixels(np.stack(pixels)) if pixels else ())
    return [
        entry
        if isinstance(entry, Skipped)
        else Embedded(
            path=entry.path,
            vector=next(vectors),
            content_hash=entry.content_hash,
            width=entry.picture.width,
            height=entry.picture.height,
            format=entry.picture.format,
            frames=entry.picture.frames,
            note=entry.picture.note,
        )
        for entry in decoded
    ]


@dataclass(frozen=True, slots=True)
class _Decoded:
    path: Path
    content_hash: str
    picture: Picture


def _decode(path: Path, encoder: Embeds, decoder: Decoder) -> _Decoded | Skipped:
    try:
        with image_errors(str(path)):
            # A second look at a file that was being written; one that still is has to wait for the next sync.
            read = _read(path, encoder, decoder) or _read(path, encoder, decoder)
            return read or Skipped(path=path, reason=CHANGED)
    except ImageError as error:
        return Skipped(path=path, reason=error.reason)


def _read(path: Path, encoder: Embeds, decoder: Decoder) -> _Decoded | None:
    """Hash and decode a file; None when it was not the same file all the while."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > MAX_BYTES:
            raise ImageError(str(path), f"too large: {before.st_size:,} bytes, the limit is {MAX_BYTES:,}")
        digest = content_hash(file)
        try:
            picture = decoder.square(file, size=encoder.input_size, channels=encoder.channels)
        except ImageError:
            if _same_state(path.stat(), before):
                raise
            return None
    if not _same_state(path.stat(), before):
        return None
    return _Decoded(path, digest, picture)


def _same_state(one: os.stat_result, other: os.stat_result) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in ("st_ino", "st_dev", "st_size", "st_mtime_ns"))
