"""Where galleries are: a location names a store, as `--index` and `Gallery` take it, and there is one by default."""

import os
from collections.abc import Callable
from pathlib import Path

from siamese_search.errors import OptionError
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.store import Store
from siamese_search.paths import expanded

Location = str | Path
"""Where a gallery is: a folder, or the address of a server, `SCHEME://...`, as a str."""


VARIABLE = "SIMSEARCH_INDEX"
BESIDE = Path("indexes/default")  # in the working directory, where a project has one of its own
_SCHEME = "://"
_MILVUS = "milvus://"


def store_at(location: Location, *, notice: Callable[[str], None] | None = None) -> Store:
    """Return the store at a location, a folder or `milvus://HOST:PORT/NAME`; raises OptionError for any other."""
    folder = folder_at(location)
    if folder is not None:
        return LocalStore(folder, notice=notice)
    if str(location).startswith(_MILVUS):
        from siamese_search.gallery.milvus.store import MilvusStore  # noqa: PLC0415  (not needed by most)

        return MilvusStore(str(location))
    raise OptionError(f"{location}: no such kind of gallery; name a folder, or {_MILVUS}HOST:PORT/NAME")


def folder_at(location: Location) -> Path | None:
    """Return the folder that a location names; None when it names a server."""
    return None if _SCHEME in str(location) else Path(location)


def absolute(location: Location) -> str:
    """Return a location that names the same store from any working directory."""
    folder = folder_at(location)
    return str(location) if folder is None else str(folder.resolve())


def gallery_location(given: Location | None = None) -> Location:
    """Return where the gallery is: as `given`, else as SIMSEARCH_INDEX says, else `indexes/default`, else at home.

    `indexes/default` counts where it exists; at home is the folder for the user's data, such as
    `~/.local/share/simsearch/default`. A leading `~` is expanded. Nothing is made.
    """
    if given is not None:
        return _folder_or_address(given, named="--index")
    if told := os.environ.get(VARIABLE):
        return _folder_or_address(told, named=VARIABLE)
    return BESIDE if BESIDE.exists() else home_location()


def home_location() -> Path:
    """Return the folder of the gallery that is the user's own, on every system where its programs keep their data."""
    import platformdirs  # noqa: PLC0415  (not needed by who names a gallery)

    return platformdirs.user_data_path("simsearch", appauthor=False) / "default"


def _folder_or_address(text: Location, *, named: str) -> Location:
    if not str(text):
        raise OptionError(f"{named} is empty; name a folder, or leave it out")
    if _SCHEME in str(text):
        return str(text)
    return expanded(text)
