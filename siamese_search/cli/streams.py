"""The three standard streams of the process, whatever state it was given them in."""

import os
import sys
from contextlib import suppress
from typing import TextIO, cast

from siamese_search.escapes import HANDLER, register


def prepare_streams() -> None:
    """Make the streams safe to use: one that was closed, or has a narrow encoding, must not bring the program down.

    A file that is opened must not become the standard output by getting its number, so closed ones are filled. What
    is written to an output that was closed fails, as it should; what is written to no standard error is lost.
    """
    register()
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for number in closed:  # the lowest free number is the one that is opened
        os.open(os.devnull, os.O_RDONLY if number < 2 else os.O_WRONLY)  # noqa: PLR2004  standard error
    sys.stdin = sys.stdin or _opened(0, "r")
    sys.stdout = sys.stdout or _opened(1, "w")
    sys.stderr = sys.stderr or _opened(2, "w")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors=HANDLER)  # type: ignore[union-attr]


def release_streams() -> None:
    """Give up what the standard output could not take, so that the end of the process does not fail on it again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _opened(number: int, mode: str) -> TextIO:
    return cast("TextIO", os.fdopen(number, mode, encoding="utf-8", closefd=False))
