"""A gallery kept in a folder: `gallery.db` is the truth, `index.faiss` is derived from it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from siamese_search.encoder import load_encoder
from siamese_search.encoder.embed import Embedded
from siamese_search.errors import GalleryError
from siamese_search.gallery.codes import Codes, decode, encode
from siamese_search.gallery.local.catalogue import CATALOGUE, Catalogue
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.local.index import INDEX, DerivedIndex, Index
from siamese_search.gallery.local.lock import LOCK, writing
from siamese_search.gallery.settings import DEFAULT_ENCODER, first_settings
from siamese_search.gallery.store import (
    AnswerRow,
    Cells,
    DamagedError,
    Ids,
    Settings,
    SkippedFile,
    StoreInfo,
    StoreReport,
    Vectors,
)
from siamese_search.results import ImageFile, Item

EXACT_UP_TO = 50_000  # pictures; with more, a search looks into cells
_FIRST_WITHIN = 64  # neighbours asked for, to see whether all within a distance are among them


class LocalStore:
    """The store in `folder`: see `Store` for what each method promises."""

    def __init__(
        self, folder: Path, *, notice: Callable[[str], None] | None = None, exact_up_to: int = EXACT_UP_TO
    ) -> None:
        """Name a store. `notice` gets one line when something was mended on the way that the user should know of."""
        self.folder = folder
        self._index = DerivedIndex(folder, exact_up_to=exact_up_to, notice=notice)
        self._opened: Catalogue | None = None
        self._opened_file: tuple[int, int] | None = None
        self._opening = Lock()

    @property
    def location(self) -> str:
        """The folder, as it was named."""
        return str(self.folder)

    # -- its life

    def exists(self) -> bool:
        """Tell whether there is a gallery; an empty file is none."""
        return self._opened is not None or Catalogue.exists(self.folder / CATALOGUE)

    def state(self) -> str:
        """Return a word that changes with what is committed."""
        return self._catalogue.state()

    def create(self, settings: Settings) -> None:
        """Make an empty gallery, whole or not at all."""
        Catalogue.create(self.folder / CATALOGUE, settings)

    def close(self) -> None:
        """Close the catalogue and the index's file; the next use opens them again."""
        self._index.forget()
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that this thread reads inside belong to one moment."""
        with self._catalogue.snapshot():
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer while inside; makes the folder when there is no gallery yet."""
        if not self.exists():
            self._make_folder()
        with writing(self.folder):
            for rest in self.folder.glob(f".{INDEX}.*.part"):  # of a process that was killed
                rest.unlink(missing_ok=True)
            self._reopen_if_replaced()
            before = self._catalogue.generation if self.exists() else None
            yield
            if self.exists():
                catalogue = self._catalogue
                with catalogue.snapshot():
                    expected = not before or catalogue.generation != before
                    self._index.fresh(catalogue, is_writer=True, expected=expected)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that this thread writes inside, or, when anything is raised, nothing."""
        with self._catalogue.transaction():
            yield

    # -- what a gallery knows of itself

    def settings(self) -> Settings:
        """Return all settings."""
        return self._catalogue.settings()

    def set_setting(self, name: str, value: dict[str, Any]) -> None:
        """Put a setting in place of an earlier one."""
        self._catalogue.set_setting(name, value)

    def roots(self) -> tuple[Path, ...]:
        """Return the indexed folders in order."""
        return self._catalogue.roots()

    def add_root(self, folder: Path) -> None:
        """Make sure that a folder lies in a root."""
        self._catalogue.add_root(folder)

    def move_root(self, old: Path, new: Path) -> None:
        """Record that a root lies elsewhere now."""
        self._catalogue.move_root(old, new)

    def remove_roots(self, roots: Iterable[Path]) -> None:
        """Forget roots."""
        self._catalogue.remove_roots(roots)

    # -- pictures

    def count(self) -> int:
        """Return the number of pictures."""
        return self._catalogue.count()

    def items(self, folders: Sequence[Path] | None = None) -> list[Item]:
        """Return the pictures: all, or those under some folders."""
        return self._catalogue.items(folders)

    def items_by_id(self, ids: Sequence[int]) -> dict[int, Item]:
        """Return the pictures with some ids."""
        return self._catalogue.items_by_id(ids)

    def latest(self, limit: int, *, before: int | None = None, words: Sequence[str] = ()) -> list[Item]:
        """Return the pictures with the greatest ids."""
        return self._catalogue.latest(limit, before=before, words=words)

    def add(self, file: ImageFile, embedded: Embedded, *, item: int | None = None) -> None:
        """Add a picture, or replace what was known of it."""
        self._catalogue.add(file, embedded, item=item)

    def move(self, item: int, file: ImageFile) -> None:
        """Record where a picture is now."""
        self._catalogue.move(item, file)

    def remove(self, items: Iterable[int]) -> None:
        """Forget pictures."""
        self._catalogue.remove(items)

    def skipped(self) -> list[SkippedFile]:
        """Return the files that could not be embedded."""
        return self._catalogue.skipped()

    def skip(self, entry: SkippedFile) -> None:
        """Record that a file cannot be embedded."""
        self._catalogue.skip(entry)

    def unskip(self, paths: Iterable[Path]) -> None:
        """Forget skipped files."""
        self._catalogue.unskip(paths)

    # -- answers

    def answers(self) -> list[AnswerRow]:
        """Return what people said."""
        return self._catalogue.answers()

    def set_answer(self, answer: AnswerRow) -> None:
        """Keep an answer."""
        self._catalogue.set_answer(answer)

    def remove_answer(self, first: str, second: str) -> None:
        """Take an answer back."""
        self._catalogue.remove_answer(first, second)

    # -- embeddings

    def vectors_of(self, ids: Sequence[int]) -> Vectors:
        """Return the embeddings of some pictures."""
        return self._catalogue.vectors_of(ids)

    def embeddings(self) -> tuple[Ids, Codes]:
        """Return all ids and embeddings."""
        ids, codes, _ = self._catalogue.codes()
        return ids, codes

    def cells(self) -> Cells | None:
        """Return the cells of a large gallery."""
        catalogue = self._catalogue
        with catalogue.snapshot():
            return self._index.ask(catalogue, _cells) if catalogue.count() > self._index.exact_up_to else None

    def is_asked(self) -> bool:
        """Prefer the cells: there all is in memory."""
        return False

    def search(self, vectors: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """Return the nearest pictures."""
        catalogue = self._catalogue
        with catalogue.snapshot():
            # As those in the gallery are kept, so that a picture finds itself at 0.
            queries = decode(encode(vectors), catalogue.dim)
            return self._index.ask(catalogue, lambda index: index.search(queries, k=k))

    def within(self, vectors: Vectors, distance: float) -> list[list[tuple[int, float]]]:
        """Return all that lie within a distance: so many of the nearest that the last lies beyond it."""
        k, count = _FIRST_WITHIN, self.count()
        while True:
            found = self.search(vectors, k)
            if k >= count or all(hits[-1][1] > distance for hits in found):
                return [[hit for hit in hits if hit[1] <= distance] for hits in found]
            k *= 4

    # -- upkeep

    def info(self) -> StoreInfo:
        """Describe the index and what the folder takes up."""
        catalogue = self._catalogue
        with catalogue.snapshot():
            index = self._index.fresh(catalogue)
        return StoreInfo(
            index_kind=index.kind,
            index_recall=index.recall,
            size_on_disk=sum(map(_size, self.folder.iterdir())),
        )

    def verify(self, *, repair: bool) -> StoreReport:
        """Read everything; a repair writes the catalogue anew from its whole rows, and the index from the catalogue."""
        if not self.exists():
            _ = self._catalogue  # tells how to make one
        if not repair:
            self._reopen_if_replaced()
            return self._verified(repair=False)
        self.close()  # nobody may have the file open while another one is put in its place
        with writing(self.folder):
            return self._verified(repair=True)

    # -- inside

    @property
    def _catalogue(self) -> Catalogue:
        with self._opening:
            if self._opened is None:
                self._opened = Catalogue(self.folder / CATALOGUE)
                self._opened_file = _identity(self._opened.path)
            return self._opened

    def _reopen_if_replaced(self) -> None:
        """Let go of a catalogue in whose place a repair has put another one."""
        if self._opened is not None and _identity(self._opened.path) != self._opened_file:
            self.close()

    def _verified(self, *, repair: bool) -> StoreReport:
        path = self.folder / CATALOGUE
        problems, mended, notes = _troubles(path), [], []
        if problems and repair:
            from siamese_search.gallery.local.repair import repair as repair_catalogue  # noqa: PLC0415  (rarely needed)

            repaired = repair_catalogue(path, _first_settings)
            said = f"the catalogue was written anew with {repaired.images:,} pictures; now index again"
            mended = [*problems, said, *repaired.notes]
            problems = _troubles(path)
        if not problems:
            catalogue = self._catalogue
            with catalogue.snapshot():
                state = self._index.state(catalogue)
                if state and repair:
                    self._index.path.unlink(missing_ok=True)
                    self._index.fresh(catalogue, is_writer=True, expected=True)
                    mended.append(f"{INDEX} was {state}; built anew")
                elif state == "damaged":
                    problems.append(f"{INDEX} is damaged; the next query, or simsearch index, builds it anew")
                elif state:
                    notes.append(f"{INDEX} is {state}; the next query, or simsearch index, builds it anew")
        return StoreReport(problems=tuple(problems), mended=tuple(mended), notes=tuple(notes))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in self.folder.iterdir()]
        except OSError as error:
            raise GalleryError(f"{self.folder}: cannot be made a gallery: {error.strerror}") from error
        foreign = [name for name in names if not name.lstrip(".").startswith((CATALOGUE, INDEX, LOCK))]
        if foreign:
            raise GalleryError(f"{self.folder}: holds other files ({foreign[0]}); name a new or empty folder")


def _cells(index: Index) -> Cells | None:
    return Cells(index.centroids, index.cell_of_row) if isinstance(index, CellIndex) else None


def _first_settings(location: str | None) -> Settings:
    """Return the settings of a new gallery with the encoder at a location, or with the one that ships."""
    return first_settings(load_encoder(location or DEFAULT_ENCODER))


def _troubles(path: Path) -> list[str]:
    """Return what is wrong with a gallery.db, in words."""
    try:
        catalogue = Catalogue(path)
    except DamagedError as error:
        return [f"{CATALOGUE} is damaged: {error.detail}"]
    try:
        return [f"{CATALOGUE} is damaged: {trouble}" for trouble in dict.fromkeys(catalogue.troubles())]
    finally:
        catalogue.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a writer's temporary file
        return 0
