"""The commands that look after a gallery: verify, remove, relocate, export, import."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from siamese_search.cli.options import (
    IndexOption,
    JsonOption,
    NewIndexOption,
    QuietOption,
    open_gallery,
    writable_file,
    writable_folder,
)
from siamese_search.cli.output import print_json, print_text, progress_bar
from siamese_search.errors import OptionError
from siamese_search.report.words import counted
from siamese_search.results import VerifyReport

app = typer.Typer()

_FILES_SHOWN = 20


@app.command(epilog="Example: simsearch verify --files --index indexes/holiday")
def verify(
    files: Annotated[bool, typer.Option("--files", help="Also read every picture, against its hash.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Look a gallery over, and say what in it is not as it was written.

    Exits with 1 when something is not, and was not mended. A repair keeps the damaged file beside the new one.
    """
    from siamese_search.report.data import verify_json  # noqa: PLC0415

    with open_gallery(index) as gallery, progress_bar("Reading", quiet=quiet) as progress:
        report = gallery.verify(files=files, repair=repair, progress=progress)
    if json:
        print_json(verify_json(report))
    elif not quiet:
        _print_verify(report)
    if report.problems:
        raise typer.Exit(1)


@app.command(epilog="Example: simsearch remove ~/Pictures/screenshots")
def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Indexed folders, or single pictures.")],
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a gallery forget pictures; the files themselves are not touched.

    What still lies in an indexed folder is found again when that folder is indexed.
    """
    with open_gallery(index) as gallery:
        removed = gallery.remove(paths)
        left = len(gallery)
    if json:
        print_json({"removed": removed, "images": left, "index": gallery.location})
    elif not quiet:
        print_text(f"{gallery.location}: {counted(removed, 'picture')} forgotten, {left:,} left")


@app.command(epilog="Example: simsearch relocate /media/old-drive/Pictures ~/Pictures")
def relocate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="An indexed folder, as `simsearch info` names it.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where its pictures are now.")],
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tell a gallery that an indexed folder was moved or renamed; nothing is embedded again."""
    with open_gallery(index) as gallery:
        moved = gallery.relocate(old, new)
    if json:
        print_json({"moved": moved, "folder": str(new.resolve()), "index": gallery.location})
    elif not quiet:
        print_text(
            f"{gallery.location}: {counted(moved, 'picture')} {'is' if moved == 1 else 'are'} now in {new.resolve()}"
        )


def _writable_place(place: Path) -> Path | None:
    return writable_file(place) if place.suffix == ".parquet" else writable_folder(place)


@app.command(epilog="Example: simsearch export holiday.parquet --index indexes/holiday")
def export(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE.parquet",
            callback=_writable_place,
            help="Where to write items.csv and embeddings.npy, or one file.",
        ),
    ],
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a gallery's table and embeddings for other programs, row by row the same pictures.

    A Parquet file also holds what `simsearch import` makes a gallery of again: threshold, folders, answers.
    """
    with open_gallery(index) as gallery:
        if place.resolve() == Path(gallery.location).resolve():
            raise OptionError(f"{place}: is the gallery itself; name another folder")
        rows = gallery.export(place)
    if json:
        print_json({"images": rows, "folder": str(place)})
    elif not quiet:
        files = "a gallery" if place.suffix == ".parquet" else "items.csv and embeddings.npy"
        print_text(f"{place}: {files} with {counted(rows, 'row')}")


@app.command("import", epilog="Example: simsearch import holiday.parquet --index milvus://box:19530/holiday")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="What `simsearch export FILE.parquet` wrote.")],
    index: NewIndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring an exported gallery into a new one, wherever that is kept, with its embeddings and answers.

    Nothing is embedded again. Interrupted, the same command goes on.
    """
    with open_gallery(index) as gallery:
        added = gallery.take_in(file)
        images = len(gallery)
    if json:
        print_json({"added": added, "images": images, "index": gallery.location})
    elif not quiet:
        print_text(f"{gallery.location}: {counted(images, 'image')} ({added:,} added)")


def _print_verify(report: VerifyReport) -> None:
    for line in report.mended:
        print_text(f"mended: {line}")
    for line in report.problems:
        print_text(f"problem: {line}")
    for line in report.notes:
        print_text(f"note: {line}")
    files = report.files or ()
    for entry in files[:_FILES_SHOWN]:
        print_text(f"{entry.path}: {entry.reason}")
    if len(files) > _FILES_SHOWN:
        print_text(f"... and {len(files) - _FILES_SHOWN:,} more; --json lists all")
    looked = ""
    if report.files is not None:
        looked = f", {counted(len(files), 'file')} {'differs' if len(files) == 1 else 'differ'}"
    held = "its pictures cannot be counted" if report.images is None else counted(report.images, "image")
    state = f"damaged; to mend it: simsearch verify --repair --index {shlex.quote(report.index)}"
    print_text(
        f"{report.index}: {held}, {state if report.problems else 'all is well'}{looked} ({report.seconds:.1f} s)"
    )
