"""Pictures decoded so that none of them can stop the program or take its memory.

Ordinary ones are decoded right here, which is fastest. All others (see `ordinary`) go to a process of their own that
has limits on time and memory: a decoder that hangs or crashes takes nothing with it but that process.
"""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from multiprocessing.connection import Pipe
from multiprocessing.reduction import send_handle
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from PIL import Image

import siamese_search
from siamese_search.cores import usable_cores
from siamese_search.errors import ImageError
from siamese_search.images.decode import MAX_PIXELS, Picture, Square, Thumbnail, Wanted, finish
from siamese_search.images.metadata import Metadata, from_json, read_jpeg_metadata
from siamese_search.images.ordinary import decode_here
from siamese_search.images.reasons import NO_MEMORY, RiskyPictureError, image_errors
from siamese_search.images.room import Room
from siamese_search.images.sources import File, Source, image_of, is_real_file, name_of, opened

SECONDS = 20.0  # of work, for one picture
MEMORY = 2 << 30  # bytes
CRASHES = "makes the decoder crash"
_PATIENCE = 3  # so many times as long may pass on the clock, on a busy machine or a slow disk,
_MIN_PATIENCE = 10.0  # and so many seconds in any case
_START = 60.0  # seconds in which a process comes up, however busy the machine
_MAX_REPLY = 1 << 16  # bytes of JSON
_FIRST_GRANT = 96 << 20  # bytes: enough for most pictures
_ROOM_PER_CORE = 160 << 20
_MIN_ROOM = 1 << 30


class Decoder:
    """Decodes pictures within limits of time and memory; made once for many, and used from several threads at once.

    `seconds` of work and `memory` in bytes are for one picture; together, those that are decoded at a time share a room
    that grows with the number of cores. A limit of `max_pixels` above the usual one raises both in proportion. `close`,
    the end of a `with`, or its own end, ends the processes.
    """

    def __init__(self, *, max_pixels: int = MAX_PIXELS, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        more = max(1.0, max_pixels / MAX_PIXELS)
        self.max_pixels = max_pixels
        self.seconds = seconds * more
        self.memory = round(memory * more)
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._room = Room(max(_MIN_ROOM, usable_cores() * _ROOM_PER_CORE))
        self._idle: SimpleQueue[_Helper] = SimpleQueue()
        weakref.finalize(self, _end, self._idle)

    def __getstate__(self) -> dict[str, Any]:
        """Give the limits alone: a copy in another process, as training makes them, starts processes of its own."""
        return {"max_pixels": self.max_pixels, "seconds": self.seconds, "memory": self.memory}

    def __setstate__(self, limits: dict[str, Any]) -> None:
        self.__dict__.update(limits)
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, which a later picture starts again; no other thread may be decoding."""
        _end(self._idle)

    def square(self, source: Source, *, size: int, channels: Literal[1, 3] = 3) -> Picture:
        """Decode a picture squashed to `(size, size, channels)`; raises ImageError, also for one beyond the limits."""
        return self._load(source, Square(size, channels))

    def thumbnail(self, source: Source, *, longest: int) -> Picture:
        """Decode a picture as RGB whose longer side is at most `longest`; a smaller one keeps its size.

        Raises ImageError, also for one beyond the limits.
        """
        return self._load(source, Thumbnail(longest))

    def same_picture(self, first: File, second: File) -> bool:
        """Tell whether two picture files show the same, entirely: see `same.same_picture`; raises ImageError.

        Both are decoded apart: pictures of full size never come into this process.
        """
        reply, _ = self._ask({"kind": "same"}, [first, second])
        return bool(reply["same"])

    def metadata(self, source: File) -> Metadata:
        """Return what a picture file says of itself; nothing for one that has no such data, or cannot be read."""
        try:
            with image_errors(name_of(source)), opened(source) as file:
                here = read_jpeg_metadata(file)
                if here is not None:
                    return here
                reply, _ = self._ask_about({"kind": "metadata"}, [file], [name_of(source)])
                return from_json(reply["metadata"])
        except ImageError:
            return Metadata()

    def _load(self, source: Source, wanted: Wanted) -> Picture:
        if isinstance(source, Image.Image | np.ndarray):
            with image_errors(name_of(source)):
                return finish(image_of(source), None, wanted)
        with image_errors(name_of(source)), opened(source) as file:
            try:
                return decode_here(file, wanted, max_pixels=self.max_pixels, room=self._room)
            except RiskyPictureError:
                return self._load_apart(file, wanted, name_of(source))

    def _load_apart(self, file: BinaryIO, wanted: Wanted, name: str) -> Picture:
        request = {"kind": type(wanted).__name__.lower(), **asdict(wanted)}
        reply, pixels = self._ask_about(request, [file], [name])
        height, width, channels = (int(number) for number in reply["shape"])
        return Picture(
            np.frombuffer(pixels, np.uint8).reshape(height, width, channels),
            int(reply["width"]),
            int(reply["height"]),
            str(reply["format"]),
            int(reply["frames"]),
            str(reply["note"]),
            bool(reply["see_through"]),
            int(reply["bits"]),
        )

    def _ask(self, request: dict[str, Any], sources: Sequence[File]) -> tuple[dict[str, Any], bytes]:
        with ExitStack() as stack:
            files = []
            for source in sources:
                with image_errors(name_of(source)):
                    files.append(stack.enter_context(opened(source)))
            return self._ask_about(request, files, [name_of(source) for source in sources])

    def _ask_about(
        self, request: dict[str, Any], files: Sequence[BinaryIO], names: Sequence[str]
    ) -> tuple[dict[str, Any], bytes]:
        """Ask a process, which is granted little memory first, then what it says it needs, then all there is."""
        if self._owner != os.getpid():  # forked: the processes answer another one
            self._begin()
        grant = min(_FIRST_GRANT, self.memory)
        while True:
            with self._room.taken(grant):
                reply, pixels = self._ask_helper({**request, "grant": grant}, files, names)
            if "needs" in reply and grant < self.memory:
                grant = min(max(int(reply["needs"]), 2 * grant), self.memory)
            elif "reason" in reply:
                raise ImageError(names[int(reply.get("file", 0))], self._in_words(str(reply["reason"])))
            else:
                return reply, pixels

    def _in_words(self, reason: str) -> str:
        return f"needs more than {self.memory / 1e9:.1f} GB of memory to decode" if reason == NO_MEMORY else reason

    def _ask_helper(
        self, request: dict[str, Any], files: Sequence[BinaryIO], names: Sequence[str]
    ) -> tuple[dict[str, Any], bytes]:
        try:
            helper = self._idle.get_nowait()
        except Empty:
            helper = _Helper(max_pixels=self.max_pixels, seconds=self.seconds, memory=self.memory)
        try:
            answer = helper.ask(request, files, patience=max(_MIN_PATIENCE, _PATIENCE * self.seconds))
        except (OSError, EOFError, ValueError):
            reason = helper.kill(limit=self.seconds)
            if reason == CRASHES and request["grant"] < self.memory:  # as a library may that gets no memory
                return {"needs": self.memory}, b""
            raise ImageError(" or ".join(names), reason) from None
        except BaseException:  # Ctrl-C: what it was asked for would be the answer to the next question
            helper.kill()
            raise
        self._idle.put(helper)
        return answer


class _Helper:
    """A process that answers one question at a time."""

    def __init__(self, *, max_pixels: int, seconds: float, memory: int) -> None:
        self._owner = os.getpid()
        self._pipe, its_end = Pipe()
        limits = f"max_pixels={max_pixels!r}, seconds={seconds!r}, memory={memory!r}"
        code = f"from siamese_search.images.apart import serve; serve({its_end.fileno()}, {limits})"
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
        self._is_up = False

    def ask(
        self, request: dict[str, Any], files: Sequence[BinaryIO], *, patience: float
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer and the pixels; raises EOFError, OSError or ValueError when there is no answer."""
        if not self._is_up:
            if not self._pipe.poll(_START):
                raise TimeoutError
            self._pipe.recv_bytes(_MAX_REPLY)
            self._is_up = True
        real = [is_real_file(file) for file in files]
        self._pipe.send_bytes(json.dumps({**request, "descriptors": real}).encode())
        for file, by_descriptor in zip(files, real, strict=True):
            if by_descriptor:
                send_handle(self._pipe, file.fileno(), None)
            else:
                file.seek(0)
                self._pipe.send_bytes(file.read())
        if not self._pipe.poll(patience):
            raise TimeoutError
        reply = json.loads(self._pipe.recv_bytes(_MAX_REPLY))
        if not isinstance(reply, dict):
            raise ValueError(reply)  # noqa: TRY004  damage, as above
        pixels = self._pipe.recv_bytes(_max_bytes(request)) if "shape" in reply else b""
        return reply, pixels

    def kill(self, *, limit: float = SECONDS) -> str:
        """End the process, wherever it is; return what it died of, in words."""
        self._pipe.close()
        if self._owner != os.getpid():  # it belongs to the process that this one was forked from
            return CRASHES
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # until one that is dying has done so
        slow = self._process.returncode in {None, -signal.SIGPROF}
        self._process.kill()
        self._process.wait()
        return f"takes more than {limit:g} s to decode" if slow else CRASHES


def _end(helpers: SimpleQueue[_Helper]) -> None:
    with suppress(Empty):
        while True:
            helpers.get_nowait().kill()


def _max_bytes(request: dict[str, Any]) -> int:
    """Return how many bytes of pixels the answer to a request has at most."""
    return int(request["longest"] ** 2 * 3 if request["kind"] == "thumbnail" else request["size"] ** 2 * 3)
