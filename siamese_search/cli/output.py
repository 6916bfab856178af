"""What commands print: results on stdout, progress on stderr, nothing else on either."""

import csv
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

from siamese_search.errors import SimsearchError
from siamese_search.escapes import printable, table_cell


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object; names that are not UTF-8 survive as escapes."""
    _write(json.dumps(data, indent=2))


def print_text(*lines: str) -> None:
    """Print lines for people; whatever a terminal would obey or not show is escaped."""
    for line in lines:
        _write(printable(line))


def print_csv(text: str) -> None:
    """Print a CSV table: to a program in UTF-8, names with the bytes that they have; to a terminal with escapes."""
    if sys.stdout.isatty():
        table = csv.writer(sys.stdout, lineterminator="\n")
        with _output_errors():
            table.writerows(map(table_cell, row) for row in csv.reader(io.StringIO(text, newline="")))
        return
    flush()
    with _output_errors():
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def print_notice(text: str) -> None:
    """Print one line on stderr about something that was mended on the way, or left out."""
    with suppress(OSError):  # a full disk at the other end is no reason to stop
        sys.stderr.write(f"simsearch: {printable(text)}\n")
        sys.stderr.flush()


print_error = print_notice


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table: aligned for a terminal, plain tab-separated lines when piped; `right` names numeric columns."""
    cells = [[table_cell(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            _write("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def flush() -> None:
    """Send out what was printed; raises SimsearchError where it cannot be written."""
    with _output_errors():
        sys.stdout.flush()


def _write(line: str) -> None:
    with _output_errors():
        sys.stdout.write(f"{line}\n")


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SimsearchError(f"standard output: cannot be written: {error.strerror or error}") from error


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (done, total) that moves a bar on stderr; the bar appears with its first call."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


@contextmanager
def until_interrupted() -> Iterator[Event]:
    """Yield an event that Ctrl-C and a request to terminate set, so that work can end well; the second Ctrl-C kills."""
    stop = Event()

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def silent_decoders() -> Iterator[None]:
    """Keep what C libraries write about damaged files off the terminal; Python's own stderr stays.

    libtiff alone writes hundreds of lines on one bad file, past Python, straight to file descriptor 2. Each bad file is
    reported once, by us.
    """
    import warnings  # noqa: PLC0415

    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        terminal = os.dup(2)
    except OSError:  # no stderr at all, or too few files may be open
        yield
        return
    before = sys.stderr
    with (
        warnings.catch_warnings(),
        os.fdopen(terminal, "w", buffering=1, encoding=before.encoding, errors=before.errors) as replacement,
    ):
        warnings.filterwarnings("ignore", module=r"PIL\.")
        before.flush()
        sys.stderr = replacement
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(nowhere)
            sys.stderr = before
