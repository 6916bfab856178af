"""Pictures decoded so that none of them can stop the program or take its memory.

Ordinary ones are decoded right here, which is fastest. Risky ones (see `images`) go to a process of their own that has
limits on time and memory: a decoder that hangs or crashes takes nothing with it but that process.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, cast

import numpy as np

import siamese_search
from siamese_search.errors import ImageError
from siamese_search.images.decode import NO_MEMORY, Picture, RiskyPictureError, image_errors, load_picture

SECONDS = 20.0  # of work, for one picture
MEMORY = 2 << 30  # bytes
_PATIENCE = 3  # so many times as long may pass on the clock, on a busy machine or a slow disk
_LONGEST_REPLY = 1 << 16  # bytes of JSON
CRASHES = "makes the decoder crash"


class Decoder:
    """Decodes pictures to `(size, size, channels)`; safe to use from several threads. `close` ends its processes."""

    def __init__(
        self, *, size: int, channels: Literal[1, 3] = 3, seconds: float = SECONDS, memory: int = MEMORY
    ) -> None:
        self.size = size
        self.channels = channels
        self.seconds = seconds
        self.memory = memory
        self._idle: SimpleQueue[_Helper] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, which a later picture starts again; no other thread may be decoding."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().kill()

    def load(self, source: Path | BinaryIO) -> Picture:
        """Decode a picture; raises ImageError, also for one that takes longer or more memory than the limits."""
        if isinstance(source, Path):
            with image_errors(source), source.open("rb") as opened:
                return self.load(opened)
        file = source if source.seekable() else BytesIO(source.read())
        try:
            return load_picture(file, size=self.size, channels=self.channels, careful=True)
        except RiskyPictureError:
            return self._load_apart(file)

    def _load_apart(self, file: BinaryIO) -> Picture:
        try:
            helper = self._idle.get_nowait()
        except Empty:
            helper = _Helper(seconds=self.seconds, memory=self.memory)
        name = getattr(file, "name", "")
        path = str(Path(name).absolute()) if isinstance(name, str | Path) and str(name) else ""
        told = str(name) if path else "image data"
        request = {"path": path, "size": self.size, "channels": self.channels}
        data = b""
        if not path:
            file.seek(0)
            data = file.read()
        try:
            reply, pixels = helper.ask(request, data, patience=_PATIENCE * self.seconds)
        except (OSError, EOFError, ValueError):
            raise ImageError(told, helper.kill(limit=self.seconds)) from None
        self._idle.put(helper)
        if "reason" in reply:
            reason = str(reply["reason"])
            if reason == NO_MEMORY:
                reason = f"needs more than {self.memory / 1e9:.1f} GB of memory to decode"
            raise ImageError(told, reason)
        shape = self.size, self.size, self.channels
        return Picture(
            np.frombuffer(pixels, np.uint8).reshape(shape), reply["width"], reply["height"], str(reply["format"])
        )


class _Helper:
    """A process that decodes one picture at a time."""

    def __init__(self, *, seconds: float, memory: int) -> None:
        self._pipe, its_end = Pipe()
        code = f"from siamese_search.images.sandbox import serve; serve({its_end.fileno()}, {seconds!r}, {memory!r})"
        package = str(Path(siamese_search.__file__).parents[1])
        self._process = subprocess.Popen(  # noqa: S603  our own code; -P: nothing from the current folder is imported
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[its_end.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([package, *sys.path]), "OPENBLAS_NUM_THREADS": "1"},
        )
        its_end.close()

    def ask(self, request: dict[str, Any], data: bytes, *, patience: float) -> tuple[dict[str, Any], bytes]:
        """Return the answer and the pixels; raises EOFError, OSError or ValueError when there is no answer."""
        self._pipe.send_bytes(json.dumps(request).encode())
        if not request["path"]:
            self._pipe.send_bytes(data)
        if not self._pipe.poll(patience):
            raise TimeoutError
        reply = json.loads(self._pipe.recv_bytes(_LONGEST_REPLY))
        if "reason" in reply:
            return reply, b""
        pixels = self._pipe.recv_bytes(request["size"] ** 2 * request["channels"])
        return reply, pixels

    def kill(self, *, limit: float = SECONDS) -> str:
        """End the process, wherever it is; return what it died of, in words."""
        self._pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # until one that is dying has done so
        slow = self._process.returncode in {None, -signal.SIGPROF}
        self._process.kill()
        self._process.wait()
        return f"takes more than {limit:g} s to decode" if slow else CRASHES


def serve(descriptor: int, seconds: float, memory: int) -> None:
    """Decode what is asked for on an inherited pipe until it is closed: the other side of a `Decoder`.

    The process ends itself when a picture takes more than `seconds` of work, and has at most `memory` bytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    pipe = Connection(descriptor)
    with suppress(EOFError, OSError):
        while True:
            request = json.loads(pipe.recv_bytes())
            source = Path(request["path"]) if request["path"] else BytesIO(pipe.recv_bytes())
            # The kernel counts and kills: a decoder written in C gives Python no chance to.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            try:
                picture = load_picture(
                    cast("Path | BinaryIO", source), size=request["size"], channels=request["channels"]
                )
            except ImageError as error:
                pipe.send_bytes(json.dumps({"reason": error.reason[:1000]}).encode())
            else:
                about = {"width": picture.width, "height": picture.height, "format": picture.format}
                pipe.send_bytes(json.dumps(about).encode())
                pipe.send_bytes(picture.pixels.tobytes())
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
