"""Memory that several threads share while they decode."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """So many bytes, taken for a while; whoever wants more than there are waits until nobody else has any."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._changed = Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Wait until there is room for so many bytes, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + amount <= self.size)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()
