"""A gallery looked over: the catalogue against itself, the index against it, and files against their hashes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from siamese_search.encoder.folder import encoder_fingerprint, encoder_folder, read_spec
from siamese_search.errors import EncoderError
from siamese_search.gallery.local.catalogue import Catalogue
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.local.connection import DamagedError
from siamese_search.gallery.local.exact import VectorIndex
from siamese_search.gallery.local.indexfile import StaleIndexError
from siamese_search.gallery.local.settings import EncoderIdentity
from siamese_search.images.files import folder_trouble, hash_file, lies_in
from siamese_search.results import Item, Skipped

Progress = Callable[[int, int], None]


def catalogue_troubles(path: Path) -> list[str]:
    """Return what is wrong with a gallery.db, in words."""
    try:
        catalogue = Catalogue(path)
    except DamagedError as error:
        return [error.detail]
    try:
        return catalogue.troubles()
    finally:
        catalogue.close()


def index_state(catalogue: Catalogue, path: Path, *, exact_up_to: int) -> str | None:
    """Say what is wrong with an index file: "missing", "out of date" or "damaged"; None when it is the catalogue's."""
    try:
        same = _same_cells(catalogue, path) if catalogue.count() > exact_up_to else _same_vectors(catalogue, path)
    except StaleIndexError as error:
        return str(error)
    return None if same else "damaged"


def _same_vectors(catalogue: Catalogue, path: Path) -> bool:
    ids, vectors, generation = catalogue.vectors()
    index = VectorIndex.load(path, generation=generation, count=len(ids), dim=vectors.shape[1])
    return np.array_equal(index.ids, ids) and np.array_equal(index.vectors, vectors)


def _same_cells(catalogue: Catalogue, path: Path) -> bool:
    ids, seals, generation = catalogue.seals()
    index = CellIndex.load(path, dim=catalogue.encoder.dim, read=catalogue.vectors_of)
    if index.generation != generation:
        raise StaleIndexError("out of date")
    members = index.members()  # checks them all
    order = np.argsort(members.ids)
    return np.array_equal(members.ids[order], ids) and np.array_equal(members.seals[order], seals)


def encoder_trouble(identity: EncoderIdentity) -> str | None:
    """Say why the encoder of a gallery cannot be used with it, or None."""
    try:
        folder = encoder_folder(identity.location)
        same = read_spec(folder).fingerprint == encoder_fingerprint(folder) == identity.fingerprint
    except EncoderError as error:
        return f"its encoder cannot be loaded: {error}"
    return None if same else f"its encoder {folder} is another one now; index again into a new gallery"


def differing_files(catalogue: Catalogue, *, progress: Progress | None = None) -> Iterator[Skipped]:
    """Yield the files that are not what the catalogue says, and roots that are not there; reads every file."""
    items = catalogue.items()
    absent = {root: trouble for root in catalogue.roots() if (trouble := folder_trouble(root))}
    for root, trouble in absent.items():
        count = sum(lies_in(item.path, [root]) for item in items)
        if count:
            yield Skipped(path=root, reason=f"{trouble}; its {count:,} pictures were not looked at")
    for done, item in enumerate(items, start=1):
        if progress:
            progress(done, len(items))
        difference = None if lies_in(item.path, absent) else _difference(item)
        if difference:
            yield Skipped(path=item.path, reason=difference)


def _difference(item: Item) -> str | None:
    try:
        status = os.stat(item.path)  # noqa: PTH116  a name, not what it was when a Path was made
        if status.st_size != item.size:
            return "was changed; index again"
        if hash_file(item.path) == item.content_hash:
            return None
    except FileNotFoundError:
        return "is gone; index again"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if status.st_mtime_ns != item.mtime_ns:
        return "was changed; index again"
    return "has another content, though size and time are those indexed: damaged on disk?"
