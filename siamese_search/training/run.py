"""A training run as a thing: started from weights, written to a folder, continued from it.

The run's folder holds one file, `run.safetensors`: weights, their average, the optimiser's state and the bank as
tensors, options and history as its metadata. It is replaced atomically, so a kill costs at most
`checkpoint_every` steps.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from siamese_search.atomic import made_folder, whole_file
from siamese_search.encoder.network import EncoderNetwork, PhotoTrunk, load_network
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import DataError, EncoderError, OptionError
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset, Part
from siamese_search.training.imagenet import load_imagenet_weights

MAX_WHITENED = 2000  # training pictures whose features set the projection to start from


@dataclass(slots=True, kw_only=True)
class Run:
    """A training run at some step: everything that a checkpoint keeps."""

    config: TrainConfig
    network: EncoderNetwork
    average: EncoderNetwork
    optimizer: torch.optim.Optimizer
    bank: Tensor  # (m, dim), newest last
    bank_identity: Tensor  # (m,)
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def start_run(dataset: Dataset, config: TrainConfig, where: torch.device) -> Run:
    """Build the network, its average and the optimiser, from the weights that the options name."""
    network = start_network(dataset, config).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in frozen_modules(network, config):
        module.requires_grad_(False)
    average = EncoderNetwork(spec_of(dataset, config)).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average.load_state_dict(network.state_dict())
    return Run(
        config=config,
        network=network,
        average=average,
        optimizer=torch.optim.AdamW(parameter_groups(network, config)),
        bank=torch.empty(0, config.dim, device=where),
        bank_identity=torch.empty(0, dtype=torch.int64, device=where),
    )


def frozen_modules(network: EncoderNetwork, config: TrainConfig) -> Iterator[torch.nn.Module]:
    """Yield what is not trained: the whole trunk where features are kept, or the first stages of the photo backbone.

    The stem before these is one with them. Nothing of other backbones is frozen.
    """
    stages = config.frozen_stages
    if config.kept_views:
        yield network.trunk
    elif stages and isinstance(network.trunk, PhotoTrunk):
        backbone = network.trunk.backbone
        yield from (backbone.conv_stem, backbone.bn1, *list(backbone.blocks)[:stages])


def start_network(dataset: Dataset, config: TrainConfig) -> EncoderNetwork:
    """Return the network that training starts from."""
    spec = spec_of(dataset, config)
    network = EncoderNetwork(spec)
    if config.start == "imagenet":
        if not isinstance(network.trunk, PhotoTrunk):
            raise OptionError(f"ImageNet weights fit efficientnet-lite0, not {config.architecture}; start from scratch")
        load_imagenet_weights(network.trunk.backbone)
        whiten_projection(network, dataset.train, config)
    elif config.start != "scratch":
        known = load_network(config.start)
        try:
            # What was subtracted from the embeddings belongs to the encoder that was; `finish` finds it anew.
            learnt = {k: v for k, v in known.state_dict().items() if not k.startswith("subtraction.")}
            if known.subject is None:  # a part that it did not have is learnt from the start
                learnt |= {k: v for k, v in network.state_dict().items() if k.startswith("subject.")}
            network.load_state_dict(learnt)
        except RuntimeError as error:
            raise EncoderError(
                f"{config.start}: its layers do not fit {config.architecture} with {config.dim} dimensions"
            ) from error
    return network


@torch.inference_mode()
def whiten_projection(network: EncoderNetwork, part: Part, config: TrainConfig) -> None:
    """Set the projection to the half-whitened principal components of the backbone's features.

    Pooled depths differ in scale by orders of magnitude; so a random projection would drown most of them.
    """
    network.eval()
    chosen = np.random.default_rng(config.seed).permutation(len(part))[:MAX_WHITENED].tolist()
    blocks = []
    for start in range(0, len(chosen), 64):
        pixels = np.stack([part.pictures.pixels(i, config.input_size) for i in chosen[start : start + 64]])
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - network.mean) / network.std
        blocks.append(network.trunk(x.contiguous(memory_format=torch.channels_last)))
    features = torch.cat(blocks).double()
    mean, scale = features.mean(0), features.std(0) + 1e-3
    _, singular, axes = torch.linalg.svd((features - mean) / scale, full_matrices=False)
    kept = min(config.dim - config.subject, len(singular) - 1)
    weight = axes[:kept] / (singular[:kept, None] / math.sqrt(len(features))).sqrt() / scale
    network.projection.weight.normal_(0, 1e-3)
    network.projection.bias.zero_()
    network.projection.weight[:kept] = weight.float()
    network.projection.bias[:kept] = -(weight @ mean).float()


def spec_of(dataset: Dataset, config: TrainConfig) -> EncoderSpec:
    """Return the description of the encoder that is being trained."""
    wanted = 1 if config.architecture.endswith("-grey") else 3
    if dataset.channels != wanted:
        raise DataError(
            f"{dataset.name}: {config.architecture} takes pictures of {wanted} channels, these have another"
        )
    return EncoderSpec(
        name=dataset.name, architecture=config.architecture, input_size=config.input_size, channels=wanted,
        mean=127.0 if wanted == 3 else 33.3, std=128.0 if wanted == 3 else 78.6, dim=config.dim,  # noqa: PLR2004
        subject=config.subject, subject_weight=config.subject_weight if config.subject else 0.0,
    )  # fmt: skip


def parameter_groups(network: EncoderNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Split the parameters by rate (the backbone learns gently) and by decay (biases and norms have none)."""
    groups = []
    for head in (False, True):
        for decayed in (False, True):
            members = [
                p for name, p in network.named_parameters()
                if p.requires_grad and name.startswith(("projection", "subject")) == head and (p.ndim > 1) == decayed
            ]  # fmt: skip
            rate = config.head_rate if head else config.rate
            decay = config.weight_decay if decayed else 0.0
            if members:
                groups.append({"params": members, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return groups


# ---- stopping and continuing


def save(run: Run, folder: Path) -> None:
    """Write a checkpoint; the one before stays whole until this one is."""
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for number, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
    tensors |= {"bank": run.bank, "bank_identity": run.bank_identity}
    about = {"config": asdict(run.config), "step": run.step, "seconds": run.seconds, "history": run.history}
    made_folder(folder.parent)  # not before there is something to keep
    made_folder(folder)
    with whole_file(folder / "run.safetensors") as half:
        save_file({k: v.contiguous() for k, v in tensors.items()}, half, metadata={"run": json.dumps(about)})


def resume(run: Run, folder: Path) -> None:
    """Continue from the checkpoint in `folder`, if there is one; raise OptionError when its options differ."""
    path = folder / "run.safetensors"
    if not path.exists():
        return
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    # Through JSON, as the checkpoint's own options went: tuples become lists there. Options that are newer than the
    # checkpoint had their default then.
    now, default = (json.loads(json.dumps(asdict(config))) for config in (run.config, TrainConfig()))
    then = default | about["config"]
    if differing := [name for name, value in now.items() if then[name] != value]:
        raise OptionError(
            f"{folder} holds a run with other options ({', '.join(differing)}); give the same ones or another folder"
        )
    run.network.load_state_dict(below("network", tensors))
    run.average.load_state_dict(below("average", tensors))
    state = run.optimizer.state_dict()
    for name, value in below("optimizer", tensors).items():
        number, key = name.split(".", 1)
        state["state"].setdefault(int(number), {})[key] = value
    run.optimizer.load_state_dict(state)
    run.bank = tensors["bank"].to(run.bank.device)
    run.bank_identity = tensors["bank_identity"].to(run.bank.device)
    run.step, run.seconds, run.history = about["step"], about["seconds"], about["history"]


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named `prefix.name`, as `name`."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
