"""The flags that commands share, with one wording everywhere."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.atomic import check_file, check_folder
from siamese_search.cli.output import print_notice
from siamese_search.paths import expanded

if TYPE_CHECKING:
    from siamese_search.encoder import Encoder
    from siamese_search.gallery import Gallery

_INDEX_HELP = "The gallery.  [default: SIMSEARCH_INDEX, else indexes/default where it exists, else yours at home]"
_GALLERIES = "indexes"  # the folder in which a project has its own
IndexOption = Annotated[
    str | None,
    typer.Option("--index", metavar="DIR|URL", help=_INDEX_HELP),
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


def writable_file(path: Path | None) -> Path | None:
    """Refuse at once a file that could not be written where it is named; nothing is worked out in vain."""
    if path:
        check_file(path)
    return path


def writable_folder(path: Path | None) -> Path | None:
    """Do the same for a folder: the last one is made, but none above it."""
    if path:
        check_folder(path)
    return path


def writable_gallery(location: str | None) -> str | None:
    """Do the same for a gallery that is to be made; the one at home is made wherever that is, and `indexes` for any."""
    named = location or os.environ.get("SIMSEARCH_INDEX")
    if named and "://" not in named:
        folder = expanded(named)
        check_folder(folder.parent if folder.parent.name == _GALLERIES else folder)
    return location


NewIndexOption = Annotated[
    str | None, typer.Option("--index", metavar="DIR|URL", callback=writable_gallery, help=_INDEX_HELP)
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


def say_waiting(gallery: "Gallery") -> None:
    """Say how many pictures are left out because only an earlier encoder knew them."""
    from siamese_search.report.words import counted  # noqa: PLC0415

    if gallery.exists() and (waiting := gallery.waiting):
        print_notice(
            f"{counted(waiting, 'picture')} left out, which the gallery's new encoder has not embedded yet;"
            f" with their drives connected: simsearch index --index {gallery.location}"
        )
