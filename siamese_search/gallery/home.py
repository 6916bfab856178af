"""Where the gallery is when nobody says: the same one from every folder."""

import os
from pathlib import Path

from siamese_search.encoder import Encoder, device_for, load_encoder
from siamese_search.errors import GalleryError, OptionError
from siamese_search.gallery.gallery import Gallery

Location = str | Path
"""Where a gallery is: a folder, or the address of a server, `SCHEME://...`, as a str."""

VARIABLE = "SIMSEARCH_INDEX"
BESIDE = Path("indexes/default")  # in the working directory, where a project has one of its own
_DEFAULT_ENCODER = "photo"


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


def encoder_for(location: Location, name: str | None = None, *, device: str = "auto") -> Encoder | None:
    """Return the encoder to index a gallery with, on a device: the one named, or else the gallery's own, or "photo".

    None leaves it to the gallery, which loads its own for the CPU when it needs it.
    """
    where = device_for(device)
    if where == "cpu":
        return load_encoder(name) if name else None
    if name is None:
        with Gallery(location) as gallery:
            if gallery.exists():
                return load_encoder(gallery.encoder.folder, device=where)
    return load_encoder(name or _DEFAULT_ENCODER, device=where)


def _folder_or_address(text: Location, *, named: str) -> Location:
    if not str(text):
        raise OptionError(f"{named} is empty; name a folder, or leave it out")
    if "://" in str(text):
        return str(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~nobody"
        raise GalleryError(f"{text}: no home folder is known for that user; check the name") from None
