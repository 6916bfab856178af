"""A real Milvus server for tests: one for all processes of a test run, which ends when none of them is left.

Run as a program, `milvus_server.py FOLDER`, it is the server's parent: it writes its port into FOLDER, and ends it once
nobody holds the lock on `users` any more, however they ended.
"""

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

_SECONDS = 120
_started: list[subprocess.Popen[bytes]] = []  # by this process; they may outlive it
# Everything that waits for a tick of the server's clock is done sooner.
_SETTINGS = {"proxy.timeTickInterval": 50, "queryCoord.checkInterval": 100, "queryCoord.distPullInterval": 100}


def missing() -> str:
    """Say what is not installed of what a server and its client are; nothing when all is there."""
    return ", ".join(name for name in ("milvus", "pymilvus") if find_spec(name) is None)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Give the address, `milvus://HOST:PORT`, of the server in a folder, which is started unless it runs."""
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("w") as users, (folder / "starting").open("w") as starting:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_EX)
        port = folder / "port"
        if not port.exists():
            _start(folder, port)
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield f"milvus://127.0.0.1:{port.read_text()}"


def _start(folder: Path, port: Path) -> None:
    with (folder / "log").open("a") as log:
        parent = subprocess.Popen(
            [sys.executable, __file__, folder], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    _started.append(parent)
    deadline = time.monotonic() + _SECONDS
    while not port.exists():
        if parent.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.1)


def serve(folder: Path) -> None:
    """Be the parent of a server until nobody uses it."""
    from milvus import MilvusServer  # noqa: PLC0415  (a program of its own)

    os.environ["ETCD_CONFIG_PATH"] = str(_etcd_settings(folder))
    server = MilvusServer()
    server.set_base_dir(str(folder / "server"))
    for name, value in _SETTINGS.items():
        server.config.set(name, value)
    server.start()
    try:
        (folder / "half").write_text(str(server.listen_port))
        (folder / "half").rename(folder / "port")
        with (folder / "users").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        with suppress(OSError):
            (folder / "port").unlink()
        server.stop()


def _etcd_settings(folder: Path) -> Path:
    """Write what makes the server's own etcd listen at free ports: those that it takes by itself may be taken."""
    peers, clients = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
    settings = folder / "etcd.yaml"
    settings.write_text(
        f"name: default\nlisten-peer-urls: {peers}\ninitial-advertise-peer-urls: {peers}\n"
        f"initial-cluster: default={peers}\nlisten-client-urls: {clients}\nadvertise-client-urls: {clients}\n"
        f"data-dir: {folder / 'etcd'}\n"
    )
    return settings


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    os.umask(0o077)
    serve(Path(sys.argv[1]))
