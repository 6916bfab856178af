"""The pictures of a gallery as they are now, read again when another process changed them."""

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from siamese_search.gallery import Gallery
from siamese_search.results import Item


class Listing:
    """All items of a gallery in memory, by id and by path. One thread reads them again, the others wait for it."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._state: str | None = None
        self._items: list[Item] = []
        self._by_path: dict[Path, Item] = {}
        self._lock = Lock()

    def items(self) -> list[Item]:
        """Return all pictures in the order of their ids."""
        with self._lock:
            self._renew()
            return self._items

    def at(self, paths: Iterable[Path]) -> list[Item | None]:
        """Return the pictures at some paths."""
        with self._lock:
            self._renew()
            return [self._by_path.get(path) for path in paths]

    def _renew(self) -> None:
        if not self._gallery.exists():
            return
        state = self._gallery.state
        if state != self._state:
            self._items = self._gallery.items()
            self._by_path = {item.path: item for item in self._items}
            self._state = state
