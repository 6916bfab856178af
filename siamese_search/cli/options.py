"""The flags that commands share, with one wording everywhere."""

from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.output import print_notice

if TYPE_CHECKING:
    from siamese_search.encoder import Encoder
    from siamese_search.gallery import Gallery

IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="DIR|URL",
        help="The gallery.  [default: SIMSEARCH_INDEX, else indexes/default where it exists, else yours at home]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print a CSV table.")]
DataArgument = Annotated[str, typer.Argument(help="A folder of pictures, or mnist, or digits.")]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        metavar="folders|PAIRS.csv|none",
        help="What is alike: pictures of one folder, the pairs of a CSV (first,second,label), or only copies.",
    ),
]
ClassesOption = Annotated[
    str | None, typer.Option(metavar="0-4", help="Only these classes: digits, or places of folders by name.")
]
DetailsOption = Annotated[
    bool,
    typer.Option(
        "--details/--no-details", help="Compare the details of what is within reach, or go by distance alone."
    ),
]
DeviceOption = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute; auto takes a GPU where there is one.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, and print only what was found.")]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=2.0,
        metavar="D",
        help="A distance, 0 to 2, in place of the gallery's reach, within which details are compared; with"
        " --no-details in place of its threshold, within which pictures count as copies.",
    ),
]


def one_format(*, json: bool, csv: bool) -> None:
    """Refuse to print two formats at once."""
    if json and csv:
        raise typer.BadParameter("choose one of --json and --csv")


def open_gallery(index: str | None, *, encoder: "Encoder | None" = None) -> "Gallery":
    """Return the gallery that `--index` names, or the default one."""
    from siamese_search.gallery import Gallery  # noqa: PLC0415

    return Gallery(index, encoder=encoder, notice=print_notice)
