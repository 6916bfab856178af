"""The first command of the README: the whole way, from pictures to a report, on sample pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import JsonOption, QuietOption
from siamese_search.cli.output import print_json, print_text, progress_bar, silent_decoders
from siamese_search.results import DedupeReport, QueryResult, SearchReport, SyncReport

if TYPE_CHECKING:
    from siamese_search.demo import Demo, DemoScore

app = typer.Typer()


@app.command(epilog="Example: simsearch demo --folder /tmp/demo --index /tmp/demo/index")
def demo(
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where pictures and report go.")] = Path("data/demo"),
    index: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the gallery.")] = Path("indexes/demo"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Try everything on sample pictures: index them, search them, find their copies, write a page.

    The pictures are free ones that the package scikit-image holds, and edited copies of them. Nothing is downloaded.
    """
    from siamese_search.demo import make_demo, score_demo  # noqa: PLC0415
    from siamese_search.duplicates.find import find_duplicates  # noqa: PLC0415
    from siamese_search.gallery import Gallery  # noqa: PLC0415
    from siamese_search.report.html import write_page  # noqa: PLC0415

    made = make_demo(folder)
    page = folder / "report" / "index.html"
    with Gallery(index) as gallery, silent_decoders():
        with progress_bar("Embedding", quiet=quiet) as progress:
            synced = gallery.sync([made.gallery], progress=progress)
        queries = tuple(QueryResult(query=str(query), hits=gallery.search(query)) for query in made.queries)
        search = SearchReport(threshold=gallery.threshold, queries=queries)
        with progress_bar("Comparing", quiet=quiet) as progress:
            found = find_duplicates(gallery, folders=[made.gallery], progress=progress)
        score = score_demo(made, found)
        with progress_bar("Drawing", quiet=quiet) as progress:
            write_page(
                page,
                title="simsearch demo",
                lead=f"{len(made.originals)} sample pictures, {score.planted} edited copies of them. {_outcome(score)}",
                search=search,
                dedupe=found,
                pictures=[str(path) for path in (*made.originals, *(planted.path for planted in made.planted))],
                progress=progress,
            )
    if json:
        _print_json(synced, search, found, score, page)
        return
    if not quiet:
        _print_made(made, folder, synced)
    _print_found(search, found, score)
    print_text(f"See it with pictures: {page}")


def _outcome(score: "DemoScore") -> str:
    false = {0: "none was grouped wrongly", 1: "1 picture was grouped wrongly"}
    wrong = false.get(score.false, f"{score.false} pictures were grouped wrongly")
    return f"{score.found} of the {score.planted} copies were found, {wrong}."


def _print_json(synced: SyncReport, search: SearchReport, found: DedupeReport, score: "DemoScore", page: Path) -> None:
    from siamese_search.report.data import dedupe_json, search_json, sync_json  # noqa: PLC0415

    print_json(
        {
            "planted": score.planted,
            "found": score.found,
            "false": score.false,
            "missed": [str(planted.path) for planted in score.missed],
            "report": str(page),
            "index": sync_json(synced),
            "query": search_json(search),
            "dedupe": dedupe_json(found),
        }
    )


def _print_made(made: "Demo", folder: Path, synced: SyncReport) -> None:
    counts = f"{len(made.originals)} samples, {len(made.planted)} edited copies of them, 1 broken file"
    print_text(f"Pictures: {counts}, in {folder}")
    print_text(f"Gallery:  {synced.images} pictures in {synced.index}, {synced.seconds:.1f} s")
    for skipped in synced.skipped:
        print_text(f"          skipped {Path(skipped.path).name}: {skipped.reason}")


def _print_found(search: SearchReport, found: DedupeReport, score: "DemoScore") -> None:
    from siamese_search.report.words import threshold_sentence  # noqa: PLC0415

    for result in search.queries:
        query, hit = Path(result.query).name, result.hits[0]
        verdict = "a duplicate" if hit.duplicate else "not a duplicate"
        print_text(f"Search:   {query} -> {Path(hit.path).name}, distance {hit.distance:.3f}, {verdict}")
    print_text(f"Dedupe:   {len(found.groups)} groups. {_outcome(score)}")
    if score.missed:
        print_text(f"          missed: {', '.join(planted.path.stem for planted in score.missed)}")
    print_text(threshold_sentence(found.threshold, found=sum(len(group.copies) for group in found.groups)))
