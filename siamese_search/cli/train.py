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
    writable_folder,
)
from siamese_search.cli.output import print_json, print_notice, print_text
from siamese_search.memory import keep_memory

if TYPE_CHECKING:
    from siamese_search.training.run import Run

app = typer.Typer()


@app.command(
    epilog="Example: simsearch train ~/Pictures -o my-encoder && simsearch index ~/Pictures --encoder my-encoder"
)
def train(
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", callback=writable_folder, help="Where the encoder goes.")
    ],
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
    from siamese_search.training.encoder import train_encoder  # noqa: PLC0415

    keep_memory()
    with _progress(quiet=quiet) as (on_step, on_validation, on_stage):
        report = train_encoder(
            data,
            output,
            labels=labels,
            classes=classes,
            test_list=test_list,
            recipe=recipe,
            options={"start": start, "steps": steps, "margin": margin, "seed": seed},
            settings=settings or (),
            name=name,
            device=device,
            on_step=on_step,
            on_validation=on_validation,
            on_stage=on_stage,
        )
    for skipped in report.skipped if not quiet else ():
        print_notice(f"skipped {skipped.path}: {skipped.reason}")
    if json:
        print_json(dict(report.metrics))
        return
    test = report.metrics["parts"]["test"]
    print_text(
        f"{output}: {report.steps} steps; on {test['pairs']:,} test pairs accuracy {test['accuracy']:.4f}, "
        f"contrastive loss {test['loss']:.5f}",
        f"report: {output / 'report.html'}",
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Yield three functions that show steps, validation scores and what comes after, on stderr."""
    if quiet:
        yield (lambda _run, _loss: None), (lambda _row: None), (lambda _stage: None)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", visible=False)

        def on_step(run: "Run", loss: float) -> None:
            said = f"training, objective {loss:.4f}"
            bar.update(task, completed=run.step, total=run.config.steps, description=said, visible=True)

        def on_validation(row: dict[str, float]) -> None:
            console.print(
                f"step {row['step']:>6}  {row['seconds']:>7.0f} s  validation: loss {row['loss']:.5f}  "
                f"accuracy {row['accuracy']:.4f}  average precision {row['average_precision']:.4f}"
            )

        yield on_step, on_validation, lambda stage: bar.update(task, description=stage)
