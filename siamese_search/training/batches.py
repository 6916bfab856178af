"""Which pictures meet in a batch, and their edited pixels. Every batch is a function of the seed and the step alone."""

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from siamese_search.calibration.pairs import SIMILAR, UNKNOWN, Pairs
from siamese_search.images.edits import edited_view
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset, Part
from siamese_search.training.jitter import jittered
from siamese_search.training.losses import targets_of
from siamese_search.training.pairs import balanced_pairs

FIRST_TWIN = (0.1, 0.5)  # shares of the strength of edits: an original, and a copy of everyday use


@dataclass(frozen=True, slots=True)
class Batch:
    """`views`, `targets` (n, n) of labels; where they are known, `identity` (n,) and `others` (n, k).

    `views` are pixels (n, s, s, c) or, with `are_features`, what a trunk that stays as it is made of them (n, f).
    `others` are the identities that a view also shows, because edits pasted or tiled them with it; -1 where there are
    fewer than k.
    """

    views: Tensor
    targets: Tensor
    identity: Tensor | None = None
    others: Tensor | None = None
    are_features: bool = False


class Batches(TorchDataset[Batch]):
    """The batches of a run, by step. Pictures are decoded and edited where `[step]` is called: in a worker process."""

    def __init__(self, dataset: Dataset, config: TrainConfig, *, first_step: int = 0) -> None:
        self.part = dataset.train
        self.labels = dataset.labels
        self.config = config
        self.first_step = first_step
        self._epoch_pairs: tuple[int, Pairs] | None = None

    def __len__(self) -> int:
        return self.config.steps - self.first_step

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self):
            raise IndexError(index)
        step = self.first_step + index
        chosen, targets, identity = self.choose(step)
        pixels, drawn, tiles = self.render(chosen, step)
        if identity is None or self.part.identity is None:
            return Batch(pixels, targets)
        shown = torch.from_numpy(identity)
        others = padded(drawn, self.part.identity)
        relate_composed(targets, shown, others, padded(tiles, self.part.identity))
        return Batch(pixels, targets, shown, others)

    def choose(self, step: int) -> tuple[NDArray[np.int64], Tensor, NDArray[np.int64] | None]:
        """Return the pictures of a batch (n,), what is known of their pairs (n, n), and who they show (n,)."""
        rng = np.random.default_rng((self.config.seed, step))
        if self.part.identity is None:
            return (*chosen_pairs(self.part, self.config.batch, rng), None)
        if self.config.pairing == "random":
            return (*self.random_pairs(step), None)
        if self.labels == "none":
            chosen = np.tile(epoch_slice(len(self.part), self.config.batch // 2, step, self.config.seed), 2)
        elif self.config.per_class:
            chosen = chosen_classes(self.part.identity, self.config.batch, self.config.per_class, rng)
        else:
            chosen = epoch_slice(len(self.part), self.config.batch, step, self.config.seed)
        identity = self.part.identity[chosen]
        shown = torch.from_numpy(identity)
        return chosen, targets_of(shown, shown), identity

    def random_pairs(self, step: int) -> tuple[NDArray[np.int64], Tensor]:
        """Return the next `batch / 2` pairs of an epoch, which has a similar and a dissimilar pair for each picture."""
        if self.part.identity is None:
            raise TypeError("random pairs are drawn from identities")
        count = self.config.batch // 2
        epoch, place = divmod(step, max(1, 2 * len(self.part) // count))
        if self._epoch_pairs is None or self._epoch_pairs[0] != epoch:
            drawn = balanced_pairs(self.part.identity, seed=self.config.seed)
            order = np.random.default_rng((self.config.seed, epoch)).permutation(len(drawn))
            self._epoch_pairs = epoch, drawn.take(order)
        pairs = self._epoch_pairs[1]
        return paired_batch(pairs.take(np.arange(place * count, (place + 1) * count) % len(pairs)))

    def render(self, chosen: NDArray[np.int64], step: int) -> tuple[Tensor, list[list[int]], list[list[int]]]:
        """Return the edited pixels of the chosen pictures, (n, s, s, c), which others each view shows, and which whole.

        No two edits are the same. Others that are shown whole are of this batch, so that the view meets them.
        """
        size, pictures = self.config.size_at(step), self.part.pictures
        if self.config.edits != "photo":
            plain = torch.from_numpy(np.stack([pictures.pixels(i, size) for i in chosen.tolist()]))
            if self.config.edits == "grey":
                seed = hash((self.config.seed, step))
                plain = jittered(plain, strength=self.config.strength_at(step), seed=seed)
            return plain, [[] for _ in chosen], [[] for _ in chosen]
        rng = Random(f"{self.config.seed}/{step}")  # noqa: S311  (edits, not secrets)
        strength = self.config.strength_at(step)
        views: list[NDArray[np.uint8]] = []
        drawn: list[list[int]] = []
        tiles: list[list[int]] = []

        def other(*, whole: bool = False) -> Image.Image:
            i = int(rng.choice(chosen)) if whole else rng.randrange(len(pictures))
            drawn[-1].append(i)
            if whole:
                tiles[-1].append(i)
            return pictures.picture(i)

        for place, i in enumerate(chosen.tolist()):
            # Without labels the first half plays the originals, or copies with everyday edits.
            first_twin = self.labels == "none" and place < len(chosen) // 2
            share = rng.choice(FIRST_TWIN) if first_twin else 1
            drawn.append([])
            tiles.append([])
            views.append(edited_view(pictures.picture(i), size=size, rng=rng, strength=strength * share, other=other))
        return torch.from_numpy(np.stack(views)), drawn, tiles


def relate_composed(targets: Tensor, shown: Tensor, others: Tensor, tiles: Tensor) -> None:
    """Correct the labels (n, n) of views that show more than one picture, in place.

    `shown` (n,), the `others` that a view also shows and, among these, the `tiles` of a collage (n, k), -1 for none.
    """
    everything = torch.cat([shown[:, None], others], dim=1)
    targets[common(everything, everything) & (targets != SIMILAR)] = UNKNOWN
    # A collage is a copy of each picture in it, as a view that shows nothing else can teach.
    copies = common(tiles, shown[:, None]) & (others < 0).all(dim=1)
    targets[copies | copies.T] = SIMILAR


def common(first: Tensor, second: Tensor) -> Tensor:
    """Tell which views show an identity in common: (n, k), (m, l) -> (n, m); -1 is none."""
    return ((first[:, None, :, None] == second[None, :, None, :]) & (first >= 0)[:, None, :, None]).any(dim=(2, 3))


def padded(places: list[list[int]], identity: NDArray[np.int64]) -> Tensor:
    """Return the identities at n lists of places as (n, k), -1 where there are fewer than k."""
    rows = np.full((len(places), max(map(len, places))), -1)
    for row, each in zip(rows, places, strict=True):
        row[: len(each)] = identity[each]
    return torch.from_numpy(rows)


def epoch_slice(n: int, count: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the next `count` of `n` positions, in an order shuffled anew each epoch; an epoch's rest is left out."""
    count = min(count, n)
    per_epoch = n // count
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch, n)).permutation(n)
    return order[place * count : (place + 1) * count]


def chosen_classes(
    identity: NDArray[np.int64], count: int, per_class: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return about `count` positions, `per_class` from each of as many classes as that takes; small classes repeat."""
    classes = np.unique(identity)
    picked = rng.permutation(classes)[: max(2, count // per_class)]
    each = max(per_class, count // len(picked))
    members = (np.flatnonzero(identity == c) for c in picked)
    return np.concatenate([rng.choice(m, each, replace=len(m) < each) for m in members])


def chosen_pairs(part: Part, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Tensor]:
    """Return `count / 2` labelled pairs, similar and dissimilar in balance, as positions and their (n, n) labels."""
    pairs = part.pairs
    if pairs is None:
        raise TypeError("a part has identities or pairs")
    half = count // 4
    sides = [np.flatnonzero(pairs.label == label) for label in (0, 1)]
    return paired_batch(
        pairs.take(np.concatenate([rng.choice(side, half, replace=len(side) < half) for side in sides]))
    )


def paired_batch(picked: Pairs) -> tuple[NDArray[np.int64], Tensor]:
    """Return the (2n,) positions of n pairs, and their (2n, 2n) labels, unknown but for these pairs."""
    n = len(picked)
    targets = torch.full((2 * n, 2 * n), UNKNOWN, dtype=torch.int8)
    first, second = torch.arange(n), torch.arange(n, 2 * n)
    label = torch.from_numpy(picked.label)
    targets[first, second] = targets[second, first] = label
    chosen = np.concatenate([picked.first, picked.second])
    targets[torch.from_numpy(chosen[:, None] == chosen[None, :])] = SIMILAR
    return chosen, targets
