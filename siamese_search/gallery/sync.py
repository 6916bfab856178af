"""Keeping a gallery in step with its folders: what changed is told apart, and only what is new is embedded.

Whatever interrupts a run, at most the batch in hand is lost; what cannot be seen is never taken for gone.
"""

import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from time import time_ns

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import Embedded, embed_files
from siamese_search.gallery.store import SkippedFile, Store
from siamese_search.images.decode import MAX_PIXELS, picture_extensions
from siamese_search.images.files import (
    Changes,
    compare,
    count_kinds,
    find_images,
    folder_trouble,
    hash_file,
    image_file,
    lies_in,
    resolve_folders,
)
from siamese_search.images.reasons import is_passing, is_too_large
from siamese_search.images.sandbox import Decoder
from siamese_search.paths import expanded
from siamese_search.results import Calibration, ImageFile, Item, KindCount, LeftOut, Noted, Skipped, SyncReport

BATCH = 64  # pictures a transaction: what a kill can lose
_NEVER = 0  # a time that no file has: the next sync looks at its content
_TICK_NS = 10_000_000  # of the clock by which file systems tell when a file was written
_COARSE_TICK_NS = 2_000_000_000  # of those that keep whole seconds

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]
Notice = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What a sync did so far; `lost` items were known and can no longer be read, `anew` had waited for the encoder."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    lost: int = 0
    anew: frozenset[Path] = frozenset()
    unseen: tuple[Skipped, ...] = ()
    left_out: tuple[KindCount, ...] = ()
    noted: list[Noted] = field(default_factory=list)
    stopped: bool = False

    def report(
        self,
        *,
        skipped: tuple[Skipped, ...],
        images: int,
        seconds: float,
        index: str,
        calibrated: Calibration | None,
    ) -> SyncReport:
        """Return what was done as a result, with what is known of the gallery now."""
        return SyncReport(
            added=self.added,
            changed=self.changed,
            moved=self.moved,
            removed=self.removed + self.lost,
            unchanged=self.unchanged,
            re_embedded=len(self.anew),
            skipped=skipped,
            images=images,
            seconds=seconds,
            index=index,
            stopped=self.stopped,
            calibrated=calibrated,
            left_out=self.left_out,
            noted=tuple(self.noted),
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """The folders that a sync is about: those that are there, and, with their troubles, roots that are not."""

    present: tuple[Path, ...]
    absent: tuple[Skipped, ...] = ()


def scope_of(folders: Sequence[str | Path], store: Store | None) -> Scope:
    """Tell which of the folders, or without any of a gallery's roots, are there.

    A root that is missing, or empty although pictures of it are known, is taken for a drive that is not connected.
    Raises FolderError when another folder is missing.
    """
    roots = store.roots() if store else ()
    absent = []
    present = []
    for folder in folders or roots:
        path = expanded(folder).resolve()
        root = next((root for root in roots if lies_in(path, [root])), None)
        trouble = folder_trouble(root) if root else ""
        kept = _count_in(store, root) if store and root and trouble else 0
        if root and kept:
            reason = f"{trouble}: a drive that is not connected? Its {kept:,} pictures are kept"
            absent.append(Skipped(path=root, reason=reason))
        else:
            present.append(folder)
    return Scope(resolve_folders(present), tuple(dict.fromkeys(absent)))


def _count_in(store: Store, root: Path) -> int:
    """Return how many pictures of a root are known, those that wait for the encoder included."""
    waiting = sum(entry.is_waiting and lies_in(entry.file.path, [root]) for entry in store.skipped())
    return len(store.items([root])) + waiting


def bring_in_step(
    store: Store,
    scope: Scope,
    *,
    encoder: Callable[[], Encoder],
    exclude: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
    stop: Stop | None = None,
    notice: Notice | None = None,
) -> Outcome:
    """Make the gallery agree with what is in the folders now; the caller holds the writer's lock.

    `exclude` is that of `find_images`, `max_pixels` that of a `Decoder`. `stop` is asked between pictures; once it says
    so, what was embedded is committed and the run ends. What waits for the encoder comes first, wherever it lies, which
    `notice` is told.
    """
    outcome = Outcome()
    _embed_waiting(store, outcome, encoder=encoder, max_pixels=max_pixels, progress=progress, stop=stop, notice=notice)
    if outcome.stopped:
        return outcome
    wanted = scope.present
    began = time_ns()
    found: list[ImageFile] = []
    unseen: list[Skipped] = []
    left_out: list[LeftOut] = []
    for entry in find_images(wanted, extensions=picture_extensions(), exclude=exclude):
        match entry:
            case ImageFile():
                found.append(entry)
            case Skipped():
                unseen.append(entry)
            case LeftOut():
                left_out.append(entry)
        if stop and stop():
            outcome.stopped = True
            return outcome
    outcome.unseen = (*scope.absent, *unseen)
    outcome.left_out = count_kinds(left_out)

    # A root that lies deeper than a folder named here, and is a drive that is not connected, is out of sight as well.
    out_of_sight = [entry.path for entry in outcome.unseen]
    before = {
        entry.file.path: entry
        for entry in store.skipped()
        if lies_in(entry.file.path, wanted) and not lies_in(entry.file.path, out_of_sight)
    }
    bad_paths = {file.path for file in found if _failed_before(file, before.get(file.path))}
    items = store.items()
    changes = compare(
        (file for file in found if file.path not in bad_paths),
        (
            item
            for item in items
            if lies_in(item.path, wanted) and not lies_in(item.path, out_of_sight) and item.path not in bad_paths
        ),
    )
    removed = {*changes.removed, *(item.id for item in items if item.path in bad_paths)}
    gone = before.keys() - {file.path for file in found}
    changes = _with_lasting_times(changes, began, time_ns())
    _settle(store, wanted, changes, removed, gone)
    outcome.moved = len(changes.moved)
    outcome.removed += len(removed)
    anew = {item.id for item in items if item.path in outcome.anew}
    outcome.unchanged = len({*changes.unchanged, *(item for item, _ in changes.touched)} - anew)
    new = _without_copies(store, changes.added, items, outcome)
    with Decoder(max_pixels=max_pixels) as decoder:
        _embed(
            store,
            [*new, *changes.changed],
            items,
            outcome,
            encoder=encoder,
            decoder=decoder,
            progress=progress,
            stop=stop,
        )
    return outcome


def _embed_waiting(
    store: Store,
    outcome: Outcome,
    *,
    encoder: Callable[[], Encoder],
    max_pixels: int,
    progress: Progress | None,
    stop: Stop | None,
    notice: Notice | None,
) -> None:
    """Embed the pictures that wait for the encoder, as they are now; those on drives that are away go on waiting."""
    waiting = [entry.file.path for entry in store.skipped() if entry.is_waiting]
    if not waiting:
        return
    began = time_ns()
    absent = [root for root in store.roots() if folder_trouble(root)]
    there, gone = _seen(path for path in waiting if not lies_in(path, absent))
    with store.transaction():
        store.unskip(gone)
    there = _with_lasting_times(Changes(added=there), began, time_ns()).added
    if there and notice:
        notice(f"{store.location}: its encoder is another one since; pictures to embed anew: {len(there):,}")
    found = Outcome()
    with Decoder(max_pixels=max_pixels) as decoder:
        _embed(store, there, (), found, encoder=encoder, decoder=decoder, progress=progress, stop=stop)
    still = {entry.file.path for entry in store.skipped()}
    outcome.anew = frozenset(file.path for file in there) - still
    outcome.removed, outcome.noted, outcome.stopped = len(gone), found.noted, found.stopped


def _seen(paths: Iterable[Path]) -> tuple[list[ImageFile], list[Path]]:
    """Return the files among some paths, and the paths at which there is none any more."""
    files, gone = [], []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            gone.append(path)
        except OSError:  # out of sight, which is not gone
            pass
        else:
            if stat.S_ISREG(status.st_mode):
                files.append(image_file(path, status))
    return files, gone


def refresh(store: Store, paths: Iterable[Path], *, encoder: Callable[[], Encoder]) -> None:
    """Bring single files in step; paths outside the gallery's roots are passed over."""
    roots = store.roots()
    wanted = {path for path in paths if lies_in(path, roots)}
    files = []
    for path in sorted(wanted):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                files.append(image_file(path, status))
    items = [item for item in store.items() if item.path in wanted]
    changes = compare(files, items)
    _settle(store, (), changes, set(changes.removed), ())
    _embed(store, [*changes.added, *changes.changed], items, Outcome(), encoder=encoder)


def _with_lasting_times(changes: Changes, began: int, ended: int) -> Changes:
    """Return the changes without the times of files that were written while, or just before, the folders were walked.

    Written once more within the same tick of the clock, with the same size, such a file would seem unchanged.
    """

    def lasting(file: ImageFile) -> ImageFile:
        tick = _TICK_NS if file.mtime_ns % 1_000_000_000 else _COARSE_TICK_NS
        fresh = began - tick <= file.mtime_ns <= ended + tick
        return replace(file, mtime_ns=_NEVER) if fresh else file

    return replace(
        changes,
        touched=[(item, lasting(file)) for item, file in changes.touched],
        moved=[(item, lasting(file)) for item, file in changes.moved],
        changed=[lasting(file) for file in changes.changed],
        added=[lasting(file) for file in changes.added],
    )


def _settle(store: Store, wanted: Sequence[Path], changes: Changes, removed: set[int], gone: Iterable[Path]) -> None:
    """Commit all that needs no embedding, in one transaction."""
    gone = list(gone)
    covered = all(lies_in(folder, store.roots()) for folder in wanted)
    if covered and not (gone or removed or changes.moved or changes.touched):
        return
    with store.transaction():
        for folder in wanted:
            store.add_root(folder)
        store.unskip(gone)
        store.remove(removed)
        for item, file in changes.moved + changes.touched:
            store.move(item, file)


def _without_copies(
    store: Store, added: Sequence[ImageFile], items: Sequence[Item], outcome: Outcome
) -> list[ImageFile]:
    """Add the new files whose content is known from elsewhere, with its embedding; return those left to embed.

    So a folder that was moved while its old place is not connected, or copied, costs hashing only.
    """
    by_size: defaultdict[int, dict[str, Item]] = defaultdict(dict)
    known = {item.path for item in items}
    for item in items:
        by_size[item.size].setdefault(item.content_hash, item)
    rest = []
    copies = []
    for file in added:
        digest = None
        if file.size in by_size and file.path not in known:
            with suppress(OSError):
                digest = hash_file(file.path)
        original = by_size[file.size].get(digest) if digest else None
        if original:
            copies.append((file, original))
        else:
            rest.append(file)
    waiting = iter(copies)
    while some := list(islice(waiting, BATCH)):
        with store.transaction():
            there = store.items_by_id([original.id for _, original in some])  # another run may have removed one
            some = [(file, original) for file, original in some if original.id in there]
            vectors = store.vectors_of([original.id for _, original in some])
            for (file, original), vector in zip(some, vectors, strict=True):
                store.add(file, _embedded_as(original, file, vector))
                outcome.added += 1
    return rest


def _embedded_as(original: Item, file: ImageFile, vector: NDArray[np.float32]) -> Embedded:
    """Return what a file with the content of a known picture would be embedded as."""
    return Embedded(
        path=file.path,
        vector=vector,
        content_hash=original.content_hash,
        width=original.width,
        height=original.height,
        format=original.format,
    )


def _embed(
    store: Store,
    files: Sequence[ImageFile],
    items: Sequence[Item],
    outcome: Outcome,
    *,
    encoder: Callable[[], Encoder],
    decoder: Decoder | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> None:
    if not files:
        return
    files = sorted(files, key=lambda file: file.path)
    paths = {file.path for file in files}
    known = {item.path: item.id for item in items if item.path in paths}
    embedded = _told(embed_files((file.path for file in files), encoder(), decoder=decoder), len(files), progress)
    results = zip(files, _until(stop, embedded, outcome), strict=False)
    while batch := list(islice(results, BATCH)):
        with store.transaction():
            for file, result in batch:
                _record(store, file, result, item=known.get(file.path), outcome=outcome)


def _record(store: Store, file: ImageFile, result: Embedded | Skipped, *, item: int | None, outcome: Outcome) -> None:
    if isinstance(result, Embedded):
        store.add(file, result, item=item)
        outcome.changed += item is not None
        outcome.added += item is None
        if result.note:
            outcome.noted.append(Noted(path=file.path, note=result.note))
        return
    store.skip(SkippedFile(file=file, reason=result.reason))
    # A file that cannot be read just now may be as it was; one that is no picture any more is none.
    if item is not None and not is_passing(result.reason):
        store.remove([item])
        outcome.lost += 1


def _told(results: Iterable[Embedded | Skipped], total: int, progress: Progress | None) -> Iterator[Embedded | Skipped]:
    """Tell the progress of what passes through."""
    for done, result in enumerate(results, start=1):
        if progress:
            progress(done, total)
        yield result


def _until(stop: Stop | None, results: Iterable[Embedded | Skipped], outcome: Outcome) -> Iterator[Embedded | Skipped]:
    """Let results pass until a stop is asked for."""
    for result in results:
        yield result
        if stop and stop():
            outcome.stopped = True
            return


def _failed_before(file: ImageFile, entry: SkippedFile | None) -> bool:
    """Tell whether trying again is in vain; a limit may have been raised since."""
    if entry is None or entry.file != file or entry.is_waiting:
        return False
    return not (is_passing(entry.reason) or is_too_large(entry.reason))
