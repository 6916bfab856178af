"""Pictures that were sent to be searched with, kept for a while so that they need not be sent again."""

from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock


class Uploads:
    """The last pictures that were sent, as the bytes of their files, by a name that nobody guesses."""

    def __init__(self, *, max_bytes: int = 256 << 20) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def keep(self, data: bytes) -> str:
        """Keep a picture, in place of those not used for longest; return its name."""
        name = token_urlsafe(12)
        with self._lock:
            self._kept[name] = data
            self._size += len(data)
            while self._size > self._max_bytes:
                self._size -= len(self._kept.popitem(last=False)[1])
        return name

    def get(self, name: str) -> bytes | None:
        """Return a picture by its name, None when it is not kept any more."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)
