"""The command line: every command file is added here, and errors become one line and an exit code here."""

import atexit
import errno
import gc
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from siamese_search.cli import act, calibrate, dedupe, demo, evaluate, gallery, review, serve, train, upkeep
from siamese_search.cli.output import flush, print_error
from siamese_search.cli.streams import prepare_streams, release_streams
from siamese_search.errors import SimsearchError
from siamese_search.version import __version__

INTERRUPTED = 130  # the exit code of a command ended by Ctrl-C, as in shells

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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
app.add_typer(serve.app)
app.add_typer(calibrate.app)
app.add_typer(train.app)
app.add_typer(evaluate.app)

# Typer exports only this one of the errors of the command line; its bases are those for all others.
_UsageError, _ClickError = typer.BadParameter.__mro__[1:3]


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
    """Run the command line of this process."""
    # A fifth of a short command went by in looking for garbage: while modules are loaded, which make hardly any, and
    # once more in all of them when the process ends anyway.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    prepare_streams()
    code = run(sys.argv[1:])
    release_streams()
    raise SystemExit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command; return 0 when done, 1 after an error that a user can mend, 2 for wrong usage."""
    try:
        code = app(args=list(arguments), prog_name="simsearch", standalone_mode=False)
        flush()
    except BrokenPipeError:  # `simsearch query ... | head`
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print_error("interrupted")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, _ClickError):
            _print_usage(error)
            return 2
        words = _words(error)
        if words is None:  # a mistake of ours: the traceback says where
            raise
        print_error(words)
        return 1
    return code if isinstance(code, int) else 0


def _words(error: Exception) -> str | None:  # noqa: PLR0911  a table of cases
    """Say what went wrong, and what to do where that is known; None for what must not happen."""
    match error:
        case SimsearchError():
            return str(error)
        case FileNotFoundError(filename=None):
            return "the working directory is gone; change to another one"
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return f"{error.strerror}; allow more, as with: ulimit -n 1024"
        case OSError():
            words = error.strerror or str(error)
            return f"{error.filename}: {words}" if error.filename else words
        case MemoryError():
            return "not enough memory; close other programs and run it again"
        case ImportError():
            return f"{error.name or 'a library'} cannot be loaded ({error}); install siamese-search again"
        case _:
            return None


_PLAINLY = {
    "Invalid value for ": "",
    "Invalid value: ": "",
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "has to be a whole number",
    "Input should be a valid number, unable to parse string as a number": "has to be a number",
    "Input should be ": "has to be ",
}


def _print_usage(error: Exception) -> None:
    """Say in one line what is wrong with a command line, and where to look; an argument may hold anything."""
    command = getattr(getattr(error, "ctx", None), "command_path", "simsearch")
    words = " ".join(error.format_message().split())  # type: ignore[attr-defined]  # a method of all of Click's errors
    for said, plainly in _PLAINLY.items():
        words = words.replace(said, plainly)
    words = re.sub(r"^'([^']+)': ", r"\1: ", words)  # the option at fault
    print_error(f"{words.rstrip('.')}; see: {command} --help")


if __name__ == "__main__":
    main()
