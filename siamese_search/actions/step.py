"""One step, done and taken back. Its model, and why nothing can be lost, is in docs/acting.md."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from siamese_search.actions.files import (
    FileFacts,
    Names,
    OpenFile,
    copy_beside,
    differing_facts,
    drop,
    give_facts,
    holds,
    move,
    open_file,
    place,
    remove_aside,
    set_aside,
    status_at,
)
from siamese_search.actions.folders import sync
from siamese_search.actions.keeper import Keeper
from siamese_search.actions.refusal import Refusal
from siamese_search.actions.system import FILE, call, share_blocks
from siamese_search.results import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A file that is about to go: held open, and the open folder it goes to (None where it stays)."""

    file: OpenFile
    facts: FileFacts
    target: int | None
    names: Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A file as it was announced, and the folders in which it may be now; None: there is no such folder.

    `announced`: nothing is known but that the step was begun. `undoing`: an undo of it was begun, when its old place
    was free. `where` says in words where it went; `keep_inode` is what a link leads to.
    """

    facts: FileFacts
    name: str
    source: int | None
    target: int | None
    names: Names
    announced: bool
    undoing: bool
    where: str
    keep_inode: int | None = None


def perform(action: Action, files: Sequence[Going], keeper: Keeper) -> None:
    """Do an announced step; raises OSError or Refusal in any of its states, which `take_back` then ends."""
    match action:
        case Action.TRASH | Action.MOVE:
            _put_away(files, keeper)
        case Action.HARDLINK:
            _make_link(files[0], keeper)
        case Action.REFLINK:
            _share(files[0], keeper)


def take_back(action: Action, gone: Gone) -> list[str]:
    """Bring one file back to where it was, from whatever state it is in; return what could not be given back to it.

    It may be stopped and begun again anywhere. Raises Refusal where something is in the way, and OSError.
    """
    for folder in (gone.source, gone.target):
        if folder is not None:
            drop(folder, gone.names.part)
    if action in {Action.TRASH, Action.MOVE}:
        return _bring_back(gone)
    if action is Action.HARDLINK and gone.source is not None:
        return _unlink(gone, gone.source)
    return []  # a file that shares its blocks never stopped being one of its own


# -- doing


def _put_away(files: Sequence[Going], keeper: Keeper) -> None:
    aside = []
    for going in files:
        assert going.target is not None  # noqa: S101  these actions have one
        if move(
            going.file,
            going.target,
            going.file.name,
            facts=going.facts,
            aside=going.names.held,
            part=going.names.part,
        ):
            aside.append((going, going.target))
    keeper.prove()
    for going, target in aside:
        if not holds(target, going.file.name, going.facts.content_hash):
            raise Refusal("its copy on the other disk was changed just now")
        sync(target)
    for going, _ in aside:
        remove_aside(going.file, going.names.held)


def _make_link(going: Going, keeper: Keeper) -> None:
    file, part, keep = going.file, going.names.part, keeper.file
    call(os.link, keep.name, part, src_dir_fd=keep.folder, dst_dir_fd=file.folder, follow_symlinks=False)
    if not keep.is_at(file.folder, part):
        raise Refusal("its keeper was replaced just now")
    set_aside(file, going.names.held)
    place(file.folder, part, file.folder, file.name)
    keeper.prove(linked=True)
    remove_aside(file, going.names.held)


def _share(going: Going, keeper: Keeper) -> None:
    with open_file(going.file.folder, going.file.name, flags=os.O_RDWR) as copy:
        if not copy.is_at(going.file.folder, going.file.name) or copy.content_hash != going.facts.content_hash:
            raise Refusal("was replaced just now")
        call(share_blocks, keeper.file.descriptor, copy.descriptor)


# -- taking back


def _bring_back(gone: Gone) -> list[str]:
    _settle_back(gone)
    _settle_held(gone)
    there, away = _status(gone.source, gone.name), _status(gone.target, gone.name)
    if away is None or gone.target is None:
        return _without_target(gone)
    if gone.source is None:
        raise Refusal(f"has no place to go back to; it is at: {gone.where}")
    if there is None:
        return _move_home(gone, gone.source, gone.target)
    if os.path.samestat(there, away):
        drop(gone.target, gone.name)
    elif (gone.announced or gone.undoing) and _is_whole(gone, gone.source):
        _remove_copy(gone, gone.target)
    else:
        raise Refusal(f"another file is in its place now; what was there is at: {gone.where}")
    return []


def _remove_copy(gone: Gone, target: int) -> None:
    """Remove a file that is in its old place as it was, all facts included, from where it was copied to or from."""
    with open_file(target, gone.name) as file:
        if file.content_hash != gone.facts.content_hash:
            raise Refusal(f"was changed where it is; look at it: {gone.where}")
        set_aside(file, gone.names.back)
        remove_aside(file, gone.names.back)


def _without_target(gone: Gone) -> list[str]:
    """Return what a file lacks that is nowhere but in its place; raises Refusal when it is not there either."""
    if gone.announced:
        return []
    if gone.source is None or not holds(gone.source, gone.name, gone.facts.content_hash):
        raise Refusal(f"is no longer at: {gone.where}")
    return _as_it_was(gone.source, gone.name, gone.facts) if gone.undoing else []


def _move_home(gone: Gone, source: int, target: int) -> list[str]:
    """Move a file back; one that was announced and holds something else was taken by mistake, and goes back too."""
    with open_file(target, gone.name) as file:
        is_whole = file.content_hash == gone.facts.content_hash
        if not is_whole and not gone.announced:
            raise Refusal(f"was changed where it is; move it by hand: {gone.where}")
        aside = move(file, source, gone.name, facts=gone.facts, aside=gone.names.back, part=gone.names.part)
        lost = _as_it_was(source, gone.name, gone.facts) if is_whole else []
        if aside:
            sync(source)
            remove_aside(file, gone.names.back)
    return lost


def _settle_back(gone: Gone) -> None:
    """End the removal of a file that an undo has copied to its old place, or take that back."""
    back = _status(gone.target, gone.names.back)
    if back is None or gone.target is None:
        return
    there, away = _status(gone.source, gone.name), _status(gone.target, gone.name)
    if away is not None and os.path.samestat(away, back):
        drop(gone.target, gone.names.back)
    elif away is not None:
        raise Refusal(f"two files are where it was put: {gone.where}")
    elif there is None or gone.source is None:
        place(gone.target, gone.names.back, gone.target, gone.name)
    elif os.path.samestat(there, back) or (
        _is_whole(gone, gone.source) and holds(gone.target, gone.names.back, gone.facts.content_hash)
    ):
        drop(gone.target, gone.names.back)
    else:
        place(gone.target, gone.names.back, gone.target, gone.name)


def _settle_held(gone: Gone) -> None:
    """Give a file that an apply had set aside its name again."""
    held = _status(gone.source, gone.names.held)
    if held is None or gone.source is None:
        return
    there = _status(gone.source, gone.name)
    if there is None:
        place(gone.source, gone.names.held, gone.source, gone.name)
    elif os.path.samestat(there, held):
        drop(gone.source, gone.names.held)
    else:
        raise Refusal(f"another file is in its place now; what was there is beside it, as: {gone.names.held}")


def _unlink(gone: Gone, folder: int) -> list[str]:
    """Make a file that became a name of its keeper one of its own again."""
    held, back, there = (_status(folder, name) for name in (gone.names.held, gone.names.back, gone.name))
    if held is not None and there is not None and not os.path.samestat(held, there):
        _replace_link(gone, folder, there)
        return []
    if held is not None:
        _settle_held(gone)
        return []
    content = gone.facts.content_hash
    if back is not None and there is None:
        place(folder, gone.names.back, folder, gone.name)
    elif back is not None and there is not None:
        if not (os.path.samestat(back, there) or (_is_whole(gone, folder) and holds(folder, gone.names.back, content))):
            raise Refusal(f"another file is in its place now; what was there is beside it, as: {gone.names.back}")
        drop(folder, gone.names.back)
    there = _status(folder, gone.name)
    if there is not None and _is_link(gone, there) and holds(folder, gone.name, content):
        return _copy_in_place(gone, folder)
    if gone.announced:
        return []
    if there is None:
        raise Refusal("is gone")
    if not _is_whole(gone, folder):
        raise Refusal("another file is in its place now")
    return []


def _replace_link(gone: Gone, folder: int, there: os.stat_result) -> None:
    """Put a file that was set aside into the place of the link that an apply has made."""
    held, content = gone.names.held, gone.facts.content_hash
    if not _is_link(gone, there) or not (holds(folder, gone.name, content) and holds(folder, held, content)):
        raise Refusal(f"another file is in its place now; what was there is beside it, as: {held}")
    with open_file(folder, gone.name) as link:
        set_aside(link, gone.names.part)
    place(folder, held, folder, gone.name)
    drop(folder, gone.names.part)


def _copy_in_place(gone: Gone, folder: int) -> list[str]:
    with open_file(folder, gone.name) as link:
        copy_beside(link, folder, gone.names.part, gone.facts)
        set_aside(link, gone.names.back)
        place(folder, gone.names.part, folder, gone.name)
        remove_aside(link, gone.names.back)
    return _differing(folder, gone.name, gone.facts)


def _is_link(gone: Gone, status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or status.st_ino == gone.keep_inode)


def _is_whole(gone: Gone, folder: int) -> bool:
    """Tell whether a file is in its place as it was: its bytes, owner, mode, time and attributes."""
    return holds(folder, gone.name, gone.facts.content_hash) and not _differing(folder, gone.name, gone.facts)


def _status(folder: int | None, name: str) -> os.stat_result | None:
    return None if folder is None else status_at(folder, name)


def _differing(folder: int, name: str, facts: FileFacts) -> list[str]:
    with _readable(folder, name) as file:
        return differing_facts(file, facts)


def _as_it_was(folder: int, name: str, facts: FileFacts) -> list[str]:
    """Give a file its facts, where they are others; return in words what could not be given."""
    with _readable(folder, name) as file:
        if differing_facts(file, facts):
            give_facts(file, facts)
        return differing_facts(file, facts)


@contextmanager
def _readable(folder: int, name: str) -> Iterator[int]:
    descriptor = call(os.open, name, FILE | os.O_RDONLY, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
