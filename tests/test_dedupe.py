"""Duplicate groups: copies around the pictures worth keeping."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawfile import raw_file
from siamese_search.duplicates.candidates import find_candidates
from siamese_search.duplicates.find import find_duplicates
from siamese_search.duplicates.groups import Block, gather
from siamese_search.duplicates.scope import read_items, read_named, read_scope
from siamese_search.encoder import Encoder
from siamese_search.errors import FolderError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.results import EmbeddingPair, Relation, ThresholdSource

NEAR = 0.3  # well above what re-encoding costs, well below what parts two photos


def pair(first: int, second: int, distance: float) -> EmbeddingPair:
    """Return a pair with its ids in order."""
    return EmbeddingPair(first=min(first, second), second=max(first, second), distance=distance)


def blocks(pairs: list[EmbeddingPair]) -> list[Block]:
    """Return pairs in two blocks."""
    return [
        (
            np.array([each.first for each in some], np.int64),
            np.array([each.second for each in some], np.int64),
            np.array([each.distance for each in some], np.float64),
        )
        for some in (pairs[::2], pairs[1::2])
    ]


def gathered(ranked: list[int], pairs: list[Block], **options: Any) -> list[tuple[int, tuple[tuple[int, float], ...]]]:
    """Return keepers with their copies."""
    return [(group.keeper, group.copies) for group in gather(ranked, pairs, **options)]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[EmbeddingPair]]:
    """Draw a ranking of some ids, and pairs between them."""
    ranked = draw(st.permutations(range(draw(st.integers(0, 12)))))
    edges = [(a, b) for a in range(len(ranked)) for b in range(a + 1, len(ranked))]
    chosen = draw(st.lists(st.sampled_from(edges), unique=True)) if edges else []
    return list(ranked), [pair(a, b, draw(st.sampled_from([0.0, 0.1, 0.2, 0.25]))) for a, b in chosen]


def test_chains_do_not_form() -> None:
    """A ~ B ~ C with A and C apart: B joins the better one, never one that it is better than; the other stays out."""
    assert gathered([1, 2, 3], blocks([pair(1, 2, 0.2), pair(2, 3, 0.1)])) == [(1, ((2, 0.2),))]
    assert gathered([1, 3, 2], blocks([pair(1, 2, 0.2), pair(2, 3, 0.1)])) == [(3, ((2, 0.1),))]
    assert gathered([1, 2, 3], blocks([pair(1, 2, 0.1), pair(2, 3, 0.2)])) == [(1, ((2, 0.1),))]
    assert gathered([2, 1, 3], blocks([pair(1, 2, 0.1), pair(2, 3, 0.2)])) == [(2, ((1, 0.1), (3, 0.2)))]


@given(graph=graphs(), seed=st.integers(0, 1000))
def test_groups_hold_what_they_promise(graph: tuple[list[int], list[EmbeddingPair]], seed: int) -> None:
    """Copies are paired with their keeper, nothing is in two groups, keepers outrank copies, order does not matter."""
    ranked, pairs = graph
    distances = {(p.first, p.second): p.distance for p in pairs}

    def between(a: int, b: int) -> float | None:
        return distances.get((min(a, b), max(a, b)))

    groups = gathered(ranked, blocks(pairs))
    members = [member for keeper, copies in groups for member in (keeper, *(copy for copy, _ in copies))]
    assert len(members) == len(set(members))
    for keeper, copies in groups:
        assert copies
        assert all(between(keeper, copy) == distance for copy, distance in copies)
        assert [distance for _, distance in copies] == sorted(distance for _, distance in copies)
        assert all(ranked.index(keeper) < ranked.index(copy) for copy, _ in copies)
    keepers = [keeper for keeper, _ in groups]
    assert all(between(a, b) is None for a in keepers for b in keepers if a != b)
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    assert gathered(ranked, blocks(shuffled)) == groups


@given(graph=graphs(), seed=st.integers(0, 1000))
def test_those_called_different_share_no_group(graph: tuple[list[int], list[EmbeddingPair]], seed: int) -> None:
    """Two that a person has told apart are in no group together, and only for that is anybody left out."""
    ranked, pairs = graph
    rng = random.Random(seed)
    edges = [(a, b) for a in range(len(ranked)) for b in range(a + 1, len(ranked))]
    apart = set(rng.sample(edges, len(edges) // 4))
    kept = [p for p in pairs if (p.first, p.second) not in apart]
    groups = gathered(ranked, blocks(kept), apart=apart)
    for keeper, copies in groups:
        group = sorted([keeper, *(copy for copy, _ in copies)])
        assert not any((a, b) in apart for a in group for b in group)
    keepers = {keeper for keeper, _ in groups}
    grouped = keepers | {copy for _, copies in groups for copy, _ in copies}
    for p in kept:
        for one, other in ((p.first, p.second), (p.second, p.first)):
            if one in keepers and ranked.index(one) < ranked.index(other) and other not in grouped:
                assert any(other in edge for edge in apart)


@given(graph=graphs(), max_held=st.integers(0, 8), seed=st.integers(0, 1000))
def test_pairs_that_cannot_be_held_change_nothing(
    graph: tuple[list[int], list[EmbeddingPair]], max_held: int, seed: int
) -> None:
    """The groups are the same when the pairs have to be looked at time and again."""
    ranked, pairs = graph
    rng = random.Random(seed)
    apart = {(p.first, p.second) for p in rng.sample(pairs, len(pairs) // 4)}
    kept = blocks([p for p in pairs if (p.first, p.second) not in apart])
    assert gathered(ranked, kept, apart=apart, max_held=max_held) == gathered(ranked, kept, apart=apart)


@given(graph=graphs())
def test_nothing_near_a_keeper_is_left_out(graph: tuple[list[int], list[EmbeddingPair]]) -> None:
    """Whoever is paired with a keeper above it is in a group, and with the nearest of those keepers."""
    ranked, pairs = graph
    groups = gathered(ranked, blocks(pairs))
    keepers = {keeper for keeper, _ in groups}
    joined = {copy: distance for _, copies in groups for copy, distance in copies}
    for p in pairs:
        for one, other in ((p.first, p.second), (p.second, p.first)):
            if one in keepers and ranked.index(one) < ranked.index(other):
                assert joined[other] <= p.distance


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index the six photos and their three copies."""
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos], calibrate=False)
    return gallery


def test_real_copies_are_grouped(gallery: Gallery, photos: Path) -> None:
    """Each copy is found with how it relates to its original; the others stay out."""
    report = find_duplicates(gallery, threshold=NEAR)
    found = [
        (
            str(Path(group.keep).relative_to(photos)),
            [(str(Path(copy.path).relative_to(photos)), copy.relation) for copy in group.copies],
        )
        for group in report.groups
    ]
    assert found == [
        ("astronaut.png", [("copies/astronaut bright.jpg", Relation.CONFIRMED)]),
        ("chelsea.png", [("copies/chelsea again.png", Relation.IDENTICAL)]),
        ("copies/coffee.bmp", [("coffee.png", Relation.SAME_PIXELS)]),  # the larger file
    ]
    assert (report.images, report.skipped) == (9, ())
    assert report.threshold.source is ThresholdSource.OPTION
    assert report.groups[1].copies[0].distance < 1e-4


def test_more_pixels_are_worth_keeping(tmp_path: Path, encoder: Encoder, sample: Callable[[str], Image.Image]) -> None:
    """The picture with most pixels is the keeper, even when its file is the smallest; then the shortest path."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = sample("coffee.png")
    image.resize((200, 133)).save(folder / "a.bmp")
    image.save(folder / "b.jpg", quality=80)
    for name in ("copy of b.jpg", "b2.jpg"):
        (folder / name).write_bytes((folder / "b.jpg").read_bytes())
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([folder])
    (group,) = find_duplicates(gallery, threshold=NEAR).groups
    assert Path(group.keep).name == "b.jpg"
    assert [Path(copy.path).name for copy in group.copies] == ["b2.jpg", "copy of b.jpg", "a.bmp"]


def test_the_report_does_not_depend_on_the_order_of_indexing(
    gallery: Gallery, photos: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """Indexing folder by folder gives the same groups as indexing at once."""
    other = Gallery(tmp_path / "other", encoder=encoder)
    other.sync([photos / "copies"])
    other.sync([photos])
    first, second = (find_duplicates(each, threshold=NEAR).groups for each in (gallery, other))
    assert [(group.keep, [copy.path for copy in group.copies]) for group in first] == [
        (group.keep, [copy.path for copy in group.copies]) for group in second
    ]


def test_folders_restrict_the_report(gallery: Gallery, photos: Path) -> None:
    """Only pictures under the named folders are compared; a folder that is not indexed is an error."""
    report = find_duplicates(gallery, threshold=NEAR, folders=[photos / "copies"])
    assert (report.images, report.groups) == (3, ())
    with pytest.raises(FolderError, match="no indexed pictures"):
        find_duplicates(gallery, folders=[photos / "nowhere"])


def test_a_file_that_is_gone_by_now_is_no_copy(gallery: Gallery, photos: Path) -> None:
    """Comparing details needs both files; by distance alone the group stands."""
    (photos / "coffee.png").unlink()

    def relations(*, details: bool) -> list[Relation]:
        report = find_duplicates(gallery, threshold=NEAR, details=details)
        assert (report.details.unchecked if report.details else 1) == 1
        return [copy.relation for group in report.groups for copy in group.copies]

    assert relations(details=True) == [Relation.CONFIRMED, Relation.IDENTICAL]
    assert relations(details=False) == [Relation.NEAR, Relation.IDENTICAL, Relation.NEAR]


@pytest.mark.parametrize("threshold", [-0.1, 2.1, float("nan")])
def test_distances_out_of_range_are_refused(gallery: Gallery, threshold: float) -> None:
    """Distances of unit vectors lie in [0, 2]."""
    with pytest.raises(OptionError, match=r"\[0, 2\]"):
        find_duplicates(gallery, threshold=threshold)


def test_the_gallery_threshold_is_the_default(gallery: Gallery) -> None:
    """Without a choice the threshold in force decides, and is reported with its source."""
    assert find_duplicates(gallery).threshold == gallery.threshold
    assert gallery.threshold.source is ThresholdSource.ENCODER


def test_pairs_that_are_not_kept_are_found_again(gallery: Gallery) -> None:
    """Iterating again gives the same pairs, from memory or not, and those that a person called different never."""
    ids = {item.path.name: item.id for item in gallery.items()}
    gallery.answers.set(ids["astronaut.png"], ids["astronaut bright.jpg"], "different")
    gallery.answers.set(ids["rocket.png"], ids["camera.png"], "same")
    different = (ids["astronaut.png"], ids["astronaut bright.jpg"])
    same = (min(ids["rocket.png"], ids["camera.png"]), max(ids["rocket.png"], ids["camera.png"]))
    scope = read_scope(gallery, read_named(gallery, None))
    position = {int(id_): at for at, id_ in enumerate(scope.ids)}
    for max_held in (0, 1000):
        candidates = find_candidates(scope, 0.9, max_held=max_held)
        once, again = (
            sorted(
                pair for first, second, _ in candidates for pair in zip(first.tolist(), second.tolist(), strict=True)
            )
            for _ in range(2)
        )
        assert once == again
        assert tuple(position[id_] for id_ in same) in once
        assert tuple(position[id_] for id_ in different) not in once
        assert candidates.paired.tolist() == sorted({at for pair in once for at in pair})
        assert {item.id for item in read_items(scope, candidates.paired.tolist(), gallery).values()} >= {*same}


def test_an_empty_gallery_has_no_duplicates(encoder: Encoder, tmp_path: Path) -> None:
    """Neither alone nor against itself."""
    (tmp_path / "nothing").mkdir()
    empty = Gallery(tmp_path / "empty", encoder=encoder)
    empty.sync([tmp_path / "nothing"])
    assert find_duplicates(empty).groups == find_duplicates(empty, against=empty).groups == ()


def test_what_shows_but_a_part_of_a_file_is_no_copy(
    tmp_path: Path, encoder: Encoder, sample: Callable[[str], Image.Image]
) -> None:
    """An animation never goes for a still, nor a contract for one with its first page, nor a RAW file for a JPEG."""
    image, other = sample("coffee.png"), sample("chelsea.png").resize(sample("coffee.png").size)
    folder = tmp_path / "mixed"
    folder.mkdir()
    image.save(folder / "clip.webp", save_all=True, append_images=[other], lossless=True)
    image.save(folder / "still.png")
    page = sample("rocket.jpg")
    page.save(folder / "contract_1.tif", save_all=True, append_images=[other.copy()])
    page.save(folder / "contract_1_again.tif", save_all=True, append_images=[other.copy()], description="again")
    page.save(folder / "contract_2.tif", save_all=True, append_images=[image.copy()])
    out = io.BytesIO()
    sample("astronaut.png").save(out, "JPEG", quality=95)
    (folder / "IMG_1.JPG").write_bytes(out.getvalue())
    (folder / "IMG_1.NEF").write_bytes(raw_file(out.getvalue()))
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    report = gallery.sync([folder], calibrate=False)
    assert (report.added, report.skipped) == (7, ())
    (group,) = find_duplicates(gallery, threshold=NEAR).groups
    assert {group.keep.name, *(copy.path.name for copy in group.copies)} == {"contract_1.tif", "contract_1_again.tif"}
    assert group.copies[0].relation is Relation.SAME_PIXELS
