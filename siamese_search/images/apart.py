"""The other side of a `Decoder`: a process that decodes what it is asked for, within limits that the kernel keeps."""

import json
import os
import resource
import signal
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from io import BufferedReader, BytesIO, RawIOBase
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import AvifImagePlugin, Image

from siamese_search.errors import ImageError
from siamese_search.images.decode import Square, Thumbnail, Wanted, decode
from siamese_search.images.metadata import read_metadata, to_json
from siamese_search.images.reasons import NO_MEMORY, NeedsMoreError, image_errors
from siamese_search.images.same import same_picture

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SLACK = 64 << 20  # bytes, beside the pixels


def serve(descriptor: int, *, max_pixels: int, seconds: float, memory: int) -> None:
    """Answer what is asked on an inherited pipe until it is closed.

    The process ends itself when an answer takes more than `seconds` of work, and has at most `memory` bytes. What is
    set here for all of Pillow holds for this process alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    warnings.simplefilter("ignore")
    # Pillow fails at twice this value; it guards the frames inside GIF and ICO files. At it, it warns.
    Image.MAX_IMAGE_PIXELS = max(1, max_pixels)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # as many pictures as there are cores are decoded at once
    pipe = Connection(descriptor)
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"up")
        while True:
            request = json.loads(pipe.recv_bytes())
            with ExitStack() as stack:
                files = [stack.enter_context(_received(pipe, real)) for real in request["descriptors"]]
                # The kernel counts and kills: a decoder written in C gives Python no chance to.
                signal.setitimer(signal.ITIMER_PROF, seconds)
                try:
                    reply, pixels = _answer(request, files, max_pixels=max_pixels, memory=memory)
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send_bytes(json.dumps(reply).encode())
            if pixels:
                pipe.send_bytes(pixels)


def _received(pipe: Connection, real: bool) -> BinaryIO:
    """Return a file that was sent: open already, or all of its bytes."""
    return BufferedReader(_Received(recv_handle(pipe))) if real else BytesIO(pipe.recv_bytes())


class _Received(RawIOBase):
    """A file by its descriptor, read without moving the place where the process that sent it reads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with memoryview(buffer).cast("B") as view:
            data = os.pread(self._descriptor, len(view), self._at)
            view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _answer(
    request: dict[str, Any], files: Sequence[BinaryIO], *, max_pixels: int, memory: int
) -> tuple[dict[str, Any], bytes]:
    """Answer a request with at most the memory that it grants, or say how much it needs."""
    grant = request["grant"] if request["grant"] < memory else None
    try:
        _limit_memory(memory if grant is None else _used() + grant + _SLACK, memory)
        if request["kind"] == "same":
            return {"same": same_picture(files[0], files[1], max_pixels=max_pixels, grant=grant)}, b""
        if request["kind"] == "metadata":
            return {"metadata": to_json(read_metadata(files[0]))}, b""
        with image_errors("0"):
            picture = decode(files[0], _wanted(request), max_pixels=max_pixels, grant=grant)
    except NeedsMoreError as error:
        return {"needs": error.need}, b""
    except ImageError as error:
        # A decoder that got no memory may call it what it likes; with all there is to have it has no excuse.
        if grant is not None and (error.reason == NO_MEMORY or error.reason.startswith("damaged")):
            return {"needs": memory}, b""
        return {"reason": error.reason[:1000], "file": int(error.path)}, b""
    finally:
        _limit_memory(memory, memory)
    about = {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "frames": picture.frames,
        "note": picture.note,
        "see_through": picture.see_through,
        "bits": picture.bits,
        "shape": picture.pixels.shape,
    }
    return about, picture.pixels.tobytes()


def _wanted(request: dict[str, Any]) -> Wanted:
    if request["kind"] == "square":
        return Square(request["size"], request["channels"])
    return Thumbnail(request["longest"])


def _limit_memory(soft: int, hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (min(soft, hard), hard))


def _used() -> int:
    """Return how many bytes this process has that RLIMIT_DATA counts; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    words = status[status.index("VmData:") :].split(maxsplit=2)
    return int(words[1]) << 10
