"""How near different pages, screens or logos come to one another, and whether a re-encoded copy finds its own.

Each folder holds pictures of one kind, all different.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sets import find_photos
from siamese_search import load_encoder

SCALE, QUALITY = 0.75, 60  # of the copies
AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How far different pictures of a kind lie apart, and the ranks of the originals of their copies.

    `nearest` are the distances within which a thousandth, a hundredth and a half of all pairs lie.
    """

    name: str
    pictures: int
    nearest: tuple[float, float, float]
    ranks: NDArray[np.int64]

    def within(self, rank: int) -> float:
        """Return the share of the copies whose original is among the first so many."""
        return float((self.ranks <= rank).mean())


def kind_of(folder: Path, encoder: str) -> Kind:
    """Embed the pictures of a folder, and a copy of each at three quarters of the size in JPEG quality 60."""
    chosen = load_encoder(encoder)
    originals, copies = [], []
    for some in blocks([photo.path for photo in find_photos(folder)]):
        originals.append(chosen.embed(some))
        copies.append(chosen.embed(list(map(copy_of, some))))
    vectors, asked = np.concatenate(originals), np.concatenate(copies)
    apart = distances(vectors, vectors)[np.triu_indices(len(vectors), 1)]
    from_copy = distances(asked, vectors)
    ranks = 1 + (from_copy < np.diag(from_copy)[:, None]).sum(axis=1)
    thousandth, hundredth, half = np.quantile(apart, [0.001, 0.01, 0.5]).tolist()
    return Kind(name=folder.name, pictures=len(vectors), nearest=(thousandth, hundredth, half), ranks=ranks)


def cells(kind: Kind) -> list[str]:
    """Return a row of a table: distances, then shares in %."""
    shares = (f"{100 * kind.within(rank):.0f}" for rank in (1, 5))
    return [kind.name, f"{kind.pictures:,}", *(f"{value:.2f}" for value in kind.nearest), *shares, str(max(kind.ranks))]


def copy_of(path: Path) -> bytes:
    """Return a smaller JPEG of a picture."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    file = BytesIO()
    picture.resize([max(1, round(SCALE * side)) for side in picture.size]).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distances of unit vectors, (n, dim) and (m, dim), as (n, m)."""
    return np.sqrt(np.maximum(0, 2 - 2 * first @ second.T))


def blocks(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yield some at a time."""
    for start in range(0, len(paths), AT_ONCE):
        yield paths[start : start + AT_ONCE]
