"""What a gallery's rows are on a Milvus server: their columns, and what is made of them.

Rows are never changed. Each has a number, greater than all before it, and the newest head (see `head`) names the last
one that counts: so whatever is written with a head is there at once or not at all. A row ends by being named in a later
record. What a person said counts as soon as it is written; the newest row about two contents holds.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder.embed import Embedded
from siamese_search.gallery.codes import encode
from siamese_search.gallery.local.checksums import checksum
from siamese_search.gallery.store import AnswerRow, SkippedFile
from siamese_search.results import Answer, ImageFile, Item

Row = dict[str, Any]

PICTURES, RECORDS = "", "__records"  # behind the name of the gallery
EMBEDDING, NOTHING = "embedding", "nothing"  # a collection without vectors cannot be
FIELDS = {
    PICTURES: {
        "row": "INT64",
        "item": "INT64",
        "base": "INT64",  # the number of a folder, see `head`, and the path below it
        "path": "VARCHAR",
        "size": "INT64",
        "mtime_ns": "INT64",
        "content_hash": "VARCHAR",
        "width": "INT64",
        "height": "INT64",
        "format": "VARCHAR",
        "checksum": "INT64",
    },
    RECORDS: {"row": "INT64", "kind": "INT64", "data": "VARCHAR", "checksum": "INT64"},
}
VECTORS = {PICTURES: EMBEDDING, RECORDS: NOTHING}
INDEXES: dict[str, dict[str, dict[str, Any]]] = {
    PICTURES: {
        EMBEDDING: {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 16, "efConstruction": 120}},
        "item": {"index_type": "STL_SORT"},
    },
    RECORDS: {NOTHING: {"index_type": "FLAT", "metric_type": "L2", "params": {}}},
}
NOTHING_DIM = 2
MAX_TEXT = 65_535  # bytes of a VARCHAR

HEAD, CLAIM, ENDED, SKIPPED, ANSWER = range(5)  # the kinds of records

_ABOUT = tuple(name for name in FIELDS[PICTURES] if name != "checksum")
_ENDS_AT_ONCE = 3000  # numbers of rows that fit into one record


def picture_row(
    number: int, item: int, place: tuple[int, Path], file: ImageFile, content: Embedded | Item, vector: Any
) -> Row:
    """Return the row of a picture: what it shows, and where that lies: below a base."""
    base, inside = place
    row: Row = {
        "row": number,
        "item": item,
        "base": base,
        "path": _as_text(inside),
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "content_hash": content.content_hash,
        "width": content.width,
        "height": content.height,
        "format": content.format,
        EMBEDDING: np.asarray(vector, np.float32),
    }
    return row | {"checksum": _picture_checksum(row)}


def item_of(row: Row, bases: Mapping[int, Path]) -> Item:
    """Return the picture that a row is about; raises ValueError for a path below no base, or leading out of it."""
    return Item(
        id=row["item"],
        path=_below(bases, row["base"], row["path"]),
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        content_hash=row["content_hash"],
        width=row["width"],
        height=row["height"],
        format=row["format"],
    )


def record_row(number: int, kind: int, data: object) -> Row:
    """Return the row of a record, whose data can be said in JSON."""
    text = json.dumps(data, separators=(",", ":"))  # ASCII, whatever is in it
    return {
        "row": number,
        "kind": kind,
        "data": text,
        "checksum": checksum((number, kind, text)),
        NOTHING: np.zeros(NOTHING_DIM, np.float32),
    }


def is_whole(table: str, row: Row) -> bool:
    """Tell whether a row, with all its columns, is as it was written."""
    if table == PICTURES:
        return bool(row["checksum"] == _picture_checksum(row))
    return bool(row["checksum"] == checksum((row["row"], row["kind"], row["data"])))


def ended_rows(numbers: Iterator[int], ended: Iterable[int]) -> list[Row]:
    """Return the records, with the next of some numbers, that say which rows ended."""
    listed = sorted(ended)
    parts = (listed[start : start + _ENDS_AT_ONCE] for start in range(0, len(listed), _ENDS_AT_ONCE))
    return [record_row(next(numbers), ENDED, part) for part in parts]


def skipped_row(number: int, place: tuple[int, Path], entry: SkippedFile) -> Row:
    """Return the record of a file that could not be embedded."""
    base, inside = place
    about = [base, _as_text(inside), entry.file.size, entry.file.mtime_ns, entry.reason]
    return record_row(number, SKIPPED, about)


def skipped_of(row: Row, bases: Mapping[int, Path]) -> SkippedFile:
    """Return the file that such a record is about; raises ValueError for a path below no base, or leading out of it."""
    base, inside, size, mtime_ns, reason = json.loads(row["data"])
    file = ImageFile(path=_below(bases, base, inside), size=size, mtime_ns=mtime_ns)
    return SkippedFile(file=file, reason=reason)


def answer_row(number: int, first: str, second: str, answer: AnswerRow | None) -> Row:
    """Return the record of what a person said about two contents, or that it was taken back."""
    return record_row(number, ANSWER, [first, second, *((answer.answer.value, answer.time) if answer else ())])


def answers_in(rows: Iterable[Row]) -> list[AnswerRow]:
    """Return what holds of all that was said, oldest first."""
    held: dict[tuple[str, str], AnswerRow | None] = {}
    for row in sorted(rows, key=lambda row: int(row["row"])):
        first, second, *said = json.loads(row["data"])
        held[first, second] = AnswerRow(first, second, Answer(said[0]), said[1]) if said else None
    return sorted(filter(None, held.values()), key=lambda row: (row.time, row.first, row.second))


def _picture_checksum(row: Row) -> int:
    vector: NDArray[np.float32] = np.asarray(row[EMBEDDING], np.float32)
    return checksum((*(row[name] for name in _ABOUT), encode(vector[None]).tobytes()))


def _as_text(path: Path) -> str:
    r"""Return a path in ASCII: other characters, and bytes that are none, as in JSON: `\u00e9`."""
    return json.dumps(os.fspath(path))[1:-1]


def _below(bases: Mapping[int, Path], base: int, text: str) -> Path:
    inside = Path(json.loads(f'"{text}"'))
    if base not in bases or inside.is_absolute() or ".." in inside.parts:
        raise ValueError(f"a path that is below no folder: {text}")
    return bases[base] / inside
