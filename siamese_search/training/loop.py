"""The training loop: batches, objective, schedule, weight average, validation, checkpoints that resume.

Read it top to bottom. A run's folder holds `run.json` (options and history) and `run.safetensors` (weights, their
average, the optimiser's state, the bank): both are written together and replaced atomically, so a kill costs at most
`checkpoint_every` steps, and a resumed run makes the same batches as one that was never stopped.
"""

import ctypes
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from siamese_search.encoder.network import EncoderNetwork, PhotoTrunk, load_network
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import DataError, EncoderError, OptionError
from siamese_search.training.batches import Batch, Batches
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset, Part, with_edited_views
from siamese_search.training.imagenet import load_imagenet_weights
from siamese_search.training.losses import (
    DISSIMILAR,
    SIMILAR,
    batch_contrastive_loss,
    info_nce_loss,
    koleo_loss,
    targets_of,
)
from siamese_search.training.metrics import (
    accuracy_at,
    average_precision,
    best_threshold,
    contrastive_cost,
    curve,
)
from siamese_search.training.pairs import Pairs, balanced_pairs

MOST_JUDGED = 2000  # pictures of a part that are compared all with all


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How an encoder does on the pairs of one part: the contrastive loss, accuracy at `threshold`, and average
    precision over all pairs of the part (or the listed ones, where only pairs are known)."""

    loss: float
    accuracy: float
    threshold: float
    average_precision: float


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


def train(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    *,
    device: str = "auto",
    on_step: Callable[[Run, float], None] = lambda run, loss: None,
    on_validation: Callable[[dict[str, float]], None] = lambda row: None,
) -> Run:
    """Train until `config.steps`, continuing what `folder` holds; return the run, its average weights the result.

    `on_step` gets the run and the loss after every step. Raises OptionError when `folder` holds a run made with other
    options.
    """
    keep_memory()
    torch.manual_seed(config.seed)
    where = torch.device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    run = start_run(dataset, config, where)
    resume(run, folder)
    judged = judged_part(dataset.validation, dataset.labels)
    if run.step == 0:
        validate(run, judged, 0.0, on_validation)
    batches = loader(Batches(dataset, config, first_step=run.step), config.workers)
    recent: list[float] = []
    for batch in batches:
        started = time.monotonic()
        for group in run.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_factor(run.step, config)
        loss = training_step(run, batch, where)
        recent.append(loss)
        run.step += 1
        run.seconds += time.monotonic() - started
        on_step(run, loss)
        last = run.step == config.steps
        if run.step % config.validate_every == 0 or last:
            validate(run, judged, float(np.mean(recent)), on_validation)
            recent.clear()
        if run.step % config.checkpoint_every == 0 or last:
            save(run, folder)
    return run


def training_step(run: Run, batch: Batch, where: torch.device) -> float:
    """Take one step down the objective; return its value before the step."""
    set_training(run.network, run.config.frozen_stages)
    embeddings = run.network(batch.pixels.to(where, non_blocking=True))  # (n, dim)
    loss = objective(embeddings, batch, run)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimizer.step()
    update_average(run)
    if run.config.bank and batch.identity is not None:
        run.bank = torch.cat([run.bank, embeddings.detach()])[-run.config.bank :]
        run.bank_identity = torch.cat([run.bank_identity, batch.identity.to(where)])[-run.config.bank :]
    return float(loss.detach())


def objective(embeddings: Tensor, batch: Batch, run: Run) -> Tensor:
    """Return the weighted sum of the losses that the options ask for."""
    config, targets = run.config, batch.targets.to(embeddings.device)
    loss = config.contrastive * batch_contrastive_loss(
        embeddings, targets, margin=config.margin, violating_share=config.violating_share
    )
    if config.info_nce:
        remembered: dict[str, Tensor] = {}
        if batch.identity is not None and len(run.bank):
            identity = batch.identity.to(embeddings.device)
            remembered = {"bank": run.bank, "bank_targets": targets_of(identity, run.bank_identity)}
        loss = loss + config.info_nce * info_nce_loss(
            embeddings, targets, temperature=config.temperature, **remembered
        )
    if config.koleo:
        loss = loss + config.koleo * koleo_loss(embeddings, targets)
    return loss


def rate_factor(step: int, config: TrainConfig) -> float:
    """Return the learning rate's factor: a linear warm-up, then a cosine down to a hundredth."""
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    progress = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


def set_training(network: EncoderNetwork, frozen_stages: int) -> None:
    """Switch to training, the frozen stages with their batch statistics as they are."""
    network.train()
    for module in frozen_modules(network, frozen_stages):
        module.eval()


def frozen_modules(network: EncoderNetwork, stages: int) -> Iterator[torch.nn.Module]:
    """Yield the first `stages` stages of the photo backbone, and the stem before them; nothing for other backbones."""
    if stages and isinstance(network.trunk, PhotoTrunk):
        backbone = network.trunk.backbone
        yield from (backbone.conv_stem, backbone.bn1, *backbone.blocks[:stages])


@torch.no_grad()
def update_average(run: Run) -> None:
    """Move the averaged weights towards the current ones; faster at first, so that the start is soon forgotten."""
    decay = min(run.config.average, (1 + run.step) / (10 + run.step))
    current = run.network.state_dict()
    for name, value in run.average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - decay)
        else:
            value.copy_(current[name])


# ---- validation


def judged_part(part: Part, labels: str) -> Part:
    """Return what a part is judged by: itself, or with an edited view of every picture when there are no labels."""
    return with_edited_views(part, strength=0.8) if labels == "none" else part


def validate(run: Run, part: Part, training_loss: float, tell: Callable[[dict[str, float]], None]) -> None:
    """Judge the averaged weights and add a row to the history."""
    embeddings = embed_part(run.average, part, size=run.config.input_size)
    score = judge(embeddings, part, margin=run.config.margin)
    row = {"step": run.step, "seconds": run.seconds, "training_objective": training_loss, **asdict(score)}
    run.history.append(row)
    tell(row)


@torch.inference_mode()
def embed_part(network: EncoderNetwork, part: Part, *, size: int, batch: int = 64) -> NDArray[np.float32]:
    """Return the embeddings of a part's pictures, (n, dim)."""
    network.eval()
    where = next(network.parameters()).device
    blocks = []
    for start in range(0, len(part), batch):
        pixels = [part.pictures.pixels(i, size) for i in range(start, min(start + batch, len(part)))]
        blocks.append(network(torch.from_numpy(np.stack(pixels)).to(where)).cpu().numpy())
    return np.concatenate(blocks)


def judge(embeddings: NDArray[np.float32], part: Part, *, margin: float, seed: int = 0) -> Score:
    """Score embeddings on balanced pairs of the part, its accuracy at the threshold that suits them best."""
    pairs = pairs_of(part, seed=seed)
    distance = pair_distances(embeddings, pairs)
    threshold = best_threshold(distance, pairs.label)
    return Score(
        loss=contrastive_cost(distance, pairs.label, margin=margin),
        accuracy=accuracy_at(threshold, distance, pairs.label),
        threshold=threshold,
        average_precision=pairwise_average_precision(embeddings, part),
    )


def pairs_of(part: Part, *, seed: int = 0) -> Pairs:
    """Return the pairs that a part is judged by: the labelled ones, or balanced ones drawn with `seed`."""
    if part.pairs is not None:
        return part.pairs
    if part.identity is None:
        raise TypeError("a part has identities or pairs")
    return balanced_pairs(part.identity, seed=seed)


def pair_distances(embeddings: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
    """Return the distances of pairs, (n,)."""
    difference = embeddings[pairs.first] - embeddings[pairs.second]
    return np.sqrt(np.square(difference).sum(axis=1))


def pairwise_average_precision(embeddings: NDArray[np.float32], part: Part) -> float:
    """Return the micro average precision over all pairs of (at most `MOST_JUDGED`) pictures, or the labelled pairs."""
    if part.identity is None:
        pairs = pairs_of(part)
        return average_precision(curve(pair_distances(embeddings, pairs), pairs.label))
    n = len(embeddings)
    every = np.linspace(0, n - 1, min(n, MOST_JUDGED)).astype(np.int64)
    e, identity = embeddings[every], part.identity[every]
    rows, columns = np.triu_indices(len(e), 1)
    squared = np.clip(2 - 2 * (e @ e.T)[rows, columns], 0, None)
    label = np.where(identity[rows] == identity[columns], SIMILAR, DISSIMILAR).astype(np.int8)
    return average_precision(curve(squared, label))  # the order of squares is the order of distances


# ---- starting, stopping, continuing


def start_run(dataset: Dataset, config: TrainConfig, where: torch.device) -> Run:
    """Build the network, its average and the optimiser, from the weights that the options name."""
    network = start_network(dataset, config).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in frozen_modules(network, config.frozen_stages):
        module.requires_grad_(False)  # noqa: FBT003  (torch's signature)
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
            network.load_state_dict(known.state_dict())
        except RuntimeError as error:
            raise EncoderError(
                f"{config.start}: its layers do not fit {config.architecture} with {config.dim} dimensions"
            ) from error
    return network


@torch.inference_mode()
def whiten_projection(network: EncoderNetwork, part: Part, config: TrainConfig, *, most: int = 2000) -> None:
    """Set the projection to the half-whitened principal components of the backbone's features.

    Pooled depths differ in scale by orders of magnitude; so a random projection would drown most of them.
    """
    network.eval()
    chosen = np.random.default_rng(config.seed).permutation(len(part))[:most].tolist()
    blocks = []
    for start in range(0, len(chosen), 64):
        pixels = np.stack([part.pictures.pixels(i, config.input_size) for i in chosen[start : start + 64]])
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - network.mean) / network.std
        blocks.append(network.trunk(x.contiguous(memory_format=torch.channels_last)))
    features = torch.cat(blocks).double()
    mean, scale = features.mean(0), features.std(0) + 1e-3
    _, singular, axes = torch.linalg.svd((features - mean) / scale, full_matrices=False)
    kept = min(config.dim, len(singular) - 1)
    weight = axes[:kept] / (singular[:kept, None] / math.sqrt(len(features))).sqrt() / scale
    network.projection.weight.normal_(0, 1e-3)
    network.projection.bias.zero_()
    network.projection.weight[:kept] = weight.float()
    network.projection.bias[:kept] = -(weight @ mean).float()


def spec_of(dataset: Dataset, config: TrainConfig) -> EncoderSpec:
    """Return the description of the encoder that is being trained."""
    wanted = 1 if config.architecture == "small-grey" else 3
    if dataset.channels != wanted:
        raise DataError(f"{dataset.name}: {config.architecture} takes pictures of {wanted} channels, these have another")
    return EncoderSpec(
        name=dataset.name, architecture=config.architecture, input_size=config.input_size, channels=wanted,
        mean=127.0 if wanted == 3 else 33.3, std=128.0 if wanted == 3 else 78.6, dim=config.dim,  # noqa: PLR2004
    )  # fmt: skip


def parameter_groups(network: EncoderNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Split the parameters by rate (the backbone learns gently) and by decay (biases and norms have none)."""
    groups = []
    for head in (False, True):
        for decayed in (False, True):
            members = [
                p for name, p in network.named_parameters()
                if p.requires_grad and name.startswith("projection") == head and (p.ndim > 1) == decayed
            ]  # fmt: skip
            rate = config.head_rate if head else config.rate
            decay = config.weight_decay if decayed else 0.0
            if members:
                groups.append({"params": members, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return groups


def save(run: Run, folder: Path) -> None:
    """Write a checkpoint; the one before stays whole until this one is."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for number, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
    tensors |= {"bank": run.bank, "bank_identity": run.bank_identity}
    about = {"config": asdict(run.config), "step": run.step, "seconds": run.seconds, "history": run.history}
    temporary = folder / "run.safetensors.tmp"
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata={"run": json.dumps(about)})
    temporary.replace(folder / "run.safetensors")


def resume(run: Run, folder: Path) -> None:
    """Continue from the checkpoint in `folder`, if there is one; raise OptionError when its options differ."""
    path = folder / "run.safetensors"
    if not path.exists():
        return
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    # Through JSON, as the checkpoint's own options went: tuples become lists there.
    if differing := [k for k, v in json.loads(json.dumps(asdict(run.config))).items() if about["config"].get(k) != v]:
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


def loader(batches: Batches, workers: int) -> Iterator[Batch]:
    """Yield the batches in order, made ahead of time in worker processes."""
    if not workers or len(batches) == 0:
        return iter(batches[i] for i in range(len(batches)))
    return iter(DataLoader(batches, batch_size=None, shuffle=False, num_workers=workers, prefetch_factor=4))


def keep_memory() -> None:
    """Tell glibc to keep freed memory: torch asks for the same large buffers again at every layer.

    Steps on the CPU become 1.3 times faster, inference in batches 2 to 4 times, for some 200 MB more.
    """
    if sys.platform != "linux" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 1 << 26)
