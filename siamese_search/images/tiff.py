"""The first directory of a TIFF file, as EXIF and most RAW formats are one."""

from typing import Literal

MAKE, ORIENTATION, SUB_DIRECTORIES, DNG_VERSION = 0x010F, 0x0112, 0x014A, 0xC612
_TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes


class Directory:
    """Where the values of a TIFF's first directory are; a damaged one is cut off where it ends."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._start = start
        self._order: Literal["little", "big"] = "little" if data[start : start + 2] == b"II" else "big"
        first = start + self._number(start + 4, 4)
        entries = range(first + 2, min(first + 2 + 12 * self._number(first, 2), len(data)), 12)
        self._places = {self._number(at, 2): at for at in entries}

    def __contains__(self, tag: int) -> bool:
        return tag in self._places

    def short(self, tag: int, default: int) -> int:
        """Return a value of two bytes."""
        return self._number(self._places[tag] + 8, 2) if tag in self._places else default

    def text(self, tag: int) -> str:
        """Return a text, without the zero at its end."""
        if tag not in self._places:
            return ""
        at, size = self._places[tag], self._size(self._places[tag])
        place = at + 8 if size <= 4 else self._start + self._number(at + 8, 4)  # noqa: PLR2004  what an entry holds
        return self._data[place : place + size].split(b"\0")[0].decode("latin-1").strip()

    def weight(self) -> int:
        """Return how many bytes the values add up to: whoever reads all copies each, and they may be the same bytes."""
        return sum(min(self._size(at), len(self._data)) for at in self._places.values())

    def _size(self, at: int) -> int:
        kind = self._number(at + 2, 2)
        return (_TYPE_SIZES[kind] if kind < len(_TYPE_SIZES) else 0) * self._number(at + 4, 4)

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._data[at : at + size], self._order)


def read_directory(data: bytes, start: int = 0) -> Directory | None:
    """Return the first directory of a TIFF that starts somewhere in some bytes, None where there is none."""
    return Directory(data, start) if data[start : start + 4] in {b"II*\0", b"MM\0*"} else None
