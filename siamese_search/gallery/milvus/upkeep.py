"""What a writer clears away before it begins, what is not as it was written, and what there is to tell of an index."""

import json
from collections.abc import Callable
from pathlib import Path
from time import time

import numpy as np

from siamese_search.gallery.milvus.head import Head
from siamese_search.gallery.milvus.reading import Reader
from siamese_search.gallery.milvus.rows import (
    EMBEDDING,
    ENDED,
    PICTURES,
    RECORDS,
    SKIPPED,
    Row,
    answers_in,
    is_whole,
    item_of,
    skipped_of,
)
from siamese_search.gallery.milvus.search import EF, Search
from siamese_search.gallery.milvus.server import Server
from siamese_search.gallery.milvus.writing import A_MILLISECOND, Draft, Writer
from siamese_search.gallery.settings import calibration_in, identity_in, threshold_in
from siamese_search.gallery.store import DamagedError, StoreReport

_KEPT_SECONDS = 600.0  # what ended, for those who still read what was before
_SAMPLED, _NEAREST, _FAR = 50, 10, 16  # pictures, hits of each, and how many times as far is looked to tell the recall
_MIN_RECALL = 0.9
_LINKS = 32  # of a picture in the lowest layer of HNSW, 4 bytes each
_ABOUT_BYTES = 200  # the other columns of a picture, more or less


def clear(server: Server, reader: Reader, head: Head) -> None:
    """Delete what never counted, since its writer was killed, and what ended some time ago; by the writer alone."""
    for table, kinds in ((PICTURES, ""), (RECORDS, f" and kind in [{ENDED}, {SKIPPED}]")):
        unfinished = server.query(table, f"row > {head.last}{kinds}", ["row"], strong=True)
        server.delete(table, [row["row"] for row in unfinished])
    server.delete(RECORDS, [row["row"] for row in reader.heads()[2:]])
    long_ago = int((time() - _KEPT_SECONDS) * 1000) << A_MILLISECOND
    marks = server.query(RECORDS, f"kind == {ENDED} and row < {min(long_ago, head.last)}", ["row", "data"])
    for mark in marks:
        numbers = json.loads(mark["data"])
        server.delete(PICTURES, numbers)
        server.delete(RECORDS, numbers)
    if marks:
        reader.settle(head)  # the rows are gone for everybody before it is forgotten that they ended
        server.delete(RECORDS, [mark["row"] for mark in marks])


def verified(server: Server, reader: Reader, head: Head) -> StoreReport:
    """Read everything that counts against its checksums."""
    return StoreReport(problems=tuple(_look_over(server, reader, head)[0]))


def repaired(server: Server, reader: Reader, writer: Writer) -> StoreReport:
    """End the rows that are not as they were written; build the index anew where any were, or it finds too little."""
    problems, mend = _look_over(server, reader, writer.head)
    recall = index_recall(server, reader, writer.head)
    if not problems and recall >= _MIN_RECALL:
        return StoreReport()
    writer.commit(mend)
    server.rebuild_index()
    if not problems:
        return StoreReport(mended=(f"the index found {recall:.0%} of what is near; built anew",))
    left, _ = _look_over(server, reader, writer.head)
    mended = [problem for problem in problems if problem not in left]
    if mended:
        mended.append(f"the rows were ended, which leaves {writer.head.count:,} pictures; now index again")
    return StoreReport(problems=tuple(left), mended=tuple(mended))


def index_recall(server: Server, reader: Reader, head: Head) -> float:
    """Return the share of the nearest that searches find of those found by looking far further, for some pictures."""
    some = np.unique(np.linspace(1, max(head.given, 1), _SAMPLED).astype(np.int64)).tolist()
    rows = reader.pictures_of(head, some, embedding=True)
    if not rows:
        return 1.0
    queries = np.array([row[EMBEDDING] for row in rows.values()], np.float32)
    found, known = (Search(server, reader, head, ef=ef).nearest(queries, _NEAREST) for ef in (EF, _FAR * EF))
    hits = sum(len({id_ for id_, _ in few} & {id_ for id_, _ in all_}) for few, all_ in zip(found, known, strict=True))
    return hits / sum(map(len, known))


def size_of(head: Head) -> int:
    """Return about how much room the pictures take on a server, which does not tell: their columns and the index."""
    return head.count * (4 * head.dim + 4 * _LINKS + _ABOUT_BYTES)


def _look_over(server: Server, reader: Reader, head: Head) -> tuple[list[str], Draft]:
    """Return what is wrong, in words, and the draft that mends what can be."""
    mend = Draft(head)
    problems = _settings_troubles(server.location, head)
    items: set[int] = set()
    paths: set[Path] = set()
    damaged = twice = 0
    for row in reader.everything(head):
        path = _path_in(row, head)
        if path is None:
            damaged += 1
        elif row["item"] in items or path in paths:
            twice += 1
        else:
            items.add(row["item"])
            paths.add(path)
            continue
        mend.ended.add(row["row"])
    bad = {row["row"] for row in reader.skipped(head) if not _is_sound(row, lambda row: skipped_of(row, head.bases))}
    mend.ended |= bad
    mend.count = len(items)
    lost = [row["row"] for row in reader.answers() if not _is_sound(row, lambda row: answers_in([row]))]
    said = (
        (damaged, "pictures are not as they were written"),
        (twice, "pictures are in it twice"),
        (len(bad), "skipped files are not as they were written"),
        (len(lost), "answers are not as they were written"),
        (head.count - len(items) if not (damaged or twice) else 0, "pictures are not there"),
    )
    problems += [f"{count:,} {what}" for count, what in said if count]
    return problems, mend


def _settings_troubles(location: str, head: Head) -> list[str]:
    found = []
    for read in (identity_in, threshold_in, calibration_in):
        try:
            read(head.settings, location)
        except DamagedError as error:
            found.append(error.detail)
    return found


def _path_in(row: Row, head: Head) -> Path | None:
    """Return where a picture is; None when its row is not as it was written."""
    try:
        return item_of(row, head.bases).path if is_whole(PICTURES, row) else None
    except ValueError:
        return None


def _is_sound(row: Row, read: Callable[[Row], object]) -> bool:
    try:
        read(row)
    except (ValueError, KeyError, TypeError):
        return False
    return is_whole(RECORDS, row)
