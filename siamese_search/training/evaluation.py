"""What a finished encoder is worth on a data set: pairs over several seeds, and retrieval.

The threshold comes from the validation part, never from the test part that it is applied to.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_search.calibration.metrics import (
    accuracy_at,
    best_threshold,
    contrastive_cost,
    curve,
    equal_error_rate,
    roc_auc,
)
from siamese_search.cores import usable_cores
from siamese_search.encoder import Encoder
from siamese_search.errors import DataError
from siamese_search.training.data import Dataset, Part, Pictures
from siamese_search.training.retrieval import Embedded, Retrieval, retrieval
from siamese_search.training.scores import PartResult, pair_distances, pairs_of, scored_part

Progress = Callable[[int, int], None]
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over several draws of pairs: mean, sample standard deviation (0 for one draw), and each value."""

    mean: float
    deviation: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise at least one value."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return cls(mean=float(np.mean(values)), deviation=deviation, values=tuple(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An encoder on the test part of a data set. `retrieval` is None where only pairs are known.

    Where copies are asked for and the pictures lie in several folders, `subjects` tells how well test pictures find
    others of their folder among the training and validation pictures.
    """

    encoder: str
    data: str
    pairs: int
    threshold: float
    margin: float
    accuracy: Spread
    loss: Spread
    roc_auc: Spread
    equal_error_rate: Spread
    retrieval: Retrieval | None
    subjects: Retrieval | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)


def evaluate(
    encoder: Encoder,
    dataset: Dataset,
    *,
    seeds: int = 5,
    margin: float = 1.0,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> tuple[Evaluation, list[PartResult]]:
    """Evaluate an encoder on the test part; also return the results on validation and test part with the first seed.

    Pairs are drawn anew for each of `seeds` seeds, unless they are listed. Without a `threshold`, that of highest
    accuracy on the validation pairs is taken. Raises DataError when a part has no pairs of one kind.
    """
    started = time.monotonic()
    parts = [scored_part(part, dataset.labels) for part in (dataset.validation, dataset.test)]
    retrieves = parts[1].identity is not None
    embedded = embed_all(
        encoder, [part.pictures for part in (*parts, dataset.train)][: 3 if retrieves else 2], progress=progress
    )
    results = []
    for part, embeddings in zip(parts, embedded, strict=False):
        pairs = pairs_of(part)
        distance = pair_distances(embeddings, pairs)
        results.append(PartResult(part=part, embeddings=embeddings, pairs=pairs, distance=distance))
    validation, test = results
    if threshold is None:
        threshold = best_threshold(validation.distance, validation.pairs.label)
    draws = [test.pairs] if test.part.pairs else [pairs_of(test.part, seed=seed) for seed in range(seeds)]
    distances = [pair_distances(test.embeddings, pairs) for pairs in draws]
    curves = [curve(d, pairs.label) for d, pairs in zip(distances, draws, strict=True)]
    evaluation = Evaluation(
        encoder=encoder.name,
        data=dataset.name,
        pairs=len(test.pairs),
        threshold=threshold,
        margin=margin,
        accuracy=Spread.of([accuracy_at(threshold, d, p.label) for d, p in zip(distances, draws, strict=True)]),
        loss=Spread.of([contrastive_cost(d, p.label, margin=margin) for d, p in zip(distances, draws, strict=True)]),
        roc_auc=Spread.of([roc_auc(c) for c in curves]),
        equal_error_rate=Spread.of([equal_error_rate(c) for c in curves]),
        retrieval=retrieval(*asked_and_searched(dataset, embedded[2], validation, test)) if retrieves else None,
        subjects=of_one_folder(dataset, embedded[2], validation, test) if retrieves else None,
        seconds=round(time.monotonic() - started, 2),
    )
    return evaluation, results


def asked_and_searched(
    dataset: Dataset, train: NDArray[np.float32], validation: PartResult, test: PartResult
) -> tuple[Embedded, Embedded]:
    """Return queries and gallery of a data set with identities.

    With classes, the test pictures search in all others. Without, edited views of the test pictures search for their
    originals among all pictures.
    """
    if dataset.labels != "none":
        gallery = Embedded(
            embeddings=np.concatenate([train, validation.embeddings]),
            identity=np.concatenate([identities(dataset.train), identities(validation.part)]),
        )
        return Embedded(embeddings=test.embeddings, identity=identities(test.part)), gallery
    n, others = len(dataset.test), len(train) + len(dataset.validation)
    originals = [test.embeddings[:n], train, validation.embeddings[: len(dataset.validation)]]
    gallery = Embedded(
        embeddings=np.concatenate(originals), identity=np.concatenate([np.arange(n), n + np.arange(others)])
    )
    return Embedded(embeddings=test.embeddings[n:], identity=np.arange(n)), gallery


def of_one_folder(
    dataset: Dataset, train: NDArray[np.float32], validation: PartResult, test: PartResult
) -> Retrieval | None:
    """Let unedited test pictures search for others of their folder; None where that asks nothing of its own."""
    parts = (dataset.test, dataset.validation, dataset.train)
    folders = [[str(Path(part.pictures.name(i)).parent) for i in range(len(part))] for part in parts]
    if dataset.labels != "none" or len({folder for of_part in folders for folder in of_part}) == 1:
        return None
    number = {folder: i for i, folder in enumerate(sorted({folder for of_part in folders for folder in of_part}))}
    asking, *others = (np.array([number[folder] for folder in of_part]) for of_part in folders)
    searched = np.concatenate([validation.embeddings[: len(dataset.validation)], train])
    return retrieval(
        Embedded(embeddings=test.embeddings[: len(asking)], identity=asking),
        Embedded(embeddings=searched, identity=np.concatenate(others)),
    )


def identities(part: Part) -> NDArray[np.int64]:
    """Return who a part's pictures show, or raise DataError when only pairs are known."""
    if part.identity is None:
        raise DataError(f"the {part.name} part has only pairs, the test part has classes; list pairs of all parts")
    return part.identity


def embed_all(
    encoder: Encoder, sequences: Sequence[Pictures], *, progress: Progress | None = None
) -> list[NDArray[np.float32]]:
    """Return the embeddings of each sequence of pictures, (n, dim); batches are decoded and embedded on every core."""
    total, done = sum(len(pictures) for pictures in sequences), 0

    def embedded(pictures: Pictures, batch: range) -> NDArray[np.float32]:
        pixels = np.stack([pictures.pixels(i, encoder.input_size) for i in batch])
        return encoder.embed_pixels(with_channels(pixels, encoder.channels))

    result = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for pictures in sequences:
            batches = [range(i, min(i + BATCH, len(pictures))) for i in range(0, len(pictures), BATCH)]
            blocks = [np.empty((0, encoder.dim), np.float32)]
            for block in pool.map(partial(embedded, pictures), batches):
                blocks.append(block)
                done += len(block)
                if progress:
                    progress(done, total)
            result.append(np.concatenate(blocks))
    return result


def with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Turn (n, s, s, c) grey into RGB or RGB into grey, where the encoder wants the other."""
    if pixels.shape[3] == channels:
        return pixels
    if channels == 3:  # noqa: PLR2004
        return np.repeat(pixels, 3, axis=3)
    return np.stack([np.asarray(Image.fromarray(rgb).convert("L")) for rgb in pixels])[..., None]
