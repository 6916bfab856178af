"""Where galleries are: a location names a store, as `--index` and `Gallery` take it."""

from collections.abc import Callable
from pathlib import Path

from siamese_search.errors import GalleryError
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.store import Store

_SCHEME = "://"


def store_at(location: str | Path, *, notice: Callable[[str], None] | None = None) -> Store:
    """Return the store at a location: a folder. Raises GalleryError for an address of no known kind."""
    folder = folder_at(location)
    if folder is None:
        raise GalleryError(f"{location}: no such kind of gallery; name a folder")
    return LocalStore(folder, notice=notice)


def folder_at(location: str | Path) -> Path | None:
    """Return the folder that a location names; None when it names a server."""
    return None if _SCHEME in str(location) else Path(location)


def absolute(location: str | Path) -> str:
    """Return a location that names the same store from any working directory."""
    folder = folder_at(location)
    return str(location) if folder is None else str(folder.resolve())
