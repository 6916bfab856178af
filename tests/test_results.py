"""Results: they print as one line, and those that hold rows are sequences and tables."""

import dataclasses
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_search import results
from siamese_search.errors import ImageError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.results import (
    Copy,
    DedupeReport,
    DuplicateGroup,
    Facts,
    Hit,
    HitKind,
    QueryResult,
    Relation,
    SearchReport,
    Skipped,
    Threshold,
    ThresholdSource,
)

THRESHOLD = Threshold(distance=0.5, source=ThresholdSource.GALLERY, expected_precision=0.99)
HITS = (
    Hit(rank=1, path=Path("/a.png"), distance=0.0, duplicate=True, kind=HitKind.SAME, id=7),
    Hit(rank=2, path=Path("/b.png"), distance=0.75, duplicate=False),
)
SEARCH = SearchReport(
    threshold=THRESHOLD, queries=(QueryResult(query="q.png", hits=HITS), QueryResult(query="-", hits=()))
)
GROUP = DuplicateGroup(
    keep=Path("/a.png"),
    copies=(
        Copy(
            path=Path("/b.png"),
            distance=0.25,
            relation=Relation.NEAR,
            facts=Facts(size=9, width=4, height=3, format="PNG", content_hash="ab"),
        ),
        Copy(path=Path("/c.png"), distance=0.0, relation=Relation.IDENTICAL),
    ),
)


class Frames(ModuleType):
    """What a result asks of pandas."""

    @staticmethod
    def DataFrame(records: list[dict[str, Any]], columns: list[str]) -> list[list[Any]]:  # noqa: N802
        """Return the head and the rows."""
        return [columns, *([record[column] for column in columns] for record in records)]


@pytest.fixture(name="tables")
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for pandas, which is no dependency."""
    monkeypatch.setitem(sys.modules, "pandas", Frames("pandas"))


def test_results_print_as_one_line() -> None:
    """What a field says is said by its name, and what says nothing is left out."""
    assert str(HITS[0]) == "rank 1, path /a.png, distance 0, duplicate, kind same, id 7"
    assert str(THRESHOLD) == "distance 0.5, source gallery, expected precision 0.99"
    assert str(SEARCH) == "threshold (distance 0.5, source gallery, expected precision 0.99), queries 2"
    assert str(Skipped(path=Path("a\n\x1b.png"), reason="is none")) == r"path a\n\x1b.png, reason is none"


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(results).values() if dataclasses.is_dataclass(value)],
    ids=lambda kind: kind.__name__,
)
def test_every_result_prints_and_holds_paths(kind: Any) -> None:
    """No result prints as Python writes it, and none holds the path of a file as a text."""
    assert kind.__str__ is not object.__str__
    assert not [
        field.name for field in dataclasses.fields(kind) if field.name in {"path", "keep"} and field.type is str
    ]


def test_results_with_rows_are_sequences_of_them() -> None:
    """They are counted, walked and looked into like tuples; without rows they are false."""
    (first, second) = SEARCH
    assert (len(SEARCH), first[0], list(first), first[1:]) == (2, HITS[0], list(HITS), HITS[1:])
    assert first
    assert not second
    assert [copy.path.name for copy in GROUP] == ["b.png", "c.png"]


@pytest.mark.usefixtures("tables")
def test_rows_become_a_table() -> None:
    """A row for each of the innermost, with the plain fields of what holds it; without any the columns stay."""
    frame: Any = SEARCH.to_frame()
    assert frame == [
        ["query", "alike", "rank", "path", "distance", "duplicate", "kind", "relation", "copies", "id"],
        ["q.png", None, 1, Path("/a.png"), 0.0, True, "same", None, (), 7],
        ["q.png", None, 2, Path("/b.png"), 0.75, False, "nearest", None, (), 0],
    ]
    empty: Any = SearchReport(threshold=THRESHOLD, queries=()).to_frame()
    assert empty == frame[:1]
    report = DedupeReport(threshold=THRESHOLD, images=3, groups=(GROUP,), skipped=())
    head, first, second = (dict(zip(report.to_frame()[0], row, strict=True)) for row in report.to_frame())  # type: ignore[call-overload]
    assert {"keep", "path", "distance", "relation"} <= head.keys()
    assert (first["keep"], first["path"], first["size"]) == (Path("/a.png"), Path("/b.png"), 9)
    assert (second["path"], second["size"]) == (Path("/c.png"), None)


def test_a_table_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OptionError, match="pip install pandas"):
        SEARCH.to_frame()


def test_a_picture_may_come_in_any_form(gallery: Gallery, photos: Path) -> None:
    """Path, text, bytes, open file, PIL image and pixels find the same, alone or among others."""
    path = photos / "chelsea.png"
    with path.open("rb") as file, Image.open(path) as image:
        forms = [path, str(path), path.read_bytes(), file, image, np.asarray(image.convert("RGB"))]
        report = gallery.search(forms, k=3, include_self=True, details=False)
        file.seek(0)
        alone = [gallery.search(form, k=3, include_self=True, details=False) for form in forms]
        file.seek(0)
        vectors = gallery.encoder.embed(forms)
    assert [result.query for result in report] == [str(path)] * 2 + ["-"] * 4
    for result, single in zip(report, alone, strict=True):
        assert [hit.path for hit in result] == [hit.path for hit in single] == [hit.path for hit in report[0]]
    assert vectors.shape == (6, gallery.encoder.dim)
    assert np.ptp(vectors, axis=0).max() < 1e-6
    assert gallery.encoder.embed(path).shape == (gallery.encoder.dim,)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_pil_images_of_any_mode(gallery: Gallery, sample: Any, mode: str) -> None:
    """Every kind of pixels that PIL has can be searched with."""
    picture = sample("coffee.png")
    image = picture.convert("L").convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
    assert len(gallery.search(image, k=2)) == 2


def test_one_bad_picture_raises_and_several_are_told(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """A single one that cannot be read is an error; among several it is skipped, and the others are answered."""
    with pytest.raises(ImageError, match="missing"):
        gallery.search(tmp_path / "missing.png")
    with pytest.raises(ImageError):
        gallery.encoder.embed([photos / "coffee.png", b"none"])
    report = gallery.search([tmp_path / "missing.png", photos / "coffee.png", b"none"], k=1)
    assert [result.query for result in report] == [str(photos / "coffee.png")]
    assert [str(entry.path) for entry in report.skipped] == [str(tmp_path / "missing.png"), "-"]
    assert len(gallery.search([])) == 0
    with pytest.raises(OptionError, match="expected uint8"):
        gallery.search(np.zeros((4, 4, 2), np.uint8))


def test_frozen_results_stay_small() -> None:
    """What results have in common adds no dictionary to each."""
    for value in vars(results).values():
        if inspect.isclass(value) and dataclasses.is_dataclass(value):
            assert not hasattr(object.__new__(value), "__dict__"), value
