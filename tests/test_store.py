"""What every store promises, asked of each in the same words: the seam under a gallery."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow.parquet import read_table, write_table

from memory_store import MemoryStore
from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import Embedded
from siamese_search.errors import DataError, EncoderError, GalleryError
from siamese_search.gallery import Gallery
from siamese_search.gallery.local.store import LocalStore
from siamese_search.gallery.milvus.store import MilvusStore
from siamese_search.gallery.store import AnswerRow, SkippedFile, Store
from siamese_search.results import Answer, ImageFile

DIM = 8
SETTINGS = {
    "encoder": {"name": "e", "location": "photo", "fingerprint": "f", "dim": DIM},
    "threshold": {"distance": 0.5, "source": "encoder"},
}
HOME = Path("/pictures")

Make = Callable[[], Store]


@pytest.fixture(params=["local", "cells", "memory", "milvus"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Give a function that opens the same store again, as another process would."""
    if request.param == "memory":
        kept = MemoryStore()
        return lambda: kept
    if request.param == "milvus":
        address = request.getfixturevalue("milvus_place")()
        return lambda: MilvusStore(address)
    exact_up_to = 4 if request.param == "cells" else 50_000
    return lambda: LocalStore(tmp_path / "gallery", exact_up_to=exact_up_to)


@pytest.fixture
def store(make: Make) -> Store:
    """Make an empty gallery."""
    store = make()
    with store.writing():
        store.create(SETTINGS)
    return store


def file(name: str, *, size: int = 10) -> ImageFile:
    """Return a file under HOME."""
    return ImageFile(path=HOME / name, size=size, mtime_ns=1_600_000_000_000_000_001)


def vectors(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors."""
    some = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return some / np.linalg.norm(some, axis=1, keepdims=True)


def embedded(name: str, vector: NDArray[np.float32], *, content: int = 0) -> Embedded:
    """Return what a file was embedded as."""
    return Embedded(path=HOME / name, vector=vector, content_hash=f"{content:032x}", width=3, height=2, format="PNG")


def fill(store: Store, some: NDArray[np.float32], *, start: int = 0) -> None:
    """Add pictures n0, n1, ... with these embeddings."""
    with store.writing(), store.transaction():
        store.add_root(HOME)
        for place, vector in enumerate(some, start=start):
            store.add(file(f"n{place}"), embedded(f"n{place}", vector, content=place + 1))


def test_nothing_is_there_before_it_is_made(make: Make) -> None:
    """A store that was never written to does not exist, and says so when it is read."""
    store = make()
    assert not store.exists()
    with pytest.raises(GalleryError, match="no gallery"):
        store.count()


def test_what_was_written_is_read_by_others(store: Store, make: Make) -> None:
    """Settings, roots, pictures, skipped files and answers come back as they were, in order."""
    fill(store, vectors(3))
    entry = SkippedFile(file=file("broken"), reason="damaged: \udcff is no text")
    answer = AnswerRow("0" * 31 + "1", "0" * 31 + "2", Answer.DIFFERENT, 12.5)
    with store.writing(), store.transaction():
        store.skip(entry)
        store.set_setting("threshold", {"distance": 0.25, "source": "option"})
    store.set_answer(answer)
    store.close()
    other = make()
    assert other.exists()
    assert other.settings()["threshold"]["distance"] == 0.25
    assert other.settings()["encoder"] == SETTINGS["encoder"]
    assert other.roots() == (HOME,)
    items = other.items()
    assert [item.path.name for item in items] == ["n0", "n1", "n2"]
    assert [item.id for item in items] == sorted(item.id for item in items)
    assert (items[0].size, items[0].mtime_ns) == (10, 1_600_000_000_000_000_001)
    assert (items[1].content_hash, items[1].width, items[1].height, items[1].format) == (f"{2:032x}", 3, 2, "PNG")
    assert [skipped.file for skipped in other.skipped()] == [entry.file]
    assert other.answers() == [answer]
    assert other.count() == 3


def test_a_transaction_is_whole_or_not_at_all(store: Store) -> None:
    """What is raised inside takes everything back."""
    fill(store, vectors(2))

    def fail() -> None:
        with store.writing(), store.transaction():
            store.add(file("new"), embedded("new", vectors(1)[0]))
            store.remove([item.id for item in store.items()][:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [item.path.name for item in store.items()] == ["n0", "n1"]


def test_names_keep_their_bytes(store: Store) -> None:
    """Names that are no text, hold line breaks and quotes, or are as long as they can be come back as they were."""
    names = ("caf\udce9.png", "two\nlines \"and' \\u00e9.png", "\u96ea/" * 60 + "x" * 255)
    with store.writing(), store.transaction():
        store.add_root(HOME)
        for place, name in enumerate(names):
            store.add(file(name), embedded(name, vectors(3)[place], content=place))
        store.skip(SkippedFile(file=file("\udcff"), reason="damaged"))
    assert [item.path for item in store.items()] == [HOME / name for name in names]
    assert [entry.file.path for entry in store.skipped()] == [HOME / "\udcff"]


def test_items_are_found_by_folder_and_by_id(store: Store) -> None:
    """A scope is a path, not a prefix of a name; unknown ids are left out."""
    with store.writing(), store.transaction():
        store.add_root(HOME)
        for place, name in enumerate(("a/1", "a/b/2", "ab/3")):
            store.add(file(name), embedded(name, vectors(3)[place], content=place))
    assert [item.path.name for item in store.items([HOME / "a"])] == ["1", "2"]
    assert [item.path.name for item in store.items([HOME / "ab", HOME / "a/b"])] == ["2", "3"]
    first = store.items()[0]
    assert store.items_by_id([first.id, 999]) == {first.id: first}


def test_the_latest_come_page_by_page(store: Store) -> None:
    """From the last one back, each once; words are found in the whole path, whatever the case."""
    assert store.latest(5) == []
    fill(store, vectors(7))
    with store.writing(), store.transaction():
        store.add(file("Große/Lake.JPG"), embedded("Große/Lake.JPG", vectors(1, seed=1)[0], content=99))
    items = {item.id: item for item in store.items()}
    newest = sorted(items, reverse=True)
    assert [item.id for item in store.latest(3)] == newest[:3]
    assert [item.id for item in store.latest(3, before=newest[2])] == newest[3:6]
    assert [item.id for item in store.latest(9, before=newest[5])] == newest[6:]
    assert store.latest(3, before=newest[-1]) == []
    assert [str(item.path) for item in store.latest(9, words=["grosse", "lake.j"])] == [str(HOME / "Große/Lake.JPG")]
    numbered = store.latest(9, words=["pictures/n"])
    assert [item.id for item in numbered] == newest[1:]
    assert store.latest(2, before=numbered[2].id, words=["/n"]) == numbered[3:5]
    assert store.latest(9, words=["nowhere"]) == []


def test_ids_are_given_once(store: Store) -> None:
    """A picture that was removed leaves its id behind."""
    fill(store, vectors(2))
    last = store.items()[-1].id
    with store.writing(), store.transaction():
        store.remove([last])
    fill(store, vectors(1), start=7)
    assert store.items()[-1].id > last


def test_pictures_move_and_change(store: Store) -> None:
    """A move keeps id, content and embedding; a change keeps the id alone."""
    fill(store, vectors(2))
    one, two = store.items()
    before = store.vectors_of([one.id])
    with store.writing(), store.transaction():
        store.move(one.id, file("elsewhere", size=11))
        store.add(file("n1", size=12), embedded("n1", vectors(1, seed=5)[0], content=77), item=two.id)
    moved, changed = store.items()
    assert (moved.id, moved.path.name, moved.size, moved.content_hash) == (one.id, "elsewhere", 11, one.content_hash)
    assert (changed.id, changed.size, changed.content_hash) == (two.id, 12, f"{77:032x}")
    assert np.array_equal(store.vectors_of([one.id]), before)


def test_roots_hold_one_another(store: Store) -> None:
    """A root around others takes them in; moved, its pictures move along; emptied, it can go."""
    with store.writing(), store.transaction():
        store.add_root(HOME / "a")
        store.add(file("a/1"), embedded("a/1", vectors(1)[0]))
        store.add_root(HOME / "b")
        store.add_root(HOME)
        store.add_root(HOME / "a" / "deeper")
    assert store.roots() == (HOME,)
    with store.writing(), store.transaction():
        store.move_root(HOME, Path("/elsewhere"))
    assert [str(item.path) for item in store.items()] == ["/elsewhere/a/1"]
    with store.writing(), store.transaction():
        store.remove([item.id for item in store.items()])
        store.remove_roots([Path("/elsewhere")])
    assert store.roots() == ()


def test_skipped_files_are_tried_again(store: Store) -> None:
    """A skipped file that became a picture, or was told to be forgotten, is skipped no more."""
    with store.writing(), store.transaction():
        store.add_root(HOME)
        for name in ("z", "b", "c"):
            store.skip(SkippedFile(file=file(name), reason="damaged"))
        store.add(file("b"), embedded("b", vectors(1)[0]))
        store.unskip([HOME / "c"])
    assert [entry.file.path.name for entry in store.skipped()] == ["z"]


def test_answers_are_replaced_and_taken_back(store: Store) -> None:
    """The last word counts; taking back what was never said is nothing."""
    for answer, time in ((Answer.SAME, 2.0), (Answer.DIFFERENT, 3.0)):
        store.set_answer(AnswerRow("a", "b", answer, time))
    store.set_answer(AnswerRow("a", "c", Answer.SAME, 1.0))
    assert store.answers() == [AnswerRow("a", "c", Answer.SAME, 1.0), AnswerRow("a", "b", Answer.DIFFERENT, 3.0)]
    store.remove_answer("a", "b")
    store.remove_answer("x", "y")
    assert store.answers() == [AnswerRow("a", "c", Answer.SAME, 1.0)]


def test_searches_are_those_of_plain_arithmetic(store: Store) -> None:
    """Nearest first, ties by id, distances those of the stored embeddings, itself at 0."""
    some = vectors(40)
    some[7] = some[3]
    fill(store, some)
    ids = [item.id for item in store.items()]
    kept = store.vectors_of(ids).astype(np.float64)
    for query, hits in zip(some, store.search(some, 40), strict=True):
        own = kept[int(np.argmin(np.linalg.norm(kept - query, axis=1)))]
        true = sorted((float(np.linalg.norm(vector - own)), id_) for vector, id_ in zip(kept, ids, strict=True))
        assert [id_ for id_, _ in hits] == [id_ for _, id_ in true]
        assert np.allclose([distance for _, distance in hits], [distance for distance, _ in true], atol=1e-7)
        assert hits[0][1] == 0.0
    assert [len(hits) for hits in store.search(some[:2], 3)] == [3, 3]
    for hits, within in zip(store.search(some, 40), store.within(some, 0.9), strict=True):
        assert within == [hit for hit in hits if hit[1] <= 0.9]


def test_an_empty_gallery_answers(store: Store) -> None:
    """There is nothing to find, and that is no error."""
    assert store.search(vectors(2), 5) == [[], []]
    assert store.within(vectors(1), 2.0) == [[]]
    assert len(store.embeddings()[0]) == 0
    assert store.items() == []


def test_embeddings_come_in_the_order_of_their_ids(store: Store) -> None:
    """Codes and ids agree with the vectors that are read one by one, and an unknown id is a KeyError."""
    fill(store, vectors(20))
    ids, codes = store.embeddings()
    cells = store.cells()
    assert ids.tolist() == [item.id for item in store.items()]
    assert len(codes) == 20
    assert cells is None or len(cells.cell_of_row) == 20
    with pytest.raises(KeyError):
        store.vectors_of([10_000])


def test_a_vector_without_direction_is_refused(store: Store) -> None:
    """The picture is named by the error, and nothing is kept."""
    with pytest.raises(EncoderError, match="n0"):
        fill(store, np.zeros((1, DIM), np.float32))
    assert store.count() == 0


def test_reads_belong_together_in_a_snapshot(store: Store, make: Make) -> None:
    """What another thread writes meanwhile is seen afterwards, not in between."""
    fill(store, vectors(3))
    other = make()
    writer = threading.Thread(target=lambda: fill(other, vectors(2, seed=3), start=10))
    with store.snapshot():
        before = store.count()
        writer.start()
        if not isinstance(store, MemoryStore):  # there the writer waits
            writer.join()
        assert store.count() == before == len(store.items()) == len(store.embeddings()[0])
        assert len(store.search(vectors(1), 99)[0]) == before
    writer.join()
    assert store.count() == 5
    assert len(store.search(vectors(1), 99)[0]) == 5


def test_threads_share_a_store(store: Store) -> None:
    """Several threads read at once, each its own connection, while another one writes."""
    fill(store, vectors(6))
    expected = store.search(vectors(6), 3)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                with store.snapshot():
                    assert len(store.items()) == store.count()
                assert [hits[0] for hits in store.search(vectors(6), 3)] == [hits[0] for hits in expected]
        except BaseException as error:  # noqa: BLE001  told by the test
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    fill(store, vectors(4, seed=9), start=20)
    for thread in threads:
        thread.join()
    assert not failures, failures
    store.close()


def test_a_sound_store_verifies(store: Store) -> None:
    """Nothing is wrong with what was just written, and a repair changes nothing."""
    fill(store, vectors(9))
    assert store.verify(repair=False).problems == ()
    assert store.verify(repair=True).mended == ()
    assert store.info().index_recall > 0.5


def test_a_gallery_works_over_every_store(make: Make, photos: Path, encoder: Encoder) -> None:
    """Indexing, searching, comparing, answering and forgetting ask for nothing beyond the seam."""
    gallery = Gallery(make(), encoder=encoder)
    assert gallery.sync([photos], calibrate=False).added == 9
    assert gallery.sync([photos], calibrate=False).unchanged == 9
    assert gallery.search(photos / "coffee.png", k=2)[0].distance == 0.0
    (pair,) = [pair for pair in gallery.pairs(0.0) if pair.distance == 0.0][:1]
    coffee, rocket = (next(i.id for i in gallery.items() if i.path.stem == stem) for stem in ("coffee", "rocket"))
    gallery.answers.set(coffee, rocket, "different")
    assert [answer.answer for answer in gallery.answers.all()] == ["different"]
    assert pair.first < pair.second
    assert gallery.verify().problems == ()
    assert gallery.remove([photos / "copies"]) == 3
    assert len(gallery) == 6
    gallery.close()


def test_a_gallery_moves_from_store_to_store(make: Make, tmp_path: Path) -> None:
    """Written to Parquet, brought into another store and written again, the tables and the answers are the same."""
    store = make()
    with store.writing():
        store.create(SETTINGS)
    fill(store, vectors(5))
    with store.writing(), store.transaction():
        store.add(file("caf\udce9"), embedded("caf\udce9", vectors(1, seed=4)[0], content=50))
        store.skip(SkippedFile(file=file("\udcff"), reason="damaged"))
        store.set_setting("threshold", {"distance": 0.25, "source": "option"})
    store.set_answer(AnswerRow("a", "b", Answer.SAME, 2.5))
    one, other = Gallery(store), Gallery(MemoryStore())
    assert one.export(tmp_path / "one.parquet") == 6
    assert other.take_in(tmp_path / "one.parquet") == 6
    assert other.export(tmp_path / "other.parquet") == 6
    tables = [read_table(tmp_path / name) for name in ("one.parquet", "other.parquet")]
    assert tables[0].equals(tables[1], check_metadata=True)
    assert other.take_in(tmp_path / "one.parquet") == 0
    back = make()
    with back.writing(), back.transaction():
        back.remove([item.id for item in back.items()])
    assert Gallery(back).take_in(tmp_path / "other.parquet") == 6
    assert [item.path for item in back.items()] == [item.path for item in other.items()]
    assert back.skipped() == store.skipped() != []
    assert np.array_equal(back.embeddings()[1], other._store.embeddings()[1])  # noqa: SLF001
    assert back.answers() == [AnswerRow("a", "b", Answer.SAME, 2.5)]


def test_what_is_no_exported_gallery_is_refused(make: Make, tmp_path: Path) -> None:
    """A file of another kind, another encoder's and a path out of all folders each end in one line."""
    store = MemoryStore()
    store.create({**SETTINGS, "encoder": {**SETTINGS["encoder"], "fingerprint": "g"}})
    fill(store, vectors(2))
    exported = tmp_path / "exported.parquet"
    Gallery(store).export(exported)
    (tmp_path / "text.parquet").write_text("no table")
    write_table(read_table(exported).replace_schema_metadata(None), tmp_path / "foreign.parquet")
    target = make()
    with target.writing():
        target.create(SETTINGS)
    for name in ("text", "foreign"):
        with pytest.raises(DataError, match=f"{name}.parquet: not a gallery"):
            Gallery(target).take_in(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="another encoder"):
        Gallery(target).take_in(exported)
    assert target.items() == []


def test_another_encoder_embeds_everything_anew(make: Make, photos: Path, encoder: Encoder) -> None:
    """Every store takes another encoder in one transaction, with all pictures waiting, and then their embeddings."""
    gallery = Gallery(make(), encoder=encoder)
    gallery.sync([photos], calibrate=False)
    coffee, rocket = (next(i.id for i in gallery.items() if i.path.stem == stem) for stem in ("coffee", "rocket"))
    gallery.answers.set(coffee, rocket, "different")
    store = make()
    with store.writing(), store.transaction():
        store.set_setting("encoder", {**store.settings()["encoder"], "fingerprint": "f" * 32})
    asked = iter([False, False, True])
    assert gallery.sync(calibrate=False, stop=lambda: next(asked)).re_embedded == 3
    assert (len(gallery), gallery.waiting) == (3, 6)
    assert len([*gallery.search(photos / "coffee.png", k=9, details=False).files(copies=True)]) <= 3
    assert gallery.sync(calibrate=False).re_embedded == 6
    assert gallery.search(photos / "coffee.png", k=1)[0].distance == 0.0
    assert len(gallery.answers.all()) == 1
    assert gallery.verify().problems == ()
    gallery.close()
