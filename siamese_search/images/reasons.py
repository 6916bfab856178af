"""Why a picture cannot be read, in words for people."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from siamese_search.errors import ImageError, SimsearchError

NEEDS_HEIF = "HEIC needs an extra: pip install 'siamese-search[heic]'"
NO_PERMISSION = "permission denied"
NO_MEMORY = "not enough memory to decode it"
CHANGED = "it changed while it was read"
CUT_SHORT = "the file is cut short"
EMPTY = "the file is empty"
_GONE = "no such file"
_UNREAD = "cannot be read: "
_TOO_LARGE = "too large: "
_PASSING = frozenset({NEEDS_HEIF, NO_PERMISSION, NO_MEMORY, CHANGED, _GONE})


class RefusedError(Exception):
    """Carries a reason, as it is to be read, to `image_errors`. Never reaches a user."""


class RiskyPictureError(Exception):
    """A picture better decoded in a process of its own: a rarer format, very large, or slow. Never reaches a user."""


class NeedsMoreError(RiskyPictureError):
    """More memory is needed than is granted, in bytes. Never reaches a user."""

    def __init__(self, need: int) -> None:
        super().__init__(need)
        self.need = need


def is_passing(reason: str) -> bool:
    """Tell whether a reason why a picture was skipped may vanish while its file stays the same."""
    return reason in _PASSING or reason.startswith(_UNREAD)


def is_too_large(reason: str) -> bool:
    """Tell whether a picture was skipped for its pixels, of which another run may allow more."""
    return reason.startswith(_TOO_LARGE)


def too_large(size: str, limit: int) -> str:
    """Return the reason for a picture of too many pixels."""
    return f"{_TOO_LARGE}{size} pixels, the limit is {limit:,}"


@contextmanager
def image_errors(name: str) -> Iterator[None]:
    """Turn whatever opening, reading or decoding a picture raises into an ImageError with a reason for people."""
    try:
        yield
    except (SimsearchError, RiskyPictureError):
        raise
    except Exception as error:  # decoders meet broken files with every exception there is
        raise ImageError(name, _reason(error)) from error


def _reason(error: Exception) -> str:  # noqa: PLR0911  a table of cases
    match error:
        case RefusedError():
            return str(error)
        case FileNotFoundError():
            return _GONE
        case PermissionError():
            return NO_PERMISSION
        case IsADirectoryError():
            return "is a folder, not an image file"
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return NO_MEMORY
        case Image.DecompressionBombError():
            pixels, limit = re.findall(r"\d+", str(error))[:2]
            return too_large(f"{int(pixels):,}", int(limit) // 2)
        case UnidentifiedImageError():
            return "not an image that can be read"
        case OSError(errno=int(), strerror=str(words)):
            return f"{_UNREAD}{words}"
        case OSError() if "truncated" in str(error).lower():
            return CUT_SHORT
        case _:
            return f"damaged: {str(error) or type(error).__name__}".splitlines()[0]
