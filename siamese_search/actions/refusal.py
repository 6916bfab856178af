"""Why a step is not done, in words for a person."""

import errno
import os

_WORDS = {errno.ELOOP: "is or lies behind a symbolic link", errno.ENOENT: "is gone"}


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """A step that must not or cannot be done; the message says why, a path only at its end, after a colon."""


def words_of(error: OSError) -> str:
    """Say what the system answered."""
    return os.strerror(error.errno) if error.errno else str(error)


def refusal_of(error: OSError, what: str) -> Refusal:
    """Return the refusal for a call that failed; `what` begins the sentence: "cannot be read"."""
    return Refusal(_WORDS.get(error.errno or 0) or f"{what}: {words_of(error)}")
