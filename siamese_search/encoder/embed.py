"""Image files in, embeddings out: decoding and inference overlap, order is kept, and no picture stops the others."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from siamese_search.cores import usable_cores
from siamese_search.encoder.runtime import Encoder
from siamese_search.errors import ImageError
from siamese_search.images.decode import CHANGED, Picture, image_errors
from siamese_search.images.files import content_hash
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import Source, as_file, name_of
from siamese_search.results import Skipped

_MOST_BYTES = 4 << 30  # of a picture file; a larger one is none, and reading it would take minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """One picture's embedding, float32 `(dim,)`, with what was learned about its file on the way."""

    path: Path
    vector: NDArray[np.float32]
    content_hash: str
    width: int
    height: int
    format: str


def embed_files(
    paths: Iterable[Path], encoder: Encoder, *, workers: int | None = None, batch: int | None = None
) -> Iterator[Embedded | Skipped]:
    """Yield one result a path, in the order of `paths`: an embedding, or the reason why there is none.

    Each of `workers` threads (default: one a usable core) decodes and embeds whole batches (default: as large as suits
    the encoder); the encoder must be thread-safe. At most two batches a worker wait to be taken, whatever the number
    of paths.
    """
    workers = workers or usable_cores()
    batch = batch or encoder.batch
    waiting: deque[Future[list[Embedded | Skipped]]] = deque()
    with (
        Decoder(size=encoder.input_size, channels=encoder.channels) as decoder,
        ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool,
    ):
        try:
            for some in _batches(paths, batch):
                waiting.append(pool.submit(_embed_batch, some, encoder, decoder))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def embed_stream(stream: BinaryIO, encoder: Encoder) -> Embedded | Skipped:
    """Embed the one picture that a stream holds, as stdin may, or give the reason why not; its path is `-`."""
    data = BytesIO(stream.read())
    digest = content_hash(data)
    data.seek(0)
    try:
        with Decoder(size=encoder.input_size, channels=encoder.channels) as decoder:
            decoded = _Decoded(Path("-"), digest, decoder.load(data))
    except ImageError as error:
        return Skipped(path=Path(error.path), reason=error.reason)
    (result,) = _embed([decoded], encoder)
    return result


def embed_sources(
    sources: Sequence[Source], encoder: Encoder, *, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.float32], dict[int, Skipped]]:
    """Return the embeddings (n, dim) of pictures however they come, in order, and by place those that have none.

    `progress` is called with the number of pictures done and their total.
    """
    files = [as_file(source) for source in sources]
    from_paths = embed_files((file for file in files if isinstance(file, Path)), encoder)
    vectors: list[NDArray[np.float32]] = []
    skipped: dict[int, Skipped] = {}
    for place, file in enumerate(files):
        result = next(from_paths) if isinstance(file, Path) else embed_stream(file, encoder)
        if isinstance(result, Skipped):
            skipped[place] = Skipped(path=Path(name_of(sources[place])), reason=result.reason)
        else:
            vectors.append(result.vector)
        if progress:
            progress(place + 1, len(files))
    return np.array(vectors, np.float32).reshape(-1, encoder.dim), skipped


def _batches(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    rest = iter(paths)
    while some := list(islice(rest, size)):
        yield some


def _embed_batch(paths: list[Path], encoder: Encoder, decoder: Decoder) -> list[Embedded | Skipped]:
    return _embed([_decode(path, decoder) for path in paths], encoder)


def _embed(decoded: "list[_Decoded | Skipped]", encoder: Encoder) -> list[Embedded | Skipped]:
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
        )
        for entry in decoded
    ]


@dataclass(frozen=True, slots=True)
class _Decoded:
    path: Path
    content_hash: str
    picture: Picture


def _decode(path: Path, decoder: Decoder) -> _Decoded | Skipped:
    try:
        with image_errors(path):
            # A second look at a file that was being written; one that still is has to wait for the next sync.
            return _read(path, decoder) or _read(path, decoder) or Skipped(path=path, reason=CHANGED)
    except ImageError as error:
        return Skipped(path=path, reason=error.reason)


def _read(path: Path, decoder: Decoder) -> _Decoded | None:
    """Hash and decode a file; None when it was not the same file all the while."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > _MOST_BYTES:
            raise ImageError(str(path), f"too large: {before.st_size:,} bytes, the limit is {_MOST_BYTES:,}")
        digest = content_hash(file)
        file.seek(0)
        try:
            picture = decoder.load(file)
        except ImageError:
            if _same_state(path.stat(), before):
                raise
            return None
    if not _same_state(path.stat(), before):
        return None
    return _Decoded(path, digest, picture)


def _same_state(one: os.stat_result, other: os.stat_result) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in ("st_ino", "st_dev", "st_size", "st_mtime_ns"))
