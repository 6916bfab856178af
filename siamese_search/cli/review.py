"""Looking at borderline pairs in the browser, and at what was said about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siamese_search.cli.options import IndexOption, JsonOption, QuietOption, open_gallery, writable_file
from siamese_search.cli.output import print_json, print_table, print_text, progress_bar, silent_decoders
from siamese_search.errors import OptionError
from siamese_search.results import Answer, AnsweredPair

if TYPE_CHECKING:
    from siamese_search.gallery import Gallery

app = typer.Typer()


@app.command(epilog="Example: simsearch review && simsearch calibrate")
def review(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[A B | ID]", help="With --forget: two pictures, or the id that --list shows."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show all answers, ask nothing.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Take an answer back, ask nothing.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=2.0, metavar="D", help="Ask about pairs near this distance.  [default: the threshold]"
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 is any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page at once.")] = True,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="CSV", help="Take answers from a file, such as a report saved; ask nothing."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", callback=writable_file, help="Write all answers as pairs (first,second,label), ask nothing."
        ),
    ] = None,
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say of borderline pairs whether they are the same picture.

    A page on this machine shows two pictures at a time, those first that teach it more: s is the same, d
    different, space skips, z goes back. It says when the answers are enough, and goes on where it ended when it is
    started again. The gallery keeps the answers: dedupe respects them, calibrate learns from them. End with Ctrl-C.
    """
    if forget != bool(pictures):
        raise OptionError("--forget takes back the answer about two pictures: simsearch review --forget A B")
    standing = ""
    with open_gallery(index) as gallery, silent_decoders():
        forgotten = gallery.answers.named(pictures or ())
        for pair in forgotten:
            gallery.answers.remove(pair)
        if import_:
            gallery.answers.read(import_)
        if export:
            gallery.answers.write(export)
        if not any((list_, forget, import_, export)):
            standing = _ask(gallery, threshold, port=port, browser=browser, quiet=quiet)
        pairs = gallery.answers.all()
    said = [pair.answer for pair in pairs]
    counts = {answer.value: said.count(answer) for answer in Answer}
    if json:
        answers = {"answers": [_answer_json(pair) for pair in pairs]} if list_ else {}
        taken_back = {"forgotten": [_answer_json(pair) for pair in forgotten]} if forget else {}
        print_json({**counts, "export": str(export) if export else None, **taken_back, **answers})
    else:
        for pair in forgotten:
            print_text(f"forgotten: {pair.answer.value}, of {_names(pair)}")
        _print_list(pairs if list_ else ())
        _print_counts(gallery.location, counts, standing)


def _print_counts(location: str, counts: Mapping[str, int], standing: str) -> None:
    from siamese_search.report.words import counted  # noqa: PLC0415

    each = ", ".join(f"{count:,} {answer}" for answer, count in counts.items())
    print_text(f"{location}: {counted(sum(counts.values()), 'answer')}, {each}.")
    if standing:
        print_text(standing)
        if any(counts.values()):
            print_text("To set the threshold by them: simsearch calibrate")


def _answer_json(pair: AnsweredPair) -> dict[str, Any]:
    return {
        "id": pair.id,
        "answer": pair.answer.value,
        "time": pair.time,
        "first": str(pair.paths[0]) if pair.paths else None,
        "second": str(pair.paths[1]) if pair.paths else None,
        "first_hash": pair.first,
        "second_hash": pair.second,
        "distance": pair.distance,
    }


def _names(pair: AnsweredPair) -> str:
    if pair.paths is None:
        return f"pictures that are no longer there ({pair.id})"
    return f"{pair.paths[0]} and {pair.paths[1]}"


def _print_list(pairs: Sequence[AnsweredPair]) -> None:
    from datetime import datetime  # noqa: PLC0415

    rows = [
        (
            pair.id,
            pair.answer.value,
            datetime.fromtimestamp(pair.time).astimezone().strftime("%Y-%m-%d %H:%M"),
            *(map(str, pair.paths) if pair.paths else ("no longer there", "")),
        )
        for pair in pairs
    ]
    if rows:
        print_table(("id", "answer", "when", "first", "second"), rows)


def _ask(gallery: "Gallery", threshold: float | None, *, port: int, browser: bool, quiet: bool) -> str:
    """Serve the page until it is ended, and return what the answers say then."""
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
    return questions.standing.sentence(questions.threshold)
