"""A gallery kept in step with its folders, looked over, mended and written out."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import perf_counter

from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.folder import SHIPPED
from siamese_search.errors import FolderError, GalleryError, OptionError
from siamese_search.gallery.export import export
from siamese_search.gallery.local.catalogue import Catalogue
from siamese_search.gallery.local.lock import LOCK, writing
from siamese_search.gallery.local.repair import rescue
from siamese_search.gallery.local.settings import EncoderIdentity
from siamese_search.gallery.opened import CATALOGUE, INDEX, OpenGallery
from siamese_search.gallery.sync import Progress, Stop, bring_in_step, forget, refresh, relocate, scope_of
from siamese_search.gallery.verify import catalogue_troubles, differing_files, encoder_trouble, index_state
from siamese_search.gallery.watch import changes
from siamese_search.images.files import lies_in
from siamese_search.results import SyncReport, VerifyReport

_DEFAULT_ENCODER = "photo"


class KeptGallery(OpenGallery):
    """What changes a gallery; see `Gallery`. One process at a time does."""

    def sync(
        self, folders: Sequence[str | Path] = (), *, progress: Progress | None = None, stop: Stop | None = None
    ) -> SyncReport:
        """Make the gallery agree with what is in `folders` (default: all its roots) now; the rest stays as it is.

        Only new and changed files are embedded, in committed batches, so that an interrupted run goes on where it was.
        Files that failed before are tried again when they changed. What cannot be listed keeps its items, and so does a
        root that is not there: a drive that is not connected. Raises FolderError, and changes nothing, when another of
        `folders` is missing. `progress` is called with the number of files embedded so far and their total; `stop` is
        asked between pictures, and ends the run well when it returns True.
        """
        start = perf_counter()
        scope_of(folders, self._catalogue if self._exists() else None)  # nothing is made or waited for on a slip
        if not (folders or self._exists()):
            raise OptionError(f"{self.folder}: no gallery here yet; name the folders to index")
        with self._writing():
            if not self._exists():
                self._create()
            catalogue = self._catalogue
            before = catalogue.generation
            scope = scope_of(folders, catalogue)
            outcome = bring_in_step(catalogue, scope, encoder=lambda: self.encoder, progress=progress, stop=stop)
            self._fresh_index(expected=catalogue.generation != before or not before)
            return SyncReport(
                added=outcome.added,
                changed=outcome.changed,
                moved=outcome.moved,
                removed=outcome.removed + outcome.lost,
                unchanged=outcome.unchanged,
                skipped=(
                    *(entry.skipped for entry in catalogue.skipped() if lies_in(entry.file.path, scope.present)),
                    *outcome.unseen,
                ),
                images=catalogue.count(),
                seconds=perf_counter() - start,
                index=str(self.folder),
                stopped=outcome.stopped,
            )

    def refresh(self, paths: Iterable[Path]) -> None:
        """Bring single files in step, as `sync` does for folders: forget what is gone, embed what is new or changed.

        Paths outside the gallery's roots are passed over.
        """
        with self._writing():
            refresh(self._catalogue, paths, encoder=lambda: self.encoder)
            self._fresh_index(expected=True)

    def remove(self, paths: Sequence[str | Path]) -> int:
        """Forget all pictures at or under some paths; return how many. The files themselves are not touched.

        Raises FolderError, and forgets nothing, when one of the paths holds none.
        """
        with self._writing():
            images = forget(self._catalogue, paths)
            self._fresh_index(expected=True)
        return images

    def relocate(self, old: str | Path, new: str | Path) -> int:
        """Record that an indexed folder is elsewhere now, with all that is in it; return the number of its pictures.

        Nothing is embedded again. Raises FolderError, and changes nothing, unless `old` is one of `roots` and `new`
        holds its pictures.
        """
        with self._writing():
            return relocate(self._catalogue, old, new)

    def watch(
        self, folders: Sequence[str | Path] = (), *, progress: Progress | None = None, stop: Event | None = None
    ) -> Iterator[SyncReport]:
        """Sync `folders` (default: all roots), then whatever changes in them as soon as it does, until `stop` is set.

        Each batch of changes yields a report, and is locked for by itself, so that other processes may write between.
        A drive that is unplugged is waited for. Raises OptionError when the extra that this needs is not installed.
        """
        stop = stop or Event()
        scope = scope_of(folders, self._catalogue if self._exists() else None)
        roots = [*scope.present, *(entry.path for entry in scope.absent)]
        for changed in changes(roots, apart_from=self.folder, stop=stop):
            try:
                report = self.sync(changed, progress=progress, stop=stop.is_set)
            except FolderError:  # it is gone again, which is a change by itself
                continue
            yield report

    def verify(self, *, files: bool = False, repair: bool = False, progress: Progress | None = None) -> VerifyReport:
        """Look everything over; with `files` also every picture, against its content hash, which reads them all.

        `repair` mends what can be: a damaged catalogue is written anew from its whole rows, the old file stays beside
        it, and what was lost is embedded by the next sync; a damaged index is built anew. Raises GalleryError when
        nothing can be read or mended.
        """
        start = perf_counter()
        path = self.folder / CATALOGUE
        if not Catalogue.exists(path):
            _ = self._catalogue  # tells how to make one
        self.close()
        with self._writing_when(needed=repair):
            problems, mended, notes = catalogue_troubles(path), [], []
            if problems and repair:
                images = rescue(path)
                mended = [*problems, f"the catalogue was written anew with {images:,} pictures; now index again"]
                problems = catalogue_troubles(path)
            if not problems:
                catalogue = self._catalogue
                if trouble := encoder_trouble(catalogue.encoder):
                    problems.append(trouble)
                state = index_state(catalogue, self.folder / INDEX, exact_up_to=self.exact_up_to)
                if state and repair:
                    self._index = None
                    (self.folder / INDEX).unlink(missing_ok=True)
                    self._fresh_index(expected=True)
                    mended.append(f"{INDEX} was {state}; built anew")
                elif state == "damaged":
                    problems.append(f"{INDEX} is damaged; the next query builds it anew")
                elif state:
                    notes.append(f"{INDEX} is {state}; the next query builds it anew")
            return VerifyReport(
                index=str(self.folder),
                images=0 if problems and not self._opened else len(self),
                problems=tuple(problems),
                mended=tuple(mended),
                notes=tuple(notes),
                files=tuple(differing_files(self._catalogue, progress=progress)) if files and self._opened else None,
                seconds=perf_counter() - start,
            )

    def export(self, folder: str | Path) -> int:
        """Write `items.csv` and, in the order of its rows, `embeddings.npy` `(n, dim)`; return the number of rows.

        The folder is made when it is missing; each file is replaced as a whole. Raises GalleryError.
        """
        with self.snapshot():
            return export(self._catalogue, Path(folder))

    @contextmanager
    def _writing_when(self, *, needed: bool) -> Iterator[None]:
        """Be the only writer while inside, if `needed`; looks at nothing that may be damaged."""
        if not needed:
            yield
            return
        with writing(self.folder):
            self._is_writer = True
            try:
                yield
            finally:
                self._is_writer = False

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer while inside; makes the folder when there is no gallery yet."""
        if self._exists():
            if self._encoder is not None:
                self._check(self._encoder, self._catalogue.encoder)
        else:
            self._make_folder()
        with self._writing_when(needed=True):
            for rest in self.folder.glob(f"{INDEX}.*.tmp"):  # of a process that was killed
                rest.unlink(missing_ok=True)
            self.close()  # a repair may have put another catalogue in its place while this process waited
            yield

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in self.folder.iterdir()]
        except OSError as error:
            raise GalleryError(f"{self.folder}: cannot be made a gallery: {error.strerror}") from error
        foreign = [name for name in names if not name.startswith((CATALOGUE, INDEX, LOCK))]
        if foreign:
            raise GalleryError(f"{self.folder}: holds other files ({foreign[0]}); name a new or empty folder")

    def _create(self) -> None:
        encoder = self._encoder = self._encoder or load_encoder(_DEFAULT_ENCODER)
        identity = EncoderIdentity(
            name=encoder.name, location=_location(encoder), fingerprint=encoder.fingerprint, dim=encoder.dim
        )
        self._opened = Catalogue.create(self.folder / CATALOGUE, identity, encoder.threshold)


def _location(encoder: Encoder) -> str:
    """Return what finds the encoder again: the name of one that ships, wherever this package lies, or the folder."""
    folder = encoder.folder.resolve()
    return folder.name if folder.parent == SHIPPED.resolve() else str(folder)
