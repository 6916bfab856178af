"""Serving duplicates: to a clumsy person, to a hostile one, and to one whose server ends in the middle."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from conftest import Planned
from siamese_search.actions import apply_plan, undo_journal, write_plan
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.web.app import Access
from siamese_search.web.jobs import StoppedError
from siamese_search.web.service import Service
from test_actions import tree
from test_serve_jobs import run_serve
from visiting import KEY, Client, served


@pytest.fixture
def service(planned: Planned) -> Iterator[Service]:
    """Serve the planned pictures."""
    with Service(planned.gallery.location) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """Give a program that may ask."""
    with served(service.app(Access(KEY))) as address:
        yield Client(address)


def work(client: Client, **order: object) -> Any:
    """Do a job, and return what it ended as."""
    job = client.json("api/jobs", order, status=202)
    client.get(f"api/jobs/{job['id']}/events")
    return client.json(f"api/jobs/{job['id']}")


def kept(client: Client, text: bytes) -> Any:
    """Send a plan; return its number."""
    return client.json("api/plans", text, status=201)["plan"]


def test_a_double_click_does_nothing_twice(client: Client, planned: Planned) -> None:
    """A plan sent several times at once is one plan; applied or taken back once more, it does nothing more."""
    before = tree(planned.photos)
    text = planned.plan.read_bytes()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: kept(client, text), range(8))) == {1}
    assert client.json("api/plans")["plans"] == [{"plan": 1, "steps": 3, "applied": 0}]
    for count, applied in ((3, 3), (0, 3)):
        result = work(client, kind="apply", plan=1, to="trash")["result"]
        assert (len(result["done"]), result["already"], result["refused"]) == (count, 3 - count, [])
        assert client.json("api/plans")["plans"][0]["applied"] == applied
    assert client.json("api/plans", text, status=201)["applied"] == 3
    for count in (3, 0):
        result = work(client, kind="undo", plan=1)["result"]
        assert (len(result["done"]), result["refused"]) == (count, [])
    assert tree(planned.photos) == before
    assert len(work(client, kind="apply", plan=1, to="trash")["result"]["done"]) == 3
    assert len(work(client, kind="undo", plan=1)["result"]["done"]) == 3
    assert tree(planned.photos) == before


def test_a_plan_of_other_files_touches_nothing(client: Client, planned: Planned, tmp_path: Path) -> None:
    """Whatever a plan names, only pictures of the gallery go, and only where what is kept is there."""
    plan = json.loads(planned.plan.read_bytes())
    first = plan["steps"][0]
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(Path(first["copy"]).read_bytes())
    link = planned.photos / "link.jpg"
    link.symlink_to(outside)
    before = tree(planned.photos), outside.read_bytes()
    texts = [
        json.dumps({**plan, "steps": [{**first, **other}]}).encode()
        for other in (
            {"copy": str(outside)},
            {"copy": str(link)},
            {"copy": f"{planned.photos}/copies/../../../{outside.name}"},
            {"copy": "/etc/hostname", "copy_hash": "0" * 32},
            {"copy": f"{planned.gallery.location}/gallery.db"},
            {"copy": first["keep"], "copy_hash": first["keep_hash"]},
            {"keep": str(planned.photos / "nothing.png")},
            {"keep": str(outside), "keep_hash": first["copy_hash"]},
            {"companions": [{"path": str(outside), "hash": first["copy_hash"]}]},
            {"copy": ["a", "list"]},
        )
    ]
    for text in (*texts, json.dumps({**plan, "gallery": str(tmp_path)}).encode(), b"{}", b"[" * 9000, b"\xff"):
        status, content, _ = client.get("api/plans", text)
        assert status in {201, 422}, content
        if status == 201:
            ended = work(client, kind="apply", plan=json.loads(content)["plan"], to="trash")
            assert ended["state"] == "failed" or (ended["result"]["done"], len(ended["result"]["refused"])) == ([], 1)
        else:
            assert planned.gallery.location not in json.loads(content)["error"]
        assert (tree(planned.photos), outside.read_bytes()) == before, text


def test_orders_that_make_no_sense_are_refused(client: Client, planned: Planned) -> None:
    """Plans by other names than their numbers, other actions, what was never applied: one clear line each."""
    number = kept(client, planned.plan.read_bytes())
    cases: list[tuple[dict[str, object], int]] = [
        ({"kind": "apply", "plan": number, "to": "move"}, 422),
        ({"kind": "apply", "plan": number, "to": ["trash"]}, 422),
        ({"kind": "apply", "plan": number}, 422),
        ({"kind": "apply", "plan": "../1", "to": "trash"}, 422),
        ({"kind": "apply", "plan": [number], "to": "trash"}, 422),
        ({"kind": "apply", "plan": True, "to": "trash"}, 422),
        ({"kind": "apply", "plan": 1e300, "to": "trash"}, 404),
        ({"kind": "apply", "plan": -1, "to": "trash"}, 404),
        ({"kind": "apply", "plan": number, "to": "trash", "into": "there"}, 422),
        ({"kind": "undo", "plan": number}, 409),
        ({"kind": "undo", "plan": 99}, 404),
        ({"kind": "dedupe", "threshold": "near"}, 422),
    ]
    for order, status in cases:
        assert "\n" not in client.json("api/jobs", order, status=status)["error"], order


def test_a_gallery_that_changed_meanwhile(client: Client, planned: Planned) -> None:
    """What another process changed is left alone, the rest is done; the page says that its report is old."""
    old = b'id="old" class="soft" hidden'
    assert work(client, kind="dedupe")["state"] == "done"
    assert old in client.get("duplicates")[1]
    number = kept(client, planned.plan.read_bytes())
    (planned.photos / "copies" / "chelsea again.png").write_bytes((planned.photos / "rocket.png").read_bytes())
    (planned.photos / "astronaut.png").unlink()
    planned.gallery.sync(calibrate=False)
    assert old not in client.get("duplicates")[1]
    result = work(client, kind="apply", plan=number, to="trash")["result"]
    assert [Path(path).name for path in result["done"]] == ["coffee.png"]
    assert len(result["refused"]) == 2
    planned.gallery.sync(calibrate=False)
    assert len(work(client, kind="undo", plan=number)["result"]["done"]) == 1
    assert (planned.photos / "coffee.png").is_file()


def test_reads_go_on_while_a_job_is_at_work(client: Client, service: Service, planned: Planned) -> None:
    """Another job is refused by name; a search, a plan and answers are taken."""
    service.jobs.kinds = {**service.jobs.kinds, "wait": lambda _said: lambda _progress, stop: {"done": stop.wait(20)}}
    job = client.json("api/jobs", {"kind": "wait"}, status=202)
    number = kept(client, planned.plan.read_bytes())
    told = client.json("api/jobs", {"kind": "apply", "plan": number, "to": "trash"}, status=409)["error"]
    assert "wait is at work" in told
    assert client.picture((planned.photos / "rocket.png").read_bytes())["queries"][0]["hits"]
    pairs = f"first,second,label\n{planned.photos / 'rocket.png'},{planned.photos / 'camera.png'},different\n".encode()
    assert client.json("api/answers", pairs, Content_Type="text/csv") == {"answers": 1}
    client.json(f"api/jobs/{job['id']}/stop", {}, status=202)


def test_what_looks_can_be_stopped(service: Service) -> None:
    """Finding, drawing and asking end at the next step, and leave what was there before."""
    stop = Event()
    stop.set()
    for kind in ("dedupe", "map", "questions"):
        with pytest.raises(StoppedError):
            service.jobs.kinds[kind]({"kind": kind})(lambda *_: None, stop)
    job = service.jobs.start({"kind": "dedupe"})
    job.stop.set()
    service.jobs.close()
    assert job.state == "stopped"


def test_acting_can_be_stopped_between_steps(planned: Planned) -> None:
    """What was done stays done, and is told; the next run goes on, and undo takes back what there is."""
    before = tree(planned.photos)
    asked = iter((False, True))
    journal = planned.plan.with_suffix(".journal")
    report = apply_plan(planned.plan, action="trash", journal=journal, stop=lambda: next(asked))
    assert (len(report.done), report.refused) == (1, ())
    assert len(planned.gallery) == 8
    report = apply_plan(planned.plan, action="trash", journal=journal)
    assert (len(report.done), report.already) == (2, 1)
    asked = iter((False, True))
    assert len(undo_journal(journal, stop=lambda: next(asked)).done) == 1
    assert len(undo_journal(journal).done) == 2
    assert tree(planned.photos) == before


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_interrupted_is_taken_back(
    photos: Path, tmp_path: Path, encoder: Encoder, end: signal.Signals
) -> None:
    """A server that is ended or killed in the middle of a plan: the next one knows how far it came, and undoes it."""
    data = (photos / "rocket.png").read_bytes()
    for number in range(250):
        (photos / "copies" / f"{number:03}.png").write_bytes(data)
        os.utime(photos / "copies" / f"{number:03}.png", (1_600_000_001, 1_600_000_001))
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos], calibrate=False)
        write_plan(tmp_path / "plan.json", find_duplicates(gallery, threshold=0.1), gallery)
    before = tree(photos)
    arguments = ("--index", gallery.location, "--no-token")
    with run_serve(*arguments) as process:
        assert process.stderr
        client = Client(process.stderr.readline().split()[2])
        number = kept(client, (tmp_path / "plan.json").read_bytes())
        job = client.json("api/jobs", {"kind": "apply", "plan": number, "to": "trash"}, status=202)
        while client.json(f"api/jobs/{job['id']}")["done"] < 20:
            time.sleep(0.002)
        process.send_signal(end)
        process.wait(60)
    gone = len(before) - len(tree(photos))
    assert gone >= 20
    with run_serve(*arguments) as process:
        assert process.stderr
        client = Client(process.stderr.readline().split()[2])
        assert client.json("api/plans")["plans"][0]["applied"] in {gone, gone - 1}  # one may be announced alone
        assert len(work(client, kind="undo", plan=number)["result"]["done"]) == gone
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert tree(photos) == before
