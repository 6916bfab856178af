"""A Milvus server, as a gallery uses it: two collections, written to and asked, with errors that say what to do."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from siamese_search.errors import GalleryError, OptionError
from siamese_search.gallery.milvus.rows import EMBEDDING, FIELDS, INDEXES, MAX_TEXT, PICTURES, VECTORS, Row

MAX_HITS = 16_384  # that a server gives to one query, and queries it takes at once
_PORT = 19_530
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,199}")
_CONNECT_SECONDS = 10.0
_SECONDS = 120.0  # for one call, the client's own attempts included
_LOAD_SECONDS = 3600.0
_ROWS_AT_ONCE = 1000  # written in one call: messages are bounded
_OWN_WRITES_SECONDS = 10.0  # later, a bounded read knows them anyway


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gallery is: `milvus://HOST:PORT/NAME`."""

    host: str
    port: int
    name: str

    @classmethod
    def of(cls, location: str) -> "Address":
        """Return what a location says; raises OptionError where it says no server and name."""
        try:
            parts = urlsplit(location)
            host, port, name = parts.hostname, parts.port or _PORT, parts.path.strip("/")
        except ValueError as error:
            raise OptionError(f"{location}: {error}; expected milvus://HOST:PORT/NAME") from error
        if not host or not _NAME.fullmatch(name):
            raise OptionError(
                f"{location}: expected milvus://HOST:PORT/NAME; a name has letters, digits and _, and begins with no"
                " digit"
            )
        return cls(host, port, name)


class Server:
    """The two collections of one gallery: its pictures and its records; `table` is PICTURES or RECORDS.

    Strong reads see everything that was written before them, and wait up to a tick of the server for it, some 0.2 s.
    The others see what this process wrote, and what others wrote up to some seconds ago: on one server, all but the
    last tick.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.address = Address.of(location)
        self._opened: Any = None
        self._opening = Lock()
        self._written = -_OWN_WRITES_SECONDS

    def close(self) -> None:
        """Let go of the connection; the next use opens it again."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # -- the collections

    def exists(self, table: str) -> bool:
        """Tell whether a collection is there."""
        with self._explained():
            return bool(self._client.has_collection(self._name(table), timeout=_SECONDS))

    def is_ready(self, table: str) -> bool:
        """Tell whether a collection is there and can be asked; waits for a server that loads it after a start."""
        if not self.exists(table):
            return False
        name = self._name(table)
        with self._explained():
            if not self._client.list_indexes(name, timeout=_SECONDS):  # its maker was killed
                return False
            self._client.load_collection(name, timeout=_LOAD_SECONDS)
        return True

    def dim(self) -> int:
        """Return the length of the embeddings that fit into the collection of pictures."""
        with self._explained():
            about = self._client.describe_collection(self._name(PICTURES), timeout=_SECONDS)
        return int(next(f["params"]["dim"] for f in about["fields"] if f["name"] == EMBEDDING))

    def make(self, table: str, dim: int) -> None:
        """Make sure that a collection is there, indexed and loaded; doing it twice is no harm."""
        from pymilvus import DataType  # noqa: PLC0415

        client, name = self._client, self._name(table)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field, kind in FIELDS[table].items():
            text = {"max_length": MAX_TEXT} if kind == "VARCHAR" else {}
            schema.add_field(field, DataType[kind], is_primary=field == "row", **text)
        schema.add_field(VECTORS[table], DataType.FLOAT_VECTOR, dim=dim)
        with self._explained():
            if not client.has_collection(name, timeout=_SECONDS):
                client.create_collection(name, schema=schema, num_shards=1, timeout=_SECONDS)
            self._make_index(table)
            client.load_collection(name, timeout=_LOAD_SECONDS)

    def drop(self, table: str) -> None:
        """Forget a collection and all that is in it."""
        with self._explained():
            self._client.drop_collection(self._name(table), timeout=_SECONDS)

    def seal(self) -> None:
        """Have the pictures written so far put into segments of their own: what still grows is searched less well."""
        with self._explained():
            self._client.flush(self._name(PICTURES), timeout=_LOAD_SECONDS)

    def rebuild_index(self) -> None:
        """Build the index of the pictures anew; nothing can be searched meanwhile."""
        client, name = self._client, self._name(PICTURES)
        with self._explained():
            client.release_collection(name, timeout=_LOAD_SECONDS)
            for index in client.list_indexes(name):
                client.drop_index(name, index, timeout=_SECONDS)
            self._make_index(PICTURES)
            client.load_collection(name, timeout=_LOAD_SECONDS)

    def _make_index(self, table: str) -> None:
        client, name = self._client, self._name(table)
        there = set(client.list_indexes(name))
        for field, index in INDEXES[table].items():
            if field not in there:
                params = client.prepare_index_params()
                params.add_index(field_name=field, index_name=field, **index)
                client.create_index(name, params, timeout=_LOAD_SECONDS)

    # -- rows

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows under new numbers; writing the same twice is as writing them once."""
        self._write(table, rows, "insert")

    def replace(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows in place of those with the same numbers."""
        self._write(table, rows, "upsert")

    def delete(self, table: str, numbers: Sequence[int]) -> None:
        """Forget rows by their numbers, if they are there."""
        with self._explained():
            for start in range(0, len(numbers), MAX_HITS):
                some = list(numbers[start : start + MAX_HITS])
                self._client.delete(self._name(table), ids=some, timeout=_SECONDS)
        self._written = monotonic()

    def query(self, table: str, where: str, fields: Sequence[str], *, strong: bool = False) -> list[Row]:
        """Return these fields of the rows for which an expression holds, in no order."""
        with self._explained():
            return list(
                self._client.query(
                    self._name(table),
                    filter=where,
                    output_fields=list(fields),
                    consistency_level=self._level(strong=strong),
                    timeout=_SECONDS,
                )
            )

    def count(self, table: str, where: str, *, strong: bool = False) -> int:
        """Return the number of rows for which an expression holds; a row written twice counts twice."""
        return int(self.query(table, where, ["count(*)"], strong=strong)[0]["count(*)"])

    def search(
        self, vectors: Any, *, where: str, limit: int, params: dict[str, float], strong: bool = False
    ) -> list[list[Row]]:
        """Return for each row of `(n, dim)` the pictures nearest to it, with `item`, `row` and `embedding`."""
        with self._explained():
            found = self._client.search(
                self._name(PICTURES),
                vectors,
                filter=where,
                limit=limit,
                output_fields=["item", "row", EMBEDDING],
                search_params={"metric_type": "L2", "params": params},
                consistency_level=self._level(strong=strong),
                timeout=_SECONDS,
            )
        return [[hit["entity"] for hit in hits] for hits in found]

    # -- inside

    def _write(self, table: str, rows: Sequence[Row], how: str) -> None:
        with self._explained():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = list(rows[start : start + _ROWS_AT_ONCE])
                getattr(self._client, how)(self._name(table), some, timeout=_SECONDS)
        self._written = monotonic()

    def _level(self, *, strong: bool) -> str:
        if strong:
            return "Strong"
        return "Session" if monotonic() - self._written < _OWN_WRITES_SECONDS else "Bounded"

    def _name(self, table: str) -> str:
        return self.address.name + table

    @property
    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._opened = self._connected()
            return self._opened

    def _connected(self) -> Any:
        try:
            from pymilvus import MilvusClient, MilvusException  # noqa: PLC0415
        except ImportError as error:
            raise OptionError(
                f"{self.location}: needs the client of Milvus: pip install 'siamese-search[milvus]'"
            ) from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints what it raises
        host, port = self.address.host, self.address.port
        try:
            return MilvusClient(f"http://{host}:{port}", timeout=_CONNECT_SECONDS)
        except MilvusException as error:
            raise GalleryError(
                f"{self.location}: no Milvus server answers at {host}:{port}; start it, or look at the address"
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of an error of the client's what happened, and with which gallery."""
        _ = self._client  # says by itself why there is none
        from pymilvus import MilvusException  # noqa: PLC0415

        try:
            yield
        except MilvusException as error:
            raise GalleryError(
                f"{self.location}: the Milvus server did not do what it was asked: {error.message}; when it is well,"
                " run the same command again"
            ) from error
