"""What several tests share: real pictures, the encoder that ships, and the real command line."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from PIL import Image, ImageEnhance

import milvus_server
import siamese_search
from siamese_search.actions import write_plan
from siamese_search.cli.app import run as run_command
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder, load_encoder
from siamese_search.gallery import Gallery
from siamese_search.gallery.milvus.rows import NOTHING_DIM, PICTURES, RECORDS
from siamese_search.gallery.milvus.server import Server
from siamese_search.results import SyncReport

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Photos in the wheel of scikit-image itself; it would download others.
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis.settings.load_profile("fixed")

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure() -> None:
    """Let torch compute in one thread, as `make test` does: threads that wait for each other take ten times as long."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that read larger data sets where those are absent."""
    if not SHARED.is_dir():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="the larger data sets are not here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of larger data sets; only for tests marked `shared`."""
    return SHARED


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Give the address of a real Milvus server, one for all processes of the tests; skip where none is installed."""
    if missing := milvus_server.missing():
        pytest.skip(f"galleries on a Milvus server are not tested: {missing} not installed; pip install -e '.[dev]'")
    folder = tmp_path_factory.getbasetemp()
    with milvus_server.running((folder if worker_id == "master" else folder.parent) / "milvus") as address:
        yield address


@pytest.fixture(scope="session")
def milvus_place(milvus: str) -> Iterator[Callable[[], str]]:
    """Give addresses of galleries on it whose creation was begun and not ended: some ahead, as that takes seconds."""

    def begun() -> str:
        server = Server(f"{milvus}/g{uuid4().hex}")
        for table, dim in ((PICTURES, 8), (RECORDS, NOTHING_DIM)):
            server.make(table, dim)
        server.close()
        return server.location

    with ThreadPoolExecutor(6) as pool:
        ahead = [pool.submit(begun) for _ in range(6)]

        def place() -> str:
            ahead.append(pool.submit(begun))
            return ahead.pop(0).result()

        yield place


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Load the photo encoder."""
    return load_encoder("photo")


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Image.Image]:
    """Give a real photo by file name, at most 256 pixels long, in RGB."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"

    def load(name: str) -> Image.Image:
        with Image.open(folder / name) as image:
            image.thumbnail((256, 256))
            return image.convert("RGB")

    return load


@pytest.fixture
def photos(tmp_path: Path, sample: Callable[[str], Image.Image]) -> Path:
    """Make a folder of six PNG photos, and in `copies` a re-encoded, an identical and a same-pixels copy of three."""
    return save_photos(tmp_path / "photos", sample)


def save_photos(folder: Path, sample: Callable[[str], Image.Image]) -> Path:
    """Make the folder that `photos` describes."""
    (folder / "copies").mkdir(parents=True)
    for name in PHOTOS:
        sample(name).save(folder / f"{Path(name).stem}.png")
    ImageEnhance.Brightness(sample("astronaut.png")).enhance(1.1).save(
        folder / "copies" / "astronaut bright.jpg", quality=85
    )
    (folder / "copies" / "chelsea again.png").write_bytes((folder / "chelsea.png").read_bytes())
    sample("coffee.png").save(folder / "copies" / "coffee.bmp")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _away_from_anybodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests share, and what it starts, off the gallery of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("SIMSEARCH_INDEX", raising=False)
        yield


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a home of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "share"))


@dataclass(frozen=True)
class Planned:
    """An indexed folder of photos, and the plan of its three groups."""

    photos: Path
    gallery: Gallery
    plan: Path


@pytest.fixture(scope="session")
def _kept_plan(
    tmp_path_factory: pytest.TempPathFactory, sample: Callable[[str], Image.Image], encoder: Encoder
) -> tuple[Path, Path]:
    """Index and plan once; return the folder and a copy of it, for paths in a plan are absolute."""
    home = tmp_path_factory.mktemp("planned") / "home"
    photos = save_photos(home / "photos", sample)
    with Gallery(home / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos])
        write_plan(home / "plan.json", find_duplicates(gallery, threshold=0.3), gallery)
    shutil.copytree(home, home.with_name("kept"))
    return home, home.with_name("kept")


@pytest.fixture
def planned(_kept_plan: tuple[Path, Path], encoder: Encoder) -> Planned:
    """Give photos that are indexed and planned for, all as if nothing had been done to them yet."""
    home, kept = _kept_plan
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    return Planned(home / "photos", Gallery(home / "gallery", encoder=encoder), home / "plan.json")


@pytest.fixture
def swift_path(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory, where there is one: for tests that make and remove thousands of files."""
    memory = Path("/dev/shm")  # noqa: S108
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="simsearch-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in `tmp_path`, with `indexes/default` as the gallery."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMSEARCH_INDEX", "indexes/default")

    def run_simsearch(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run_simsearch


@pytest.fixture
def run_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in a process of its own, as `run` does, where a process is what the test is about."""
    monkeypatch.setenv("SIMSEARCH_INDEX", "indexes/default")
    monkeypatch.setenv("PYTHONPATH", str(Path(siamese_search.__file__).parents[1]))

    def run_simsearch(
        *arguments: str | Path, stdin: bytes = b"", encoding: str = "utf-8", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [sys.executable, "-m", "siamese_search", *map(str, arguments)],
            capture_output=True,
            check=False,
            input=stdin,
            timeout=120,
            **{"cwd": tmp_path, **options},
        )
        return subprocess.CompletedProcess(
            finished.args, finished.returncode, finished.stdout.decode(encoding), finished.stderr.decode(encoding)
        )

    return run_simsearch


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index the nine pictures in `photos`, which have been there for a while."""
    for path in photos.rglob("*.*"):
        os.utime(path, (1_600_000_000, 1_600_000_000.5))
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos], calibrate=False)
    return gallery


def counts(report: SyncReport) -> dict[str, int]:
    """Return the counts that are not zero."""
    names = ("added", "changed", "moved", "removed", "unchanged")
    found = {name: getattr(report, name) for name in names} | {"skipped": len(report.skipped)}
    return {name: count for name, count in found.items() if count}
