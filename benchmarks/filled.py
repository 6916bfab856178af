"""Galleries of any size without a picture: clustered embeddings, among them pairs of near-duplicates that are known.

    python benchmarks/filled.py FOLDER 100000       fill a gallery, tell what it takes on disk

The embeddings are spread as the shipped encoder spreads photos: of 256 directions few matter, each a little less than
the one before, and clusters of some 200 overlap. At 10,000 a query's nearest is at a cosine of 0.64 and its tenth at
0.54 (10,076 photos: 0.72 and 0.60), and k-means cells hold them together as well as those of the photos: of 400 cells
the 32 nearest hold 0.97 of the ten nearest (photos: 0.96). The same arguments make the same gallery.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from siamese_search.encoder import load_encoder
from siamese_search.gallery.codes import encode
from siamese_search.gallery.local.catalogue import CATALOGUE
from siamese_search.gallery.local.database import Database
from siamese_search.gallery.local.index import INDEX
from siamese_search.gallery.settings import EncoderIdentity

ROOT = Path("/pictures")
_IN_CLUSTER = 200
_TIGHTNESS = 0.58  # the cosine of an embedding with the middle of its cluster
_FADING = 15  # the variance along the last direction is e to the minus this, with 1 along the first
_NEAREST, _FARTHEST = 0.05, 0.35  # distances of planted pairs
_BLOCK = 8192
_FOLDERS = ("Lake", "Birthday", "Garden", "Trip to Rome", "Home")

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Planted:
    """The near-duplicates in a gallery: `ids` `(m, 2)`, the smaller first, and their `distances` `(m,)`."""

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]


def filled_gallery(folder: Path, n: int, *, dim: int = 256, planted: float = 0.02, seed: int = 0) -> Planted:
    """Make a gallery of `n` items in a new or empty folder, without an index; return its pairs of near-duplicates.

    `planted` is the share of items that are one of such a pair; ids count from 1. The gallery belongs to the encoder
    "photo" when `dim` is that encoder's, otherwise to one that is not there: it answers to vectors, not to pictures.
    """
    pairs = planted_pairs(n, planted=planted, seed=seed)
    photo = load_encoder("photo")
    ours = dim == photo.dim
    identity = EncoderIdentity(
        name=photo.name if ours else "synthetic",
        location="photo" if ours else "synthetic",
        fingerprint=photo.fingerprint if ours else "0" * 32,
        dim=dim,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    meta = {"encoder": json.dumps(asdict(identity)), "threshold": json.dumps(asdict(photo.threshold))}
    Database.create(folder / CATALOGUE, meta, rows=_rows(n, dim, pairs, seed)).close()
    return pairs


def planted_pairs(n: int, *, planted: float, seed: int) -> Planted:
    """Return the pairs that `vectors` makes near-duplicates; no item is in two of them."""
    rng = np.random.default_rng([seed, n])
    count = int(n * planted / 2)
    ids = np.sort(rng.permutation(n)[: 2 * count].reshape(count, 2), axis=1)
    return Planted(ids[np.argsort(ids[:, 0])] + 1, rng.uniform(_NEAREST, _FARTHEST, count))


def vectors(n: int, dim: int, pairs: Planted, *, seed: int = 0) -> Iterator[Vectors]:
    """Yield the embeddings of items 1 to `n` in order, in blocks `(b, dim)`."""
    rng = np.random.default_rng([seed, 1])
    axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0] * np.exp(-_FADING / 2 * np.arange(dim) / dim)
    spread = axes.T.astype(np.float32)
    middles = _unit(rng.standard_normal((max(1, n // _IN_CLUSTER), dim), np.float32) @ spread)
    first, second = pairs.ids.T - 1
    by_second = np.argsort(second)
    originals = np.empty((len(first), dim), np.float32)
    for block, start in enumerate(range(0, n, _BLOCK)):
        rng = np.random.default_rng([seed, 2, block])
        some = middles[rng.integers(len(middles), size=min(_BLOCK, n - start))]
        found = _unit(_TIGHTNESS * some + np.sqrt(1 - _TIGHTNESS**2) * _across(rng, some, spread))
        end = start + len(found)
        inside = slice(*np.searchsorted(first, [start, end]))
        originals[inside] = found[first[inside] - start]
        copies = by_second[slice(*np.searchsorted(second[by_second], [start, end]))]
        original = originals[copies]  # made before, or just now: the original has the smaller id
        halves = np.arcsin(pairs.distances[copies, None] / 2)
        found[second[copies] - start] = np.cos(2 * halves) * original + np.sin(2 * halves) * _across(
            rng, original, spread
        )
        yield found


def _across(rng: np.random.Generator, rows: Vectors, spread: Vectors) -> Vectors:
    """Return a random unit vector, spread as all are, at right angles to each row."""
    drawn = rng.standard_normal(rows.shape, np.float32) @ spread
    drawn -= np.einsum("ij,ij->i", drawn, rows)[:, None] * rows
    return _unit(drawn)


def _unit(rows: NDArray[np.floating]) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths, np.float32)


def _rows(n: int, dim: int, pairs: Planted, seed: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "roots", (1, bytes(ROOT))
    taken = datetime(2004, 5, 1, 9, tzinfo=UTC)
    every = timedelta(seconds=int(timedelta(days=365 * 15).total_seconds()) // max(n, 1))
    for item in range(1, n + 1):
        folder = f"{taken:%Y/%m} {_FOLDERS[taken.month % len(_FOLDERS)]}"
        path = f"{folder}/IMG_{taken:%Y%m%d_%H%M%S}_{item % 10}.jpg".encode()
        mtime_ns = int(taken.timestamp()) * 10**9 + item * 1_003_009 % 10**9
        content = xxhash.xxh3_128_digest(path)
        yield "items", (item, 1, path, 2_500_000 + item * 7919 % 10**6, mtime_ns, content, 4032, 3024, "JPEG")
        taken += every
    item = 0
    for block in vectors(n, dim, pairs, seed=seed):
        for code in encode(block):
            item += 1
            yield "embeddings", (item, code.tobytes())


def main() -> None:
    """Fill a gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--planted", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = process_time()
    pairs = filled_gallery(options.folder, options.n, dim=options.dim, planted=options.planted, seed=options.seed)
    size = (options.folder / CATALOGUE).stat().st_size
    print(
        f"{options.n:,} items, {len(pairs.ids):,} planted pairs, {size / max(options.n, 1):,.0f} bytes an item in"
        f" {CATALOGUE}, filled in {process_time() - start:,.1f} s of CPU"
    )


if __name__ == "__main__":
    main()
