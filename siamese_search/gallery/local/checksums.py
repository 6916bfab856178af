"""The checksum of a row: of bytes that are defined here, and so the same wherever and whenever they are computed.

A row stands for these bytes: one letter for each value, then eight bytes for each, then the bytes of its texts and
blobs, in their order. The letters, and what the eight bytes are, least significant first:

    i  an integer    its two's complement
    f  a real        IEEE 754, binary64
    t  a text        the number of bytes in its UTF-8
    b  a blob        the number of its bytes

The checksum is the XXH3 of these, of which 61 bits are kept: two of them added up still fit into SQLite's integers.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import xxhash

BITS = (1 << 61) - 1

Row = tuple[Any, ...]

TYPES: dict[str, type] = {"i": int, "f": float, "t": str, "b": bytes}
_LETTERS = {kind: letter for letter, kind in TYPES.items()}
_CODES = str.maketrans("iftb", "qdqq")  # in the language of `struct`


def checksum(row: Row) -> int:
    """Return the checksum of a row's values; raises TypeError where a value is of no type that is stored."""
    try:
        kinds = "".join([_LETTERS[type(value)] for value in row])
    except KeyError as error:
        raise TypeError(f"a value of type {error}") from error
    return checksum_as(kinds)(row)


@cache
def checksum_as(kinds: str) -> Callable[[Row], int]:
    """Return what computes the checksum of rows whose values are of these kinds, which takes half the time.

    It raises TypeError, AttributeError or struct.error for a row whose values are of others.
    """
    pack = struct.Struct(f"<{len(kinds)}s{kinds.translate(_CODES)}").pack
    letters = kinds.encode()
    digest, bits = xxhash.xxh3_64_intdigest, BITS
    sized = [(place, kind == "t") for place, kind in enumerate(kinds) if kind in "tb"]

    def checksum_of(row: Row) -> int:
        numbers = list(row)
        rest = b""
        for place, is_text in sized:
            data = row[place].encode() if is_text else row[place]
            rest += data
            numbers[place] = len(data)
        return digest(pack(letters, *numbers) + rest) & bits

    return checksum_of


def code_checksum(item: int, code: bytes) -> int:
    """Return the checksum of an embedding's row: of its code alone, begun with its item."""
    return xxhash.xxh3_64_intdigest(code, seed=item & BITS) & BITS
