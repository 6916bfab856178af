"""One encoder for many threads that bring a picture each: what waits at a time is embedded together."""

from collections import deque
from concurrent.futures import Future
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from siamese_search.cores import usable_cores

if TYPE_CHECKING:
    from siamese_search.encoder.runtime import Backend

_Waiting = tuple[NDArray[np.uint8], Future[NDArray[np.float32]]]


class SharedBackend:
    """A backend that embeds what several threads bring in batches of the size that suits it.

    Nobody waits for company: a picture that comes alone is embedded alone, and the others that come meanwhile are the
    next batch. The threads that call do the work, as many at once as there are cores.
    """

    def __init__(self, backend: "Backend") -> None:
        self.batch = backend.batch
        self._backend = backend
        self._waiting: deque[_Waiting] = deque()
        self._lock = Lock()
        self._cores = Semaphore(usable_cores())

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch; what goes wrong with one goes wrong with those that were embedded along with it."""
        mine: Future[NDArray[np.float32]] = Future()
        with self._lock:
            self._waiting.append((pixels, mine))
        while not mine.done():
            with self._cores:
                some = [] if mine.done() else self._take()
                self._embed(some)
            if not some:  # another thread has mine in hand
                break
        return mine.result()

    def _take(self) -> list[_Waiting]:
        """Take from those that wait, in order, until a batch is full; one that is larger goes alone."""
        taken: list[_Waiting] = []
        rows = 0
        with self._lock:
            while self._waiting and (not taken or rows + len(self._waiting[0][0]) <= self.batch):
                taken.append(self._waiting.popleft())
                rows += len(taken[-1][0])
        return taken

    def _embed(self, some: list[_Waiting]) -> None:
        if not some:
            return
        try:
            embeddings = self._backend(np.concatenate([pixels for pixels, _ in some]))
        except BaseException as error:  # noqa: BLE001  it is raised again by every thread that waits
            for _, future in some:
                future.set_exception(error)
            return
        start = 0
        for pixels, future in some:
            future.set_result(embeddings[start : start + len(pixels)])
            start += len(pixels)
