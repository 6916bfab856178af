"""Image files on disk: finding them in a fixed order, and telling by content whether two are the same."""

import errno
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

import xxhash

from siamese_search.errors import FolderError
from siamese_search.paths import expanded
from siamese_search.results import ImageFile, Item, KindCount, LeftOut, Skipped

NO_EXTENSION = "without extension"
_CHUNK = 1 << 20
_MAX_TIME = (1 << 63) - 1  # nanoseconds since 1970, in the year 2262: what a database keeps
# Where systems keep thumbnails of their own and what was deleted, lower case; and what this program puts away.
_SYSTEM_FOLDERS = frozenset(
    {
        "@eadir",  # Synology
        "#recycle",
        "@recycle",  # QNAP
        ".@__thumb",
        "$recycle.bin",  # Windows
        "system volume information",
        ".thumbnails",
        ".simsearch-trash",
    }
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_BOXED = ((b"RIFF", 8, b"WEBP"), (b"", 4, b"ftypavif"), (b"", 4, b"ftyphei"), (b"", 4, b"ftypmif1"))


def resolve_folders(folders: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the folders as absolute real paths, without those that lie inside another one.

    Raises FolderError when one is missing, is not a folder or cannot be listed, so that nothing starts on a slip.
    """
    resolved = []
    for folder in folders:
        path = expanded(folder)
        try:
            with os.scandir(path):
                resolved.append(path.resolve())
        except FileNotFoundError:
            raise FolderError(f"{folder}: no such folder; check the name") from None
        except NotADirectoryError:
            raise FolderError(f"{folder}: is a file; name the folder that holds it") from None
        except OSError as error:
            raise FolderError(f"{folder}: cannot be listed: {error.strerror}") from None
    unique = sorted(set(resolved))
    return tuple(path for path in unique if not lies_in(path, [other for other in unique if other != path]))


def folder_trouble(folder: Path) -> str | None:
    """Say why nothing can be found in a folder: not there, not to be listed, or empty; None when something can."""
    try:
        with os.scandir(folder) as listing:
            return None if next(listing, None) else "folder is empty"
    except (FileNotFoundError, NotADirectoryError):
        return "folder is not there"
    except OSError as error:
        return f"folder cannot be listed ({error.strerror})"


def lies_in(path: Path, folders: Iterable[Path]) -> bool:
    """Tell whether an absolute path is one of the folders or inside one; looks at the names only."""
    # By text: Path.is_relative_to costs ten times as much, and this runs for every item of a gallery.
    name = str(path)
    return any(name == (root := str(folder)) or name.startswith(root.rstrip(os.sep) + os.sep) for folder in folders)


def find_images(
    folders: Sequence[Path], *, extensions: Collection[str], exclude: Sequence[str] = ()
) -> Iterator[ImageFile | Skipped | LeftOut]:
    """Walk resolved folders by name; yield every image file, and whatever else is met for what it is.

    A file counts by its extension (lower case, with the dot), or, whatever its name, when it begins like a JPEG, PNG,
    GIF, WebP, AVIF or HEIC. What cannot be looked at is Skipped. LeftOut are files of other kinds, the folders in which
    systems keep thumbnails and what was deleted, and what a pattern of `exclude` matches: a name, or a path relative to
    the folder walked, in which `*` stands for anything. Hidden files and folders are left out without a word, and so
    are links that lead back into `folders`; other links are followed, each folder once.
    """
    walk = _Walk(tuple(folders), extensions, tuple(exclude))
    for folder in folders:
        yield from walk.under(folder)


def image_file(path: Path, status: os.stat_result) -> ImageFile:
    """Return what `os.stat` tells about an image file; times beyond 64 bits of nanoseconds become the last one."""
    return ImageFile(
        path=path,
        size=status.st_size,
        mtime_ns=min(max(status.st_mtime_ns, -_MAX_TIME), _MAX_TIME),
        device=status.st_dev,
        inode=status.st_ino,
        links=status.st_nlink,
    )


def count_kinds(left_out: Iterable[LeftOut]) -> tuple[KindCount, ...]:
    """Count what was left out by kind, the most frequent first."""
    counts = Counter(entry.kind for entry in left_out)
    return tuple(KindCount(kind=kind, count=count) for kind, count in sorted(counts.items(), key=_most_first))


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


class _Walk:
    """A walk through several folders, which visits none twice."""

    def __init__(self, roots: tuple[Path, ...], extensions: Collection[str], exclude: tuple[str, ...]) -> None:
        self._roots = roots
        self._extensions = extensions
        self._exclude = exclude
        self._visited: set[tuple[int, int]] = set()

    def under(self, root: Path) -> Iterator[ImageFile | Skipped | LeftOut]:
        # A stack instead of recursion: a folder may be nested deeper than Python's frames.
        stack = [root]
        while stack:
            current = stack.pop()
            try:
                status = current.stat()
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                with os.scandir(current) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield Skipped(path=current, reason=f"folder cannot be listed: {error.strerror}")
                continue
            subfolders: list[Path] = []
            for entry in entries:
                yield from self._entry(entry, root, subfolders)
            stack.extend(reversed(subfolders))

    def _entry(
        self, entry: os.DirEntry[str], root: Path, subfolders: list[Path]
    ) -> Iterator[ImageFile | Skipped | LeftOut]:
        try:
            left_out = self._left_out(entry, root)
            if left_out:
                yield LeftOut(path=Path(entry.path), kind=left_out)
            elif entry.name.startswith(".") or (entry.is_symlink() and _leads_inside(entry.path, self._roots)):
                pass
            elif entry.is_dir():
                subfolders.append(Path(entry.path))
            elif stat.S_ISREG((status := entry.stat()).st_mode):
                if _looks_like_image(entry, self._extensions):
                    yield image_file(Path(entry.path), status)
                else:
                    yield LeftOut(path=Path(entry.path), kind=_kind(entry.name))
        except OSError as error:
            # A link to nowhere and a file that vanished meanwhile are nothing; all else is there and out of sight.
            if error.errno not in {errno.ENOENT, errno.ELOOP}:
                yield Skipped(path=Path(entry.path), reason=f"cannot be read: {error.strerror}")

    def _left_out(self, entry: os.DirEntry[str], root: Path) -> str | None:
        """Return what a system's folder is called, or the pattern that excludes an entry."""
        name = entry.name.lower()
        if (name in _SYSTEM_FOLDERS or name.startswith(".trash")) and entry.is_dir():
            return entry.name
        if self._exclude:
            relative = entry.path[len(str(root)) :].lstrip(os.sep)
            for pattern in self._exclude:
                if fnmatchcase(entry.name, pattern) or fnmatchcase(relative, pattern.rstrip("/")):
                    return pattern
        return None


def _kind(name: str) -> str:
    """Return what to call a kind of files: the extension, as cameras write it."""
    return os.path.splitext(name)[1][1:].upper() or NO_EXTENSION  # noqa: PTH122  as below


def _leads_inside(link: str, roots: Sequence[Path]) -> bool:
    return lies_in(Path(os.path.realpath(link)), roots)


def _looks_like_image(entry: os.DirEntry[str], extensions: Collection[str]) -> bool:
    """Tell by the name, or by how the file begins, whether it may be a picture; raises OSError where it cannot."""
    if os.path.splitext(entry.name)[1].lower() in extensions:  # noqa: PTH122  a Path a file costs more than the walk
        return True
    with Path(entry.path).open("rb", buffering=0) as file:
        head = file.read(12)
    return head.startswith(_SIGNATURES) or any(
        head.startswith(start) and head.startswith(kind, offset) for start, offset, kind in _BOXED
    )


def content_hash(file: BinaryIO) -> str:
    """Return the 128-bit xxh3 of everything from the current position on, as 32 hex digits.

    Fast and stable, not cryptographic: it finds equal files, it does not withstand forged ones.
    """
    digest = xxhash.xxh3_128()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the content hash of a file; raises OSError."""
    with path.open("rb", buffering=0) as file:
        return content_hash(file)


@dataclass(frozen=True, slots=True)
class Changes:
    """How the files found differ from the items known. `touched` and `moved` kept their content."""

    unchanged: list[int] = field(default_factory=list)
    touched: list[tuple[int, ImageFile]] = field(default_factory=list)
    moved: list[tuple[int, ImageFile]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    changed: list[ImageFile] = field(default_factory=list)
    added: list[ImageFile] = field(default_factory=list)


def compare(found: Iterable[ImageFile], known: Iterable[Item]) -> Changes:
    """Tell what happened to the known items, given the files that are there now.

    Equal size and modification time count as unchanged. A file is hashed only in doubt: when its time changed, or when
    it is new and a missing item has its size.
    """
    changes = Changes()
    missing = {item.path: item for item in known}
    new = []
    for file in found:
        item = missing.pop(file.path, None)
        if item is None:
            new.append(file)
        elif (item.size, item.mtime_ns) == (file.size, file.mtime_ns):
            changes.unchanged.append(item.id)
        elif item.size == file.size and item.content_hash == _hash_or_none(file):
            changes.touched.append((item.id, file))
        else:
            changes.changed.append(file)

    by_size: defaultdict[int, list[Item]] = defaultdict(list)
    for item in missing.values():
        by_size[item.size].append(item)
    for file in new:
        candidates = by_size.get(file.size, [])
        digest = _hash_or_none(file) if candidates else None
        item = next((candidate for candidate in candidates if candidate.content_hash == digest), None)
        if item is None:
            changes.added.append(file)
        else:
            candidates.remove(item)
            del missing[item.path]
            changes.moved.append((item.id, file))
    changes.removed.extend(item.id for item in missing.values())
    return changes


def _hash_or_none(file: ImageFile) -> str | None:
    try:
        return hash_file(file.path)
    except OSError:  # reading it again to embed it will tell why
        return None
