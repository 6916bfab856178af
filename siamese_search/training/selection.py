"""Some of a data set: a few pictures, a few classes, or the pairs that a file lists."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_search.atomic import check_file
from siamese_search.calibration.pairs import Pairs, read_pairs, write_pairs
from siamese_search.errors import DataError, OptionError
from siamese_search.training.data import Dataset, Part, Pictures
from siamese_search.training.scores import PartResult


class Chosen:
    """Some pictures of others, in an order of their own; they keep their names."""

    def __init__(self, pictures: Pictures, chosen: NDArray[np.int64]) -> None:
        self._pictures = pictures
        self._chosen = chosen
        self.channels = pictures.channels

    def __len__(self) -> int:
        return len(self._chosen)

    def picture(self, index: int) -> Image.Image:
        """Return one as it is."""
        return self._pictures.picture(int(self._chosen[index]))

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one squashed to (size, size, channels)."""
        return self._pictures.pixels(int(self._chosen[index]), size)

    def name(self, index: int) -> str:
        """Return its name among the others."""
        return self._pictures.name(int(self._chosen[index]))


class Grey:
    """Other pictures without their colours."""

    channels = 1

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self.name = pictures.name

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> Image.Image:
        """Return one in grey."""
        return self._pictures.picture(index).convert("L")

    def pixels(self, index: int, size: int) -> NDArray[np.uint8]:
        """Return one squashed to (size, size, 1)."""
        return np.asarray(Image.fromarray(self._pictures.pixels(index, size)).convert("L"))[:, :, None]


def in_grey(dataset: Dataset) -> Dataset:
    """Return a dataset whose pictures are grey, for architectures that take no others."""
    if dataset.channels == 1:
        return dataset
    parts = (replace(part, pictures=Grey(part.pictures)) for part in (dataset.train, dataset.validation, dataset.test))
    train, validation, test = parts
    return replace(dataset, train=train, validation=validation, test=test)


def sample(part: Part, limit: int) -> Part:
    """Return the first pictures of a part; a part's order is random, so they stand for all. Listed pairs stay whole."""
    if len(part) <= limit or part.identity is None:
        return part
    return replace(part, pictures=Chosen(part.pictures, np.arange(limit)), identity=part.identity[:limit])


def parse_classes(text: str) -> tuple[int, ...]:
    """Read class numbers, `0-4` or `1,3,5-7`; raise OptionError when it is something else."""
    numbers: list[int] = []
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise OptionError(f"--classes {text}: expected class numbers such as 0-4 or 1,3,5-7")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers:
        raise OptionError(f"--classes {text}: names no class")
    return tuple(sorted(set(numbers)))


def of_classes(dataset: Dataset, classes: Iterable[int]) -> Dataset:
    """Return a dataset with only some classes; a class's number is its digit, or its folder's place by name.

    Raises DataError when a part would be left with fewer than two of them.
    """
    wanted = np.array(sorted(set(classes)), np.int64)

    def only(part: Part) -> Part:
        if part.identity is None or dataset.labels == "none":
            raise DataError(f"{dataset.name}: it has no classes to choose from; give --labels folders")
        kept = np.flatnonzero(np.isin(part.identity, wanted))
        if len(np.unique(part.identity[kept])) < 2:  # noqa: PLR2004
            listed = ", ".join(map(str, wanted))
            raise DataError(f"{dataset.name}: its {part.name} part has fewer than two of the classes {listed}")
        return replace(part, pictures=Chosen(part.pictures, kept), identity=part.identity[kept])

    return replace(dataset, train=only(dataset.train), validation=only(dataset.validation), test=only(dataset.test))


def with_pairs(dataset: Dataset, pairs_file: Path) -> Dataset:
    """Return a dataset whose parts know only the pairs that a CSV lists under the pictures' names (`train/17`).

    Each pair must lie within one part. Parts of which no pair is listed keep their classes. Raises DataError when a
    name is unknown, a pair crosses parts, or none is for training.
    """
    names, pairs = read_pairs(pairs_file)
    parts = (dataset.train, dataset.validation, dataset.test)
    place = {part.pictures.name(i): (number, i) for number, part in enumerate(parts) for i in range(len(part))}
    for name in names:
        if name not in place:
            raise DataError(f"{pairs_file}: {dataset.name} has no picture {name!r}")
    listed: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for first, second, label in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.label.tolist(), strict=True):
        (part, one), (other_part, other) = place[names[first]], place[names[second]]
        if part != other_part:
            raise DataError(
                f"{pairs_file}: {names[first]} is for {parts[part].name} and {names[second]} for "
                f"{parts[other_part].name}; a pair must lie within one part"
            )
        listed[part].append((one, other, label))
    if not listed[0]:
        raise DataError(f"{pairs_file}: no pair of pictures to train on")
    train, validation, test = (
        replace(part, identity=None, pairs=_pairs(listed[number])) if listed[number] else part
        for number, part in enumerate(parts)
    )
    return replace(dataset, labels="pairs", train=train, validation=validation, test=test)


def write_part_pairs(path: Path, results: Iterable[PartResult]) -> None:
    """Write the pairs of parts as one CSV of names, which `with_pairs` reads; raise DataError when it cannot be."""
    names: list[str] = []
    first, second, label = [], [], []
    for result in results:
        first.append(result.pairs.first + len(names))
        second.append(result.pairs.second + len(names))
        label.append(result.pairs.label)
        names += [result.part.pictures.name(i) for i in range(len(result.part))]
    pairs = Pairs(first=np.concatenate(first), second=np.concatenate(second), label=np.concatenate(label))
    check_file(path)
    try:
        write_pairs(path, pairs, names)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _pairs(rows: list[tuple[int, int, int]]) -> Pairs:
    first, second, label = np.array(rows, np.int64).T
    return Pairs(first=first, second=second, label=label.astype(np.int8))
