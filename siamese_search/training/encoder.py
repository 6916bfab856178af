"""The whole of training and evaluation: from what a user names to an encoder folder, or to figures of merit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_search.atomic import check_folder
from siamese_search.encoder import Encoder, device_for, load_encoder
from siamese_search.errors import OptionError
from siamese_search.results import Skipped
from siamese_search.tables import Printed
from siamese_search.training.config import TrainConfig, choose_config
from siamese_search.training.data import Dataset
from siamese_search.training.evaluation import Evaluation, evaluate
from siamese_search.training.needs import FIGURES, TRAINING, require
from siamese_search.training.selection import in_grey, write_part_pairs
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
    DataError, EncoderError, OptionError, and FolderError where the folder of `output` is not there.
    """
    require("training", TRAINING)
    # They load torch, and are loaded when it is known to be there.
    from siamese_search.training.finish import finish  # noqa: PLC0415
    from siamese_search.training.loop import train  # noqa: PLC0415

    device = device_for(device)
    output = Path(output)
    check_folder(output)
    dataset = load_dataset(str(data), labels=labels, classes=classes, test_list=test_list)
    config = choose_config(recipe or default_recipe(dataset), options or {}, settings)
    if config.architecture.endswith("-grey"):
        check_grey(config, dataset)
        dataset = in_grey(dataset)
    run = train(dataset, config, output / "run", device=device, on_step=on_step, on_validation=on_validation)
    metrics = finish(run, dataset, output, name=name or output.name, on_stage=on_stage or (lambda _stage: None))
    return TrainReport(folder=output, steps=run.step, skipped=tuple(dataset.skipped), metrics=metrics)


def evaluate_encoder(
    encoder: str | Path | Encoder,
    data: str | Path,
    *,
    labels: str | None = None,
    classes: str | None = None,
    test_list: Path | None = None,
    seeds: int = 5,
    margin: float = 1.0,
    threshold: float | None = None,
    save_pairs: Path | None = None,
    figures: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Tell what an encoder is worth on the test part of a data set, named as for `train_encoder`.

    Pairs are drawn anew for each of `seeds` seeds, unless they are listed. Without a `threshold`, that of highest
    accuracy on the validation pairs is taken. `save_pairs` is a CSV file for the first seed's pairs, `figures` a folder
    for PNG files. Raises DataError, EncoderError, OptionError.
    """
    if figures:
        require("--figures", FIGURES)
    loaded = encoder if isinstance(encoder, Encoder) else load_encoder(encoder)
    dataset = load_dataset(str(data), labels=labels, classes=classes, test_list=test_list)
    evaluation, results = evaluate(loaded, dataset, seeds=seeds, margin=margin, threshold=threshold, progress=progress)
    if save_pairs:
        write_part_pairs(save_pairs, results)
    if figures:
        from siamese_search.training.figures import write_figures  # noqa: PLC0415  (matplotlib takes a second)

        write_figures(results, (), evaluation.threshold, figures)
    return evaluation


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
