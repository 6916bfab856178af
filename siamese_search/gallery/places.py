"""What people say of places: these pictures shall be forgotten, that folder lies elsewhere now."""

from collections.abc import Sequence
from pathlib import Path

from siamese_search.errors import FolderError
from siamese_search.gallery.store import Store
from siamese_search.images.files import lies_in, resolve_folders
from siamese_search.paths import expanded


def forget(store: Store, paths: Sequence[str | Path]) -> int:
    """Forget all pictures at or under some paths, and roots among them; return how many pictures.

    Raises FolderError, and forgets nothing, when one of the paths holds none.
    """
    wanted = [expanded(path).resolve() for path in paths]
    # A picture itself may be named through a link that leads elsewhere: its path then is the one it was found by.
    wanted += [path.parent.resolve() / path.name for path in (expanded(path) for path in paths)]
    items = [item for item in store.items() if lies_in(item.path, wanted)]
    skipped = [entry.file.path for entry in store.skipped() if lies_in(entry.file.path, wanted)]
    roots = [root for root in store.roots() if lies_in(root, wanted)]
    for given, place, other in zip(paths, wanted, wanted[len(paths) :], strict=False):
        if not any(lies_in(path, [place, other]) for path in [*(item.path for item in items), *skipped, *roots]):
            raise FolderError(f"{given}: no indexed pictures there; `simsearch info` names the folders")
    with store.transaction():
        store.remove(item.id for item in items)
        store.unskip(skipped)
        store.remove_roots(roots)
    return len(items)


def relocate(store: Store, old: str | Path, new: str | Path) -> int:
    """Record that a root with all that is in it is a folder elsewhere now; return the number of its pictures.

    Raises FolderError, and changes nothing, unless `old` is a root and `new` a folder outside all others that holds
    at least one of its pictures.
    """
    source = expanded(old).resolve()
    (target,) = resolve_folders([new])
    roots = store.roots()
    if source not in roots:
        known = ", ".join(map(str, roots)) or "none"
        raise FolderError(f"{old}: is not an indexed folder; those are: {known}")
    for root in roots:
        if root != source and (lies_in(target, [root]) or lies_in(root, [target])):
            raise FolderError(f"{new}: {root} is indexed already and overlaps it; first: simsearch remove {root}")
    waiting = [entry.file for entry in store.skipped() if entry.is_waiting and lies_in(entry.file.path, [source])]
    pictures = [(item.path, item.size) for item in store.items([source])] + [(file.path, file.size) for file in waiting]
    if pictures and not any(_is_at(size, target / path.relative_to(source)) for path, size in pictures):
        raise FolderError(f"{new}: holds none of the {len(pictures):,} pictures of {source}; check the name")
    with store.transaction():
        store.move_root(source, target)
    return len(pictures)


def _is_at(size: int, path: Path) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
