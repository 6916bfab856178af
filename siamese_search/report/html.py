"""Results as one HTML file: pictures embedded, no network, light and dark, fluent at thousands of groups."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from siamese_search.atomic import output_file
from siamese_search.escapes import printable
from siamese_search.report.views import Progress, Viewer, burst_paths, group_paths, query_paths
from siamese_search.report.words import human_bytes, relation_words
from siamese_search.results import DedupeReport, Relation, SearchReport
from siamese_search.version import __version__

_WORDS = {relation.value: relation_words(relation) for relation in Relation}
_SCRIPTS = ("groups.js", "choices.js", "compare.js", "keys.js")


def write_dedupe_html(
    report: DedupeReport,
    path: Path,
    *,
    choices: Mapping[str, Any] | None = None,
    only: Sequence[Relation] = (),
    progress: Progress | None = None,
) -> None:
    """Write the page of a dedupe report, as `write_page` does."""
    write_page(path, title="Near-duplicates", dedupe=report, choices=choices, only=only, progress=progress)


def write_page(
    path: Path,
    *,
    title: str,
    lead: str = "",
    search: SearchReport | None = None,
    dedupe: DedupeReport | None = None,
    choices: Mapping[str, Any] | None = None,
    only: Sequence[Relation] = (),
    pictures: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Write one page with any of its parts: a search, a dedupe report, a plain wall of pictures.

    `title` and `lead` are plain text. With the `choices` that `choices_json` makes of the dedupe report, a person can
    choose on the page what is kept and what is acted on, and save that as a plan; `only` are the relations that those
    were made for. The page appears at `path` whole or
    not at all; FolderError if it cannot be written.
    """
    shown = list(pictures)
    if search is not None:
        shown += [shown_path for result in search.queries for shown_path in query_paths(result)]
    if dedupe is not None:
        shown += [shown_path for group in dedupe.groups for shown_path in group_paths(group)]
        shown += [shown_path for burst in dedupe.bursts for shown_path in burst_paths(burst)]
    viewer = Viewer(shown, progress=progress)
    script = f'(() => {{\n"use strict";\n{"".join(map(_source, _SCRIPTS))}}})();'
    page = _environment().get_template("page.html.j2")
    chunks = page.generate(
        title=title,
        lead=lead,
        root=viewer.root,
        version=__version__,
        style=_trusted(_source("page.css")),
        script=_trusted(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        search=viewer.search(search) if search is not None else None,
        dedupe=viewer.dedupe(dedupe, only) if dedupe is not None else None,
        choices=None if choices is None else _data({**choices, "words": _WORDS}),
        skipped=dedupe.skipped if dedupe is not None else (),
        pictures=viewer.pictures(pictures) if pictures else None,
        picture_count=len(pictures),
    )
    with output_file(path) as half, half.open("w", encoding="utf-8") as file:
        file.writelines(chunks)


def write_own_page(path: Path, name: str, **values: object) -> None:
    """Write a page with a template, a style sheet and a script of its own, all of this name, as `write_page` does.

    `data` among the values is what the script works with, as JSON.
    """
    script = _source(f"{name}.js")
    chunks = (
        _environment()
        .get_template(f"{name}.html.j2")
        .generate(
            style=_trusted(_source(f"{name}.css")),
            script=_trusted(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            **{**values, "data": _trusted(json.dumps(values["data"], separators=(",", ":")).replace("<", "\\u003c"))},
        )
    )
    with output_file(path) as half, half.open("w", encoding="utf-8") as file:
        file.writelines(chunks)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("siamese_search", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # A file name need not be UTF-8. Exactly str: Markup is a str too, and must stay Markup.
        finalize=lambda value: printable(str(value)) if type(value) is str or isinstance(value, Path) else value,
    )
    environment.filters |= {
        "amount": human_bytes,
        "count": "{:,}".format,
        "breakable": _breakable,
        "numbers": lambda numbers: " ".join(f"{number:.6g}" for number in numbers),
    }
    return environment


def _breakable(text: str) -> Markup:
    """Escape a path and let its lines break where its parts end."""
    return _trusted(re.sub(r"([/\\_-])", r"\1<wbr>", str(escape(printable(text)))))


def _data(value: Mapping[str, Any]) -> Markup:
    """Return data as the text of an element, which no name in it can end."""
    return _trusted(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _trusted(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - only ever our own style sheet and scripts, and what was escaped
