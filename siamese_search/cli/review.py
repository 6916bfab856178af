"""Looking at borderline pairs in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import IndexOption, JsonOption, QuietOption, ThresholdOption, open_gallery
from siamese_search.cli.output import print_json, print_text, progress_bar, silent_decoders

if TYPE_CHECKING:
    from siamese_search.gallery import Gallery

app = typer.Typer()


@app.command(epilog="Example: simsearch review && simsearch calibrate")
def review(
    threshold: ThresholdOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 is any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page at once.")] = True,
    export: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write all answers as pairs (first,second,label), ask nothing.")
    ] = None,
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say of borderline pairs whether they are the same picture.

    A page on this machine shows two pictures at a time, those first that teach it more: s is the same, d
    different, space skips, z goes back. The gallery keeps the answers: dedupe respects them, calibrate learns from
    them. End with Ctrl-C.
    """
    with open_gallery(index) as gallery, silent_decoders():
        if export:
            gallery.answers.write(export)
        else:
            _ask(gallery, threshold, port=port, browser=browser, quiet=quiet)
        labels = [pair.label for pair in gallery.answers.all()]
    if json:
        print_json({"same": labels.count(0), "different": labels.count(1), "export": str(export) if export else None})
    else:
        answers = "1 answer" if len(labels) == 1 else f"{len(labels):,} answers"
        print_text(f"{gallery.location}: {answers}, {labels.count(0):,} same, {labels.count(1):,} different.")
        if not export and labels:
            print_text("To set the threshold by them: simsearch calibrate")


def _ask(gallery: "Gallery", threshold: float | None, *, port: int, browser: bool, quiet: bool) -> None:
    import sys  # noqa: PLC0415
    import webbrowser  # noqa: PLC0415

    from siamese_search.web.app import Access  # noqa: PLC0415
    from siamese_search.web.questions import Questions  # noqa: PLC0415
    from siamese_search.web.review import review_app  # noqa: PLC0415
    from siamese_search.web.server import serve  # noqa: PLC0415

    with progress_bar("Comparing", quiet=quiet) as progress:
        questions = Questions(gallery, threshold=threshold, progress=progress)
    access = Access()

    def ready(address: str) -> None:
        sys.stderr.write(f"Review at {address}/enter/{access.secret} and end with Ctrl-C\n")
        sys.stderr.flush()
        if browser:
            webbrowser.open(f"{address}/enter/{access.ticket()}")

    serve(review_app(gallery, questions, access), port=port, ready=ready)
