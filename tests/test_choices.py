"""Choices on the page of dedupe: what a person ticks, keeps and denies is what the saved plan does, no more."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from browser import Browser, needs_browser
from conftest import Run
from siamese_search.actions import apply_plan, choices_json, plan_json, write_plan
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.escapes import printable
from siamese_search.gallery import Gallery
from siamese_search.images.files import hash_file
from siamese_search.report.html import write_dedupe_html
from siamese_search.results import (
    Copy,
    CopyPair,
    DedupeReport,
    DetailCounts,
    DuplicateGroup,
    Facts,
    Relation,
    Shared,
    Threshold,
    ThresholdSource,
)
from siamese_search.vectors import distances

SMALLER = os.fsdecode(b"sm\xe4ller.jpg")  # as a disk may hold it: no UTF-8
COUNTS = DetailCounts(compared=9, confirmed=9, altered=0, alike=0, unchecked=0, left_out=0)


@pytest.fixture
def pictures(tmp_path: Path, sample: Callable[[str], Image.Image]) -> Path:
    """Make a family of four, each confirmed for each, one of two equal files and one that is a file of its own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    photo = sample("astronaut.png")
    photo.save(folder / "astronaut.png")
    photo.resize((200, 200)).save(folder / SMALLER, quality=85)
    ImageOps.mirror(photo).save(folder / "mirrored.jpg", quality=90)
    photo.crop((20, 10, 220, 220)).save(folder / "cropped.jpg", quality=90)
    sample("coffee.png").save(folder / "coffee.png")
    shutil.copy(folder / "coffee.png", folder / "coffee again.png")
    sample("rocket.jpg").save(folder / "rocket.png")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder with their contents, but for what `apply` keeps for itself."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and ".simsearch-trash" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def member(name: str, *, action: str = "") -> str:
    """Return the selector of a picture on the page, or of its tick or a button of it."""
    inside = {"": "", "tick": " .choose input", "keep": ' .choose [data-key="o"]', "deny": ' .choose [data-key="d"]'}
    return f'#duplicates .card figure[title$="/{name}"]{inside[action]}'


def ticked(page: Browser) -> set[str]:
    """Return the names of the pictures that are ticked."""
    page.wait("document.querySelectorAll('.card').length === document.querySelectorAll('h3 input').length")
    code = "[...document.querySelectorAll('.match:has(.choose input:checked) .name')].map((name) => name.textContent)"
    return set(page.evaluate(code))


@needs_browser
def test_choices_become_a_plan_that_is_applied(pictures: Path, run: Run, tmp_path: Path) -> None:
    """Ticks, another keeper and a denial, kept over a reload, saved, applied and undone, with folders compared."""
    assert run("index", pictures).returncode == 0
    assert run("dedupe", "--report", "page.html", "--threshold", "0.9").returncode == 0
    before = tree(pictures)
    shown = printable(SMALLER)
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {shown, "mirrored.jpg", "cropped.jpg", "coffee again.png"}
        assert page.evaluate("document.getElementById('plan-count').textContent").startswith(
            "4 of 4 copies in the plan"
        )
        page.click(member("mirrored.jpg", action="keep"))
        assert (
            page.evaluate("document.querySelector('.lead-picture[title$=\"/mirrored.jpg\"] .badge').textContent")
            == "keep"
        )
        assert ticked(page) == {"astronaut.png", shown, "cropped.jpg", "coffee again.png"}
        page.click(member("astronaut.png", action="tick"))
        page.click(member("cropped.jpg", action="deny"))
        assert "not a duplicate" in page.evaluate(f"document.querySelector('{member('cropped.jpg')} .why').textContent")
        kinds = "document.getElementById('plan-kinds').textContent"
        assert page.evaluate(kinds) == "1 identical, 1 confirmed"
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {shown, "coffee again.png"}
        assert page.evaluate(kinds) == "1 identical, 1 confirmed"
        plan = page.download("#save-plan", tmp_path, "plan.json")
        answers = page.download("#save-answers", tmp_path, "answers.csv")
        assert page.errors == []
        assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "blob"}
    applied = json.loads(run("apply", plan, "--to", "trash", "--json").stdout)
    assert applied["refused"] == []
    assert {Path(path).name for path in applied["done"]} == {SMALLER, "coffee again.png"}
    assert before.keys() - tree(pictures).keys() == {SMALLER, "coffee again.png"}
    assert run("undo", tmp_path / "plan.journal").returncode == 0
    assert tree(pictures) == before
    (answer,) = csv.DictReader(answers.read_text().splitlines())
    assert (Path(answer["first"]).name, Path(answer["second"]).name) == ("cropped.jpg", "mirrored.jpg")
    assert answer["label"] == "different"
    assert answer["first_hash"] == hash_file(pictures / "cropped.jpg")


def report_of(
    folder: Path,
    *,
    relations: tuple[Relation, ...],
    pairs: tuple[CopyPair, ...] = (),
    pixels: tuple[int, ...] = (),
) -> DedupeReport:
    """Return a report of one group of small pictures, with these relations of the copies to the keeper.

    They are said to have so many `pixels`.
    """
    paths = [folder / f"{number}.png" for number in range(len(relations) + 1)]
    for number, path in enumerate(paths):
        Image.linear_gradient("L").resize((20 + number, 20)).save(path)
    facts = [
        Facts(size=100, width=each, height=1, format="PNG", content_hash=f"{number:032x}")
        for number, each in enumerate(pixels or [400] * len(paths))
    ]
    copies = tuple(
        Copy(path=path, distance=0.1, relation=relation, facts=known)
        for path, relation, known in zip(paths[1:], relations, facts[1:], strict=True)
    )
    return DedupeReport(
        threshold=Threshold(distance=1.0, source=ThresholdSource.OPTION),
        images=len(paths),
        groups=(DuplicateGroup(keep=paths[0], copies=copies, facts=facts[0], pairs=pairs),),
        skipped=(),
        details=COUNTS,
    )


@needs_browser
def test_what_was_not_compared_stays(tmp_path: Path) -> None:
    """Another keeper unticks all that were not confirmed for it, and says so; equal pixels stand for each other."""
    confirmed, altered, same = Relation.CONFIRMED, Relation.ALTERED, Relation.SAME_PIXELS
    report = report_of(
        tmp_path,
        relations=(confirmed, confirmed, confirmed, altered, same),
        pairs=(CopyPair(keep=1, copy=2, relation=confirmed), CopyPair(keep=1, copy=4, relation=altered)),
    )
    choices = choices_json(report, Gallery(tmp_path / "gallery"))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices)
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {"1.png", "2.png", "3.png", "5.png"}
        page.click(member("1.png", action="keep"))
        assert ticked(page) == {"0.png", "2.png", "5.png"}
        why = f"document.querySelector('{member('3.png')} .why').textContent"
        assert page.evaluate(why) == "not compared with the one kept: stays"
        assert page.evaluate(f"document.querySelector('{member('3.png', action='tick')}').disabled")
        said = page.evaluate("document.getElementById('plan-said').textContent")
        assert said == (
            "1.png is kept. 1 picture was not compared with it, and stays."
            " 1 picture shows more than it, or other things, and is not ticked."
        )
        page.click(member("4.png", action="tick"))
        assert ticked(page) == {"0.png", "2.png", "4.png", "5.png"}
        page.click(member("5.png", action="keep"))
        assert ticked(page) == {"0.png", "1.png", "2.png", "3.png", "4.png"}
        page.click(member("0.png", action="keep"))
        assert ticked(page) == {"1.png", "2.png", "3.png", "4.png", "5.png"}
        page.click("#all-shown")
        assert ticked(page) == set()
        assert page.evaluate("document.getElementById('save-plan').disabled")
        page.click("#all-shown")
        assert ticked(page) == {"1.png", "2.png", "3.png", "5.png"}
        page.click("h3 input")
        assert ticked(page) == set()
        page.click("h3 input")
        assert ticked(page) == {"1.png", "2.png", "3.png", "5.png"}


@needs_browser
@pytest.mark.parametrize("relation", [Relation.CONFIRMED, Relation.NEAR])
def test_a_larger_picture_never_goes_unsaid(relation: Relation, tmp_path: Path) -> None:
    """Who keeps a smaller copy is told that the original is larger; where it is far larger, it is not ticked either."""
    report = report_of(tmp_path, relations=(relation, relation), pixels=(1600, 100, 1000))
    report = replace(report, details=None if relation is Relation.NEAR else COUNTS)
    write_dedupe_html(report, tmp_path / "page.html", choices=choices_json(report, Gallery(tmp_path / "gallery")))
    original = f"document.querySelector('{member('0.png')} .choose')"
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {"1.png", "2.png"}
        page.click(member("1.png", action="keep"))
        assert ticked(page) == set()
        assert "16 \N{MULTIPLICATION SIGN} the pixels of the one kept" in page.evaluate(f"{original}.textContent")
        said = page.evaluate("document.getElementById('plan-said').textContent")
        assert said.endswith("1 picture has far more pixels than it, and is not ticked.")
        page.click(member("0.png", action="tick"))
        assert ticked(page) == {"0.png"}
        assert page.evaluate(f"{original}.classList.contains('losing')")
        page.click(member("0.png", action="tick"))
        page.click(member("2.png", action="keep"))
        page.click(member("0.png", action="tick"))
        assert ticked(page) == {"0.png"}
        assert "1.6 \N{MULTIPLICATION SIGN} the pixels of the one kept" in page.evaluate(f"{original}.textContent")
        assert page.errors == []


@needs_browser
def test_a_tick_for_a_group_says_what_is_ticked_in_it(tmp_path: Path) -> None:
    """It is half set while some of what can be chosen is; a click ticks what is sure, and another one nothing."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED, Relation.CONFIRMED, Relation.ALTERED))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices_json(report, Gallery(tmp_path / "gallery")))
    state = "(({{ checked, indeterminate }}) => [checked, indeterminate])(document.querySelector('{}'))"
    none, some, full = [False, False], [False, True], [True, False]
    sure = {"1.png", "2.png"}
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        for click, ticks, shown in (
            ("", sure, some),
            (member("3.png", action="tick"), {*sure, "3.png"}, full),
            ("h3 input", set(), none),
            ("h3 input", sure, some),
            (member("1.png", action="tick"), {"2.png"}, some),
            ("h3 input", sure, some),
            ("h3 input", set(), none),
        ):
            if click:
                page.click(click)
            assert ticked(page) == ticks
            assert page.evaluate(state.format("h3 input")) == page.evaluate(state.format("#all-shown")) == shown


@needs_browser
def test_choosing_by_keyboard(tmp_path: Path) -> None:
    """In the comparison t ticks, d denies, o keeps this one; in the list t ticks a group; every control has a name."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED, Relation.CONFIRMED))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices_json(report, Gallery(tmp_path / "gallery")))
    with Browser(tmp_path / "profile", width=390, height=844, dark=True) as page:
        page.open((tmp_path / "page.html").as_uri())
        ticked(page)
        names = page.evaluate("[...document.querySelectorAll('.card input, .card button')].map((one) => one.ariaLabel)")
        assert all(names)
        assert "Keep this one instead: 1.png" in names
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.press("j")
        page.press("t")
        assert ticked(page) == set()
        page.press("Enter")
        page.wait("document.getElementById('compare').open")
        page.press("t")
        assert ticked(page) == {"1.png"}
        page.press("d")
        assert ticked(page) == set()
        page.press("d")
        assert ticked(page) == {"1.png"}
        page.press("o")
        page.press("Escape")
        page.wait("!document.getElementById('compare').open")
        assert ticked(page) == {"0.png"}
        assert page.evaluate("document.querySelector('.lead-picture').title").endswith("1.png")
        assert page.errors == []


@needs_browser
def test_what_holds_more_is_not_ticked(tmp_path: Path) -> None:
    """Whichever is kept, a picture that has keywords stays where that one has none, until a person ticks it."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED, Relation.CONFIRMED))
    group = report.groups[0]
    entries = (("keywords", "a"),)
    first, second = group.copies
    copies = replace(first, facts=replace(first.facts, entries=entries), holds=("keywords",)), second
    pairs = tuple(CopyPair(keep=1, copy=copy, relation=Relation.CONFIRMED) for copy in (0, 2))
    report = replace(report, groups=(replace(group, copies=copies, pairs=pairs),))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices_json(report, Gallery(tmp_path / "gallery")))
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {"2.png"}
        page.click(member("1.png", action="tick"))
        assert ticked(page) == {"1.png", "2.png"}
        page.click(member("1.png", action="keep"))
        assert ticked(page) == {"0.png", "2.png"}
        page.click(member("0.png", action="keep"))
        page.click(member("2.png", action="keep"))
        looks = f"document.querySelector('{member('1.png')} .looks')?.textContent"
        assert page.evaluate(looks) == "holds keywords that the kept one lacks"
        assert page.errors == []


@needs_browser
def test_what_is_shared_goes_with_the_last(tmp_path: Path) -> None:
    """A clip of two pictures is named beside the second of them, and not while one of them stays."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED, Relation.CONFIRMED))
    group = report.groups[0]
    clip = tmp_path / "clip.mov"
    clip.touch()
    shared = (Shared(path=clip, pictures=tuple(copy.path for copy in group.copies)),)
    copies = tuple(replace(copy, shared=shared) for copy in group.copies)
    report = replace(report, groups=(replace(group, copies=copies),))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices_json(report, Gallery(tmp_path / "gallery")))
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert ticked(page) == {"1.png", "2.png"}
        both = json.loads(page.download("#save-plan", tmp_path, "plan.json").read_text())["steps"]
        (tmp_path / "plan.json").unlink()
        page.click(member("1.png", action="tick"))
        one = json.loads(page.download("#save-plan", tmp_path, "plan.json").read_text())["steps"]
    assert [step["companions"] for step in both] == [[], [{"path": str(clip), "hash": hash_file(clip)}]]
    assert [step["companions"] for step in one] == [[]]


def test_chosen_at_first_is_what_a_plan_would_do(pictures: Path, encoder: Encoder, tmp_path: Path) -> None:
    """The page begins with the steps of the plan, under its very head; what is protected or a link is never offered."""
    os.link(pictures / "rocket.png", tmp_path / "rocket.png")
    Image.open(pictures / "rocket.png").save(pictures / "rocket too.png", compress_level=1)
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([pictures])
        report = find_duplicates(gallery, threshold=0.9)
        plan = plan_json(report, gallery, protected=[tmp_path / "kept"])
        choices = choices_json(report, gallery, protected=[tmp_path / "kept"])
        protected = choices_json(report, gallery, protected=[pictures])
    acted = {each["path"] for group in choices["groups"] for each in group["members"][1:] if each["acts"]}
    assert acted == {step["copy"] for step in plan["steps"]}
    assert json.loads(choices["plan"]) == {key: value for key, value in plan.items() if key != "steps"}
    blocked = {Path(each["path"]).name: each["blocked"] for group in choices["groups"] for each in group["members"]}
    assert blocked["rocket.png"] == "a link, frees nothing"
    assert all(group["members"][0]["blocked"] == "protected" for group in protected["groups"])


def test_a_copy_found_by_way_of_another_is_acted_on(
    sample: Callable[[str], Image.Image], encoder: Encoder, tmp_path: Path
) -> None:
    """Cuts of cuts lie farther from the whole than the threshold; confirmed all the same, they are not refused."""
    (tmp_path / "cuts").mkdir()
    photo = sample("astronaut.png")
    for number, share in enumerate((1.0, 0.85, 0.7, 0.58)):
        margin = round(photo.width * (1 - share) / 2)
        photo.crop((margin, margin, photo.width - margin, photo.height - margin)).save(
            tmp_path / "cuts" / f"{number}.png"
        )
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([tmp_path / "cuts"], calibrate=False)
        vectors = gallery.vectors_of([item.id for item in sorted(gallery.items(), key=lambda item: item.path)])
        threshold = float(distances(vectors[:-1], vectors[1:]).max()) + 0.001  # each cut is near the one before
        report = find_duplicates(gallery, threshold=threshold)
        write_plan(tmp_path / "plan.json", report, gallery)
    assert max(copy.distance for group in report for copy in group) > threshold
    tried = apply_plan(tmp_path / "plan.json", action="trash", dry_run=True)
    assert (len(tried.done), tried.refused) == (sum(map(len, report)), ())


def test_the_report_says_how_copies_lie_and_relate(pictures: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Each copy comes with its place in its keeper, and with what it would be if another one were kept."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([pictures], calibrate=False)
        report = find_duplicates(gallery, threshold=0.9)
    family = next(group for group in report.groups if group.keep.name == "astronaut.png")
    places = {copy.path.name: np.array(copy.transform) for copy in family.copies}
    left_of_mirrored = places["mirrored.jpg"] @ [0.25, 0.5, 1]
    assert left_of_mirrored[:2] / left_of_mirrored[2] == pytest.approx([0.75, 0.5], abs=0.01)
    names = [family.keep.name, *(copy.path.name for copy in family.copies)]
    said = {(names[pair.keep], names[pair.copy]): pair.relation for pair in family.pairs}
    others = {"mirrored.jpg", "cropped.jpg"}
    assert {(keep, copy) for keep, copy in said if {keep, copy} <= others | {"astronaut.png"}} == {
        (keep, copy) for keep in others for copy in others | {"astronaut.png"} if keep != copy
    }
    assert said["mirrored.jpg", "cropped.jpg"] is said["mirrored.jpg", "astronaut.png"] is Relation.CONFIRMED
    assert (
        said["cropped.jpg", "astronaut.png"] is said["cropped.jpg", "mirrored.jpg"] is Relation.ALTERED
    )  # it has less


def test_a_keeper_with_companions_is_not_offered(tmp_path: Path) -> None:
    """To put it away in a copy's place would leave its files behind alone: it stays, and the page says which."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED,))
    report = replace(report, groups=(replace(report.groups[0], companions=(tmp_path / "0.CR2",)),))
    keeper = choices_json(report, Gallery(tmp_path / "gallery"))["groups"][0]["members"][0]
    assert keeper["blocked"] == "0.CR2 would stay behind alone"


def test_names_cannot_end_the_data(tmp_path: Path) -> None:
    """A file named after the end of a script stays a name."""
    report = report_of(tmp_path, relations=(Relation.CONFIRMED,))
    evil = report.groups[0].copies[0].path.with_name("<!--<script><script>alert(1)<script>")
    report.groups[0].copies[0].path.rename(evil)
    copy = replace(report.groups[0].copies[0], path=evil)
    report = replace(report, groups=(replace(report.groups[0], copies=(copy,)),))
    choices = choices_json(report, Gallery(tmp_path / "gallery"))
    write_dedupe_html(report, tmp_path / "page.html", choices=choices)
    text = (tmp_path / "page.html").read_text().partition('id="choices">')[2].partition("</script>")[0]
    assert "<" not in text
    assert json.loads(text)["groups"][0]["members"][1]["path"] == str(evil)
