"""The roots of a run, opened once and recognised, and the places that their files go to."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import xxhash

from siamese_search.actions.files import FileFacts, Names, holds, status_at
from siamese_search.actions.folders import (
    FolderFacts,
    Root,
    drop_empty,
    facts_below,
    identity_of,
    made_again,
    made_like,
    opened,
    sync,
    who_may_enter,
)
from siamese_search.actions.journal import Journal
from siamese_search.actions.lines import Record
from siamese_search.actions.refusal import Refusal, refusal_of
from siamese_search.actions.system import call
from siamese_search.results import Action

TRASH = ".simsearch-trash"
_ASKED = 50  # keepers that are looked at before a root is taken for another


class Roots:
    """Keeps the roots of a journal open for one run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open = ExitStack()
        self._folders: dict[int, int] = {}
        self._made: list[Path] = []
        self._facts: dict[tuple[int, tuple[str, ...]], tuple[FolderFacts, ...]] = {}
        self._touched: dict[tuple[int, tuple[str, ...]], None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all changes of folders on disk, and remove the folder that was made for nothing."""
        with self._open:
            for base, names in self._touched:
                with suppress(OSError), opened(names, start=base) as folder:
                    sync(folder)
            for path in reversed(self._made):
                with suppress(OSError):
                    call(os.rmdir, path)

    def number_of(self, path: Path) -> int:
        """Return the number of a root by its path; one that is new, or another than it was, is written down."""
        for number in self._folders:
            if self._journal.head.roots[number].path == path:
                return number
        folder = self._open.enter_context(opened(path))
        known = list(self._journal.head.roots)
        number = next((n for n, root in enumerate(known) if root.path == path and root.is_behind(folder)), len(known))
        if number == len(known):
            device, inode, filesystem = identity_of(folder)
            label = _free_label(path.name or "root", {root.label for root in known})
            self._journal.add_root(Root(path=path, label=label, device=device, inode=inode, filesystem=filesystem))
        self._folders[number] = folder
        return number

    def folder(self, number: int) -> int:
        """Return the open folder of a root; raises Refusal when what is there now is not it."""
        if number not in self._folders:
            root = self._journal.head.roots[number]
            try:
                folder = self._open.enter_context(opened(root.path))
            except OSError as error:
                raise Refusal(f"the folder it lay in {refusal_of(error, 'cannot be opened')}: {root.path}") from None
            if not (root.is_behind(folder) or self._is_proven(number, folder)):
                raise Refusal(f"the folder it lay in is another now; is its drive connected?: {root.path}")
            self._folders[number] = folder
        return self._folders[number]

    def _is_proven(self, number: int, folder: int) -> bool:
        """Tell whether a root that got another inode, by a new drive or a restored backup, still holds what it held."""
        records = [record for record in self._journal.content.steps.values() if record.root == number]
        return any(self._holds_one(record, folder, number) for record in records[:_ASKED])

    def _holds_one(self, record: Record, folder: int, number: int) -> bool:
        facts = record.files[0]
        with suppress(OSError), opened(_parent(record), start=folder) as source:
            if holds(source, PurePosixPath(facts.path).name, facts.content_hash):
                return True
        path = PurePosixPath(record.keep)
        if record.keep_root == number:
            with suppress(OSError), opened(path.parent.parts, start=folder) as parent:
                if record.keep_hash is None:
                    return status_at(parent, path.name) is not None
                return holds(parent, path.name, record.keep_hash)
        if self._journal.head.action is Action.TRASH:
            with suppress(OSError), opened(self._names(record), start=folder) as trash:
                return holds(trash, PurePosixPath(facts.path).name, facts.content_hash)
        return False

    def facts(self, number: int, names: tuple[str, ...]) -> tuple[FolderFacts, ...]:
        """Return the facts of the folders on the way down from a root."""
        if (number, names) not in self._facts:
            self._facts[number, names] = facts_below(self.folder(number), names)
        return self._facts[number, names]

    def keeper_place(self, keep: Path) -> tuple[int | None, str]:
        """Return the number of the open root that holds a keeper, and the path below it; None and the whole path."""
        for number in self._folders:
            root = self._journal.head.roots[number].path
            if keep.is_relative_to(root):
                return number, str(keep.relative_to(root))
        return None, str(keep)

    # -- places

    def names(self, record: Record, facts: FileFacts) -> Names:
        """Return the names of our own for a file."""
        text = f"{self._journal.head.run}/{record.root}/{facts.path}"
        return Names.of(xxhash.xxh3_64_hexdigest(os.fsencode(text)))

    def where(self, record: Record, facts: FileFacts) -> Path | None:
        """Return where a file goes; None where it stays."""
        name = PurePosixPath(facts.path).name
        match self._journal.head.action:
            case Action.TRASH:
                return self._journal.head.roots[record.root].path.joinpath(*self._names(record), name)
            case Action.MOVE:
                return Path(str(self._journal.head.into)).joinpath(*self._names(record), name)
            case _:
                return None

    def place(self, record: Record) -> Path | None:
        """Return the folder that holds what this run has put away from the root of a record."""
        head = self._journal.head
        base = head.into if head.action is Action.MOVE else head.roots[record.root].path / TRASH
        return base / head.run if base is not None and head.action in {Action.TRASH, Action.MOVE} else None

    @contextmanager
    def source(self, record: Record, *, make: bool = False) -> Iterator[int | None]:
        """Open the folder that the files of a record lie in; None where there is none, unless it is made as it was."""
        names = _parent(record)
        root = self.folder(record.root)
        self._touched[root, names] = None
        if make:
            with made_again(root, names, record.folders) as folder:
                yield folder
            return
        with _opened_or_none(names, root) as folder:
            yield folder

    @contextmanager
    def target(self, record: Record) -> Iterator[int | None]:
        """Open the folder that the files of a record went to; None where there is none."""
        with ExitStack() as stack:
            base = self._base(record, stack)
            yield None if base is None else stack.enter_context(_opened_or_none(self._names(record), base))

    def tidy(self) -> None:
        """Remove the folders that files went to, as far as they are empty."""
        folders = {(record.root, self._names(record)): record for record in self._journal.content.steps.values()}
        for record in folders.values():
            self.drop_target(record)

    def drop_target(self, record: Record) -> None:
        """Remove the folder that the files of a record went to, and those above it, as far as they are empty."""
        with suppress(OSError, Refusal), ExitStack() as stack:
            base = self._base(record, stack)
            if base is not None:
                drop_empty(base, self._names(record))

    @contextmanager
    def new_target(self, record: Record) -> Iterator[int | None]:
        """Make the folder that the files of a record go to, no more open than theirs; None where they stay."""
        head = self._journal.head
        if head.action not in {Action.TRASH, Action.MOVE}:
            yield None
            return
        names, parts = self._names(record), _parent(record)
        root = self.folder(record.root)
        with ExitStack() as stack:
            base = self._base(record, stack)
            if base is None:
                base = self._make_into(stack)
            mask = who_may_enter(head.roots[record.root].path) if head.action is Action.MOVE else 0o7777
            folder = base
            for depth, name in enumerate(names, start=len(parts) - len(names)):
                origin = stack.enter_context(opened(parts[: depth + 1], start=root)) if depth >= 0 else root
                folder = stack.enter_context(made_like(folder, name, origin, mask=mask))
                mask = 0o7777
            if head.action is Action.TRASH:
                self._touched[root, names] = None
            yield folder

    def _base(self, record: Record, stack: ExitStack) -> int | None:
        into = self._journal.head.into
        match self._journal.head.action:
            case Action.TRASH:
                return self.folder(record.root)
            case Action.MOVE if into is not None:
                with suppress(FileNotFoundError):
                    return stack.enter_context(opened(into))
        return None

    def _make_into(self, stack: ExitStack) -> int:
        into = self._journal.head.into
        assert into is not None  # noqa: S101  a move has one
        for path in (*reversed(into.parents), into):
            with suppress(FileExistsError):
                call(os.mkdir, path)
                self._made.append(path)
        return stack.enter_context(opened(into))

    def _names(self, record: Record) -> tuple[str, ...]:
        head = self._journal.head
        first = (TRASH, head.run) if head.action is Action.TRASH else (head.run, head.roots[record.root].label)
        return (*first, *_parent(record))


def _parent(record: Record) -> tuple[str, ...]:
    return PurePosixPath(record.files[0].path).parent.parts


def _free_label(wanted: str, taken: set[str]) -> str:
    number, label = 1, wanted
    while label in taken:
        number += 1
        label = f"{wanted}-{number}"
    return label


@contextmanager
def _opened_or_none(names: tuple[str, ...], start: int) -> Iterator[int | None]:
    with ExitStack() as stack:
        folder = None
        with suppress(FileNotFoundError):
            folder = stack.enter_context(opened(names, start=start))
        yield folder
