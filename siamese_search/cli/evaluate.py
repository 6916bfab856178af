"""`simsearch evaluate`: what an encoder is worth on a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import (
    ClassesOption,
    DataArgument,
    JsonOption,
    LabelsOption,
    QuietOption,
    writable_file,
    writable_folder,
)
from siamese_search.cli.output import print_json, print_text, progress_bar, silent_decoders

if TYPE_CHECKING:
    from siamese_search.training.evaluation import Evaluation, Spread

app = typer.Typer()


@app.command(epilog="Example: simsearch evaluate my-encoder mnist --json")
def evaluate(
    encoder: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A shipped encoder, or an encoder folder.")],
    data: DataArgument,
    labels: LabelsOption = None,
    classes: ClassesOption = None,
    test_list: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pictures of the test part, one path a line.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often pairs are drawn anew.")] = 5,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=2.0,
            metavar="D",
            help="Distance up to which pairs count as similar.  [default: the best for the validation pairs]",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.01, max=2.0, help="Distance beyond which unlike pictures cost nothing.")
    ] = 1.0,
    save_pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="PAIRS.csv", callback=writable_file, help="Write the first seed's pairs there, for --labels."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            callback=writable_folder,
            help="Draw pairs, distances, ROC, map and worst mistakes as PNG files there.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Evaluate an encoder on the test part of a data set.

    Pairs: accuracy at the threshold, contrastive loss, ROC, over several draws. Retrieval: test pictures search among
    all others; without labels their edited copies search for them, and they for others of their folder.
    """
    from siamese_search.training.encoder import evaluate_encoder  # noqa: PLC0415

    with silent_decoders(), progress_bar("Embedding", quiet=quiet) as progress:
        found = evaluate_encoder(
            encoder,
            data,
            labels=labels,
            classes=classes,
            test_list=test_list,
            seeds=seeds,
            margin=margin,
            threshold=threshold,
            save_pairs=save_pairs,
            figures=figures,
            progress=progress,
        )
    if json:
        print_json(found.to_json())
    else:
        print_text(*_sentences(found))


def _sentences(found: "Evaluation") -> list[str]:
    """Return what was found, a line each."""

    def row(name: str, value: "Spread") -> tuple[str, str]:
        return name, f"{value.mean:.5f}" + (f" ± {value.deviation:.5f}" if len(value.values) > 1 else "")

    draws = len(found.accuracy.values)
    rows = [
        ("encoder", found.encoder),
        ("data", found.data),
        ("pairs", f"{found.pairs:,}" + (f", drawn {draws} times (mean ± standard deviation)" if draws > 1 else "")),
        row("accuracy", found.accuracy),
        row(f"loss, margin {found.margin:g}", found.loss),
        row("ROC AUC", found.roc_auc),
        row("equal error rate", found.equal_error_rate),
        ("threshold", f"{found.threshold:.4f}"),
    ]
    if found.retrieval:
        searched = found.retrieval
        alone = f", {searched.without_answer:,} more have no answer" if searched.without_answer else ""
        rows.append(("retrieval", f"{searched.queries:,} queries in a gallery of {searched.gallery:,}{alone}"))
        rows += [(f"recall@{k}", f"{share:.5f}") for k, share in searched.recall_at.items()]
        rows.append(("mean average precision", f"{searched.mean_average_precision:.5f}"))
        rows.append(("nearest neighbour", f"{searched.recall_at[1]:.5f} of the queries find their like first"))
    if found.subjects:
        searched = found.subjects
        rows.append(("same folder first", f"{searched.recall_at[1]:.5f} of {searched.queries:,} unedited pictures"))
        rows.append(("same folder, mAP", f"{searched.mean_average_precision:.5f}"))
    rows.append(("time", f"{found.seconds:.1f} s"))
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {value}" for name, value in rows]
