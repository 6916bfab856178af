"""The first command of the README: the whole way, from pictures to a report, on sample pictures."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import JsonOption, QuietOption, open_gallery, writable_folder
from siamese_search.cli.output import print_json, print_text, progress_bar, silent_decoders

if TYPE_CHECKING:
    from siamese_search.demo import DemoReport

app = typer.Typer()


_FOLDER = Path("data/demo")  # made with the folder above it


def _writable_folder(folder: Path) -> Path:
    if folder != _FOLDER:
        writable_folder(folder)
    return folder


@app.command(epilog="Example: simsearch demo --folder /tmp/demo --index /tmp/demo/index")
def demo(
    folder: Annotated[
        Path, typer.Option(metavar="DIR", callback=_writable_folder, help="Where pictures and report go.")
    ] = _FOLDER,
    index: Annotated[str, typer.Option(metavar="DIR|URL", help="The gallery.")] = "indexes/demo",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Try everything on sample pictures: index them, search them, find their copies, write a page.

    The pictures are free ones that the package scikit-image holds, and edited copies of them. Nothing is downloaded.
    """
    from siamese_search.demo import run_demo  # noqa: PLC0415

    with open_gallery(index) as gallery, silent_decoders():
        report = run_demo(folder, gallery, stage=partial(progress_bar, quiet=quiet))
    if json:
        _print_json(report)
        return
    if not quiet:
        _print_made(report, folder)
    _print_found(report)
    print_text(f"See it with pictures: {report.page}")


def _print_json(report: "DemoReport") -> None:
    from siamese_search.report.data import dedupe_json, search_json, sync_json  # noqa: PLC0415

    print_json(
        {
            "planted": report.score.planted,
            "found": report.score.found,
            "false": report.score.false,
            "missed": [str(planted.path) for planted in report.score.missed],
            "report": str(report.page),
            "index": sync_json(report.synced),
            "query": search_json(report.search),
            "dedupe": dedupe_json(report.duplicates),
        }
    )


def _print_made(report: "DemoReport", folder: Path) -> None:
    made, synced = report.demo, report.synced
    counts = f"{len(made.originals)} samples, {len(made.planted)} edited copies of them, 1 broken file"
    print_text(f"Pictures: {counts}, in {folder}")
    print_text(f"Gallery:  {synced.images} pictures in {synced.index}, {synced.seconds:.1f} s")
    print_text(*(f"          skipped {skipped.path.name}: {skipped.reason}" for skipped in synced.skipped))


def _print_found(report: "DemoReport") -> None:
    from siamese_search.report.words import details_sentence, hit_words  # noqa: PLC0415

    found, score = report.duplicates, report.score
    for result in report.search:
        query, hit = Path(result.query).name, result[0]
        print_text(f"Search:   {query} -> {hit.path.name}, distance {hit.distance:.3f}, {hit_words(hit)}")
    print_text(f"Dedupe:   {len(found)} groups. {score.sentence}")
    if score.missed:
        print_text(f"          missed: {', '.join(planted.path.stem for planted in score.missed)}")
    print_text(details_sentence(found))
