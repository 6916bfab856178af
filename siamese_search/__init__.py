"""simsearch finds the same and the similar picture in your own folders.

    import siamese_search as ss

    encoder = ss.load_encoder("photo")  # or a folder that `simsearch train` wrote
    gallery = ss.Gallery("indexes/default", encoder=encoder)
    gallery.sync(["./images"])
    hits = gallery.search("a.jpg", k=5)
    groups = ss.find_duplicates(gallery).groups

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from siamese_search.version import __version__ as __version__

if TYPE_CHECKING:
    from siamese_search.duplicates.find import find_duplicates
    from siamese_search.duplicates.keeper import KeeperRules
    from siamese_search.encoder import Encoder, load_encoder
    from siamese_search.errors import (
        BusyError,
        DataError,
        EncoderError,
        FingerprintError,
        FolderError,
        GalleryError,
        ImageError,
        OptionError,
        PlanError,
        SimsearchError,
    )
    from siamese_search.gallery import Gallery
    from siamese_search.results import (
        Copy,
        DedupeReport,
        DuplicateGroup,
        Edit,
        EmbeddingPair,
        Hit,
        Item,
        Relation,
        ReviewedPair,
        Rule,
        Skipped,
        SyncReport,
        Threshold,
        ThresholdSource,
    )

__all__ = [
    "BusyError",
    "Copy",
    "DataError",
    "DedupeReport",
    "DuplicateGroup",
    "Edit",
    "EmbeddingPair",
    "Encoder",
    "EncoderError",
    "FingerprintError",
    "FolderError",
    "Gallery",
    "GalleryError",
    "Hit",
    "ImageError",
    "Item",
    "KeeperRules",
    "OptionError",
    "PlanError",
    "Relation",
    "ReviewedPair",
    "Rule",
    "SimsearchError",
    "Skipped",
    "SyncReport",
    "Threshold",
    "ThresholdSource",
    "find_duplicates",
    "load_encoder",
]

_HOMES = {
    "Gallery": "gallery",
    "KeeperRules": "duplicates.keeper",
    "find_duplicates": "duplicates.find",
    "Encoder": "encoder",
    "load_encoder": "encoder",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "errors" if name.endswith("Error") else "results")
    return getattr(import_module(f"siamese_search.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
