"""The commands around a gallery: index, query, info."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import (
    CsvOption,
    DetailsOption,
    DeviceOption,
    IndexOption,
    JsonOption,
    NewIndexOption,
    QuietOption,
    ThresholdOption,
    one_format,
    open_gallery,
    say_waiting,
    writable_file,
)
from siamese_search.cli.output import (
    flush,
    print_csv,
    print_json,
    print_notice,
    print_table,
    print_text,
    progress_bar,
    silent_decoders,
    until_interrupted,
)
from siamese_search.errors import OptionError
from siamese_search.results import SearchReport, Skipped, SyncReport

if TYPE_CHECKING:
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
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out files and folders of this name, as in 'thumb*'; repeatable."),
    ] = None,
    max_megapixels: Annotated[
        float | None, typer.Option(min=1.0, metavar="MP", help="Skip pictures with more.  [default: 178]")
    ] = None,
    re_embed: Annotated[
        bool,
        typer.Option("--re-embed", help="With another --encoder: embed the gallery's pictures anew; answers stay."),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and follow changes until Ctrl-C.")] = False,
    device: DeviceOption = "auto",
    index: NewIndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring a gallery in step with its folders.

    New and changed pictures are embedded, those that are gone are forgotten, all others are left as they are. A folder
    that is not there, as on a drive that is not connected, keeps its pictures. Ctrl-C stops well: what was embedded is
    kept, and the same command goes on from there. When the gallery's encoder is another one since, as after an
    upgrade, all its pictures are embedded anew; folders and answers stay.
    """
    from siamese_search.gallery.encoders import encoder_for  # noqa: PLC0415
    from siamese_search.images.decode import MAX_PIXELS  # noqa: PLC0415
    from siamese_search.report.data import sync_json  # noqa: PLC0415

    if not (folders or (gallery := open_gallery(index)).exists()):
        raise typer.BadParameter(f"there is no gallery in {gallery.location} yet; name the FOLDER to index")
    if watch and json:
        raise OptionError("--watch prints a line for each change, --json one object at the end; give one of them")
    if watch and exclude:
        raise OptionError("--watch follows everything in a folder; --exclude goes without it")
    if re_embed and (watch or not encoder):
        raise OptionError("--re-embed goes with --encoder, and without --watch")
    with (
        open_gallery(index, encoder=encoder_for(index, encoder, device=device)) as gallery,
        until_interrupted() as stop,
        silent_decoders(),
    ):
        if watch:
            _watch(gallery, folders or (), stop, quiet=quiet)
            return
        with progress_bar("Embedding", quiet=quiet) as progress:
            report = gallery.sync(
                folders or (),
                exclude=exclude or (),
                max_pixels=round(max_megapixels * 1e6) if max_megapixels else MAX_PIXELS,
                re_embed=re_embed,
                progress=progress,
                stop=stop.is_set,
            )
        away = _elsewhere(gallery, report)
    if json:
        print_json(sync_json(report))
    elif not quiet:
        _print_sync(report, away)
    if report.stopped:
        raise typer.Exit(INTERRUPTED)


def _elsewhere(gallery: "Gallery", report: SyncReport) -> list[str]:
    """Say which folders of the gallery are away that nobody named: one of them may be what was indexed, renamed."""
    from siamese_search.images.files import folder_trouble  # noqa: PLC0415

    named = {entry.path for entry in report.skipped}
    return [
        f"{root}: {trouble}; if it has another name now: simsearch relocate {root} NEW-NAME"
        for root in gallery.roots
        if report.added and root not in named and (trouble := folder_trouble(root))
    ]


@app.command(
    epilog="Example: simsearch query holiday.jpg -k 3 --sheet found.png && simsearch query sea.jpg night.jpg --combine"
)
def query(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Image files; - reads one from stdin.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many different pictures to find for each.")] = 5,
    threshold: ThresholdOption = None,
    details: DetailsOption = True,
    copies: Annotated[
        bool, typer.Option("--copies", help="List all copies of what was found, not only count.")
    ] = False,
    include_self: Annotated[
        bool, typer.Option("--include-self", help="Let a file that is in the gallery find itself.")
    ] = False,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="List the nearest also where nothing is like the picture.")
    ] = False,
    combine: Annotated[
        bool, typer.Option("--combine", help="Search for all images together: for the sum of their embeddings.")
    ] = False,
    index: IndexOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", callback=writable_file, help="Also draw the image and what was found (one IMAGE only)."
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Find the pictures nearest to an image, and say what they are.

    The same picture, as far as details agree or the distance tells; one that looks alike; or nothing like it here. The
    copies of one picture take one line, and the file itself is left out. Many images at once cost far less than one
    command for each; one that cannot be read is named, and the others are answered.
    """
    one_format(json=json, csv=csv)
    _check_query(images, threshold, combine=combine, sheet=sheet)
    from siamese_search.report.data import search_csv, search_json  # noqa: PLC0415

    sources = [sys.stdin.buffer if image == "-" else image for image in images]
    with open_gallery(index) as gallery, silent_decoders(), progress_bar("Searching", quiet=quiet) as progress:
        say_waiting(gallery)
        if combine:
            combined = gallery.search_combined(sources, k=k, include_self=include_self, progress=progress)
            report = SearchReport(threshold=gallery.threshold, queries=(combined,))
        else:
            report = gallery.search(
                sources, k=k, threshold=threshold, details=details, include_self=include_self, progress=progress
            )
    for entry in report.skipped:
        print_notice(f"{entry.path}: {entry.reason}")
    if not report:
        raise typer.Exit(1)
    if sheet:
        from siamese_search.report.sheet import write_query_sheet  # noqa: PLC0415

        write_query_sheet(report.queries[0], sheet, copies=copies)
    if json:
        print_json(search_json(report, copies=copies))
    elif csv:
        print_csv(search_csv(report, copies=copies))
    else:
        _print_search(report, named=len(images) > 1 and not combine, copies=copies, nearest=nearest)
    if report.skipped:
        raise typer.Exit(1)


@app.command(epilog="Example: simsearch info --map map.html")
def info(
    index: IndexOption = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="HTML",
            callback=writable_file,
            help="Also draw a map: all pictures beside those that are like them.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Describe a gallery: images, folders, encoder, threshold."""
    from siamese_search.report.data import info_json  # noqa: PLC0415
    from siamese_search.report.words import SOURCES, human_bytes, share_words  # noqa: PLC0415

    with open_gallery(index) as gallery:
        about = gallery.info()
        if draw:
            from siamese_search.report.map import write_map_html  # noqa: PLC0415

            with silent_decoders(), progress_bar("Drawing", quiet=quiet) as progress:
                write_map_html(gallery, draw, progress=progress)
    if json:
        print_json(info_json(about))
        return
    limit = about.threshold
    share = limit.expected_precision
    expected = "" if share is None else f", expected precision on photos {share_words(share)}"
    rows = [
        ("gallery", about.location),
        ("images", f"{about.images:,}"),
        ("skipped", f"{about.skipped:,}"),
        *([("waiting", f"{about.waiting:,}, for simsearch index to embed them anew")] if about.waiting else []),
        *(("folder", str(root)) for root in about.roots),
        ("encoder", f"{about.encoder}, {about.dim} numbers a picture"),
        ("fingerprint", about.fingerprint),
        ("threshold", f"{limit.distance:.3f}: copies by distance alone; {SOURCES[limit.source]}{expected}"),
        ("reach", f"{about.reach:.3f}: within it, details are compared, and decide"),
        ("index", about.index_kind),
        ("on disk", human_bytes(about.size_on_disk)),
        *([("map", str(draw))] if draw else []),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print_text(f"{name:{width}}  {value}")


def _check_query(images: Sequence[str], threshold: float | None, *, combine: bool, sheet: Path | None) -> None:
    """Refuse options that do not go together."""
    if sheet and (combine or len(images) > 1 or images[0] == "-"):
        raise OptionError("--sheet draws one image file; name just one")
    if "" in images:
        raise OptionError("an IMAGE without a name; name a file, or - for stdin")
    if images.count("-") > 1:
        raise OptionError("stdin holds one image; give - once")
    if combine and threshold is not None:
        raise OptionError("--combine finds what is near a sum, which has no copies; --threshold goes without it")


def _watch(gallery: "Gallery", folders: Sequence[Path], stop: Event, *, quiet: bool) -> None:
    """Sync, and go on syncing what changes; print a line about each batch of changes."""
    first = True
    shown: tuple[Skipped, ...] = ()
    for report in gallery.watch(folders, stop=stop):
        if not quiet and (first or report.added or report.changed or report.moved or report.removed):
            _print_sync(replace(report, skipped=tuple(entry for entry in report.skipped if entry not in shown)))
            flush()
        shown = (*shown, *report.skipped)
        first = False


def _print_sync(report: SyncReport, away: Sequence[str] = ()) -> None:
    from siamese_search.report.words import counted, promise_sentence, threshold_sentence  # noqa: PLC0415

    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "embedded anew": report.re_embedded,
        "skipped": len(report.skipped),
    }
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "no pictures found"
    print_text(f"{report.index}: {counted(report.images, 'image')} ({words}) in {report.seconds:.1f} s")
    if report.stopped:
        print_text("stopped before the end; the same command goes on from here")
    if report.left_out:
        print_text(f"left out: {', '.join(f'{entry.count:,} {entry.kind}' for entry in report.left_out)}")
    for entry in report.noted[:_SKIPPED_SHOWN]:
        print_text(f"{entry.path}: {entry.note}")
    _print_skipped(report.skipped)
    for line in away:
        print_notice(line)
    if report.calibrated:
        said = threshold_sentence(report.calibrated.threshold, found=0)
        print_text(f"calibrated: {promise_sentence(report.calibrated.details) or said}")


def _print_search(report: SearchReport, *, named: bool, copies: bool, nearest: bool) -> None:
    """Print a line a hit; `named`: each with the image that it answers."""
    from siamese_search.report.words import copies_words, hit_words, nothing_words  # noqa: PLC0415

    rows, nothing = [], []
    for result in report.queries:
        name = (result.query,) if named else ()
        if result.nothing_alike and not nearest:
            nothing.append(f"{result.query}: {nothing_words(result)}")
            continue
        for place, hit in enumerate(result.files(copies=copies), start=1):
            what = ", ".join(filter(None, (hit_words(hit), "" if copies else copies_words(hit))))
            rows.append((*name, str(place), f"{hit.distance:.4f}", what, str(hit.path)))
    columns = (*(("query",) if named else ()), "rank", "distance", "", "path")
    if rows:
        print_table(columns, rows, right=("rank", "distance"))
    elif not nothing:
        print_text("the gallery holds no other picture; add some: simsearch index FOLDER")
    print_text(*nothing)


def _print_skipped(skipped: tuple[Skipped, ...]) -> None:
    for entry in skipped[:_SKIPPED_SHOWN]:
        print_text(f"skipped {entry.path}: {entry.reason}")
    if len(skipped) > _SKIPPED_SHOWN:
        print_text(f"... and {len(skipped) - _SKIPPED_SHOWN:,} more; --json lists all")
