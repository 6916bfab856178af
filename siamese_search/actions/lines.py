"""The lines of a journal: written with a checksum, and believed only where checksum, types and places are right."""

import json
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from siamese_search.actions import legacy
from siamese_search.actions.files import FileFacts
from siamese_search.actions.folders import FolderFacts, Root
from siamese_search.actions.texts import (
    Damage,
    absolute_in,
    is_base64,
    number_in,
    number_or_none_in,
    object_in,
    relative_in,
    text_in,
    time_in,
)
from siamese_search.results import Action

FORMAT = 2
_SUM = b'{"sum": "%s", '
_SUM_BYTES = len(_SUM % (b"0" * 16))
_RUN = re.compile(r"\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d_\d{6}")
_HASH = re.compile(r"[0-9a-f]{32}")
_LABEL = re.compile(r"(?!\.{1,2}$)[^/\0]+", re.DOTALL)
_MAX_MODE = 0o7777
_MAX_ID = 1 << 32
_MAX_NUMBER = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One step as it was announced: the copy, the companions that go along, the folders they lie in, the keeper.

    All paths start from the root with this number, but `keep` where `keep_root` is None. `keep_hash` and `keep_inode`
    are None where an older journal did not say.
    """

    root: int
    files: tuple[FileFacts, ...]
    folders: tuple[FolderFacts, ...]
    keep_root: int | None
    keep: str
    keep_hash: str | None
    keep_inode: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a journal is about. `run` names the folder inside a trash or inside `into`, where copies are moved to."""

    action: Action
    gallery: str
    run: str
    into: Path | None
    roots: tuple[Root, ...]

    def path_of(self, record: Record) -> Path:
        """Return where a step's copy was."""
        return self.roots[record.root].path / record.files[0].path

    def keeper_of(self, record: Record) -> Path:
        """Return where a step's keeper was."""
        return Path(record.keep) if record.keep_root is None else self.roots[record.keep_root].path / record.keep


def event_line(event: str, *, head: Head | None = None, record: Record | None = None, reason: str = "") -> bytes:
    """Return the bytes of a line."""
    data: dict[str, Any] = {"event": event}
    if head is not None:
        data |= {"simsearch": "journal", "format": FORMAT, **_fields(head)}
    if record is not None:
        data |= _fields(record)
    if reason:
        data["reason"] = reason
    rest = json.dumps(data, default=_plain).encode()[1:]
    return _SUM % _checksum(rest) + rest + b"\n"


def lines_of(data: bytes) -> list[dict[str, Any] | None]:
    """Return the lines as data; None for one that is not what was written."""
    lines = data.split(b"\n")[:-1]
    old = next((at for at, line in enumerate(lines) if line.startswith(_SUM[:6])), len(lines))
    if lines and legacy.is_old(lines[0]):
        return [*legacy.translated(lines[:old]), *map(_checked, lines[old:])]
    return [_checked(line) for line in lines]


def head_of(data: dict[str, Any]) -> Head:
    """Return what a line says as a head; raises Damage."""
    if data.get("simsearch") != "journal":
        raise Damage("its first line is another")
    if data.get("format") != FORMAT:
        raise Damage(f"its format is {data.get('format')!r}, this version reads {FORMAT} and older ones")
    try:
        action = Action(str(data.get("action")))
    except ValueError:
        raise Damage("it says of no action that is known") from None
    roots = data.get("roots")
    if not isinstance(roots, list):
        raise Damage("it has no list of roots")
    into = data.get("into")
    return Head(
        action=action,
        gallery=text_in(data, "gallery"),
        run=text_in(data, "run", _RUN),
        into=None if into is None else absolute_in(data, "into"),
        roots=tuple(map(_root_of, roots)),
    )


def record_of(data: dict[str, Any], head: Head) -> Record:
    """Return what a line says of a step; raises Damage, also where it reaches out of the roots of the journal."""
    root = number_in(data, "root", len(head.roots))
    files, folders = data.get("files"), data.get("folders")
    if not (isinstance(files, list) and files and isinstance(folders, list)):
        raise Damage("it has no list of files and folders")
    record = Record(
        root=root,
        files=tuple(map(_file_of, files)),
        folders=tuple(map(_folder_of, folders)),
        keep_root=None if data.get("keep_root") is None else number_in(data, "keep_root", len(head.roots)),
        keep=text_in(data, "keep"),
        keep_hash=None if data.get("keep_hash") is None else text_in(data, "keep_hash", _HASH),
        keep_inode=number_or_none_in(data, "keep_inode"),
    )
    if record.keep_root is None:
        absolute_in(data, "keep")
    else:
        relative_in(data, "keep")
    parents = {PurePosixPath(file.path).parent for file in record.files}
    if len(parents) != 1 or len(parents.pop().parts) != len(record.folders):
        raise Damage("its files and folders do not belong together")
    return record


def _fields(value: Any) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which costs as much as the rest of a line
    return {name.name: getattr(value, name.name) for name in fields(value)}


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else _fields(value)


def _checked(line: bytes) -> dict[str, Any] | None:
    rest = line[_SUM_BYTES:]
    if line[:_SUM_BYTES] != _SUM % _checksum(rest):
        return None
    try:
        data = json.loads(b"{" + rest)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _checksum(data: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(data).encode()


def _root_of(data: object) -> Root:
    known = object_in(data)
    return Root(
        path=absolute_in(known, "path"),
        label=text_in(known, "label", _LABEL),
        device=number_or_none_in(known, "device"),
        inode=number_or_none_in(known, "inode"),
        filesystem=number_or_none_in(known, "filesystem"),
    )


def _file_of(data: object) -> FileFacts:
    known = object_in(data)
    xattrs = known.get("xattrs")
    if not (xattrs is None or (isinstance(xattrs, dict) and all(map(is_base64, xattrs.values())))):
        raise Damage("its attributes are none")
    return FileFacts(
        path=relative_in(known, "path"),
        content_hash=text_in(known, "content_hash", _HASH),
        size=number_in(known, "size", _MAX_NUMBER),
        mode=number_in(known, "mode", _MAX_MODE + 1),
        uid=number_or_none_in(known, "uid", _MAX_ID),
        gid=number_or_none_in(known, "gid", _MAX_ID),
        atime_ns=time_in(known, "atime_ns"),
        mtime_ns=time_in(known, "mtime_ns"),
        xattrs=xattrs,
    )


def _folder_of(data: object) -> FolderFacts:
    known = object_in(data)
    return FolderFacts(
        mode=number_in(known, "mode", _MAX_MODE + 1),
        uid=number_or_none_in(known, "uid", _MAX_ID),
        gid=number_or_none_in(known, "gid", _MAX_ID),
    )
