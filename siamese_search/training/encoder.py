"""The whole of training: from what a user names to an encoder folder with its report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_search.encoder.runtime import device_for
from siamese_search.errors import OptionError
from siamese_search.results import Skipped
from siamese_search.tables import Printed
from siamese_search.training.config import TrainConfig, choose_config
from siamese_search.training.data import Dataset
from siamese_search.training.needs import TRAINING, require
from siamese_search.training.selection import in_grey
from siamese_search.training.source import load_dataset

if TYPE_CHECKING:
    from siamese_search.training.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport(Printed):
    """A finished training: the encoder's folder, and the content of its `metrics.json`."""

    folder: Path
    steps: int
    skipped: tuple[Skipped, ...]
    metrics: Mapping[str, Any]


def train_encoder(
    data: str | Path,
    output: str | Path,
    *,
    labels: str | None = None,
    classes: str | None = None,
    test_list: Path | None = None,
    recipe: str | None = None,
    options: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    name: str | None = None,
    device: str = "auto",
    on_step: Callable[["Run", float], None] | None = None,
    on_validation: Callable[[dict[str, float]], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> TrainReport:
    """Train an encoder on a folder of pictures, "mnist" or "digits", calibrate it and write it with its report.

    `labels`, `classes` and `test_list` are those of `load_dataset`; `options` and `settings` replace those of the
    `recipe`, by default the one that suits the data. What `output` holds of an interrupted run is continued. `on_step`
    gets the run and its loss, `on_validation` a row of the history, `on_stage` what is done after the last step. Raises
    DataError, EncoderError, OptionError.
    """
    require("training", TRAINING)
    # They load torch, and are loaded when it is known to be there.
    from siamese_search.training.finish import finish  # noqa: PLC0415
    from siamese_search.training.loop import train  # noqa: PLC0415

    device = device_for(device)
    output = Path(output)
    dataset = load_dataset(str(data), labels=labels, classes=classes, test_list=test_list)
    config = choose_config(recipe or default_recipe(dataset), options or {}, settings)
    if config.architecture.endswith("-grey"):
        check_grey(config, dataset)
        dataset = in_grey(dataset)
    run = train(dataset, config, output / "run", device=device, on_step=on_step, on_validation=on_validation)
    metrics = finish(run, dataset, output, name=name or output.name, on_stage=on_stage or (lambda _stage: None))
    return TrainReport(folder=output, steps=run.step, skipped=tuple(dataset.skipped), metrics=metrics)


def check_grey(config: TrainConfig, dataset: Dataset) -> None:
    """Refuse, for an architecture that takes grey pictures, what edits pictures in their colours."""
    if dataset.labels == "none":
        raise OptionError(f"{config.architecture} learns from labels alone: give --labels folders or PAIRS.csv")
    if config.edits == "photo":
        raise OptionError(f"{config.architecture} takes no photo edits: give --set edits=grey or --set edits=none")


def default_recipe(dataset: Dataset) -> str:
    """Return the recipe that suits the data when none is named."""
    if dataset.name in ("mnist", "digits"):
        return dataset.name
    return "copies" if dataset.labels == "none" else "alike"
