"""What a query says of its hits: the same picture, one that looks alike, or nothing like it; copies take one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from conftest import Run
from siamese_search.details import Verdict
from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError, ImageError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.gallery.answer import Answer, Limits
from siamese_search.report.words import nothing_words
from siamese_search.results import Hit, HitKind, Item, QueryResult, Relation

Sample = Callable[[str], Image.Image]
LIMITS = Limits(reach=0.8, copies=0.4, alike=1.0)


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Return a gallery of the photos and their copies."""
    made = Gallery(tmp_path / "gallery", encoder=encoder)
    made.sync([photos], calibrate=False)
    return made


def alike_up_to(encoder: Encoder, distance: float | None) -> Encoder:
    """Return an encoder that names the distance up to which pictures look alike."""
    return Encoder(encoder.folder, replace(encoder.spec, alike=distance), encoder._backend)  # noqa: SLF001


def item(number: int, content: str = "") -> Item:
    """Return a picture of a gallery."""
    return Item(
        id=number,
        path=Path(f"/{number}.png"),
        size=1,
        mtime_ns=1,
        content_hash=content or str(number),
        width=9,
        height=9,
        format="PNG",
    )


def answer(*distances: float, details: bool = True, limits: Limits = LIMITS) -> Answer:
    """Return an answer whose hits lie so far from the query, each in a direction of its own."""
    made = Answer(limits, details=details)
    made.take([(item(row), distance) for row, distance in enumerate(distances)], np.eye(len(distances)), is_all=True)
    return made


def kinds(hits: tuple[Hit, ...]) -> list[tuple[HitKind, Relation | None]]:
    """Return what hits are."""
    return [(hit.kind, hit.relation) for hit in hits]


# -- kinds


def test_an_edited_copy_is_the_same_and_details_say_so(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """A cropped, mirrored, re-encoded picture finds its original, confirmed; distance alone says that it is near."""
    with Image.open(photos / "coffee.png") as image:
        width, height = image.size
        ImageOps.mirror(image.crop((width // 20, 0, width, height))).save(tmp_path / "q.jpg", quality=70)
    near = gallery.search(tmp_path / "q.jpg", threshold=0.9)[0]
    assert (near.kind, near.relation, near.duplicate) == (HitKind.SAME, Relation.CONFIRMED, True)
    assert near.path.stem == "coffee"
    assert gallery.search(tmp_path / "q.jpg", threshold=0.9, details=False)[0].relation is Relation.NEAR


def test_equal_bytes_and_equal_pixels_are_told(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """The same file under another name is identical, the same pixels packed otherwise are that."""
    (tmp_path / "q.png").write_bytes((photos / "rocket.png").read_bytes())
    assert kinds(gallery.search(tmp_path / "q.png", k=1).hits) == [(HitKind.SAME, Relation.IDENTICAL)]
    with Image.open(photos / "chelsea.png") as image:
        image.save(tmp_path / "again.png", compress_level=1, icc_profile=image.info.get("icc_profile"))
    assert kinds(gallery.search(tmp_path / "again.png", k=1).hits) == [(HitKind.SAME, Relation.SAME_PIXELS)]


def test_a_picture_may_come_without_a_file(gallery: Gallery, photos: Path) -> None:
    """Bytes, open files and pixels are looked at in detail too; bytes can even be identical."""
    path = photos / "rocket.png"
    assert gallery.search(path.read_bytes(), k=1)[0].relation is Relation.IDENTICAL
    with path.open("rb") as file:
        assert gallery.search(file, k=1)[0].relation is Relation.IDENTICAL
    with Image.open(path) as image:
        assert gallery.search(image, k=1)[0].relation is Relation.CONFIRMED


def test_within_the_threshold_details_decide() -> None:
    """What is near but another picture looks alike; what was not looked at is near, and claims no more."""
    made = answer(0.1, 0.2, 0.3)
    made.mark(item(0), Verdict.ALIKE, same_pixels=False)
    made.mark(item(1), Verdict.UNCHECKED, same_pixels=False)
    assert kinds(made.hits(3)) == [
        (HitKind.ALIKE, None),
        (HitKind.ALIKE, Relation.UNCHECKED),
        (HitKind.ALIKE, Relation.NEAR),
    ]
    assert kinds(answer(0.1, 0.9, 1.1, details=False).hits(3)) == [
        (HitKind.SAME, Relation.NEAR),
        (HitKind.ALIKE, None),
        (HitKind.NEAREST, None),
    ]


def test_altered_is_said_as_such() -> None:
    """One picture of which a part differs is no duplicate."""
    made = answer(0.1)
    made.mark(item(0), Verdict.ALTERED, same_pixels=False)
    (hit,) = made.hits(1)
    assert (hit.kind, hit.relation, hit.duplicate) == (HitKind.ALTERED, Relation.ALTERED, False)


def test_without_a_limit_nothing_is_said_to_look_alike(gallery: Gallery, photos: Path, encoder: Encoder) -> None:
    """An encoder that names no distance leaves it at the nearest; one that does tells alike from nothing like it."""
    hits = Gallery(gallery.location, encoder=alike_up_to(encoder, None)).search(photos / "coffee.png", k=9)
    assert {hit.kind for hit in hits[1:]} == {HitKind.NEAREST}
    assert not hits.nothing_alike
    some = hits[2].distance
    knowing = Gallery(gallery.location, encoder=alike_up_to(encoder, some)).search(photos / "coffee.png", k=9)
    assert [hit.kind for hit in knowing[1:4]] == [HitKind.ALIKE, HitKind.ALIKE, HitKind.NEAREST]
    assert not knowing.nothing_alike
    strict = Gallery(gallery.location, encoder=alike_up_to(encoder, 0.01)).search(np.zeros((9, 9, 3), np.uint8), k=9)
    assert strict.nothing_alike


def test_an_encoder_names_a_distance(encoder: Encoder) -> None:
    """`alike` travels with the encoder; impossible ones are refused."""
    spec = replace(encoder.spec, alike=1.05)
    assert EncoderSpec.from_json(spec.to_json(), source="x").alike == 1.05
    for wrong in (3.0, -1.0, "near", float("nan")):
        with pytest.raises(EncoderError, match="alike"):
            EncoderSpec.from_json({**spec.to_json(), "alike": wrong}, source="x")
    assert load_encoder("photo").alike == load_encoder("photo").spec.alike


# -- what is looked at


def test_only_a_few_hits_are_looked_at() -> None:
    """The nearest four within reach that stand out; then more while all are the query's own picture."""
    made = answer(*(0.1 + row / 100 for row in range(20)), 1.2)
    first = made.to_look_at(4)
    assert [each.id for each in first] == [0, 1, 2, 3]
    for each in first:
        made.mark(each, Verdict.CONFIRMED, same_pixels=False)
    second = made.to_look_at(4)
    assert [each.id for each in second] == [4, 5, 6, 7]
    made.mark(second[0], Verdict.ALIKE, same_pixels=False)
    assert made.to_look_at(4) == []
    assert answer(0.75, 0.76, 0.77, 0.78).to_look_at(4) == []  # beyond the threshold, and nothing stands out
    assert [each.id for each in answer(0.6, 0.95, 1.0).to_look_at(4)] == [0]
    assert answer(0.1, details=False).to_look_at(4) == []


# -- copies


def test_copies_take_one_line_and_k_counts_pictures(gallery: Gallery, photos: Path) -> None:
    """Nine files are six pictures; each has its copies with it, and none is lost."""
    result = gallery.search(photos / "coffee.png", k=9, include_self=True)
    assert [hit.rank for hit in result] == [1, 2, 3, 4, 5, 6]
    assert len([*result.files(copies=True)]) == 9
    assert [copy.path.name for copy in result[0].copies] in (["coffee.bmp"], ["coffee.png"])
    (chelsea,) = (hit for hit in result if "chelsea" in hit.path.name)
    assert [copy.path.name for copy in chelsea.copies] in (["chelsea again.png"], ["chelsea.png"])
    assert len(gallery.search(photos / "coffee.png", k=2)) == 2


def test_many_copies_leave_room_for_other_pictures(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """However many copies of one picture come first, as many different ones as were asked for are found."""
    for number in range(40):
        (photos / "copies" / f"{number}.png").write_bytes((photos / "rocket.png").read_bytes())
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos], calibrate=False)
    hits = gallery.search(photos / "rocket.png", k=3, details=False)
    assert (len(hits), len(hits[0].copies)) == (3, 39)


def test_what_makes_two_hits_copies() -> None:
    """Equal content or embeddings; nearness, where nobody looked; details, where both were looked at."""
    made = Answer(LIMITS, details=True)
    items = [item(0), item(1), item(2), item(3, content="2"), item(4)]
    near, apart = np.eye(4)[0], np.eye(4)[1]
    vectors = np.stack([near, near * 0.97 + apart * 0.2431, np.eye(4)[2], np.eye(4)[2], np.eye(4)[3]])
    made.take([*zip(items, (0.3, 0.35, 0.9, 0.9, 0.95), strict=True)], vectors, is_all=True)
    for each in items[:2]:
        made.mark(each, Verdict.ALIKE, same_pixels=False)
    assert [[hit.id, *(copy.id for copy in hit.copies)] for hit in made.hits(9)] == [[0], [1], [2, 3], [4]]
    ((first, second),) = made.pairs()
    made.mark_pair((first, second), Verdict.CONFIRMED)
    assert [[hit.id, *(copy.id for copy in hit.copies)] for hit in made.hits(9)] == [[0, 1], [2, 3], [4]]
    assert made.pairs() == []


def test_all_that_are_the_query_are_one_picture() -> None:
    """Hits that are the same as the query are copies of each other, however they lie; others are not among them."""
    made = answer(0.1, 0.2, 0.3)
    made.mark(item(0), Verdict.CONFIRMED, same_pixels=False)
    made.mark(item(2), Verdict.CONFIRMED, same_pixels=True)
    made.mark(item(1), Verdict.ALIKE, same_pixels=False)
    assert [[hit.id, *(copy.id for copy in hit.copies)] for hit in made.hits(9)] == [[0, 2], [1]]


# -- the query's own file


def test_a_file_does_not_find_itself(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """Its own file, by whatever name, is no hit unless that is asked for; its copies are."""
    (tmp_path / "link.png").symlink_to(photos / "coffee.png")
    (tmp_path / "hard.png").hardlink_to(photos / "coffee.png")
    for path in (photos / "coffee.png", tmp_path / "link.png", tmp_path / "hard.png"):
        found = {hit.path for hit in gallery.search(path, k=9).files(copies=True)}
        assert photos / "coffee.png" not in found
        assert photos / "copies" / "coffee.bmp" in found
        assert len(found) == 8
    assert len([*gallery.search(photos / "coffee.png", k=9, include_self=True).files(copies=True)]) == 9


# -- several


def test_many_queries_are_answered_as_each_alone(gallery: Gallery, photos: Path) -> None:
    """Asked together or alone, the answers are the same."""
    paths = sorted(photos.glob("*.png"))
    assert [result.hits for result in gallery.search(paths, k=3)] == [gallery.search(path, k=3).hits for path in paths]


def test_pictures_can_be_combined(gallery: Gallery, photos: Path) -> None:
    """The sum of two finds both first, from between them; it is no picture, so it has no copies and nothing alike."""
    both = [photos / "rocket.png", photos / "camera.png"]
    result = gallery.search_combined(both, k=3, include_self=True)
    assert {hit.path for hit in result[:2]} == set(both)
    vectors = gallery.encoder.embed(both)
    total = vectors.sum(0) / np.linalg.norm(vectors.sum(0))
    assert result[0].distance == pytest.approx(float(np.linalg.norm(total - vectors[0])), abs=2e-3)
    assert {hit.kind for hit in result} == {HitKind.NEAREST}
    assert result.query == f"{both[0]} + {both[1]}"
    assert not set(both) & {hit.path for hit in gallery.search_combined(both, k=9).files(copies=True)}
    with pytest.raises(ImageError):
        gallery.search_combined([both[0], photos / "missing.png"])
    with pytest.raises(OptionError, match="no pictures"):
        gallery.search_combined([])


# -- the command


def test_the_command_says_what_hits_are(run: Run, photos: Path) -> None:
    """One line a picture, with its copies counted or listed; the file itself on request; pictures together."""
    assert run("index", photos).returncode == 0
    lines = run("query", photos / "astronaut.png", "-k", "2").stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].split("\t")[2] == "the same, confirmed"
    assert lines[1].split("\t")[2].startswith(("nearest", "looks alike"))
    own = run("query", photos / "chelsea.png", "-k", "1", "--include-self").stdout
    assert "the same, identical, +1 copy" in own
    listed = run("query", photos / "chelsea.png", "-k", "1", "--include-self", "--copies").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["1", "2"]
    (together,) = json.loads(run("query", photos / "rocket.png", photos / "camera.png", "--combine", "--json").stdout)[
        "queries"
    ]
    assert {hit["kind"] for hit in together["hits"]} == {"nearest"}
    refused = run("query", photos / "rocket.png", "--combine", "--threshold", "0.3")
    assert (refused.returncode, "--combine" in refused.stderr) == (1, True)


def test_nothing_like_it_is_one_line() -> None:
    """It names how near the nearest lies, and how to see it."""
    hit = Hit(rank=1, path=Path("/a.png"), distance=1.12345, duplicate=False)
    assert QueryResult(query="q", hits=(hit,), alike=1.0).nothing_alike
    assert not QueryResult(query="q", hits=(hit,)).nothing_alike
    assert nothing_words(QueryResult(query="q", hits=(hit,), alike=1.0)) == (
        "nothing like it here (the nearest lies at 1.123; --nearest lists them)"
    )
    assert nothing_words(QueryResult(query="q", hits=(), alike=1.0)) == "nothing like it here"


def test_beyond_what_is_looked_at_distance_decides() -> None:
    """More copies than are looked at take the same line, unless one that was looked at is none."""
    for second, groups in ((Verdict.CONFIRMED, [[0, 1, 2], [3]]), (Verdict.ALIKE, [[0], [1], [2], [3]])):
        made = Answer(LIMITS, details=True)
        near = np.stack([np.eye(4)[0]] * 3 + [np.eye(4)[1]])
        near[:3, 3] = (0.0, 0.1, 0.2)
        made.take(
            [(item(row), 0.1 + row / 10) for row in range(4)], near / np.linalg.norm(near, axis=1)[:, None], is_all=True
        )
        made.mark(item(0), Verdict.CONFIRMED, same_pixels=False)
        made.mark(item(1), second, same_pixels=False)
        assert [[hit.id, *(copy.id for copy in hit.copies)] for hit in made.hits(9)] == groups
