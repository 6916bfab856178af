"""What commands print: results on stdout, progress on stderr, nothing else on either."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object; names that are not UTF-8 survive as escapes."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def print_text(text: str) -> None:
    """Print text that ends with its own newline or gets one."""
    from siamese_search.report.words import printable  # noqa: PLC0415

    text = printable(text)
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def print_notice(text: str) -> None:
    """Print one line on stderr about something that was mended on the way."""
    from siamese_search.report.words import printable  # noqa: PLC0415

    sys.stderr.write(f"simsearch: {printable(text)}\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table: aligned for a terminal, plain tab-separated lines when piped; `right` names numeric columns."""
    if not sys.stdout.isatty():
        for row in rows:
            print_text("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from siamese_search.report.words import printable  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


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
        terminal = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    before = sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with warnings.catch_warnings(), os.fdopen(terminal, "w", buffering=1, errors="backslashreplace") as replacement:
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
