"""`simsearch train`: an encoder from one's own pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siamese_search.cli.options import (
    ClassesOption,
    DataArgument,
    DeviceOption,
    JsonOption,
    LabelsOption,
    QuietOption,
)

if TYPE_CHECKING:
    from siamese_search.training.config import TrainConfig
    from siamese_search.training.data import Dataset
    from siamese_search.training.run import Run

app = typer.Typer()


@app.command(
    epilog="Example: simsearch train ~/Pictures -o my-encoder && simsearch index ~/Pictures --encoder my-encoder"
)
def train(
    data: DataArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the encoder goes.")],
    labels: LabelsOption = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="photo|imagenet|scratch|DIR", help="Weights to start from.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE.toml", help="A set of training options.")] = None,
    classes: ClassesOption = None,
    test_list: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pictures to hold out as the test part, one path a line.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How long to train.")] = None,
    margin: Annotated[
        float | None, typer.Option(min=0.01, max=2.0, help="Distance beyond which unlike pictures cost nothing.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="Any other training option; repeatable.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call the encoder.  [default: the output folder's name]")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a Siamese encoder with a contrastive loss, calibrate it and write its report.

    An interrupted run continues when the same command is given again.
    """
    from siamese_search.cli.output import print_json, print_text  # noqa: PLC0415
    from siamese_search.training.finish import finish  # noqa: PLC0415
    from siamese_search.training.loop import train as train_loop  # noqa: PLC0415
    from siamese_search.training.selection import in_grey  # noqa: PLC0415
    from siamese_search.training.source import load_dataset  # noqa: PLC0415

    dataset = load_dataset(data, labels=labels, classes=classes, test_list=test_list)
    for skipped in dataset.skipped if not quiet else ():
        typer.echo(f"skipped {skipped.path}: {skipped.reason}", err=True)
    given = {"start": start, "steps": steps, "margin": margin, "seed": seed}
    config = choose_config(recipe or default_recipe(dataset), given, settings or [])
    if config.architecture.endswith("-grey"):
        dataset = in_grey(dataset)
    with _progress(config, quiet=quiet) as (on_step, on_validation, tell):
        run = train_loop(dataset, config, output / "run", device=device, on_step=on_step, on_validation=on_validation)
        metrics = finish(run, dataset, output, name=name or output.name, tell=tell)
    if json:
        print_json(metrics)
        return
    test = metrics["parts"]["test"]
    print_text(
        f"{output}: {run.step} steps; on {test['pairs']:,} test pairs accuracy {test['accuracy']:.4f}, "
        f"contrastive loss {test['loss']:.5f}\nreport: {output / 'report.html'}"
    )


def default_recipe(dataset: "Dataset") -> str:
    """Return the recipe that suits the data when none is named."""
    if dataset.name in ("mnist", "digits"):
        return dataset.name
    return "copies" if dataset.labels == "none" else "alike"


def choose_config(recipe: str, given: dict[str, Any], settings: list[str]) -> "TrainConfig":
    """Read the recipe, then what was given on the command line; an encoder to start from decides the shape."""
    import tomllib  # noqa: PLC0415

    from siamese_search.encoder.folder import encoder_folder, read_spec  # noqa: PLC0415
    from siamese_search.errors import OptionError  # noqa: PLC0415
    from siamese_search.training.config import load_recipe, with_options  # noqa: PLC0415

    config = load_recipe(recipe)
    for setting in settings:
        try:
            values = tomllib.loads(setting if setting.count('"') else _quoted(setting))
        except tomllib.TOMLDecodeError as error:
            raise OptionError(f"--set {setting}: expected OPTION=VALUE ({error})") from error
        config = with_options(config, values, source="--set")
    config = with_options(config, {k: v for k, v in given.items() if v is not None}, source="command line")
    if config.start in ("imagenet", "scratch"):
        return config
    spec = read_spec(encoder_folder(config.start))
    shape = {"architecture": spec.architecture, "dim": spec.dim, "input_size": spec.input_size}
    return with_options(config, shape, source=config.start)


def _quoted(setting: str) -> str:
    """Make `edits=none` the TOML that it stands for, and leave numbers and lists alone."""
    key, _, value = setting.partition("=")
    plain = value.strip().replace("-", "").replace("_", "").isalpha() and value.strip() not in ("true", "false")
    return f'{key} = "{value.strip()}"' if plain else setting


@contextmanager
def _progress(config: "TrainConfig", *, quiet: bool) -> Iterator[Any]:
    """Yield three functions that show steps, validation scores and what comes after, on stderr."""
    if quiet:
        yield (lambda _run, _loss: None), (lambda _row: None), (lambda _text: None)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=config.steps)

        def on_step(run: "Run", loss: float) -> None:
            bar.update(task, completed=run.step, description=f"training, objective {loss:.4f}")

        def on_validation(row: dict[str, float]) -> None:
            console.print(
                f"step {row['step']:>6}  {row['seconds']:>7.0f} s  validation: loss {row['loss']:.5f}  "
                f"accuracy {row['accuracy']:.4f}  average precision {row['average_precision']:.4f}"
            )

        yield on_step, on_validation, lambda text: bar.update(task, description=text)
