"""What results have in common: each prints as one line, and those that are made of rows turn into a table."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin, overload

from siamese_search.errors import OptionError
from siamese_search.escapes import printable

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")


class Printed:
    """A dataclass that prints as one line for people: its fields that say something, by name."""

    __slots__ = ()

    def __str__(self) -> str:
        said = ((name.replace("_", " "), getattr(self, name)) for name in _names(type(self)))
        return ", ".join(filter(None, (_words(name, value) for name, value in said)))


class Tabular(Printed, Generic[Row]):
    """A dataclass around rows, those of its first field that is a tuple of dataclasses: a sequence of them."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, place: int | slice) -> Row | tuple[Row, ...]:
        return self._rows[place]

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, a row for each of the innermost rows, such as a hit of a search.

        What holds a row adds its own plain fields as columns, such as the query. Raises OptionError without pandas.
        """
        try:
            import pandas as pd  # noqa: PLC0415  an extra
        except ImportError:
            raise OptionError("a table needs pandas: pip install pandas") from None
        rows_field, row_type = _rows_of(type(self))
        records = [record for row in getattr(self, rows_field) for record in _records(row)]
        return pd.DataFrame(records, columns=_columns(row_type))

    @property
    def _rows(self) -> tuple[Row, ...]:
        rows: tuple[Row, ...] = getattr(self, _rows_of(type(self))[0])
        return rows


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _rows_of(kind: Any) -> tuple[str, Any]:
    """Return the field that holds the rows of a dataclass, and their type; ("", object) where there is none."""
    for field in fields(kind):
        if get_origin(field.type) is tuple and is_dataclass(row_type := get_args(field.type)[0]):
            return field.name, row_type
    return "", object


def _records(row: Any) -> list[dict[str, Any]]:
    """Return a row as one record, or as many as it has rows itself."""
    rows_field, _ = _rows_of(type(row))
    plain, nested = _split(type(row))
    own = {name: getattr(row, name) for name in plain}
    if rows_field:
        return [own | record for inner in getattr(row, rows_field) for record in _records(inner)]
    for name, kind in nested.items():
        part = getattr(row, name)
        own |= {inner: getattr(part, inner, None) for inner in _names(kind)}
    return [own]


def _columns(kind: Any) -> list[str]:
    """Return the names in the records of a type of rows, so that a table without rows has them too."""
    rows_field, row_type = _rows_of(kind)
    plain, nested = _split(kind)
    if rows_field:
        return list(dict.fromkeys([*plain, *_columns(row_type)]))
    return list(dict.fromkeys([*plain, *(inner for part in nested.values() for inner in _names(part))]))


def _split(kind: Any) -> tuple[list[str], dict[str, Any]]:
    """Tell the plain fields of a dataclass from those that hold another dataclass, or None."""
    rows_field, _ = _rows_of(kind)
    plain, nested = [], {}
    for field in fields(kind):
        parts = [part for part in (field.type, *get_args(field.type)) if is_dataclass(part)]
        if field.name == rows_field:
            continue
        if parts and get_origin(field.type) is not tuple:
            nested[field.name] = parts[0]
        else:
            plain.append(field.name)
    return plain, nested


def _words(name: str, value: Any) -> str:
    """Say a field in words; nothing of one that says nothing."""
    if value is None or value is False or value in ("", ()):
        return ""
    if value is True:
        return name
    if isinstance(value, float):
        return f"{name} {value:.4g}"
    if isinstance(value, int):
        return f"{name} {value:,}"
    if isinstance(value, tuple):
        return (
            f"{name} {len(value):,}" if is_dataclass(value[0]) else f"{name} {printable(' and '.join(map(str, value)))}"
        )
    return f"{name} ({value})" if is_dataclass(value) else f"{name} {printable(str(value))}"
