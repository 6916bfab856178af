"""The catalogue of a gallery: the single truth about its pictures and their embeddings, in one SQLite file."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder.embed import Embedded
from siamese_search.errors import EncoderError, GalleryError
from siamese_search.gallery.codes import Codes, are_codes, code_bytes, decode, encode
from siamese_search.gallery.local.database import Database
from siamese_search.gallery.local.layout import KEYS
from siamese_search.gallery.settings import calibration_in, identity_in, threshold_in
from siamese_search.gallery.store import AnswerRow, DamagedError, Settings, SkippedFile
from siamese_search.images.files import lies_in
from siamese_search.results import Answer, ImageFile, Item

CATALOGUE = "gallery.db"
_HASH_BYTES = 16
_ANYWHERE = Path()
_SETTINGS = ("encoder", "threshold", "calibration", "former")
_GREATEST = 2**63 - 1  # id
_AT_ONCE = 500  # SQLite limits the number of placeholders in a query


class Catalogue:
    """An open gallery.db. All methods raise GalleryError when the file is damaged, locked, or cannot be written.

    Writing methods belong inside `with catalogue.transaction():`, which is atomic.
    """

    def __init__(self, path: Path) -> None:
        if not self.exists(path):
            raise GalleryError(
                f"{path.parent}: no gallery here; make one with: simsearch index FOLDER --index {path.parent}"
            )
        self.path = path
        self._database = Database(path)
        self._location = str(path.parent)
        self._roots_inside: dict[int, Path] | None = None  # of the transaction, in which nobody else changes them

    @staticmethod
    def create(path: Path, settings: Settings) -> None:
        """Make a new, empty catalogue in an existing folder, whole or not at all."""
        Database.create(path, {name: json.dumps(value) for name, value in settings.items()}).close()

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a catalogue; an empty file is none."""
        return Database.exists(path)

    def close(self) -> None:
        """Close the file; the catalogue is unusable afterwards."""
        self._database.close()

    def troubles(self) -> list[str]:
        """Look at everything; return what is not as it was written, in words: an empty list when all is well."""
        found = self._database.integrity()
        readings: tuple[Callable[[], object], ...] = (
            lambda: identity_in(self.settings(), self._location),
            lambda: threshold_in(self.settings(), self._location),
            lambda: calibration_in(self.settings(), self._location),
            self.roots,
            self.items,
            self.skipped,
            self.answers,
            self.codes,
        )
        for reading in readings:
            try:
                reading()
            except DamagedError as error:
                found.append(error.detail)
        lonely = "SELECT count(*) FROM items WHERE id NOT IN (SELECT item FROM embeddings)"
        try:
            if count := self._database.rows(lonely)[0][0]:
                found.append(f"{count} pictures have no embedding")
        except DamagedError as error:
            found.append(error.detail)
        return list(dict.fromkeys(found))

    def snapshot(self) -> AbstractContextManager[None]:
        """Let everything read inside belong to one moment, whatever another process commits meanwhile."""
        return self._database.snapshot()

    # -- reading

    def settings(self) -> Settings:
        """Return what the gallery says of itself: JSON objects by name."""
        found = {}
        for name, text in self._database.scan("meta"):
            if name in _SETTINGS:
                try:
                    found[name] = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise self._database.damaged(f"no {name} in it") from error
        return found

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return identity_in(self.settings(), self._location).dim

    @property
    def generation(self) -> int:
        """A number that stands for the embeddings in here: another one as soon as one of them is another."""
        return self._database.totals("embeddings")[1]

    def state(self) -> str:
        """Return a word made of the sums of the checksums of all tables."""
        with self.snapshot():
            return "-".join(f"{self._database.totals(table)[1]:x}" for table in KEYS)

    def roots(self) -> tuple[Path, ...]:
        """Return the indexed folders in order; none lies inside another."""
        return tuple(sorted(self._roots().values()))

    def count(self) -> int:
        """Return the number of items."""
        return self._database.totals("items")[0]

    def items(self, folders: Sequence[Path] | None = None) -> list[Item]:
        """Return all items, or those under some folders, in the order of their ids."""
        with self.snapshot():
            roots = self._roots()
            nested = any(
                lies_in(root, [other]) for one, root in roots.items() for two, other in roots.items() if one != two
            )
            items, places = [], set()
            for row in self._database.scan("items"):
                items.append(self._item(row, roots))
                places.add(hash(row[1:3]))  # less than the paths themselves
        if nested or (len(places) != len(items) and len({item.path for item in items}) != len(items)):
            raise self._database.damaged("a picture is in it twice")
        return items if folders is None else [item for item in items if lies_in(item.path, folders)]

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the named items; ids that are not there are left out."""
        with self.snapshot():
            roots = self._roots()
            return {row[0]: self._item(row, roots) for row in self._by_key("items", "id", ids)}

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Return the items with the greatest ids, less than `before`, those first; `words` are all in their paths."""
        last = _GREATEST if before is None else before - 1
        with self.snapshot():
            if not words:
                rows = self._database.select("items", "id <= ? ORDER BY id DESC LIMIT ?", (last, limit))
                roots = self._roots()
                return [self._item(row, roots) for row in rows]
            found = self.items_by_id(self._called(words, last, limit))
        return [found[id_] for id_ in sorted(found, reverse=True)]

    def skipped(self) -> list[SkippedFile]:
        """Return the files that could not be embedded, by path."""
        with self.snapshot():
            roots = self._roots()
            entries = [
                SkippedFile(
                    file=ImageFile(path=self._path(path, roots.get(root)), size=size, mtime_ns=mtime_ns), reason=reason
                )
                for root, path, size, mtime_ns, reason in self._database.scan("skipped")
            ]
        return sorted(entries, key=lambda entry: entry.file.path)

    def codes(self) -> tuple[NDArray[np.int64], Codes, int]:
        """Return all ids in ascending order, their embeddings `(n, code_bytes)` as codes, and the generation."""
        database = self._database
        with self.snapshot():
            dim = self.dim
            count, generation = self._embedded()
            if count * code_bytes(dim) > database.size:  # before anything is allocated by it
                raise database.damaged("more embeddings than the file can hold")
            ids = np.empty(count, np.int64)
            codes = np.empty((count, code_bytes(dim)), np.uint8)
            row = 0
            for items, blob in database.codes():
                some = slice(row, row + len(items))
                ids[some] = items
                codes[some] = self._codes(blob, len(items), dim)
                row += len(items)
        return ids, codes, generation

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Return all ids in ascending order, their embeddings `(n, dim)`, and the generation of both."""
        with self.snapshot():
            ids, codes, generation = self.codes()
            return ids, decode(codes, self.dim), generation

    def checksums(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return all ids in ascending order, a number each that is another when its embedding is, and the generation.

        The embeddings themselves are not looked at, which is much faster.
        """
        with self.snapshot():
            count, generation = self._embedded()
            blocks = [np.array(some, np.int64) for some in self._database.checksums()]
            rows = np.concatenate([np.empty((0, 2), np.int64), *blocks])
            if len(rows) != count:
                raise self._database.damaged(f"{len(rows)} embeddings, not those {count} that were written")
        return rows[:, 0].copy(), rows[:, 1].copy(), generation

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of the named items `(n, dim)`, in their order; raises KeyError for an unknown id."""
        with self.snapshot():
            dim = self.dim
            found = self._database.codes_of(ids)
            if without := self.items_by_id([item for item in ids if item not in found]):
                raise self._database.damaged(f"item {min(without)} has no embedding")
            return decode(self._codes(b"".join(found[item] for item in ids), len(ids), dim), dim)

    # -- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside, or, when anything is raised, nothing."""
        with self._database.transaction():
            try:
                yield
            finally:
                self._roots_inside = None

    def set_setting(self, name: str, value: dict[str, Any]) -> None:
        """Put a setting in place of an earlier one."""
        self._database.put("meta", (name, json.dumps(value)))

    def add_root(self, folder: Path) -> None:
        """Make sure that `folder` lies in a root; roots inside it become part of it."""
        roots = self._roots()
        if lies_in(folder, roots.values()):
            return
        self._roots_inside = None
        new = max(roots, default=0) + 1
        self._database.put("roots", (new, os.fsencode(folder)))
        for old, root in roots.items():
            if lies_in(root, [folder]):
                prefix = os.fsencode(root.relative_to(folder).as_posix()) + b"/"
                for row in self._database.select("items", "root = ?", (old,)):
                    self._database.put("items", (row[0], new, prefix + row[2], *row[3:]))
                for row in self._database.select("skipped", "root = ?", (old,)):
                    self._database.put("skipped", (new, prefix + row[1], *row[2:]))
                self._database.delete("skipped", "root = ?", [(old,)])
                self._database.delete("roots", "id = ?", [(old,)])

    def move_root(self, old: Path, new: Path) -> None:
        """Record that everything under a root lies in another folder now, in the same order inside."""
        self._roots_inside = None
        number = next(number for number, root in self._roots().items() if root == old)
        self._database.put("roots", (number, os.fsencode(new)))

    def remove_roots(self, roots: Iterable[Path]) -> None:
        """Forget roots; nothing may be left under them."""
        self._roots_inside = None
        self._database.delete("roots", "path = ?", [(os.fsencode(root),) for root in roots])

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None = None) -> None:
        """Add the picture at `file.path`, where nothing was known, or replace what was known of it as `item`."""
        place = self._place(file.path)
        item = item or self._next_id()
        about = bytes.fromhex(embedded.content_hash), embedded.width, embedded.height, embedded.format
        self._database.put("items", (item, *place, file.size, file.mtime_ns, *about))
        self._database.put("embeddings", (item, _code(embedded)))
        self._database.delete("skipped", "root = ? AND path = ?", [place])

    def move(self, item: int, file: ImageFile) -> None:
        """Record where an item's unchanged content is now, and its size and time there."""
        place = self._place(file.path)
        for row in self._database.select("items", "id = ?", (item,)):
            self._database.put("items", (item, *place, file.size, file.mtime_ns, *row[5:]))
        self._database.delete("skipped", "root = ? AND path = ?", [place])

    def remove(self, items: Iterable[int]) -> None:
        """Forget items and their embeddings."""
        keys = [(item,) for item in items]
        self._database.delete("embeddings", "item = ?", keys)
        self._database.delete("items", "id = ?", keys)

    def skip(self, entry: SkippedFile) -> None:
        """Record that a file cannot be embedded."""
        reason = entry.reason.encode("utf-8", "backslashreplace").decode()
        self._database.put("skipped", (*self._place(entry.file.path), entry.file.size, entry.file.mtime_ns, reason))

    def unskip(self, paths: Iterable[Path]) -> None:
        """Forget skipped files."""
        self._database.delete("skipped", "root = ? AND path = ?", [self._place(path) for path in paths])

    # -- what people said about pairs

    def answers(self) -> list[AnswerRow]:
        """Return the answers, oldest first."""
        rows = []
        for first, second, answer, time in self._database.scan("answers"):
            try:
                rows.append(AnswerRow(first, second, Answer(answer), time))
            except ValueError:
                raise self._database.damaged(f"the answer {answer!r} is none") from None
        return sorted(rows, key=lambda row: (row.time, row.first, row.second))

    def set_answer(self, answer: AnswerRow) -> None:
        """Store an answer at once, in place of an earlier one about the same two contents."""
        with self.transaction():
            self._database.put("answers", (answer.first, answer.second, answer.answer.value, float(answer.time)))

    def remove_answer(self, first: str, second: str) -> None:
        """Take an answer back at once."""
        with self.transaction():
            self._database.delete("answers", "first = ? AND second = ?", [(first, second)])

    # -- inside

    def _by_key(self, table: str, key: str, ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            yield from self._database.select(table, f"{key} IN ({','.join('?' * len(some))})", some)

    def _called(self, words: Sequence[str], last: int, limit: int) -> list[int]:
        """Return the greatest ids, up to `last`, of items whose paths hold some words; only paths are read."""
        folders = {number: str(path).casefold() for number, path in self._roots().items()}
        found: list[int] = []
        query = "SELECT id, root, path FROM items WHERE id <= ? ORDER BY id DESC"
        for id_, root, path in self._database.stream(query, (last,)):
            if type(path) is not bytes:
                raise self._database.damaged(f"item {id_} is none")
            called = f"{folders.get(root, '')}/{os.fsdecode(path).casefold()}"
            if all(word in called for word in words):
                found.append(id_)
                if len(found) == limit:
                    break
        return found

    def _roots(self) -> dict[int, Path]:
        return {number: self._path(path) for number, path in self._database.scan("roots")}

    def _place(self, path: Path) -> tuple[int, bytes]:
        if self._roots_inside is None:
            self._roots_inside = self._roots()
        for root, folder in self._roots_inside.items():
            if lies_in(path, [folder]):
                return root, os.fsencode(path.relative_to(folder).as_posix())
        raise ValueError(f"{path} lies in none of the gallery's roots")

    def _next_id(self) -> int:
        """Return the id after the greatest that was ever given."""
        greatest = self._database.rows("SELECT seq FROM sqlite_sequence WHERE name = 'items'")
        return int(greatest[0][0]) + 1 if greatest else 1

    def _item(self, row: tuple[Any, ...], roots: dict[int, Path]) -> Item:
        item, root, path, size, mtime_ns, content_hash, width, height, format_ = row
        kinds = (type(size), type(mtime_ns), type(width), type(height), type(format_), type(content_hash))
        if kinds != (int, int, int, int, str, bytes) or len(content_hash) != _HASH_BYTES:
            raise self._database.damaged(f"item {item} is none")
        return Item(
            id=item,
            path=self._path(path, roots.get(root)),
            size=size,
            mtime_ns=mtime_ns,
            content_hash=content_hash.hex(),
            width=width,
            height=height,
            format=intern(format_),  # few formats, many pictures
        )

    def _path(self, path: bytes, root: Path | None = _ANYWHERE) -> Path:
        """Return a stored path, which must not lead out of its root, whoever wrote the catalogue."""
        if (
            root is None
            or not isinstance(path, bytes)
            or b"\0" in path
            or b"//" in path
            or path.startswith(b"/") != (root is _ANYWHERE)
            or (b"." in path and not {b".", b".."}.isdisjoint(path.split(b"/")))
        ):
            raise self._database.damaged(f"the path {path!r} leads out of the gallery's folders")
        return Path(os.path.join(root, os.fsdecode(path)))  # noqa: PTH118  half the time of Path's own, a million times

    def _embedded(self) -> tuple[int, int]:
        """Return the number of embeddings, which is that of the items, and their generation."""
        count, generation = self._database.totals("embeddings")
        if count != self.count():
            raise self._database.damaged(f"{self.count()} pictures with {count} embeddings")
        return count, generation

    def _codes(self, blob: bytes, count: int, dim: int) -> Codes:
        if len(blob) != count * code_bytes(dim):
            raise self._database.damaged("embeddings of another length than the encoder's")
        codes = np.frombuffer(blob, np.uint8).reshape(count, code_bytes(dim))
        if not are_codes(codes, dim):
            raise self._database.damaged("an embedding that is none")
        return codes


def _code(embedded: Embedded) -> bytes:
    try:
        return encode(embedded.vector[None]).tobytes()
    except ValueError as error:
        raise EncoderError(f"{embedded.path}: the encoder gave {error} for it; use another one") from error
