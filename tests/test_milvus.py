"""Galleries on a Milvus server: what becomes of writers that die or meet, of damage, and of the commands."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, astuple
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import pytest

from conftest import Run
from siamese_search.errors import BusyError, GalleryError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.gallery.milvus import lease as lease_module
from siamese_search.gallery.milvus import search as search_module
from siamese_search.gallery.milvus.lease import Claim
from siamese_search.gallery.milvus.rows import CLAIM, HEAD, PICTURES, RECORDS, picture_row, record_row
from siamese_search.gallery.milvus.server import Address, Server
from siamese_search.gallery.milvus.store import MilvusStore
from siamese_search.gallery.store import AnswerRow, DamagedError
from siamese_search.results import Answer
from test_store import SETTINGS, file, fill, vectors

Place = Callable[[], str]


@pytest.fixture
def store(milvus_place: Place) -> MilvusStore:
    """Make an empty gallery."""
    store = MilvusStore(milvus_place())
    with store.writing():
        store.create(SETTINGS)
    return store


ANSWER = AnswerRow("a", "b", Answer.SAME, 2.0)
DIFFERING = {"index", "folder", "gallery", "location", "seconds", "index_kind", "index_recall", "size_on_disk"}


def comparable(said: Any) -> Any:
    """Return what a command said without what depends on where the gallery is."""
    if isinstance(said, dict):
        return {name: comparable(value) for name, value in said.items() if name not in DIFFERING}
    return [comparable(value) for value in said] if isinstance(said, list) else said


def again(store: MilvusStore) -> MilvusStore:
    """Open the same gallery as another process would."""
    return MilvusStore(store.location)


# -- addresses


def test_an_address_names_server_and_gallery() -> None:
    """The port may be left out; what names no server or no collection is refused."""
    assert Address.of("milvus://box:1234/holiday_2") == Address("box", 1234, "holiday_2")
    assert Address.of("milvus://box/a").port == 19530
    for wrong in ("milvus://box", "milvus:///a", "milvus://box/a-b", "milvus://box/2a", "milvus://box:x/a"):
        with pytest.raises(OptionError, match="expected milvus://HOST:PORT/NAME"):
            Address.of(wrong)


def test_a_server_that_is_not_there_is_said(run: Run) -> None:
    """One line names the address, for commands that read and those that write."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for command in (("info",), ("dedupe",), ("index", ".")):
            done = run(*command, "--index", f"milvus://{address}/g")
            assert done.returncode == 1
            said = f"milvus://{address}/g: no Milvus server answers at {address}; start it, or look at the address"
            assert done.stderr.splitlines() == [f"simsearch: {said}"]


def test_a_missing_client_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    done = run("info", "--index", "milvus://127.0.0.1/g")
    assert done.returncode == 1
    assert "pip install 'siamese-search[milvus]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# -- writers

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from siamese_search.encoder.embed import Embedded
from siamese_search.gallery.milvus.store import MilvusStore
from siamese_search.results import ImageFile
new, moved = (ImageFile(path=Path("/pictures", name), size=1, mtime_ns=1) for name in ("new", "moved"))
shown = Embedded(path=new.path, vector=np.ones(8, np.float32), content_hash="0" * 32, width=1, height=1, format="PNG")
location, writes = sys.argv[1], int(sys.argv[2])
store = MilvusStore(location)
with store.writing(), store.transaction():
    store.remove([1])
    store.move(2, moved)
    store.add(new, shown)
    client, insert = store._server._client, store._server._client.insert
    def dying(*arguments, **options):
        global writes
        if not writes:
            os.kill(os.getpid(), signal.SIGKILL)
        writes -= 1
        return insert(*arguments, **options)
    client.insert = dying
"""


def test_a_killed_writer_leaves_all_or_nothing(milvus_place: Place) -> None:
    """Wherever it is killed, what it wrote counts when its head does; the next writer need not wait, and goes on."""
    stores = {writes: MilvusStore(milvus_place()) for writes in (1, 2, 3)}  # the last of three is the head
    for store in stores.values():
        with store.writing():
            store.create(SETTINGS)
        fill(store, vectors(3))
    before, after = ["n0", "n1", "n2"], ["moved", "n2", "new"]
    writers = [
        subprocess.Popen([sys.executable, "-c", KILLED, store.location, str(writes)], cwd=Path(__file__).parent)
        for writes, store in stores.items()
    ]
    assert [writer.wait(60) for writer in writers] == [-9, -9, 0]
    for writes, store in stores.items():
        expected = before if writes < 3 else after
        assert [item.path.name for item in store.items()] == expected
        fill(store, vectors(2, seed=3), start=10)
        assert [item.path.name for item in store.items()] == [*expected, "n10", "n11"]
        assert len(store.search(vectors(1), 99)[0]) == store.count() == 5
        assert store.verify(repair=False).problems == ()
        assert store._server.count(PICTURES, "row >= 0", strong=True) == (5 if writes < 3 else 7)  # noqa: SLF001


def test_writers_wait_for_one_another(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited in vain is told who writes; what was said about pairs is kept all the same."""
    monkeypatch.setattr(lease_module, "WAIT_SECONDS", 0.2)
    fill(store, vectors(2))
    other = again(store)
    with store.writing():
        with pytest.raises(BusyError, match=r"busy, process \d+ on .*, since .* is writing to it"):
            fill(other, vectors(1), start=5)
        other.set_answer(ANSWER)
    fill(other, vectors(1), start=5)
    assert store.count() == 3
    assert store.answers() == [ANSWER]


def test_the_claim_of_another_machine_ends_with_its_time(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer on another machine that fell silent is waited for as long as its claim says."""
    monkeypatch.setattr(lease_module, "WAIT_SECONDS", 0.2)
    claim = Claim(number=1, until=time() + 60, since=time(), process=1, host="elsewhere", machine="x", started="1")
    store._server.replace(RECORDS, [record_row(5, CLAIM, asdict(claim))])  # noqa: SLF001
    with pytest.raises(BusyError, match="process 1 on elsewhere"):
        fill(store, vectors(1))
    late = asdict(claim) | {"until": time() - 1}
    store._server.replace(RECORDS, [record_row(5, CLAIM, late)])  # noqa: SLF001
    fill(store, vectors(1))
    assert store.count() == 1


def test_a_writer_that_stood_still_writes_no_more(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one may have taken its place."""
    monkeypatch.setattr(lease_module, "_SURE_SECONDS", 0.0)
    with pytest.raises(GalleryError, match="stood still"):
        fill(store, vectors(1))
    assert store.settings() == SETTINGS


# -- damage


def test_damage_is_found_and_mended(store: MilvusStore) -> None:
    """A changed row, one that is there twice, one that is lost and a wrong number are said; a repair ends them."""
    fill(store, vectors(6))
    server: Server = store._server  # noqa: SLF001
    rows = server.query(PICTURES, "item in [1, 2, 3]", ["*"], strong=True)
    changed, double, lost = sorted(rows, key=lambda row: row["item"])
    server.replace(PICTURES, [changed | {"size": 99}])
    (about,) = store.items_by_id([2]).values()
    here = (double["base"], Path(double["path"]))
    server.insert(PICTURES, [picture_row(double["row"] - 1000, 2, here, file("n1"), about, double["embedding"])])
    server.delete(PICTURES, [lost["row"]])
    other = again(store)
    assert other.verify(repair=False).problems == (
        "1 pictures are not as they were written",
        "1 pictures are in it twice",
    )
    assert other.verify(repair=True).problems == ()
    assert other.verify(repair=False).problems == ()
    assert sorted(item.path.name for item in other.items()) == ["n1", "n3", "n4", "n5"]
    assert other.count() == 4
    server.delete(PICTURES, [row["row"] for row in server.query(PICTURES, "item == 4", ["row"])])
    assert again(store).verify(repair=False).problems == ("1 pictures are not there",)


def test_a_strangers_gallery_leads_nowhere(store: MilvusStore) -> None:
    """A path out of its folder is damage; a head of a newer version is called so, and is not written over."""
    fill(store, vectors(1))
    server: Server = store._server  # noqa: SLF001
    (row,) = server.query(PICTURES, "item == 1", ["*"])
    server.replace(PICTURES, [row | {"path": "../secret"}])
    with pytest.raises(DamagedError, match="below no folder"):
        again(store).items()
    server.insert(RECORDS, [record_row(1 << 62, HEAD, {"format": 2})])
    server.count(RECORDS, f"kind == {HEAD}", strong=True)  # now others read it too
    for ask in (again(store).items, lambda: fill(again(store), vectors(1))):
        with pytest.raises(GalleryError, match="newer version"):
            ask()


# -- searching


def test_more_than_an_answer_holds_is_compared(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server gives is bounded; the rest is found by comparing."""
    fill(store, vectors(30))
    expected = store.within(vectors(30), 2.0), store.search(vectors(30), 25)
    assert [len(hits) for hits in expected[0]] == [30] * 30
    monkeypatch.setattr(search_module, "_FIRST_WITHIN", 2)
    monkeypatch.setattr(search_module, "MAX_HITS", 10)
    assert (store.within(vectors(30), 2.0), store.search(vectors(30), 25)) == expected


def test_pairs_are_the_same_asked_and_compared(store: MilvusStore) -> None:
    """A large gallery's pairs are found by the server; they are those of plain comparing, equal pictures included."""
    some = vectors(60)
    some[7] = some[8] = some[3]
    fill(store, some)
    compared, asked = Gallery(store), Gallery(MilvusStore(store.location, compared_up_to=10))
    expected, pairs = (sorted(map(astuple, gallery.pairs(0.8))) for gallery in (compared, asked))
    assert len(expected) > 3
    assert [pair[:2] for pair in pairs] == [pair[:2] for pair in expected]
    assert np.allclose([pair[2] for pair in pairs], [pair[2] for pair in expected], atol=1e-7)


def test_much_is_sealed_and_found(store: MilvusStore) -> None:
    """What is worth an index gets one when its writer is done; the nearest and all pairs are found before and after."""
    some = vectors(1100)
    fill(store, some)
    assert store._reader.required().unsealed == 0  # noqa: SLF001
    fill(store, vectors(5, seed=8), start=2000)
    assert store._reader.required().unsealed == 5  # noqa: SLF001
    kept = store.vectors_of(range(1, 1106))
    for query, hits in zip(some[:20], store.search(some[:20], 5), strict=True):
        nearest = np.argsort(np.linalg.norm(kept - query, axis=1), kind="stable")[:5] + 1
        assert [id_ for id_, _ in hits] == nearest.tolist()


# -- commands


def test_commands_say_what_they_say_of_a_folder(photos: Path, milvus_place: Place, run: Run, tmp_path: Path) -> None:
    """Index, which calibrates, query, dedupe, info, verify and remove give the same, whatever keeps the gallery."""
    said = []
    for index in (str(tmp_path / "folder"), milvus_place()):
        commands = (
            ("index", photos),
            ("query", photos / "coffee.png", "-k", "4"),
            ("dedupe",),
            ("info",),
            ("verify", "--files"),
            ("remove", photos / "copies"),
        )
        done = [run(*command, "--index", index, "--json") for command in commands]
        assert [each.returncode for each in done] == [0] * len(commands), [each.stderr for each in done]
        said.append([comparable(json.loads(each.stdout)) for each in done])
    assert said[0] == said[1]


def test_a_gallery_moves_to_a_server_and_back(photos: Path, milvus_place: Place, run: Run, tmp_path: Path) -> None:
    """Exported and imported, there and back, queries give the same as before; nothing is embedded again."""
    place = milvus_place()
    steps = [
        ("index", photos, "--index", "first"),
        ("export", "one.parquet", "--index", "first"),
        ("import", "one.parquet", "--index", place),
        ("export", "two.parquet", "--index", place),
        ("import", "two.parquet", "--index", "second"),
    ]
    done = [run(*step, "--json") for step in steps]
    assert [each.returncode for each in done] == [0] * len(steps), [each.stderr for each in done]
    assert json.loads(done[2].stdout) == {"added": 9, "images": 9, "index": place}
    said = [run("dedupe", "--json", "--index", index).stdout for index in ("first", place, "second")]
    assert comparable(json.loads(said[0])) == comparable(json.loads(said[1])) == comparable(json.loads(said[2]))
    assert json.loads(run("index", "--json", "--index", "second").stdout)["unchanged"] == 9
    assert (tmp_path / "one.parquet").is_file()
