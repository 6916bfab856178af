"""A gallery: indexed pictures, searched by picture, compared with one another, and kept in step with their folders."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from time import perf_counter

from siamese_search.encoder import load_encoder
from siamese_search.errors import FolderError, OptionError
from siamese_search.gallery.locations import folder_at
from siamese_search.gallery.parquet import read_parquet
from siamese_search.gallery.places import forget, relocate
from siamese_search.gallery.reading import GalleryReader
from siamese_search.gallery.settings import DEFAULT_ENCODER, first_settings, former_in, next_settings
from siamese_search.gallery.store import WAITING, DamagedError, SkippedFile
from siamese_search.gallery.sync import Progress, Stop, bring_in_step, refresh, scope_of
from siamese_search.gallery.verify import differing_files, encoder_trouble
from siamese_search.gallery.watch import changes
from siamese_search.images.decode import MAX_PIXELS
from siamese_search.images.files import lies_in
from siamese_search.results import Calibration, ImageFile, SyncReport, VerifyReport


class Gallery(GalleryReader):
    """The gallery at a location: a folder, or whatever else keeps one (a `Store`); by default that of the commands.

    Nothing is read or written before the first use; `sync` creates it when missing. Without an `encoder` the one that
    the gallery was made with is loaded when needed, for a new gallery "photo". An encoder whose fingerprint differs
    from the gallery's raises FingerprintError at its first use, `sync` apart. `decoder` decodes what is searched with;
    without one each search starts its own. `notice` is called with one line when something was mended on the way that
    the user should know of. It may be used from several threads at once.
    """

    def calibrate(self, *, precision: float | None = None) -> Calibration:
        """Find the threshold by the gallery's own pictures and what people said of them, and put it in force.

        It is the loosest that keeps a `precision`; without one, the nearest that finds nearly all that 0.99 would.
        Raises OptionError when the encoder does not bring what it takes, FolderError, and changes nothing, when next to
        none of the pictures can be read.
        """
        from siamese_search.calibration.threshold import calibrate  # noqa: PLC0415

        with self.snapshot():
            items, answers = self.items(), self.answers.all()
            calibration = calibrate(self.encoder, items, self.vectors_of, answers=answers, precision=precision)
        with self._store.transaction():
            self._store.set_setting("calibration", asdict(calibration))
            self._store.set_setting("threshold", asdict(calibration.threshold))
        return calibration

    def sync(
        self,
        folders: Sequence[str | Path] = (),
        *,
        calibrate: bool = True,
        exclude: Sequence[str] = (),
        max_pixels: int = MAX_PIXELS,
        re_embed: bool = False,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> SyncReport:
        """Make the gallery agree with what is in `folders` (default: all its roots) now; the rest stays as it is.

        Only new and changed files are embedded, in committed batches, so that an interrupted run goes on where it was.
        Files that failed before are tried again when they changed. What cannot be listed keeps its items, and so does a
        root that is not there: a drive that is not connected. A gallery that changed by a tenth since it was calibrated
        is calibrated again, unless `calibrate` is False. Raises FolderError, and changes nothing, when another of
        `folders` is missing. What a pattern of `exclude` matches is left out, a name or a path below a folder, and so
        are pictures of more than `max_pixels`.

        Where the gallery's encoder was replaced by another one, as by an upgrade, all its pictures are embedded anew;
        with `re_embed` also by the encoder given, whichever it is. Folders and answers stay. Pictures on drives that
        are away, or left when the run ends early, wait for the next sync, and are not found until then: `waiting`.
        Raises FingerprintError for another encoder without it. `progress` is called with the number of files embedded
        so far and their total; `stop` is asked between pictures, and ends the run well when it returns True.
        """
        start = perf_counter()
        store = self._store
        scope_of(folders, store if self.exists() else None)  # nothing is made or waited for on a slip
        if not (folders or self.exists()):
            raise OptionError(f"{self.location}: no gallery here yet; name the folders to index")
        _ = self.exists() and self._is_replaced(re_embed=re_embed)
        with store.writing():
            if not self.exists():
                self._encoder = self._encoder or load_encoder(DEFAULT_ENCODER)
                store.create(first_settings(self._encoder))
            elif self._is_replaced(re_embed=re_embed):
                self._replace_encoder()
            scope = scope_of(folders, store)
            outcome = bring_in_step(
                store,
                scope,
                encoder=lambda: self.encoder,
                exclude=exclude,
                max_pixels=max_pixels,
                progress=progress,
                stop=stop,
                notice=self._notice,
            )
        calibrated = self._calibrated_when_due() if calibrate and not outcome.stopped else None
        skipped = (
            entry.skipped
            for entry in store.skipped()
            if lies_in(entry.file.path, scope.present) and not entry.is_waiting
        )
        return outcome.report(
            skipped=(*skipped, *outcome.unseen),
            images=len(self),
            seconds=perf_counter() - start,
            index=self.location,
            calibrated=calibrated,
        )

    def refresh(self, paths: Iterable[Path]) -> None:
        """Bring single files in step, as `sync` does for folders: forget what is gone, embed what is new or changed.

        Paths outside the gallery's roots are passed over.
        """
        with self._writing():
            refresh(self._store, paths, encoder=lambda: self.encoder)

    def remove(self, paths: Sequence[str | Path]) -> int:
        """Forget all pictures at or under some paths; return how many. The files themselves are not touched.

        Raises FolderError, and forgets nothing, when one of the paths holds none.
        """
        with self._writing():
            return forget(self._store, paths)

    def relocate(self, old: str | Path, new: str | Path) -> int:
        """Record that an indexed folder is elsewhere now, with all that is in it; return the number of its pictures.

        Nothing is embedded again. Raises FolderError, and changes nothing, unless `old` is one of `roots` and `new`
        holds its pictures.
        """
        with self._writing():
            return relocate(self._store, old, new)

    def take_in(self, file: str | Path) -> int:
        """Bring in what `export` wrote into a `.parquet` file: pictures, embeddings, answers; return how many are new.

        The gallery is made with the file's encoder and threshold when it is missing. Ids are given anew; what is known
        of a path stays. Raises DataError for a file of another kind, or embedded by another encoder.
        """
        with self._writing():
            return read_parquet(self._store, Path(file))

    def watch(
        self, folders: Sequence[str | Path] = (), *, progress: Progress | None = None, stop: Event | None = None
    ) -> Iterator[SyncReport]:
        """Sync `folders` (default: all roots), then whatever changes in them as soon as it does, until `stop` is set.

        Each batch of changes yields a report, and is locked for by itself, so that other processes may write between.
        A drive that is unplugged is waited for. Raises OptionError when the extra that this needs is not installed.
        """
        stop = stop or Event()
        scope = scope_of(folders, self._store if self.exists() else None)
        roots = [*scope.present, *(entry.path for entry in scope.absent)]
        for changed in changes(roots, apart_from=folder_at(self.location), stop=stop):
            try:
                report = self.sync(changed, progress=progress, stop=stop.is_set)
            except FolderError:  # it is gone again, which is a change by itself
                continue
            yield report

    def verify(self, *, files: bool = False, repair: bool = False, progress: Progress | None = None) -> VerifyReport:
        """Look everything over; with `files` also every picture, against its content hash, which reads them all.

        `repair` mends what can be, and loses no answer; what was lost is embedded by the next sync. Raises GalleryError
        when nothing can be read or mended.
        """
        start = perf_counter()
        found = self._store.verify(repair=repair)
        problems = found.problems
        readable = not problems
        if readable and (trouble := encoder_trouble(self._identity)):
            problems = (trouble,)
        return VerifyReport(
            index=self.location,
            images=self._counted(),
            problems=problems,
            mended=found.mended,
            notes=found.notes,
            files=tuple(differing_files(self._store, progress=progress)) if files and readable else None,
            seconds=perf_counter() - start,
        )

    def _counted(self) -> int | None:
        """Return the number of pictures as far as it can still be read."""
        try:
            return len(self)
        except DamagedError:
            return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._encoder is not None and self.exists():
            self._identity.check(self._encoder, self.location)
        with self._store.writing():
            yield

    def _is_replaced(self, *, re_embed: bool) -> bool:
        """Tell whether another encoder is to embed all pictures anew.

        Raises FingerprintError for one that is not the gallery's, or was once, unless `re_embed`: two versions of an
        encoder must not take turns.
        """
        identity, given = self._identity, self._encoder if self._is_given else None
        fingerprint = given.fingerprint if given else identity.present_fingerprint
        if fingerprint == identity.fingerprint:
            return False
        is_next = given is None or identity.is_at(given)
        if not re_embed and (not is_next or fingerprint in former_in(self._store.settings())):
            identity.check(given or load_encoder(identity.location), self.location)
        return True

    def _replace_encoder(self) -> None:
        """Make the gallery another encoder's, for which all its pictures wait."""
        store = self._store
        encoder = self._encoder if self._encoder and self._is_given else load_encoder(self._identity.location)
        items = store.items()
        with store.transaction():
            store.remove(item.id for item in items)
            for item in items:
                file = ImageFile(path=item.path, size=item.size, mtime_ns=item.mtime_ns)
                store.skip(SkippedFile(file=file, reason=WAITING))
            for name, value in next_settings(store.settings(), encoder, self.location).items():
                store.set_setting(name, value)

    def _calibrated_when_due(self) -> Calibration | None:
        """Calibrate a gallery that changed much; where that cannot be done, the threshold stays as it was."""
        from siamese_search.calibration.threshold import is_due  # noqa: PLC0415

        if not is_due(self.calibration, len(self)):
            return None
        try:
            return self.calibrate()
        except (OptionError, FolderError):  # the encoder brings too little for it, or a drive is away
            return None
