"""The texts of a PNG: before its pixels, and behind them, where Pillow finds them only once it has decoded these."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 100_000
_MAX_TEXTS = 100
_MAX_BYTES = 1 << 20  # of one text; more is no word of a person
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def read_texts(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield keyword and content of each text of an open PNG, and its EXIF data as "eXIf"; a damaged one ends early.

    What old programs call a raw profile, digits for bytes, is turned back into these.
    """
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return
    texts = 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(kind) < 4 or kind == b"IEND" or texts == _MAX_TEXTS:  # noqa: PLR2004
            return
        if size > _MAX_BYTES or (kind not in _TEXTS and kind != b"eXIf"):
            file.seek(size + 4, 1)
            continue
        texts += 1
        data = file.read(size + 4)[:size]
        if kind == b"eXIf":
            yield "eXIf", data
        else:
            name, _, rest = data.partition(b"\0")
            yield name.decode("latin-1"), _content(kind, name, rest)


def _content(kind: bytes, name: bytes, rest: bytes) -> bytes:
    is_compressed = kind == b"zTXt"
    if kind == b"iTXt":  # flag and method of compression, then language and translated keyword
        is_compressed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    elif is_compressed:
        rest = rest[1:]
    if is_compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MAX_BYTES)
        except zlib.error:
            return b""
    elif kind == b"tEXt":
        rest = rest.decode("latin-1").encode()
    return _from_digits(rest) if name.startswith(b"Raw profile type ") else rest


def _from_digits(profile: bytes) -> bytes:
    """Return the bytes of a raw profile: a line with its kind, one with its length, then hexadecimal digits."""
    lines = profile.strip().split(b"\n", 2)
    with suppress(ValueError, IndexError, UnicodeError):
        return bytes.fromhex(lines[2].decode("ascii"))
    return b""
