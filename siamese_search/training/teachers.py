"""What pictures show, as networks see it that learnt to name things: targets for the subject part of an encoder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from siamese_search.atomic import whole_file
from siamese_search.encoder.network import LITE0_STAGES, LITE2_STAGES, EfficientNetLite, Stages
from siamese_search.training.data import Part
from siamese_search.training.imagenet import load_imagenet_weights

# variant of EfficientNet-Lite, its stages, the pixels that it was trained with
TEACHERS = ((0, LITE0_STAGES, 224), (2, LITE2_STAGES, 260))
MEAN, STD = 127.0, 128.0
AT_ONCE = 16


def taught_subjects(part: Part, dim: int, folder: Path, *, where: torch.device) -> Tensor:
    """Return what the teachers say of the unedited pictures of a part, (n, dim) of unit length.

    The teachers' pooled features, each of unit length, are joined and reduced to their first `dim` principal
    components, half whitened: fewer where the pictures are too few to tell so many, the rest 0. They are kept in
    `folder`. Raises DataError when the weights of a teacher are not installed.
    """
    path = folder / "taught.safetensors"
    if path.exists():
        return load_file(path)["taught"].to(where)
    seen = torch.cat([F.normalize(torch.cat(list(_pooled(part, teacher, where))), dim=1) for teacher in TEACHERS], 1)
    taught = half_whitened(seen.double(), dim).float()
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as half:
        save_file({"taught": taught.cpu().contiguous()}, half)
    return taught


def half_whitened(features: Tensor, dim: int) -> Tensor:
    """Return the first principal components of features (n, f), divided by the root of their deviation: (n, dim)."""
    centred = features - features.mean(dim=0)
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(features))
    kept = min(dim, len(features) - 1, features.shape[1])
    variance, axes = variance.flip(0)[:kept], axes.flip(1)[:, :kept]
    components = centred @ axes * variance.clamp(min=1e-9) ** -0.25
    return F.normalize(F.pad(components, (0, dim - kept)), dim=1)


@torch.inference_mode()
def _pooled(part: Part, teacher: tuple[int, Stages, int], where: torch.device) -> Iterator[Tensor]:
    variant, stages, size = teacher
    network = EfficientNetLite(stages)
    load_imagenet_weights(network, variant=variant)
    network = network.eval().to(where)
    for start in range(0, len(part), AT_ONCE):
        pixels = [part.pictures.pixels(i, size) for i in range(start, min(start + AT_ONCE, len(part)))]
        x = (torch.from_numpy(np.stack(pixels)).to(where).permute(0, 3, 1, 2).float() - MEAN) / STD
        yield network(x.contiguous(memory_format=torch.channels_last))[-1].mean((2, 3))
