"""The command line: every command file is added here, and errors become one line and an exit code here."""

import atexit
import gc
import sys
from typing import Annotated

import typer

from siamese_search.cli import act, calibrate, dedupe, demo, evaluate, gallery, review, train, upkeep
from siamese_search.errors import SimsearchError
from siamese_search.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the same and the similar picture in your own folders.",
    epilog="Example: simsearch index ~/Pictures && simsearch dedupe --report duplicates",
)
# One line a command file; what it imports at its top delays every `simsearch --help`.
app.add_typer(demo.app)
app.add_typer(gallery.app)
app.add_typer(upkeep.app)
app.add_typer(dedupe.app)
app.add_typer(act.app)
app.add_typer(review.app)
app.add_typer(calibrate.app)
app.add_typer(train.app)
app.add_typer(evaluate.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"simsearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: exit code 0 when done, 1 after an error that a user can mend, 2 for wrong usage."""
    # A fifth of a short command went by in looking for garbage: while modules are loaded, which make hardly any, and
    # once more in all of them when the process ends anyway.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    try:
        app()
    except SimsearchError as error:
        sys.stderr.write(f"simsearch: {_one_line(error)}\n")
        raise SystemExit(1) from None
    except BrokenPipeError:  # `simsearch query ... | head`
        sys.stderr.close()
        raise SystemExit(1) from None


def _one_line(error: SimsearchError) -> str:
    text = " ".join(str(error).split())
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


if __name__ == "__main__":
    main()
