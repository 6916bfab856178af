"""Serving: the work that it does for a while, and the command that begins and ends it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import siamese_search
from siamese_search.gallery import Gallery
from siamese_search.web.app import Access
from siamese_search.web.service import Service
from visiting import KEY, Client, Visitor, served

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def service(gallery: Gallery) -> Iterator[Service]:
    """Serve the nine pictures."""
    with Service(gallery.location) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """Give a program that may ask."""
    with served(service.app(Access(KEY))) as address:
        yield Client(address)


# -- jobs


def test_a_job_is_watched_to_its_end(client: Client, photos: Path) -> None:
    """Indexing tells of its progress as events, and ends with what `index --json` would say."""
    Image.effect_noise((64, 64), 90).save(photos / "noise.png")
    job = client.json("api/jobs", {"kind": "sync"}, status=202)
    status, content, headers = client.get(f"api/jobs/{job['id']}/events")
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    told = [json.loads(line.removeprefix(b"data: ")) for line in content.split(b"\n\n") if line]
    assert told[-1]["state"] == "done"
    assert (told[-1]["result"]["added"], told[-1]["result"]["images"]) == (1, 10)
    assert client.json(f"api/jobs/{job['id']}") == told[-1] == client.json("api/jobs")["jobs"][0]
    client.json("api/jobs", {"kind": "format"}, status=422)
    client.json("api/jobs", {"kind": ["sync"]}, status=422)
    client.json("api/jobs/99", status=404)
    client.json("api/jobs/99/stop", {}, status=404)


def test_one_job_at_a_time(client: Client, service: Service) -> None:
    """Another one is refused, by name, until the first has ended or was stopped."""
    service.jobs.kinds = {"wait": lambda _said: lambda _progress, stop: {"stopped": stop.wait(20)}}
    job = client.json("api/jobs", {"kind": "wait"}, status=202)
    assert "wait" in client.json("api/jobs", {"kind": "wait"}, status=409)["error"]
    client.json(f"api/jobs/{job['id']}/stop", {}, status=202)
    client.get(f"api/jobs/{job['id']}/events")
    assert client.json(f"api/jobs/{job['id']}")["state"] == "stopped"
    again = client.json("api/jobs", {"kind": "wait"}, status=202)
    client.json(f"api/jobs/{again['id']}/stop", {}, status=202)


def test_read_only_changes_nothing(gallery: Gallery) -> None:
    """Searches are answered, and no job that writes can be started."""
    with (
        Service(gallery.location, read_only=True) as service,
        served(service.app(Access(KEY))) as address,
    ):
        client = Client(address)
        assert client.json("api/items")["total"] == 9
        for kind in ("sync", "calibrate"):
            client.json("api/jobs", {"kind": kind}, status=422)


def test_an_empty_house_says_so(tmp_path: Path, photos: Path) -> None:
    """Before anything is indexed there is nothing to find; after a job there is."""
    with (
        Service(tmp_path / "new", folders=[photos]) as service,
        served(service.app(Access(open_to_all=True))) as address,
    ):
        client = Client(address)
        assert client.json("api/items") == {"items": [], "total": 0, "next": None}
        client.json("api/items/1", status=404)
        client.json("api/info", status=409)
        client.picture((photos / "rocket.png").read_bytes(), status=409)
        job = client.json("api/jobs", {"kind": "sync"}, status=202)
        client.get(f"api/jobs/{job['id']}/events")
        assert client.json("api/info")["images"] == 9


# -- the command


def test_what_is_deployed_is_what_there_is() -> None:
    """The options in the container file, the systemd unit and their page are those of the command."""
    helped = subprocess.run(
        [sys.executable, "-m", "siamese_search", "serve", "--help"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        text=True,
    ).stdout
    unit, image, page = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("deploy/simsearch.service", "deploy/Containerfile", "docs/deploy.md")
    )
    lines = [line for line in (unit + page).splitlines() if re.search(r"simsearch serve .*--", line)]
    (entry,) = re.findall(r"^ENTRYPOINT .*$", image, flags=re.MULTILINE)
    options = set(re.findall(r"(?<=[ \"`])--[a-z-]+", "\n".join([*lines, entry])))
    assert len(options) > 4
    assert {option for option in options if option not in helped} == set()
    for name in re.findall(r"^COPY (?!--)(.*) \S+$", image, flags=re.MULTILINE):
        assert all((ROOT / part).exists() for part in name.split()), name


def run_serve(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "siamese_search", "serve", "--no-browser", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1]), **environment},
        text=True,
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_ended(gallery: Gallery, end: signal.Signals) -> None:
    """It prints the address that opens, and ends well by Ctrl-C and by a service manager's request."""
    with run_serve("--index", gallery.location) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert line.startswith("Search at http://127.0.0.1:"), line
        visitor = Visitor(line.split()[2])
        assert (visitor.entered, visitor.ask("api/items")[0]) == (200, 200)
        process.send_signal(end)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_the_end_comes_also_to_those_who_watch(gallery: Gallery) -> None:
    """A job that is watched when the server is ended stops, what is told of it ends, and nobody complains."""
    with run_serve("--index", gallery.location, "--no-token") as process:
        assert process.stderr
        client = Client(process.stderr.readline().split()[2])
        job = client.json("api/jobs", {"kind": "dedupe"}, status=202)
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(client.get, f"api/jobs/{job['id']}/events")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert told.exception() or told.result()[0] == 200
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--address", "0.0.0.0", "--no-token"], "needed"),  # noqa: S104
        (["--address", "example.com"], "expected an address"),
        (["--address", "192.0.2.1"], "port 0 of 192.0.2.1"),
        (["--read-only", "."], "--read-only"),
    ],
)
def test_the_command_refuses_what_is_unsafe(gallery: Gallery, arguments: list[str], words: str) -> None:
    """Others are let in with a token alone; an address is one of this machine."""
    with run_serve("--index", gallery.location, *arguments) as process:
        assert process.stderr
        told = process.stderr.read()
        assert process.wait(30) == 1
    assert words in told
    assert told.count("\n") == 1
