"""A whole gallery in one Parquet file: for other programs, and to move it from one store to another.

A row is a picture, with its embedding. What else there is lies in the file's metadata under "simsearch", as JSON: the
settings, the folders, the files that could not be embedded or wait for it, and what people said of pairs.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_search.atomic import whole_file
from siamese_search.encoder.embed import Embedded
from siamese_search.errors import DataError, OptionError
from siamese_search.gallery.settings import identity_in
from siamese_search.gallery.store import AnswerRow, SkippedFile, Store
from siamese_search.images.files import lies_in
from siamese_search.results import Answer, ImageFile

FORMAT = 1
_METADATA = b"simsearch"
_AT_ONCE = 8192  # rows written, or read and committed, at once
_TYPES = {
    "id": "int64",
    "path": "string",
    "path_bytes": "binary",  # where a name is no text in UTF-8
    "size": "int64",
    "mtime_ns": "int64",
    "content_hash": "string",
    "width": "int64",
    "height": "int64",
    "format": "string",
}
_COLUMNS = list(_TYPES)
_OF_ITEM = [name for name in _TYPES if not name.startswith("path")]
_HASH = re.compile("[0-9a-f]{32}")


def write_parquet(store: Store, path: Path, *, dim: int) -> int:
    """Write all pictures of one moment into a file; return their number. Raises FolderError, OptionError."""
    arrow, parquet = _arrow()
    columns = [(name, getattr(arrow, kind)()) for name, kind in _TYPES.items()]
    schema = arrow.schema(
        [*columns, ("embedding", arrow.list_(arrow.float32(), dim))], metadata={_METADATA: json.dumps(_about(store))}
    )
    items = store.items()
    with whole_file(path) as half, parquet.ParquetWriter(half, schema) as file:
        for start in range(0, len(items), _AT_ONCE):
            some = items[start : start + _AT_ONCE]
            values: dict[str, Any] = {name: [getattr(item, name) for item in some] for name in _OF_ITEM}
            values["path"], values["path_bytes"] = zip(*(_path_in_row(item.path) for item in some), strict=True)
            vectors = store.vectors_of([item.id for item in some]).ravel()
            values["embedding"] = arrow.FixedSizeListArray.from_arrays(arrow.array(vectors), dim)
            file.write_table(arrow.table([values[name] for name in schema.names], schema=schema))
    return len(items)


def read_parquet(store: Store, path: Path) -> int:
    """Bring what such a file holds into a new gallery, or one of the same encoder; return the number of new pictures.

    What is known of a path stays as it is, so that a run that was interrupted can go on; ids are given anew, and of two
    answers about one pair the later holds. Raises DataError for a file of another kind or encoder, or at a row that is
    none. The caller is the writer.
    """
    _, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {})[_METADATA])
            if about["format"] != FORMAT:
                raise DataError(f"{path}: format {about['format']} is of a newer version; upgrade this one")
            return _taken_in(store, file, path, about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a gallery written by `simsearch export FILE.parquet` ({type(error).__name__}: {error})"
        ) from error


def _taken_in(store: Store, file: Any, path: Path, about: Mapping[str, Any]) -> int:
    identity = identity_in(about["settings"], str(path))
    roots = [Path(root) for root in about["roots"]]
    skipped = [_skipped(roots, *row) for row in about["skipped"]]
    answers = [AnswerRow(first, second, Answer(answer), time) for first, second, answer, time in about["answers"]]
    if not store.exists():
        store.create(about["settings"])
    if identity_in(store.settings(), store.location).fingerprint != identity.fingerprint:
        raise DataError(f"{path}: was embedded by another encoder than {store.location}; name another --index")
    known = {item.path for item in store.items()}
    before = len(known)
    with store.transaction():
        for root in roots:
            store.add_root(root)
        for entry in skipped:
            if entry.file.path not in known:
                store.skip(entry)
    for batch in file.iter_batches(_AT_ONCE):
        vectors = batch.column("embedding").flatten().to_numpy().reshape(-1, identity.dim)
        rows = zip(batch.select(_COLUMNS).to_pylist(), vectors, strict=True)
        with store.transaction():
            for picture, embedded in starmap(_picture, rows):
                if _within(roots, picture.path) not in known:
                    store.add(picture, embedded)
                    known.add(picture.path)
    _answer(store, answers)
    return len(known) - before


def _answer(store: Store, answers: Sequence[AnswerRow]) -> None:
    said = {(row.first, row.second): row.time for row in store.answers()}
    for row in answers:
        if row.time > said.get((row.first, row.second), -np.inf):
            store.set_answer(row)


def _within(roots: Sequence[Path], path: Path) -> Path:
    if not lies_in(path, roots):
        raise ValueError(f"{path} lies in none of its folders")
    return path


def _skipped(roots: Sequence[Path], name: str, size: int, mtime_ns: int, reason: str) -> SkippedFile:
    return SkippedFile(file=ImageFile(path=_within(roots, Path(name)), size=size, mtime_ns=mtime_ns), reason=reason)


def _about(store: Store) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "settings": dict(store.settings()),
        "roots": [str(root) for root in store.roots()],
        "skipped": [(str(e.file.path), e.file.size, e.file.mtime_ns, e.reason) for e in store.skipped()],
        "answers": [(row.first, row.second, row.answer.value, row.time) for row in store.answers()],
    }


def _picture(row: Mapping[str, Any], vector: NDArray[np.float32]) -> tuple[ImageFile, Embedded]:
    path = Path(row["path"] if row["path_bytes"] is None else os.fsdecode(row["path_bytes"]))
    if not _HASH.fullmatch(row["content_hash"]):
        raise ValueError(f"{row['content_hash']!r} is no checksum")
    file = ImageFile(path=path, size=row["size"], mtime_ns=row["mtime_ns"])
    about = {name: row[name] for name in ("content_hash", "width", "height", "format")}
    return file, Embedded(path=path, vector=vector, **about)


def _path_in_row(path: Path) -> tuple[str, bytes | None]:
    """Return a path as text, and its bytes where they are none in UTF-8."""
    data = os.fsencode(path)
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), data


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415  (rarely needed)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise OptionError("Parquet needs pyarrow: pip install 'siamese-search[parquet]'") from error
    return pyarrow, parquet
