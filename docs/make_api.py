"""Write docs/api.md, the page of everything public, from signatures and docstrings: `make docs`."""

import inspect
import re
import sys
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import siamese_search as ss

PAGE = Path(__file__).with_name("api.md")
_WIDTH = 120
_HEAD = """# What `import siamese_search` offers

<!-- Made by `make docs` from the docstrings; a test tells when it is out of date. -->

Whatever the commands do, these do in as many lines:

| command | in Python |
|---|---|
| `simsearch index DIR` | `ss.Gallery().sync([DIR])`, which calibrates too |
| `simsearch query IMAGE...` | `ss.Gallery().search(image)`, or of several images |
| `simsearch dedupe` | `ss.find_duplicates(gallery)` |
| `simsearch dedupe --plan FILE` | `ss.write_plan(file, report, gallery)` |
| `simsearch dedupe --report DIR`, `--sheet PNG` | `ss.write_page(page, ...)`, `ss.write_group_sheet(group, png)` |
| `simsearch apply`, `undo` | `ss.apply_plan(file, action="trash")`, `ss.undo_journal(journal)` |
| `simsearch calibrate` | `gallery.calibrate()`; answers of people: `gallery.answers` |
| `simsearch info`, `verify`, `remove`, `relocate`, `export` | the methods of `Gallery` of these names |
| `simsearch import FILE.parquet` | `gallery.take_in(file)` |
| `simsearch train`, `evaluate` | `ss.train_encoder(data, folder)`, `ss.evaluate_encoder(encoder, data)` |
| `simsearch demo` | `ss.run_demo(folder, gallery)` |

Results are frozen dataclasses: each prints as one line. Those that hold rows are sequences of them, false when empty,
and `to_frame()` turns them into a pandas table. Files are `Path`s; distances are Euclidean, in [0, 2].
A `Source` is a path, the bytes of an image file, an open one, a Pillow image, or an array of pixels.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


def page() -> str:
    """Return the page."""
    public = [getattr(ss, name) for name in ss.__all__]
    errors = [value for value in public if inspect.isclass(value) and issubclass(value, Exception)]
    functions = [value for value in public if inspect.isfunction(value)]
    values = [value for value in public if inspect.isclass(value) and (is_dataclass(value) or issubclass(value, Enum))]
    others = [value for value in public if value not in (*errors, *functions, *values)]
    parts = [_HEAD]
    for title, members in (("Functions", functions), ("Classes", others), ("Results", values), ("Errors", errors)):
        parts += [f"## {title}\n", *map(_section, members)]
    return "\n".join(parts)


def _section(value: Any) -> str:
    if inspect.isfunction(value):
        return f"### {value.__name__}\n\n{_code(value, value.__name__)}\n{_text(value)}"
    lines = [f"### {value.__name__}\n", _text(value)]
    if issubclass(value, Enum):
        lines.append(f"One of {', '.join(f'`{member.value}`' for member in value)}.\n")
    elif is_dataclass(value):
        lines.append("".join(f"- `{name}`: `{_type(field.type)}`\n" for name, field in _fields(value).items()))
    elif not issubclass(value, Exception):
        lines.append(_code(value, value.__name__))
    if not (issubclass(value, Exception | Enum)):
        # Of a house class that it extends too: people call the methods of both.
        owners = [owner for owner in value.__mro__[::-1] if owner.__module__.startswith("siamese_search.gallery")]
        names = dict.fromkeys(name for owner in owners or [value] for name in vars(owner) if not name.startswith("_"))
        lines += [_method(value, name) for name in names]
    return "\n".join(filter(None, lines))


def _method(owner: type, name: str) -> str:
    member = inspect.getattr_static(owner, name)
    if isinstance(member, property):
        return f"**`{name}`** `{_type(inspect.signature(member.fget).return_annotation)}`  \n{_text(member)}"
    function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    if not inspect.isfunction(inspect.unwrap(function)) or not function.__doc__:
        return ""
    return f"{_code(function, name)}\n{_text(function)}"


def _fields(value: Any) -> dict[str, Any]:
    return dict(value.__dataclass_fields__)


def _code(value: Any, name: str) -> str:
    """Return a signature as code, an argument a line where it is long."""
    signature = inspect.signature(value)
    parameters = [item for item in signature.parameters.values() if item.name not in {"self", "cls"}]
    shown = signature.replace(
        parameters=[item.replace(annotation=_Shown(item.annotation)) for item in parameters],
        return_annotation=signature.empty if inspect.isclass(value) else _Shown(signature.return_annotation),
    )
    line = f"{name}{shown}"
    if len(line) > _WIDTH:
        line = f"{name}{_in_lines(shown)}"
    return f"```python\n{line}\n```"


def _in_lines(signature: inspect.Signature) -> str:
    arguments = []
    kinds = [item.kind for item in signature.parameters.values()]
    for place, item in enumerate(signature.parameters.values()):
        if item.kind is item.KEYWORD_ONLY and item.KEYWORD_ONLY not in kinds[:place]:
            arguments.append("    *,\n")
        arguments.append(f"    {item},\n")
    back = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation!r}"
    return f"(\n{''.join(arguments)}){back}"


class _Shown:
    """An annotation that prints as people write it."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def __repr__(self) -> str:
        return _type(self.annotation)


def _type(annotation: Any) -> str:
    """Return an annotation without the modules that its names come from, with the names of our longer types."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    for long, short in _ALIASES:
        text = text.replace(long, short)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text).strip("'")


def _text(value: Any) -> str:
    """Return a docstring; indented examples of it are code in Markdown as they are."""
    return f"{inspect.getdoc(value) or ''}\n"


def _aliases() -> list[tuple[str, str]]:
    from siamese_search.images.sources import Source  # noqa: PLC0415  imports Pillow

    return [
        (inspect.formatannotation(Source), "Source"),
        ("numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[numpy.float32]]", "NDArray[float32]"),
        ("numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[numpy.int64]]", "NDArray[int64]"),
        ("numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[numpy.uint8]]", "NDArray[uint8]"),
        ("numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float32]]", "NDArray[float32]"),
    ]


_ALIASES = _aliases()


if __name__ == "__main__":
    main()
