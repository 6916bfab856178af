"""Edited views of which the features are kept, for training projections on a trunk that stays as it is.

What takes long, edits and trunk, is done once a view; a step over thousands of views then takes tenths of a second.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from siamese_search.atomic import whole_file
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.errors import OptionError
from siamese_search.training.batches import Batch, Batches, epoch_slice, padded, relate_composed
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset
from siamese_search.training.losses import targets_of

AT_ONCE = 64  # pictures of which a pair of views is made together
SHOWN = 4  # pictures beside its own that a view may show


class _Rounds(TorchDataset[tuple[Tensor, Tensor, Tensor]]):
    """Pairs of views of a slice of the pictures: pixels (2n, s, s, c), others and tiles (2n, `SHOWN`)."""

    def __init__(self, batches: Batches, number: int) -> None:
        self.batches = batches
        self.number = number
        self.slices = -(-len(batches.part) // AT_ONCE)

    def __len__(self) -> int:
        return self.slices

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        n = len(self.batches.part)
        chosen = np.arange(index * AT_ONCE, min(n, (index + 1) * AT_ONCE))
        pixels, drawn, tiles = self.batches.render(np.tile(chosen, 2), self.number * self.slices + index)
        return pixels, _wide(drawn, n), _wide(tiles, n)


def _wide(places: list[list[int]], n: int) -> Tensor:
    found = padded([row[:SHOWN] for row in places], np.arange(n))
    return torch.nn.functional.pad(found, (0, SHOWN - found.shape[1]), value=-1)


class KeptBatches(TorchDataset[Batch]):
    """The batches of a run over kept views, by step: a light and a heavy view of each picture, of any two rounds."""

    def __init__(self, rounds: list[dict[str, Tensor]], config: TrainConfig, *, first_step: int = 0) -> None:
        self.rounds = rounds
        self.config = config
        self.first_step = first_step

    def __len__(self) -> int:
        return self.config.steps - self.first_step

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self):
            raise IndexError(index)
        step, seed = self.first_step + index, self.config.seed
        n = self.rounds[0]["features"].shape[1]
        chosen = epoch_slice(n, self.config.batch // 2, step, seed)
        drawn = np.random.default_rng((seed, step)).integers(len(self.rounds), size=(2, len(chosen)))

        def views(name: str) -> Tensor:
            picked = [
                self.rounds[number][name][twin, place]
                for twin in (0, 1)
                for number, place in zip(drawn[twin].tolist(), chosen.tolist(), strict=True)
            ]
            return torch.stack(picked)

        shown = torch.from_numpy(np.tile(chosen, 2))
        others, targets = views("others"), targets_of(shown, shown)
        relate_composed(targets, shown, others, views("tiles"))
        return Batch(views("features").float(), targets, shown, others, are_features=True)


def keep_views(network: EncoderNetwork, dataset: Dataset, config: TrainConfig, folder: Path) -> list[dict[str, Tensor]]:
    """Return `config.kept_views` rounds of views of all training pictures, made where `folder` does not hold them.

    A round holds `features` (2, n, f) in half precision, and `others` and `tiles` (2, n, `SHOWN`): places of pictures
    that a view also shows, -1 for none. Raises OptionError where pictures have labels.
    """
    if dataset.labels != "none":
        raise OptionError("kept_views teaches copies, without labels: give --labels none")
    folder.mkdir(parents=True, exist_ok=True)
    batches = Batches(dataset, config)
    rounds = []
    for number in range(config.kept_views):
        path = folder / f"views-{number:03d}.safetensors"
        if not path.exists():
            with whole_file(path) as half:
                save_file(_one_round(network, batches, number), half)
        rounds.append(load_file(path))
    return rounds


@torch.no_grad()
def steady(network: EncoderNetwork, rounds: list[dict[str, Tensor]], power: float) -> None:
    """Shrink, in the part that tells which picture it is, what differs between a picture and views of it.

    The projection is multiplied by the covariance of the views' differences from the first light one to the power
    -`power`: as within-class covariance normalisation (Hatch et al., 2006), which takes 0.5. Views that show several
    pictures do not count.
    """
    first = F.normalize(network.projection(rounds[0]["features"][0].float()), dim=1)
    differences = []
    for views in rounds:
        for features, others in zip(views["features"], views["others"], strict=True):
            alone = (others < 0).all(dim=1)
            differences.append(F.normalize(network.projection(features[alone].float()), dim=1) - first[alone])
    difference = torch.cat(differences).double()
    variance, axes = torch.linalg.eigh(difference.T @ difference / len(difference))
    change = (axes * variance.clamp(min=1e-9) ** -power @ axes.T).float()
    network.projection.weight.copy_(change @ network.projection.weight)
    network.projection.bias.copy_(change @ network.projection.bias)


@torch.inference_mode()
def _one_round(network: EncoderNetwork, batches: Batches, number: int) -> dict[str, Tensor]:
    network.eval()
    where = next(network.parameters()).device
    slices: list[tuple[Tensor, ...]] = []
    made = DataLoader(_Rounds(batches, number), batch_size=None, num_workers=batches.config.workers)
    for pixels, others, tiles in made:
        features = network.features(pixels.to(where)).half().cpu()
        slices.append(tuple(part.unflatten(0, (2, -1)) for part in (features, others, tiles)))
    return {
        name: torch.cat(parts, dim=1).contiguous()
        for name, parts in zip(("features", "others", "tiles"), zip(*slices, strict=True), strict=True)
    }
