"""Work for a few threads, with a queue that ends somewhere: whoever comes when it is full is told to come again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

_RETRY = {"Retry-After": "1"}

P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """So many threads, and so many calls that may wait for one; all of it from one event loop.

    A call that takes more than `seconds` is answered with 503. It keeps its thread until it ends, and its place: time
    that is not limited further down is limited by that.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, seconds: float) -> None:
        self.limit = threads + waiting
        self.taken = 0
        self.refused = 0
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call something on one of the threads; 429 when as many wait already as may."""
        if self.taken >= self.limit:
            self.refused += 1
            raise HTTPException(429, "too many ask at once; try again in a second", headers=_RETRY)
        self.taken += 1
        future = self._pool.submit(partial(work, *arguments, **options))
        loop = asyncio.get_running_loop()
        future.add_done_callback(partial(self._leave, loop))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError:
            raise HTTPException(503, f"took longer than {self._seconds:g} s", headers=_RETRY) from None

    def close(self) -> None:
        """Let the threads end; what waits is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self, loop: asyncio.AbstractEventLoop, _future: Future[T]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self.taken -= 1
