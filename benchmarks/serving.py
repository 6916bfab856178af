"""How fast `simsearch serve` answers on this machine, beside the encoder alone.

    python benchmarks/serving.py PHOTOS [--images 100000 | --index GALLERY] [--clients 1 8 32] [--seconds 30]

A server is started on a gallery: one that is filled with clustered embeddings, or one of yours. Clients, each with a
connection of its own, send photos one after another, wait for each answer, and read all of it. Beside it, in turn,
round after round: decoding and embedding the same photos in this process, one at a time, and all of them as `index`
does, on all cores. The clients' own work is on the same cores. At the end the queue is overrun once: some are told to
come again, and all are answered later.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import numpy as np
import psutil

from filled import filled_gallery
from measures import HERE, RESULTS, SIMSEARCH, about, keep, table, tell
from runs import memory_of
from sets import find_photos
from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import embed_pictures
from siamese_search.gallery import Gallery

_SAMPLE = 400  # photos that are searched with
_TIMES = 4  # that all of them are embedded to see how many a second there are
_OVERRUN = 300  # clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many clients for so many seconds: what each answer took, in seconds, how many came by their status.

    `cpu` is what the server used meanwhile, in seconds of one core: on a busy machine that hardly moves.
    """

    clients: int
    seconds: float
    latencies: list[float]
    statuses: dict[int, int]
    memory: int
    cpu: float

    @property
    def rate(self) -> float:
        """Answers for each second."""
        return self.statuses.get(HTTPStatus.OK, 0) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What the photos take without a server: median seconds for one, how many a second in all, CPU seconds of each."""

    one: float
    rate: float
    cpu: float


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=100_000, help="pictures of the gallery that is filled")
    parser.add_argument("--index", type=Path, help="a gallery of yours instead")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--details", action="store_true", help="let what is near be looked at in detail")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    index = given.index or Path(f"data/serving-{given.images}")
    if not (given.index or index.exists()):
        filled_gallery(index, given.images)
    pictures = [path.read_bytes() for path in _sampled(given.photos)]
    address = f"/api/search?k=10&details={'true' if given.details else 'false'}"
    with Gallery(index) as gallery:
        images, encoder = len(gallery), gallery.encoder
        with _server(index) as server:
            server.load(address, pictures, 4, 1.0)  # warm
            rounds = []
            for number in range(1, given.rounds + 1):
                tell(f"round {number} of {given.rounds}")
                alone = _alone(encoder, pictures)
                rounds.append(
                    (alone, [server.load(address, pictures, count, given.seconds) for count in given.clients])
                )
            after = [
                server.load(address, pictures, _OVERRUN, given.seconds / 2),
                server.load(address, pictures, 1, given.seconds / 4),
            ]
    print(about("onnxruntime", "starlette", "uvicorn"))
    print(
        f"{images:,} pictures, encoder {encoder.name}; medians of {given.rounds} rounds, the lowest and highest behind"
    )
    alone_rows = [
        ["one picture, ms", _middle([1e3 * alone.one for alone, _ in rounds], 1)],
        ["pictures/s on all cores", _middle([alone.rate for alone, _ in rounds], 0)],
        ["CPU ms a picture", _middle([1e3 * alone.cpu for alone, _ in rounds], 1)],
    ]
    print(table(["encoder alone", ""], alone_rows))
    rows = [_row([(alone, loads[place]) for alone, loads in rounds]) for place in range(len(given.clients))]
    rows += [_row([(rounds[-1][0], load)]) for load in after]
    columns = ["clients", "answers/s", "p50 ms", "p95", "p99", "p50 / alone", "rate / alone", "CPU ms", "others", "MB"]
    print(table(columns, rows))
    keep("serving", {"images": images, "rounds": rounds, "after": after}, given.out)


def _row(measured: Sequence[tuple[Alone, Load]]) -> list[str]:
    """Return a row of the table: medians over the rounds."""
    loads = [load for _, load in measured]
    statuses = sum((Counter(load.statuses) for load in loads), Counter[int]())
    latencies = [[1e3 * np.percentile(load.latencies, share) for load in loads] for share in (50, 95, 99)]
    return [
        str(loads[0].clients),
        _middle([load.rate for load in loads], 0),
        *(_middle(found, 1) for found in latencies),
        _middle([np.median(load.latencies) / alone.one for alone, load in measured], 2),
        _middle([load.rate / alone.rate for alone, load in measured], 2),
        _middle([1e3 * load.cpu / max(1, len(load.latencies)) for load in loads], 1),
        json.dumps({str(status): count for status, count in statuses.items() if status != HTTPStatus.OK}),
        f"{max(load.memory for load in loads) / 1e6:.0f}",
    ]


def _middle(values: Sequence[float], digits: int) -> str:
    """Return the median, and the range where there are several."""
    middle = f"{np.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _sampled(photos: Path) -> Sequence[Path]:
    found = [photo.path for photo in find_photos(photos)]
    return random.Random(0).sample(found, min(_SAMPLE, len(found)))


def _alone(encoder: Encoder, pictures: Sequence[bytes]) -> Alone:
    """Decode and embed pictures in this process: one at a time, then as many at once as there are cores."""
    seconds = []
    for picture in pictures[:200]:
        start = time.perf_counter()
        encoder.embed(picture)
        seconds.append(time.perf_counter() - start)
    start, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in embed_pictures(list(pictures) * _TIMES, encoder))
    elapsed, used = time.perf_counter() - start, time.process_time() - cpu
    return Alone(one=float(np.median(seconds)), rate=count / elapsed, cpu=used / count)


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that is up."""

    host: str
    port: int
    pid: int

    def load(self, address: str, pictures: Sequence[bytes], clients: int, seconds: float) -> Load:
        """Let so many clients ask for so long."""
        return asyncio.run(_load(self.host, self.port, address, pictures, clients, seconds, self.pid))


@contextmanager
def _server(index: Path) -> Iterator[_Server]:
    command = [*SIMSEARCH, "serve", "--no-token", "--no-browser", "--port", "0", "--index", index]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        line = process.stderr.readline() if process.stderr else ""
        host, port = line.split()[2].removeprefix("http://").split(":")
        try:
            yield _Server(host, int(port), process.pid)
        finally:
            process.terminate()


async def _load(
    host: str, port: int, address: str, pictures: Sequence[bytes], clients: int, seconds: float, pid: int
) -> Load:
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds
    before = sum(psutil.Process(pid).cpu_times()[:2])

    async def visit(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        turn = random.Random(number)
        while time.perf_counter() < end:
            start = time.perf_counter()
            status = await _search(reader, writer, address, turn.choice(pictures))
            statuses[status] += 1
            if status == HTTPStatus.OK:
                latencies.append(time.perf_counter() - start)
            else:
                await asyncio.sleep(1.0)
        writer.close()

    await asyncio.gather(*map(visit, range(clients)))
    return Load(
        clients=clients,
        seconds=seconds,
        latencies=latencies,
        statuses=dict(statuses),
        memory=memory_of(pid),
        cpu=sum(psutil.Process(pid).cpu_times()[:2]) - before,
    )


async def _search(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, picture: bytes) -> int:
    head = (
        f"POST {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(picture)}\r\n\r\n"
    )
    writer.write(head.encode() + picture)
    await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    lines = answer.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])


if __name__ == "__main__":
    main()
