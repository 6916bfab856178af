"""The training loop: batches, objective, schedule, weight average, validation.

Read it top to bottom. Every batch is a function of the seed and the step, so a run that was stopped and continued is
the run that never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)
from torch.utils.data import DataLoader

from siamese_search.calibration.pairs import UNKNOWN
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.runtime import device_for
from siamese_search.training.batches import Batch, Batches, common
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset, Part
from siamese_search.training.kept import KeptBatches, keep_views
from siamese_search.training.losses import (
    batch_contrastive_loss,
    distillation_loss,
    info_nce_loss,
    koleo_loss,
    targets_of,
)
from siamese_search.training.run import Run, frozen_modules, resume, save, start_run
from siamese_search.training.scores import score, scored_part
from siamese_search.training.selection import sample
from siamese_search.training.teachers import taught_subjects

EMBEDDED_AT_ONCE = 64
MAX_SEEN = 2000  # training pictures that a validation also looks at


def train(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    *,
    device: str = "auto",
    on_step: Callable[[Run, float], None] | None = None,
    on_validation: Callable[[dict[str, float]], None] | None = None,
) -> Run:
    """Train until `config.steps`, continuing what `folder` holds; return the run, its average weights the result.

    `on_step` gets the run and the loss after every step, `on_validation` every row of the history.
    Raises OptionError when `folder` holds a run made with other options.
    """
    where = torch.device(device_for(device))
    with torch.random.fork_rng(devices=[]):  # the host's own random numbers go on as they would have
        torch.manual_seed(config.seed)
        run = start_run(dataset, config, where)
    resume(run, folder)
    validated = scored_part(dataset.validation, dataset.labels)
    # How much is learnt by heart. Without labels, when views are edited anew for every validation, it takes too long.
    seen = sample(dataset.train, MAX_SEEN) if dataset.labels == "folders" else None
    if run.step == 0:
        validate(run, validated, seen, 0.0, on_validation)
    taught = None
    if config.subject and dataset.labels == "none" and run.step < config.steps:
        taught = taught_subjects(dataset.train, config.subject, folder, where=where)
    batches = batches_of(run, dataset, folder)
    recent: list[float] = []
    started = time.monotonic()
    for batch in batches:
        for group in run.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_factor(run.step, config)
        loss = training_step(run, batch, where, taught)
        recent.append(loss)
        run.step += 1
        now = time.monotonic()
        run.seconds, started = run.seconds + now - started, now
        if on_step:
            on_step(run, loss)
        last = run.step == config.steps
        if run.step % config.validate_every == 0 or last:
            validate(run, validated, seen, float(np.mean(recent)), on_validation)
            recent.clear()
        if run.step % config.checkpoint_every == 0 or last:
            save(run, folder)
    return run


def batches_of(run: Run, dataset: Dataset, folder: Path) -> Iterator[Batch]:
    """Yield the batches that are left of a run, made ahead of time, or of views that are kept in `folder`."""
    if not run.config.kept_views:
        return loader(Batches(dataset, run.config, first_step=run.step), run.config.workers)
    rounds = keep_views(run.network, dataset, run.config, folder)
    kept = KeptBatches(rounds, run.config, first_step=run.step)
    return iter(kept[i] for i in range(len(kept)))


def training_step(run: Run, batch: Batch, where: torch.device, taught: Tensor | None = None) -> float:
    """Take one step down the objective; return its value before the step.

    `taught` (pictures, k) is what training pictures show, by their identity.
    """
    set_training(run.network, run.config)
    views = batch.views.to(where, non_blocking=True)
    copy, subject = run.network.parts(views if batch.are_features else run.network.features(views))
    # What a teacher teaches of the subject, copies do not unteach: they make the best of what it leaves open.
    embeddings = run.network.joined(copy, subject.detach() if taught is not None and subject is not None else subject)
    loss = objective(embeddings, batch, run)
    if taught is not None and subject is not None and batch.identity is not None and batch.others is not None:
        alone = (batch.others < 0).all(dim=1).to(where)
        loss = loss + run.config.subject_loss * distillation_loss(
            subject, taught[batch.identity.to(where)], alone=alone
        )
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimizer.step()
    update_average(run)
    if run.config.bank:
        remember(run, embeddings.detach(), batch)
    return float(loss.detach())


def remember(run: Run, embeddings: Tensor, batch: Batch) -> None:
    """Put a batch into the bank, but for views that show several pictures: their identity is only one of these."""
    if batch.identity is None or batch.others is None:
        return
    kept = (batch.others < 0).all(dim=1)
    run.bank = torch.cat([run.bank, embeddings[kept.to(embeddings.device)]])[-run.config.bank :]
    identity = batch.identity[kept].to(run.bank_identity.device)
    run.bank_identity = torch.cat([run.bank_identity, identity])[-run.config.bank :]


def objective(embeddings: Tensor, batch: Batch, run: Run) -> Tensor:
    """Return the weighted sum of the losses that the options ask for."""
    config, targets = run.config, batch.targets.to(embeddings.device)
    loss = embeddings.new_zeros(())
    if config.contrastive:
        loss = config.contrastive * batch_contrastive_loss(
            embeddings, targets, margin=config.margin, violating_share=config.violating_share
        )
    remembered: dict[str, Tensor] = {}
    if batch.identity is not None and batch.others is not None and len(run.bank):
        identity = batch.identity.to(embeddings.device)
        bank_targets = targets_of(identity, run.bank_identity)
        bank_targets[common(batch.others.to(embeddings.device), run.bank_identity[:, None])] = UNKNOWN
        remembered = {"bank": moved_along(run.bank, embeddings), "bank_targets": bank_targets}
    if config.info_nce:
        loss = loss + config.info_nce * info_nce_loss(embeddings, targets, temperature=config.temperature, **remembered)
    if config.koleo:
        loss = loss + config.koleo * koleo_loss(embeddings, targets, **remembered)
    return loss


def moved_along(bank: Tensor, embeddings: Tensor) -> Tensor:
    """Return the bank (m, dim) shifted so that its mean is that of a batch of today (n, dim), of unit length again.

    The network has moved on since. Without the shift it would learn to move all embeddings of a batch away from those
    remembered, together and for ever, which looks like telling pictures apart and is not; with it that gains nothing.
    """
    return F.normalize(bank + (embeddings.mean(dim=0) - bank.mean(dim=0)), dim=1)


def rate_factor(step: int, config: TrainConfig) -> float:
    """Return the learning rate's factor: a linear warm-up, then a cosine down to a hundredth."""
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    progress = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


def set_training(network: EncoderNetwork, config: TrainConfig) -> None:
    """Switch to training, the frozen stages with their batch statistics as they are."""
    network.train()
    for module in frozen_modules(network, config):
        module.eval()


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


def validate(
    run: Run, part: Part, seen: Part | None, objective: float, on_validation: Callable[[dict[str, float]], None] | None
) -> None:
    """Score the averaged weights on the validation part, and on what they have seen, and add a row to the history."""
    size, margin = run.config.input_size, run.config.margin
    scores = score(embed_part(run.average, part, size=size), part, margin=margin)
    row = {"step": run.step, "seconds": run.seconds, "training_objective": objective, **asdict(scores)}
    if seen:
        learnt = score(embed_part(run.average, seen, size=size), seen, margin=margin)
        row |= {"training_loss": learnt.loss, "training_accuracy": learnt.accuracy}
    run.history.append(row)
    if on_validation:
        on_validation(row)


@torch.inference_mode()
def embed_part(network: EncoderNetwork, part: Part, *, size: int) -> NDArray[np.float32]:
    """Return the embeddings of a part's pictures, (n, dim)."""
    network.eval()
    where = next(network.parameters()).device
    blocks = []
    for start in range(0, len(part), EMBEDDED_AT_ONCE):
        pixels = [part.pictures.pixels(i, size) for i in range(start, min(start + EMBEDDED_AT_ONCE, len(part)))]
        blocks.append(network(torch.from_numpy(np.stack(pixels)).to(where)).cpu().numpy())
    return np.concatenate(blocks)


def loader(batches: Batches, workers: int) -> Iterator[Batch]:
    """Yield the batches in order, made ahead of time in worker processes."""
    if not workers or len(batches) == 0:
        return iter(batches[i] for i in range(len(batches)))
    return iter(DataLoader(batches, batch_size=None, shuffle=False, num_workers=workers, prefetch_factor=4))
