"""How fast `simsearch serve` answers on this machine, beside the encoder alone.

    python benchmarks/serving.py PHOTOS [--index GALLERY] [--clients 1 8 32] [--seconds 10] [--details]

A server is started on a gallery of the photos (indexed first where there is none). Clients, each with a connection of
its own, send photos one after another, wait for each answer, and read all of it. Beside it: decoding and embedding the
same photos in this process, one at a time, and as many at once as there are cores. The clients' own work is on the
same cores. At the end the queue is overrun once: some are told to come again, and all are answered later.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from measures import HERE, RESULTS, SIMSEARCH, about, keep, table
from runs import memory_of
from sets import find_photos
from siamese_search.encoder.embed import embed_pictures
from siamese_search.gallery import Gallery

_SAMPLE = 400  # photos that are searched with


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
        return self.statuses.get(200, 0) / self.seconds


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--index", type=Path, help="the gallery; by default one in data/serving, made where missing")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--details", action="store_true", help="let what is near be looked at in detail")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    index = given.index or Path("data/serving")
    with Gallery(index) as gallery:
        if not gallery.exists():
            gallery.sync([given.photos])
        pictures = [path.read_bytes() for path in _sampled(given.photos)]
        alone = _alone(gallery, pictures)
        images = len(gallery)
    address = f"/api/search?k=10&details={'true' if given.details else 'false'}"
    loads = _served(index, address, pictures, given.clients, given.seconds)
    print(about("onnxruntime", "starlette", "uvicorn"))
    print(f"{images:,} pictures; alone: {1e3 * alone[0]:.1f} ms for one picture, {alone[1]:.0f} pictures/s in all,")
    print(f"{1e3 * alone[2]:.1f} ms of one core for each")
    rows = [
        [
            str(load.clients),
            f"{load.rate:.0f}",
            *(f"{1e3 * np.percentile(load.latencies, share):.1f}" for share in (50, 95, 99)),
            f"{np.median(load.latencies) / alone[0]:.2f}",
            f"{load.rate / alone[1]:.2f}",
            f"{1e3 * load.cpu / max(1, len(load.latencies)):.1f}",
            json.dumps({str(status): count for status, count in load.statuses.items() if status != 200}),
            f"{load.memory / 1e6:.0f}",
        ]
        for load in loads
    ]
    columns = ["clients", "answers/s", "p50 ms", "p95", "p99", "p50 / alone", "rate / alone", "CPU ms", "others", "MB"]
    print(table(columns, rows))
    keep("serving", {"images": images, "alone": alone, "loads": loads}, given.out)


def _sampled(photos: Path) -> Sequence[Path]:
    found = [photo.path for photo in find_photos(photos)]
    return random.Random(0).sample(found, min(_SAMPLE, len(found)))


def _alone(gallery: Gallery, pictures: Sequence[bytes]) -> tuple[float, float, float]:
    """Return the median seconds for one picture, how many a second all cores manage, and the CPU seconds of each."""
    seconds = []
    for picture in pictures[:200]:
        start = time.perf_counter()
        gallery.encoder.embed(picture)
        seconds.append(time.perf_counter() - start)
    start, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in embed_pictures([*pictures, *pictures], gallery.encoder))
    elapsed, used = time.perf_counter() - start, time.process_time() - cpu
    return float(np.median(seconds)), count / elapsed, used / count


def _served(index: Path, address: str, pictures: Sequence[bytes], clients: Sequence[int], seconds: float) -> list[Load]:
    """Start a server, load it, overrun it, and end it."""
    command = [*SIMSEARCH, "serve", "--no-token", "--no-browser", "--port", "0", "--index", index]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        line = process.stderr.readline() if process.stderr else ""
        host, port = line.split()[2].removeprefix("http://").split(":")
        try:
            asyncio.run(_load(host, int(port), address, pictures, 4, 1.0, process.pid))  # warm
            loads = [
                asyncio.run(_load(host, int(port), address, pictures, count, seconds, process.pid)) for count in clients
            ]
            loads.append(asyncio.run(_load(host, int(port), address, pictures, 300, seconds / 2, process.pid)))
            loads.append(asyncio.run(_load(host, int(port), address, pictures, 1, 2.0, process.pid)))
        finally:
            process.terminate()
    return loads


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
            if status == 200:
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
