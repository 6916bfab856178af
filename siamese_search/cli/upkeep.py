"""The commands that look after a gallery: verify, remove, relocate, export, import."""

from pathlib import Path
from typing import Annotated

import typer

from siamese_search.cli.options import IndexOption, JsonOption, QuietOption, open_gallery
from siamese_search.cli.output import print_json, print_text, progress_bar
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
        print_text(f"{gallery.location}: {removed:,} pictures forgotten, {left:,} left")


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
        print_text(f"{gallery.location}: {moved:,} pictures are now in {new.resolve()}")


@app.command(epilog="Example: simsearch export holiday.parquet --index indexes/holiday")
def export(
    place: Annotated[
        Path,
        typer.Argument(metavar="DIR|FILE.parquet", help="Where to write items.csv and embeddings.npy, or all in one."),
    ],
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a gallery's table and embeddings for other programs, row by row the same pictures.

    A Parquet file also holds what `simsearch import` makes a gallery of again: threshold, folders, answers.
    """
    with open_gallery(index) as gallery:
        rows = gallery.export(place)
    if json:
        print_json({"images": rows, "folder": str(place)})
    elif not quiet:
        files = "a gallery" if place.suffix == ".parquet" else "items.csv and embeddings.npy"
        print_text(f"{place}: {files} with {rows:,} rows")


@app.command("import", epilog="Example: simsearch import holiday.parquet --index milvus://box:19530/holiday")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="What `simsearch export FILE.parquet` wrote.")],
    index: IndexOption = None,
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
        print_text(f"{gallery.location}: {images:,} images ({added:,} added)")


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
    looked = "" if report.files is None else f", {len(files):,} files differ"
    state = "not as it was written; try: simsearch verify --repair" if report.problems else "all is well"
    print_text(f"{report.index}: {report.images:,} images, {state}{looked} ({report.seconds:.1f} s)")
