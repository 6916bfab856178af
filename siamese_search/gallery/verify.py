"""A gallery looked over beside its store: whether its encoder is still there, and its files as they were indexed."""

import os
from collections.abc import Callable, Iterator

from siamese_search.encoder.folder import encoder_fingerprint, encoder_folder, read_spec
from siamese_search.errors import EncoderError
from siamese_search.gallery.settings import EncoderIdentity
from siamese_search.gallery.store import Store
from siamese_search.images.files import folder_trouble, hash_file, lies_in
from siamese_search.results import Item, Skipped

Progress = Callable[[int, int], None]


def encoder_trouble(identity: EncoderIdentity) -> str | None:
    """Say why the encoder of a gallery cannot be used with it, or None."""
    try:
        folder = encoder_folder(identity.location)
        same = read_spec(folder).fingerprint == encoder_fingerprint(folder) == identity.fingerprint
    except EncoderError as error:
        return f"its encoder cannot be loaded: {error}"
    return None if same else f"its encoder {folder} is another one now; simsearch index embeds its pictures anew"


def differing_files(store: Store, *, progress: Progress | None = None) -> Iterator[Skipped]:
    """Yield the files that are not what the gallery says, and roots that are not there; reads every file."""
    items = store.items()
    absent = {root: trouble for root in store.roots() if (trouble := folder_trouble(root))}
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
