"""Large galleries: what a search by cells finds, how cells grow, and that damage is noticed where it is touched."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # its files are run, not installed

from filled import filled_gallery
from siamese_search.gallery import Gallery
from siamese_search.gallery.codes import decode, encode
from siamese_search.gallery.local.catalogue import CATALOGUE, Catalogue
from siamese_search.gallery.local.cells import CellIndex
from siamese_search.gallery.local.index import INDEX
from siamese_search.gallery.local.indexfile import StaleIndexError
from siamese_search.gallery.local.partition import grown, partition
from siamese_search.gallery.local.store import LocalStore

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
LARGE = 100  # pictures are a large gallery here


class Shelf:
    """Embeddings as a catalogue would give them, and how many of them were read."""

    def __init__(self, vectors: Vectors) -> None:
        self.codes = encode(vectors)
        self.vectors = decode(self.codes, vectors.shape[1])
        self.ids = np.arange(3, 3 + 2 * len(vectors), 2)
        self.checksums = np.arange(len(vectors)) * 7919 + 5
        self.was_read = 0

    def read(self, ids: list[int]) -> Vectors:
        """Return some embeddings."""
        self.was_read += len(ids)
        rows = {int(item): row for row, item in enumerate(self.ids)}
        return self.vectors[[rows[item] for item in ids]]

    def partition(self) -> CellIndex:
        """Make cells of all."""
        dim = self.vectors.shape[1]
        return partition(self.ids, self.checksums, self.codes, dim=dim, generation=1, read=self.read)


def unit(rows: NDArray[np.floating]) -> Vectors:
    """Return the rows at unit length."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int, dim: int, seed: int = 0) -> Vectors:
    """Return unit vectors around some middles."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(max(n // 40, 1), dim))
    return unit(middles[rng.integers(len(middles), size=n)] + 0.5 * rng.normal(size=(n, dim)))


def nearest(shelf: Shelf, query: Vectors, k: int) -> list[tuple[int, float]]:
    """Return the true answer, slowly and obviously."""
    apart = np.sqrt(((shelf.vectors.astype(np.float64) - query) ** 2).sum(axis=1))
    return sorted(zip(apart.tolist(), shelf.ids.tolist(), strict=True))[:k]


@pytest.mark.parametrize("dim", [2, 3, 16, 64, 256])
def test_a_search_finds_what_was_measured(dim: int) -> None:
    """The share of true neighbours found is the one stored, distances are exact, the order is by distance, then id."""
    shelf = Shelf(clustered(3000, dim))
    index = shelf.partition()
    assert index.recall >= 0.95
    assert index.about.probes < index.about.cells / 2
    rows = np.random.default_rng(7).permutation(3000)[:150]
    wanted = found = 0
    for row, hits in zip(rows, index.search(shelf.vectors[rows], k=10), strict=True):
        true = nearest(shelf, shelf.vectors[row], 10)
        assert hits[0][1] == 0.0
        assert hits == sorted(hits, key=lambda hit: (hit[1], hit[0]))
        for item, distance in hits:
            (place,) = np.flatnonzero(shelf.ids == item)
            expected = np.linalg.norm(shelf.vectors[place].astype(np.float64) - shelf.vectors[row])
            assert distance == pytest.approx(expected, abs=1e-12)
        wanted += len(true)
        found += sum(distance <= true[-1][0] for _, distance in hits)
    assert found / wanted == pytest.approx(index.recall, abs=0.04)


@pytest.mark.parametrize("n", [1, 2, 9, 30])
def test_few_pictures_and_many_hits(n: int) -> None:
    """All are found when all are asked for, however few there are."""
    shelf = Shelf(clustered(n, 8))
    hits = shelf.partition().search(shelf.vectors[:1], k=500)[0]
    assert [item for item, _ in hits] == [item for _, item in nearest(shelf, shelf.vectors[0], n)]


def test_more_hits_than_the_cells_hold() -> None:
    """More cells are looked into until there are as many as were asked for."""
    shelf = Shelf(clustered(1000, 16))
    index = shelf.partition()
    hits = index.search(shelf.vectors[:3], k=900)
    assert [len(found) for found in hits] == [900, 900, 900]


def test_many_equal_pictures_are_no_trouble() -> None:
    """A gallery of one picture over and over has cells as well."""
    shelf = Shelf(np.repeat(clustered(1, 16), 2000, axis=0))
    index = shelf.partition()
    assert index.recall >= 0.95
    assert [distance for _, distance in index.search(shelf.vectors[:1], k=5)[0]] == [0.0] * 5
    assert len(index.members()) == 2000  # most cells are empty


def test_where_each_picture_lives() -> None:
    """The cell of each picture, in the order of ids, is that of the nearest centroid."""
    shelf = Shelf(clustered(700, 16))
    index = shelf.partition()
    squares = ((shelf.vectors[:, None] - index.centroids[None]) ** 2).sum(axis=2)
    chosen = squares[np.arange(700), index.cell_of_row]
    assert chosen == pytest.approx(squares.min(axis=1), abs=1e-5)


# -- on disk


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Shelf, Path]:
    """Save an index of 60 pictures."""
    shelf = Shelf(clustered(60, 8))
    shelf.partition().save(tmp_path / INDEX)
    return shelf, tmp_path / INDEX


def test_a_saved_index_answers_the_same(saved: tuple[Shelf, Path]) -> None:
    """Saving and opening keeps every answer and leaves no other file behind; replacing the file changes nothing."""
    shelf, path = saved
    loaded = CellIndex.load(path, dim=8, read=shelf.read)
    assert loaded.about == shelf.partition().about
    path.write_bytes(b"")
    path.unlink()
    shelf.partition().save(path)
    loaded = CellIndex.load(path, dim=8, read=shelf.read)
    path.rename(path.with_name("old"))
    path.write_bytes(b"another")
    assert loaded.search(shelf.vectors, k=4) == shelf.partition().search(shelf.vectors, k=4)
    assert sorted(file.name for file in path.parent.iterdir()) == [INDEX, "old"]


def test_every_flipped_byte_is_noticed(saved: tuple[Shelf, Path]) -> None:
    """In the head when the file is opened, in a cell when it is looked into; never does it pass."""
    shelf, path = saved
    whole = path.read_bytes()
    seen = {"opened": 0, "looked into": 0}
    for place in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        when = "opened"
        try:
            loaded = CellIndex.load(path, dim=8, read=shelf.read)
            when = "looked into"
            loaded.members()
        except StaleIndexError:
            seen[when] += 1
        else:
            assert whole[place : place + 1] == b" ", "only the filling of the header's line may change without harm"
    assert min(seen.values()) > 50


def test_only_the_cells_probes_are_checked(saved: tuple[Shelf, Path]) -> None:
    """A damaged cell far from the query does no harm, the one nearest to it is refused."""
    shelf, path = saved
    index = shelf.partition()
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1  # in the last cell that holds any
    path.write_bytes(whole)
    last = int(np.flatnonzero(np.bincount(index.cell_of_row))[-1])
    squares = ((index.centroids - index.centroids[last]) ** 2).sum(axis=1)
    far = unit(index.centroids[[int(squares.argmax())]])
    loaded = CellIndex.load(path, dim=8, read=shelf.read)
    loaded.search(far, k=1)
    with pytest.raises(StaleIndexError, match="damaged"):
        loaded.search(shelf.vectors[index.cell_of_row == last], k=1)


@pytest.mark.parametrize("length", [0, 5, 60, 300, 2000, -1])
def test_cut_files_are_refused(saved: tuple[Shelf, Path], length: int) -> None:
    """A file cut short at any point, of other dimensions, or missing, is stale."""
    shelf, path = saved
    with pytest.raises(StaleIndexError):
        CellIndex.load(path, dim=9, read=shelf.read)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StaleIndexError):
        CellIndex.load(path, dim=8, read=shelf.read)
    path.unlink()
    with pytest.raises(StaleIndexError, match="missing"):
        CellIndex.load(path, dim=8, read=shelf.read)


# -- growth


def test_cells_follow_what_changes() -> None:
    """New, changed and removed pictures: the result is what filling the same cells anew gives; only those are read."""
    shelf = Shelf(clustered(1000, 16))
    old = shelf.partition()
    vectors = shelf.vectors.copy()
    vectors[100:110] = clustered(10, 16, seed=5)
    now = Shelf(np.concatenate([vectors, clustered(40, 16, seed=6)]))
    now.checksums[100:110] += 1
    stays = np.ones(len(now.ids), bool)
    stays[500:530] = False
    index = grown(old, now.ids[stays], now.checksums[stays], generation=2, read=now.read)
    assert index is not None
    assert now.was_read == 50
    assert (len(index), index.generation, index.about.trained) == (1010, 2, 1000)
    members = old.placed(now.ids[stays], now.checksums[stays], now.vectors[stays])
    expected = CellIndex.filled(index.about, old.centroids, members, read=now.read)
    for mine, theirs in zip(fields_of(index), fields_of(expected), strict=True):
        assert np.array_equal(mine, theirs)
    hits = index.search(now.vectors[[105, 1020]], k=1)
    assert hits == [[(int(now.ids[105]), 0.0)], [(int(now.ids[1020]), 0.0)]]


def fields_of(index: CellIndex) -> Iterator[NDArray[np.generic]]:
    """Yield what is in the cells."""
    members = index.members()
    yield from (members.ids, members.checksums, members.homes, members.codes)


@pytest.mark.parametrize(("n", "anew"), [(1999, False), (2000, True), (501, False), (500, True)])
def test_new_cells_are_due_when_the_number_doubles_or_halves(n: int, anew: bool) -> None:
    """Until then the old ones serve."""
    shelf, now = Shelf(clustered(1000, 4)), Shelf(clustered(n, 4))
    index = grown(shelf.partition(), now.ids, now.checksums, generation=2, read=now.read)
    assert (index is None) == anew


# -- in a gallery


@pytest.fixture
def large(tmp_path: Path) -> Gallery:
    """Fill a gallery with 600 embeddings of 16 numbers, which counts as large."""
    filled_gallery(tmp_path / "large", 600, dim=16)
    return Gallery(LocalStore(tmp_path / "large", exact_up_to=LARGE))


def opened_again(gallery: Gallery, told: list[str] | None = None) -> Gallery:
    """Open a gallery in another object, as another process would."""
    notice = told.append if told is not None else None
    return Gallery(LocalStore(Path(gallery.location), exact_up_to=LARGE, notice=notice))


def without(gallery: Gallery, *items: int) -> None:
    """Forget items as another process would."""
    catalogue = Catalogue(Path(gallery.location) / CATALOGUE)
    with catalogue.transaction():
        catalogue.remove(items)
    catalogue.close()


def test_the_kind_of_index_follows_the_size(large: Gallery) -> None:
    """Up to the limit an index is exact, beyond it has cells; `info` tells which, and how much it finds."""
    about = large.info()
    assert about.index_kind.startswith("cells (IVF 98, 8 bits), recall@10 ")
    assert about.index_kind.endswith(" cells")
    assert 0.95 <= about.index_recall <= 1
    exact = Gallery(LocalStore(Path(large.location), exact_up_to=600))
    assert (exact.info().index_kind, exact.info().index_recall) == ("exact", 1.0)
    assert opened_again(large).info().index_kind == about.index_kind


def test_both_kinds_give_the_same_distances(large: Gallery) -> None:
    """What both find has the same distance to the last bit, and a stored embedding finds itself at 0."""
    vectors = large.vectors_of(range(1, 100))
    cells = large.search_vectors(vectors, k=10)
    exact = Gallery(LocalStore(Path(large.location), exact_up_to=600)).search_vectors(vectors, k=10)
    same = 0
    for found, true in zip(cells, exact, strict=True):
        apart = {hit.path: hit.distance for hit in true}
        assert found[0].distance == 0.0
        assert all(apart.get(hit.path, hit.distance) == hit.distance for hit in found)
        same += len(apart.keys() & {hit.path for hit in found})
    assert same >= 0.9 * 990


def test_a_damaged_cell_is_built_anew_when_it_is_touched(large: Gallery) -> None:
    """The answer is the right one, the user is told once, and the file is whole again."""
    vectors = large.vectors_of(range(1, 601))
    expected = large.search_vectors(vectors, k=3)
    path = Path(large.location) / INDEX
    whole = path.read_bytes()
    path.write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
    told: list[str] = []
    again = opened_again(large, told)
    assert f"{INDEX} is damaged; the next query, or simsearch index, builds it anew" in large.verify().problems
    assert again.search_vectors(vectors, k=3) == expected
    assert told == [f"{path}: was damaged; built anew from {CATALOGUE}"]
    assert path.read_bytes() == whole
    assert not any(INDEX in problem for problem in large.verify().problems)


def test_a_forged_cell_is_not_believed(large: Gallery) -> None:
    """Ids that are not in the catalogue are no answer, whatever the checksums say."""
    large.info()
    vectors = large.vectors_of([5])
    expected = large.search_vectors(vectors, k=3)
    index = CellIndex.load(Path(large.location) / INDEX, dim=16, read=large.vectors_of)
    members = index.members()
    members.ids[:] += 10_000
    CellIndex.filled(index.about, index.centroids, members, read=large.vectors_of).save(Path(large.location) / INDEX)
    told: list[str] = []
    assert opened_again(large, told).search_vectors(vectors, k=3) == expected
    assert len(told) == 1


def test_a_gallery_grows_without_new_cells(large: Gallery) -> None:
    """Pictures that are gone leave their cells, which stay what they were; an open reader follows."""
    large.info()
    before = CellIndex.load(Path(large.location) / INDEX, dim=16, read=large.vectors_of)
    reader = opened_again(large)
    vectors = large.vectors_of([7, 8])
    assert reader.search_vectors(vectors, k=1)[0][0].distance == 0.0
    without(large, 7)
    told: list[str] = []
    opened_again(large, told).search_vectors(vectors, k=1)
    assert told == [f"{Path(large.location) / INDEX}: was out of date; built anew from {CATALOGUE}"]
    after = CellIndex.load(Path(large.location) / INDEX, dim=16, read=large.vectors_of)
    assert np.array_equal(before.centroids, after.centroids)
    assert (len(after), after.about.trained) == (599, 600)
    hits = reader.search_vectors(vectors, k=1)
    assert hits[0][0].distance > 0
    assert hits[1][0].distance == 0.0
    assert len(before.members()) == 600  # whoever still has the old file has all of it


def test_a_gallery_that_shrinks_is_searched_exactly_again(large: Gallery) -> None:
    """Below the limit the index is exact."""
    large.info()
    without(large, *range(101, 601))
    assert large.info().index_kind == "exact"
    without(large, *range(1, 101))
    assert large.search_vectors(clustered(1, 16), k=3) == ((),)
    assert large.info().images == 0
