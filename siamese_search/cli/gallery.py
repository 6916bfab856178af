"""The commands around a gallery: index, query, info."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import (
    DEFAULT_INDEX,
    CsvOption,
    DeviceOption,
    IndexOption,
    JsonOption,
    QuietOption,
    ThresholdOption,
    one_format,
)
from siamese_search.cli.output import (
    print_json,
    print_notice,
    print_table,
    print_text,
    progress_bar,
    silent_decoders,
    until_interrupted,
)
from siamese_search.errors import OptionError
from siamese_search.results import QueryResult, SearchReport, Skipped, SyncReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from siamese_search.encoder import Encoder
    from siamese_search.gallery import Gallery

app = typer.Typer()

INTERRUPTED = 130  # the exit code of a command ended by Ctrl-C, as in shells
_SKIPPED_SHOWN = 10


@app.command(epilog="Example: simsearch index ~/Pictures ~/Downloads")
def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Folders of pictures, with all inside.  [default: those indexed before]"),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR", help="A shipped encoder or an encoder folder.  [default: the gallery's, or photo]"
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and follow changes until Ctrl-C.")] = False,
    device: DeviceOption = "auto",
    index: IndexOption = DEFAULT_INDEX,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring a gallery in step with its folders.

    New and changed pictures are embedded, those that are gone are forgotten, all others are left as they are. A folder
    that is not there, as on a drive that is not connected, keeps its pictures. Ctrl-C stops well: what was embedded is
    kept, and the same command goes on from there.
    """
    from siamese_search.gallery import Gallery  # noqa: PLC0415
    from siamese_search.report.data import sync_json  # noqa: PLC0415
    from siamese_search.report.words import threshold_sentence  # noqa: PLC0415

    if not (folders or (index / "gallery.db").exists()):
        raise typer.BadParameter(f"there is no gallery in {index} yet; name the FOLDER to index")
    if watch and json:
        raise OptionError("--watch prints a line for each change, --json one object at the end; give one of them")
    with (
        Gallery(index, encoder=_chosen_encoder(encoder, device, index), notice=print_notice) as gallery,
        until_interrupted() as stop,
        silent_decoders(),
    ):
        if watch:
            _watch(gallery, folders or (), stop, quiet=quiet)
            return
        with progress_bar("Embedding", quiet=quiet) as progress:
            report = gallery.sync(folders or (), progress=progress, stop=stop.is_set)
    if json:
        print_json(sync_json(report))
    elif not quiet:
        _print_sync(report)
        if report.calibrated:
            print_text(f"calibrated: {threshold_sentence(report.calibrated.threshold, found=0)}")
    if report.stopped:
        raise typer.Exit(INTERRUPTED)


@app.command(epilog="Example: simsearch query holiday.jpg -k 3 --sheet found.png")
def query(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Image files; - reads one from stdin.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures to find for each.")] = 5,
    threshold: ThresholdOption = None,
    index: IndexOption = DEFAULT_INDEX,
    json: JsonOption = False,
    csv: CsvOption = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Also draw the image and what was found (one IMAGE only).")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Find the pictures nearest to an image.

    Those at a distance up to the threshold are marked as duplicates of it. Many images at once cost far less than one
    command for each; one that cannot be read is named, and the others are answered.
    """
    one_format(json=json, csv=csv)
    if sheet and (len(images) > 1 or images == ["-"]):
        raise OptionError("--sheet draws one image file; name just one")
    if images.count("-") > 1:
        raise OptionError("stdin holds one image; give - once")
    from siamese_search.gallery import Gallery  # noqa: PLC0415
    from siamese_search.report.data import search_csv, search_json  # noqa: PLC0415

    with (
        Gallery(index, notice=print_notice) as gallery,
        silent_decoders(),
        progress_bar("Searching", quiet=quiet) as progress,
    ):
        vectors, unread = _embedded(images, gallery.encoder, progress)
        readable = [image for number, image in enumerate(images) if number not in unread]
        found = gallery.search_vectors(vectors, k=k, threshold=threshold) if readable else ()
        report = SearchReport(
            threshold=gallery.threshold_or(threshold),
            queries=tuple(QueryResult(query=image, hits=hits) for image, hits in zip(readable, found, strict=True)),
        )
    for entry in unread.values():
        print_notice(f"{entry.path}: {entry.reason}")
    if not readable:
        raise typer.Exit(1)
    if sheet:
        from siamese_search.report.sheet import write_query_sheet  # noqa: PLC0415

        write_query_sheet(report.queries[0], sheet)
    if json:
        print_json(search_json(report))
    elif csv:
        print_text(search_csv(report))
    else:
        _print_search(report, named=len(images) > 1)
    if unread:
        raise typer.Exit(1)


@app.command(epilog="Example: simsearch info --index indexes/holiday")
def info(index: IndexOption = DEFAULT_INDEX, json: JsonOption = False, quiet: QuietOption = False) -> None:  # noqa: ARG001
    """Describe a gallery: images, folders, encoder, threshold."""
    from dataclasses import asdict  # noqa: PLC0415

    from siamese_search.gallery import Gallery  # noqa: PLC0415
    from siamese_search.report.words import SOURCES, human_bytes  # noqa: PLC0415

    with Gallery(index, notice=print_notice) as gallery:
        about = gallery.info()
    if json:
        print_json(asdict(about))
        return
    limit = about.threshold
    expected = "" if limit.expected_precision is None else f", expected precision {limit.expected_precision:.3g}"
    rows = [
        ("gallery", about.location),
        ("images", f"{about.images:,}"),
        ("skipped", f"{about.skipped:,}"),
        *(("folder", root) for root in about.roots),
        ("encoder", f"{about.encoder}, {about.dim} numbers a picture"),
        ("fingerprint", about.fingerprint),
        ("threshold", f"{limit.distance:.4f}, {SOURCES[limit.source]}{expected}"),
        ("index", about.index_kind),
        ("on disk", human_bytes(about.size_on_disk)),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print_text(f"{name:{width}}  {value}")


def _chosen_encoder(name: str | None, device: str, index: Path) -> "Encoder | None":
    """Load the encoder to index with; None leaves it to the gallery, which loads its own for the CPU when needed."""
    from siamese_search.encoder import device_for, load_encoder  # noqa: PLC0415

    where = device_for(device)
    if where == "cpu":
        return load_encoder(name) if name else None
    from siamese_search.gallery import Gallery  # noqa: PLC0415

    if name is None and (index / "gallery.db").exists():
        with Gallery(index, notice=print_notice) as gallery:
            return load_encoder(gallery.encoder.folder, device=where)
    return load_encoder(name or "photo", device=where)


def _embedded(
    images: Sequence[str], encoder: "Encoder", progress: Callable[[int, int], None]
) -> "tuple[NDArray[np.float32], dict[int, Skipped]]":
    """Embed image files, and the one on stdin; return the embeddings (n, dim), and by place the images without one."""
    import numpy as np  # noqa: PLC0415

    from siamese_search.encoder.embed import embed_files, embed_stream  # noqa: PLC0415

    files = embed_files((Path(image) for image in images if image != "-"), encoder)
    vectors, unread = [], {}
    for place, image in enumerate(images):
        result = embed_stream(sys.stdin.buffer, encoder) if image == "-" else next(files)
        if isinstance(result, Skipped):
            unread[place] = result
        else:
            vectors.append(result.vector)
        progress(place + 1, len(images))
    return np.array(vectors, np.float32).reshape(-1, encoder.dim), unread


def _watch(gallery: "Gallery", folders: Sequence[Path], stop: Event, *, quiet: bool) -> None:
    """Sync, and go on syncing what changes; print a line about each batch of changes."""
    first = True
    told: tuple[Skipped, ...] = ()
    for report in gallery.watch(folders, stop=stop):
        if not quiet and (first or report.added or report.changed or report.moved or report.removed):
            _print_sync(replace(report, skipped=tuple(entry for entry in report.skipped if entry not in told)))
            sys.stdout.flush()
        told = (*told, *report.skipped)
        first = False


def _print_sync(report: SyncReport) -> None:
    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "skipped": len(report.skipped),
    }
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "no pictures found"
    print_text(f"{report.index}: {report.images:,} images ({words}) in {report.seconds:.1f} s")
    if report.stopped:
        print_text("stopped before the end; the same command goes on from here")
    _print_skipped(report.skipped)


def _print_search(report: SearchReport, *, named: bool) -> None:
    """Print a line a hit; `named`: each with the image that it answers."""
    rows = [
        (
            *((result.query,) if named else ()),
            str(hit.rank),
            f"{hit.distance:.4f}",
            _mark(hit.duplicate),
            hit.path,
        )
        for result in report.queries
        for hit in result.hits
    ]
    columns = (*(("query",) if named else ()), "rank", "distance", "", "path")
    if rows:
        print_table(columns, rows, right=("rank", "distance"))
    else:
        print_text("the gallery is empty; add pictures: simsearch index FOLDER")


def _mark(duplicate: bool) -> str:
    return "duplicate" if duplicate else "similar"


def _print_skipped(skipped: tuple[Skipped, ...]) -> None:
    for entry in skipped[:_SKIPPED_SHOWN]:
        print_text(f"skipped {entry.path}: {entry.reason}")
    if len(skipped) > _SKIPPED_SHOWN:
        print_text(f"... and {len(skipped) - _SKIPPED_SHOWN:,} more; --json lists all")
