"""Image files in, embeddings out: decoding and inference overlap, order is kept, and no picture stops the others."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder import Encoder
from siamese_search.errors import ImageError
from siamese_search.files import content_hash
from siamese_search.images import NO_PERMISSION, Picture, load_picture
from siamese_search.results import Skipped

_BATCH = 4  # larger batches fall out of the CPU's caches
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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
    paths: Iterable[Path], encoder: Encoder, *, workers: int | None = None, batch: int = _BATCH
) -> Iterator[Embedded | Skipped]:
    """Yield one result a path, in the order of `paths`: an embedding, or the reason why there is none.

    Each of `workers` threads (default: one a usable core) decodes and embeds whole batches; the encoder must be
    thread-safe. At most two batches a worker wait to be taken, whatever the number of paths.
    """
    workers = workers or usable_cores()
    waiting: deque[Future[list[Embedded | Skipped]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        try:
            for some in _batches(paths, batch):
                waiting.append(pool.submit(_embed_batch, some, encoder))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """Return how many CPU cores this process may use, by its affinity and its container's quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def _batches(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    rest = iter(paths)
    while some := list(islice(rest, size)):
        yield some


def _embed_batch(paths: list[Path], encoder: Encoder) -> list[Embedded | Skipped]:
    decoded = [_decode(path, encoder) for path in paths]
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


def _decode(path: Path, encoder: Encoder) -> _Decoded | Skipped:
    try:
        with path.open("rb") as file:
            digest = content_hash(file)
            file.seek(0)
            return _Decoded(path, digest, load_picture(file, size=encoder.input_size, channels=encoder.channels))
    except ImageError as error:
        return Skipped(path=str(path), reason=error.reason)
    except PermissionError:
        return Skipped(path=str(path), reason=NO_PERMISSION)
    except OSError as error:
        return Skipped(path=str(path), reason=f"cannot be read: {error.strerror}")
