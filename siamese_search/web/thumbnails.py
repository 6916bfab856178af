"""Thumbnails, decoded where no picture can do harm, and kept in memory for a while."""

import io
from collections import OrderedDict
from threading import Lock

from siamese_search.images.sandbox import Decoder
from siamese_search.results import Item

SIZES = (160, 320, 640, 1400)
"""The lengths, in pixels, of the longer side."""

_QUALITY = 82


class Thumbnails:
    """WebP pictures of gallery items, at most `max_bytes` of them kept; asked for from several threads at once."""

    def __init__(self, decoder: Decoder, *, max_bytes: int = 64 << 20) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def of(self, item: Item, longest: int) -> bytes:
        """Return a picture whose longer side is at most so many pixels; raises ImageError."""
        key = item.content_hash, longest
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = io.BytesIO()
        self._decoder.thumbnail(item.path, longest=longest).image.save(data, "WEBP", quality=_QUALITY, method=2)
        made = data.getvalue()
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, int], made: bytes) -> None:
        with self._lock:
            self._size += len(made) - len(self._kept.get(key, b""))
            self._kept[key] = made
            while self._size > self._max_bytes:
                self._size -= len(self._kept.popitem(last=False)[1])
