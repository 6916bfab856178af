"""Names of one file: hard links, symbolic links and mounts may give a file several, and it is no copy of itself."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from siamese_search.duplicates.groups import Group
from siamese_search.duplicates.origin import Origins
from siamese_search.results import Item


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells one file from another whatever they are called, and how many names it has on its own disk."""

    device: int
    inode: int
    names: int


@dataclass(frozen=True, slots=True)
class FileGroup:
    """A group of different files, the other names of these that were in it, and which copies free nothing.

    Those are one of several names of a file, or seen through a link.
    """

    group: Group
    links: tuple[int, ...]
    linked: frozenset[int]


def file_identity(path: Path) -> FileIdentity | None:
    """Return what a path leads to, None if nothing is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileIdentity(status.st_dev, status.st_ino, status.st_nlink)


def without_aliases(groups: Iterable[Group], items: Mapping[int, Item], origins: Origins) -> list[FileGroup]:
    """Take other names of the keeper's file out of groups, and what belongs to a picture that is in them.

    Of a file that has one name, and is seen through a link or another mount, one path stays. Groups without a copy are
    left out.
    """
    different = [_different_files(group, items, origins) for group in groups]
    return [each for each in different if each.group.copies]


def _different_files(group: Group, items: Mapping[int, Item], origins: Origins) -> FileGroup:
    path = {position: items[position].path for position in (*group.members, *group.others)}
    identity = {position: file_identity(path[position]) for position in path}
    kept = {identity[position] for position in (group.keeper, *group.others)} - {None}
    belonging = {companion for member in group.members for companion in origins.of(items[member]).companions}
    copies, links = [], []
    for copy in sorted(group.copies, key=lambda copy: _is_alias(path[copy[0]])):
        position = copy[0]
        found = identity[position]
        if found in kept:
            links.append(position)
        elif path[position] not in belonging:
            copies.append(copy)
            if found is not None and found.names == 1:
                kept.add(found)
    in_order = tuple(copy for copy in group.copies if copy in copies)
    linked = frozenset(copy for copy, _ in in_order if _is_alias(path[copy]) or _names(identity[copy]) > 1)
    return FileGroup(group._replace(copies=in_order), tuple(links), linked)


def _is_alias(path: Path) -> bool:
    return os.path.realpath(path) != str(path)


def _names(identity: FileIdentity | None) -> int:
    return identity.names if identity else 0
