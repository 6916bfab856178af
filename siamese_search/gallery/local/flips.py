"""A row in which one bit flipped: its checksum tells which."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from siamese_search.gallery.local.checksums import Row

_BITS = 64  # of a stored number


def before_a_flip(row: Row, kinds: str, checked: Callable[[Row], Row | None]) -> Row | None:
    """Return the values that a stored row had before one of its bits flipped; None when that is not what happened.

    `kinds` are those of its columns, `checked` returns the values of a row that agree with its checksum. Of the few
    thousand rows that are tried, another one than the true one agrees once in 10^14 times.
    """
    for place, (value, kind) in enumerate(zip(row, kinds, strict=True)):
        for other in _one_bit_away(value, kind):
            found = checked((*row[:place], other, *row[place + 1 :]))
            if found is not None:
                return found
    return None


def _one_bit_away(value: Any, kind: str) -> Iterator[object]:
    if kind == "t" and isinstance(value, str | bytes):
        for other in _bytes_away(value.encode() if isinstance(value, str) else value):
            with suppress(UnicodeDecodeError):
                yield other.decode()
    elif isinstance(value, bytes):
        yield from _bytes_away(value)
    elif isinstance(value, int):
        for bit in range(_BITS):
            yield int.from_bytes((value & (1 << _BITS) - 1 ^ 1 << bit).to_bytes(8, "little"), "little", signed=True)
    elif isinstance(value, float):
        (bits,) = struct.unpack("<Q", struct.pack("<d", value))
        for bit in range(_BITS):
            yield struct.unpack("<d", struct.pack("<Q", bits ^ 1 << bit))[0]


def _bytes_away(data: bytes) -> Iterator[bytes]:
    for place, byte in enumerate(data):
        for bit in range(8):
            yield data[:place] + bytes([byte ^ 1 << bit]) + data[place + 1 :]
