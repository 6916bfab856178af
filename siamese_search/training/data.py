"""Training data: pictures in three parts, and what is known about who shows what.

Labels come from class folders, from a CSV of labelled pairs, or from nothing at all: then every picture is alike only
to edited views of itself.
"""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_search.calibration.pairs import Pairs, read_pairs
from siamese_search.errors import DataError, ImageError
from siamese_search.images.decode import picture_extensions
from siamese_search.images.edits import edited_view
from siamese_search.images.files import find_images, resolve_folders
from siamese_search.images.sandbox import Decoder
from siamese_search.results import ImageFile, Skipped
from siamese_search.training.needs import read_test_list
from siamese_search.training.pairs import connected_parts

SPLIT_SEED = 0  # never another: what an encoder was not trained on must stay what it is tested on
CACHE_BYTES = 2_000_000_000  # of shrunk pictures kept in memory
LONGEST_EDGE = 384  # of the pictures that edits start from: enough for every input size in use


class Pictures(Protocol):
    """A sequence of pictures, wherever they live."""

    channels: int

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def picture(self, index: int) -> Image.Image:
        """Return one as it is, RGB or grey."""
        ...

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one squashed to (size, size, channels)."""
        ...

    def name(self, index: int) -> str:
        """Return what to call it in reports and pair files."""
        ...


class ArrayPictures:
    """Grey pictures held in memory: (n, h, w) uint8."""

    channels = 1

    def __init__(self, array: NDArray[np.uint8], *, prefix: str) -> None:
        self.array = array
        self.prefix = prefix

    def __len__(self) -> int:
        return len(self.array)

    def picture(self, index: int) -> Image.Image:
        """Return one as a grey picture."""
        return Image.fromarray(self.array[index])

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one as (size, size, 1)."""
        if self.array.shape[1:] == (size, size):
            native: NDArray[np.uint8] = self.array[index][:, :, None]
            return native
        return np.asarray(self.picture(index).resize((size, size), Image.Resampling.BICUBIC))[:, :, None]

    def name(self, index: int) -> str:
        """Return `prefix/index`."""
        return f"{self.prefix}/{index}"


class FilePictures:
    """Pictures in files, decoded when asked for and kept (shrunk) while `CACHE_BYTES` allow."""

    channels = 3

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self.names = list(names)
        self._cache: dict[int, Image.Image] = {}
        self._cached = 0
        self._decoder = Decoder()

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> Image.Image:
        """Return one as RGB, its longest edge at most `LONGEST_EDGE`; raise `ImageError` when it cannot be read."""
        if index in self._cache:
            return self._cache[index]
        picture = self._decoder.thumbnail(self.root / self.names[index], longest=LONGEST_EDGE).image
        weight = 3 * picture.width * picture.height
        if self._cached + weight <= CACHE_BYTES:
            self._cache[index] = picture
            self._cached += weight
        return picture

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one as (size, size, 3)."""
        shrunk = self.picture(index).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return np.asarray(shrunk)

    def name(self, index: int) -> str:
        """Return the path relative to the root."""
        return self.names[index]


class WithEditedViews:
    """Every picture of `originals`, followed by one edited view of each: item n + i is a view of item i."""

    def __init__(self, originals: Pictures, *, strength: float) -> None:
        self.originals = originals
        self.channels = originals.channels
        self.strength = strength

    def __len__(self) -> int:
        return 2 * len(self.originals)

    def picture(self, index: int) -> Image.Image:
        """Return the original, or its edited view at a size of 256."""
        if index < len(self.originals):
            return self.originals.picture(index)
        return Image.fromarray(self.pixels(index, 256))

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one as (size, size, 3); the same edits every time."""
        n = len(self.originals)
        if index < n:
            return self.originals.pixels(index, size)
        rng = Random(f"{SPLIT_SEED}/{index}")  # noqa: S311  (edits, not secrets)
        return edited_view(
            self.originals.picture(index - n), size=size, strength=self.strength, rng=rng,
            other=lambda **_: self.originals.picture(rng.randrange(n)),
        )  # fmt: skip

    def name(self, index: int) -> str:
        """Return the original's name, marked when edited."""
        n = len(self.originals)
        return self.originals.name(index) if index < n else f"{self.originals.name(index - n)} (edited)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The training, validation or test part.

    `identity` (n,) tells who is shown: equal numbers are similar, others dissimilar. It is None when only the pairs in
    `pairs` are known.
    """

    name: str
    pictures: Pictures
    identity: NDArray[np.int64] | None
    pairs: Pairs | None = None

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Three parts without a common picture. `labels` says where the labels come from: folders, pairs or none.

    `skipped` are the files that look like pictures and cannot be read.
    """

    name: str
    labels: str
    train: Part
    validation: Part
    test: Part
    skipped: tuple[Skipped, ...] = ()

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return self.train.pictures.channels


def with_edited_views(part: Part, *, strength: float) -> Part:
    """Return an unlabelled part with an edited view of every picture, so that it has similar pairs to be scored by."""
    views = WithEditedViews(part.pictures, strength=strength)
    return Part(name=part.name, pictures=views, identity=np.tile(np.arange(len(part)), 2))


def load_folder(root: Path, *, labels: str = "none", test_list: Path | None = None) -> Dataset:
    """Read a folder of pictures; `labels` is "folders" (the folder a picture lies in is its class) or "none".

    Pictures named in `test_list` (one path relative to `root` a line) become the test part; without one a tenth does.
    A tenth of the rest, at most 500, is for validation. Raises `DataError` when too few remain to train on, and when
    the list cannot be read or names none of them.
    """
    held_out = read_test_list(test_list) if test_list else frozenset()
    names, skipped = readable_pictures(root)
    if test_list and held_out.isdisjoint(names):
        raise DataError(f"test list {test_list}: names no picture of {root}; expected paths relative to that folder")
    rest = [name for name in names if name not in held_out]
    rest.sort(
        key=lambda name: zlib.crc32(f"{SPLIT_SEED}/{name}".encode())
    )  # an order that adding pictures does not disturb
    n_test = 0 if held_out else len(rest) // 10
    n_validation = min(500, (len(rest) - n_test) // 10)
    chosen = {
        "test": [name for name in names if name in held_out] or rest[:n_test],
        "validation": rest[n_test : n_test + n_validation],
        "train": rest[n_test + n_validation :],
    }
    if len(chosen["train"]) < 8:  # noqa: PLR2004
        raise DataError(f"{root}: {len(chosen['train'])} pictures to train on, at least 8 are needed")
    classes = {folder: i for i, folder in enumerate(sorted({str(Path(name).parent) for name in names}))}
    if labels == "folders" and len(classes) < 2:  # noqa: PLR2004
        raise DataError(f"{root}: all pictures lie in one folder; --labels folders needs a folder for each class")

    def part(name: str) -> Part:
        members = chosen[name]
        identity = [classes[str(Path(m).parent)] for m in members] if labels == "folders" else range(len(members))
        return Part(name=name, pictures=FilePictures(root, members), identity=np.array(identity, np.int64))

    return Dataset(
        name=root.name,
        labels=labels,
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        skipped=skipped,
    )


def readable_pictures(root: Path) -> tuple[list[str], tuple[Skipped, ...]]:
    """Return the pictures below a folder, relative to it and by name, and those that cannot be decoded with reasons."""
    roots = resolve_folders([root])
    found = find_images(roots, extensions=picture_extensions())
    paths = sorted(file.path for file in found if isinstance(file, ImageFile))
    with Decoder() as decoder, ThreadPoolExecutor() as pool:
        faults = list(pool.map(lambda path: fault_of(path, decoder), paths))
    names = [path.relative_to(roots[0]).as_posix() for path, fault in zip(paths, faults, strict=True) if not fault]
    skipped = (Skipped(path=Path(path), reason=fault) for path, fault in zip(paths, faults, strict=True) if fault)
    return names, tuple(skipped)


def fault_of(path: Path, decoder: Decoder) -> str | None:
    """Return why a picture cannot be decoded, None when it can."""
    try:
        decoder.thumbnail(path, longest=64)
    except ImageError as error:
        return error.reason
    return None


def load_pairs(root: Path, pairs_file: Path) -> Dataset:
    """Read a CSV of labelled pairs (`first,second,label`, paths relative to `root`).

    Pictures that are tied by pairs go into the same part, so no picture is in two. Raises `DataError` naming the line
    that cannot be used.
    """
    names, pairs = read_pairs(pairs_file)
    for name in names:
        if not (root / name).is_file():
            raise DataError(f"{pairs_file}: {root / name} does not exist; paths are relative to {root}")
    shares = connected_parts(pairs, len(names), shares=(0.8, 0.1, 0.1))

    def part(name: str, share: Pairs) -> Part:
        members = np.unique(np.concatenate([share.first, share.second]))
        renumbered = replace(
            share, first=np.searchsorted(members, share.first), second=np.searchsorted(members, share.second)
        )
        return Part(
            name=name, pictures=FilePictures(root, [names[i] for i in members]), identity=None, pairs=renumbered
        )

    train, validation, test = (part(n, s) for n, s in zip(("train", "validation", "test"), shares, strict=True))
    return Dataset(name=pairs_file.stem, labels="pairs", train=train, validation=validation, test=test)
