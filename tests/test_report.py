"""Reports: data for scripts, pages and contact sheets for people."""

import base64
import csv
import hashlib
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps

from siamese_search.atomic import made_folder
from siamese_search.errors import FolderError
from siamese_search.escapes import printable
from siamese_search.images.sandbox import Decoder
from siamese_search.report.closeup import close_up
from siamese_search.report.data import dedupe_csv, dedupe_json, json_text, search_csv, search_json, sync_json
from siamese_search.report.html import write_dedupe_html, write_page
from siamese_search.report.sheet import write_group_sheet, write_query_sheet
from siamese_search.report.views import common_root
from siamese_search.report.words import coverage_sentence, human_bytes, plan_sentence, threshold_sentence
from siamese_search.results import (
    Burst,
    Copy,
    Coverage,
    DedupeReport,
    DetailCounts,
    DuplicateGroup,
    Edit,
    Facts,
    Hit,
    HitKind,
    KindCount,
    Loss,
    Noted,
    QueryResult,
    Reason,
    Relation,
    Rule,
    SearchReport,
    Skipped,
    SyncReport,
    Threshold,
    ThresholdSource,
)

THRESHOLD = Threshold(distance=0.71, source=ThresholdSource.ENCODER, expected_precision=0.99, expected_recall=0.9)
HOSTILE = "<img src=x onerror=alert(1)>.jpg"
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")
URL_ATTRIBUTES = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href"}


class Page(HTMLParser):
    """What a page holds: its elements, the text and titles of its cards, and all its addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cards: list[str] = []
        self.inside = ""
        self.contents: dict[str, str] = {}
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and its title as text of its card."""
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "article":
            self.cards.append("")
        if self.cards and "title" in dict(attrs):
            self.cards[-1] += f"{dict(attrs)['title']}\n"

    def handle_data(self, data: str) -> None:
        """Note text, and that of scripts and styles by element."""
        self.text += data
        self.contents[self.inside] = self.contents.get(self.inside, "") + data
        if self.cards:
            self.cards[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of one kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def picture(path: Path, *, size: tuple[int, int] = (40, 30), colour: str = "teal") -> str:
    """Write a small real picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def near(path: str | Path, distance: float = 0.25) -> Copy:
    """Return a near-duplicate."""
    return Copy(path=Path(path), distance=distance, relation=Relation.NEAR)


def dedupe_report(*groups: DuplicateGroup, skipped: tuple[Skipped, ...] = ()) -> DedupeReport:
    """Return a report of these groups."""
    return DedupeReport(threshold=THRESHOLD, images=1000, groups=groups, skipped=skipped)


@pytest.fixture
def report(tmp_path: Path) -> DedupeReport:
    """Two groups of real pictures, the one with the larger copies last, and two skipped files."""
    small = DuplicateGroup(
        keep=picture(tmp_path / "a.png"),
        copies=(
            Copy(path=picture(tmp_path / "b" / "a.png"), distance=0.0, relation=Relation.IDENTICAL),
            Copy(path=picture(tmp_path / "a.bmp", size=(4, 4)), distance=0.0, relation=Relation.SAME_PIXELS),
        ),
    )
    large = DuplicateGroup(
        keep=picture(tmp_path / "c.png"), copies=(near(picture(tmp_path / "c.bmp", size=(99, 50)), 0.3125),)
    )
    skipped = (
        Skipped(path=tmp_path / "broken.jpg", reason="the file is cut short"),
        Skipped(path=tmp_path / "empty.png", reason="the file is empty"),
    )
    return dedupe_report(small, large, skipped=skipped)


@pytest.fixture
def search(tmp_path: Path) -> SearchReport:
    """One query with a near-duplicate and a stranger, one query without hits."""
    hits = (
        Hit(rank=1, path=picture(tmp_path / "hit.png"), distance=0.031249998, duplicate=True),
        Hit(rank=2, path=picture(tmp_path / "other.png"), distance=1.25, duplicate=False),
    )
    return SearchReport(
        threshold=THRESHOLD,
        queries=(
            QueryResult(query=str(picture(tmp_path / "query.png")), hits=hits),
            QueryResult(query=str(picture(tmp_path / "lonely.png")), hits=()),
        ),
    )


def test_sync_json_has_the_fixed_keys() -> None:
    """The object of `index` is an interface: these keys, in this order."""
    skipped = (Skipped(path=Path("x.jpg"), reason="the file is empty"),)
    report = SyncReport(
        added=9,
        changed=1,
        moved=2,
        removed=3,
        unchanged=991,
        skipped=skipped,
        images=1000,
        seconds=1.91234,
        index="i",
        left_out=(KindCount(kind="CR2", count=8), KindCount(kind="MP4", count=1)),
        noted=(Noted(path=Path("y.jpg"), note="cut short"),),
    )
    assert list(sync_json(report).items()) == [
        ("added", 9),
        ("changed", 1),
        ("moved", 2),
        ("removed", 3),
        ("unchanged", 991),
        ("skipped", [{"path": "x.jpg", "reason": "the file is empty"}]),
        ("images", 1000),
        ("seconds", 1.912),
        ("index", "i"),
        ("stopped", False),
        ("left_out", {"CR2": 8, "MP4": 1}),
        ("noted", [{"path": "y.jpg", "note": "cut short"}]),
        ("re_embedded", 0),
    ]


def test_search_json_has_the_fixed_keys() -> None:
    """The object of `query` is an interface; distances keep the six digits that float32 has."""
    hit = Hit(
        rank=1,
        path=Path("a.png"),
        distance=0.03120000101625919,
        duplicate=True,
        kind=HitKind.SAME,
        relation=Relation.CONFIRMED,
    )
    report = SearchReport(threshold=THRESHOLD, queries=(QueryResult(query="img.png", hits=(hit,)),))
    assert search_json(replace(report, details=True))["reach"] == 0.71
    assert search_json(report) == {
        "threshold": 0.71,
        "reach": None,
        "queries": [
            {
                "query": "img.png",
                "hits": [
                    {
                        "rank": 1,
                        "path": "a.png",
                        "distance": 0.0312,
                        "duplicate": True,
                        "kind": "same",
                        "relation": "confirmed",
                        "group": 1,
                        "copies": 0,
                    }
                ],
                "alike": None,
                "nothing_alike": False,
            }
        ],
    }


def test_dedupe_json_has_the_fixed_keys(report: DedupeReport, tmp_path: Path) -> None:
    """The object of `dedupe` is an interface, groups in the order of the report."""
    data = dedupe_json(report)
    keys = ["threshold", "reach", "expected_precision", "images", "groups", "plan", "skipped", "against", "coverage"]
    keys += ["details", "check", "bursts"]
    assert list(data) == keys
    assert (data["threshold"], data["reach"], data["expected_precision"], data["images"]) == (0.71, None, 0.99, 1000)
    assert data["groups"][1] == {
        "keep": str(tmp_path / "c.png"),
        "copies": [
            {
                "path": str(tmp_path / "c.bmp"),
                "distance": 0.3125,
                "relation": "near",
                "looks": [],
                "size": None,
                "reviewed": False,
                "protected": False,
                "linked": False,
                "holds": [],
                "companions": [],
                "differences": [],
                "loss": None,
                "planned": True,
            }
        ],
        "size": None,
        "rule": None,
        "reason": "",
        "links": [],
    }
    burst = Burst(pictures=(tmp_path / "1.jpg", tmp_path / "2.jpg"), sharpest=tmp_path / "2.jpg")
    assert dedupe_json(replace(report, bursts=(burst,)))["bursts"] == [
        {"pictures": [str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg")], "sharpest": str(tmp_path / "2.jpg")}
    ]
    assert [copy["relation"] for copy in data["groups"][0]["copies"]] == ["identical", "same-pixels"]
    assert data["skipped"][0] == {"path": str(tmp_path / "broken.jpg"), "reason": "the file is cut short"}


def test_json_keeps_a_name_that_is_not_utf8_exact() -> None:
    """A script gets the very bytes of the file name back, and the text itself is plain ASCII."""
    text = json_text(dedupe_json(dedupe_report(DuplicateGroup(keep=Path(NOT_UTF8), copies=(near("b"),)))))
    assert text.isascii()
    assert os.fsencode(json.loads(text)["groups"][0]["keep"]) == b"caf\xe9.png"


def test_dedupe_csv_has_one_row_a_picture() -> None:
    """Names with commas, quotes and line breaks come back whole; a name that is not UTF-8 can be printed."""
    odd = 'a, "b"\nc.png'
    copy = replace(near(NOT_UTF8), looks=(Edit.MIRRORED, Edit.RESIZED))
    group = DuplicateGroup(
        keep=odd,
        copies=(copy,),
        reason=Reason(rule=Rule.PIXELS, keeper="4 x 3", runner_up="2 x 1"),
        facts=Facts(size=12, width=4, height=3, format="PNG", content_hash="ab"),
    )
    keep, other = csv.DictReader(io.StringIO(dedupe_csv(dedupe_report(group))))
    assert keep == {
        "group": "1",
        "role": "keep",
        "path": odd,
        "distance": "",
        "relation": "",
        "looks": "",
        "size": "12",
        "reason": "most pixels: 4 x 3, next 2 x 1",
        "planned": "",
        "holds": "",
    }
    assert other == {
        "group": "1",
        "role": "copy",
        "path": NOT_UTF8,
        "distance": "0.250000",
        "relation": "near",
        "looks": "mirrored resized",
        "size": "",
        "reason": "",
        "planned": "true",
        "holds": "",
    }


def test_search_csv_has_one_row_a_hit(search: SearchReport) -> None:
    """Every hit is a row that names its query."""
    rows = list(csv.DictReader(io.StringIO(search_csv(search))))
    assert [(Path(row["query"]).name, row["rank"], row["distance"], row["duplicate"]) for row in rows] == [
        ("query.png", "1", "0.031250", "true"),
        ("query.png", "2", "1.250000", "false"),
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 KB"),
        (31_234, "31.2 KB"),
        (312_499, "312 KB"),
        (4 * 10**15, "4,000 TB"),
    ],
)
def test_human_bytes(count: int, words: str) -> None:
    """Sizes read as file managers show them."""
    assert human_bytes(count) == words


def test_printable_leaves_valid_text_alone() -> None:
    """Only what UTF-8 cannot carry is escaped."""
    assert printable("фото 漢字 é \\x") == "фото 漢字 é \\x"
    assert printable("a\udcffb\ud800") == r"a\xffb\ud800"


def test_coverage_sentence_says_what_is_missing() -> None:
    """Exact or by cells, and then what a sample says, or that it says nothing."""
    assert coverage_sentence(Coverage()) == "The distances of all pictures were compared: no pair is missing."
    said = coverage_sentence(Coverage(exact=False, sampled=300, known=412, found=411))
    assert "of 412 pairs of 300 sampled pictures 411 were found (99.8%)" in said
    assert "not measured" in coverage_sentence(Coverage(exact=False, sampled=300))


def test_threshold_sentence_says_what_to_expect() -> None:
    """The sentence names distance and source, counts the pairs that may be false, and promises nothing of pages."""
    said = threshold_sentence(THRESHOLD, found=1000)
    assert "0.710" in said
    assert "encoder's calibration" in said
    assert "Were all of them photos, 99.0% should be true copies (about 10 of 1,000 false); pages, screens" in said
    assert "fewer than one" in threshold_sentence(THRESHOLD, found=5)
    given = Threshold(distance=0.5, source=ThresholdSource.OPTION)
    assert threshold_sentence(given, found=5).endswith("how often it errs has not been measured.")


@pytest.mark.parametrize(
    ("only", "words", "planned"),
    [
        (
            (),
            "A plan acts on 2 of them, 50 bytes to free; 1 altered, 1 unchecked, 1 protected, 1 linked stay; --only a",
            {"confirmed.jpg", "same.jpg"},
        ),
        (
            (Relation.ALTERED,),
            "A plan acts on 1 of them, 30 bytes to free; 1 confirmed, 1 near, 1 unchecked, 1 protected, 1 linked stay.",
            {"altered.jpg"},
        ),
        ((Relation.IDENTICAL,), "A plan acts on none of them; 1 confirmed, 1 near, 1 altered, 1 unchecked,", set()),
    ],
)
def test_all_say_what_a_plan_acts_on(only: tuple[Relation, ...], words: str, planned: set[str], tmp_path: Path) -> None:
    """Sentence, JSON, CSV and page count the copies that a plan acts on, and the bytes that these free."""
    copies = (
        sized("confirmed.jpg", 10, Relation.CONFIRMED),
        replace(sized("same.jpg", 40, Relation.NEAR), reviewed=True),
        sized("altered.jpg", 30, Relation.ALTERED),
        sized("unchecked.jpg", 500, Relation.UNCHECKED),
        replace(sized("protected.jpg", 600, Relation.IDENTICAL), protected=True),
        replace(sized("linked.jpg", 700, Relation.SAME_PIXELS), linked=True),
    )
    larger = DuplicateGroup(keep=Path("k"), copies=(replace(sized("l", 1, Relation.NEAR), loss=Loss.DETAILS),))
    assert plan_sentence(dedupe_report(larger)) == "A plan acts on none of them; 1 larger than the one kept stays."
    counts = DetailCounts(compared=9, confirmed=1, altered=1, alike=0, unchecked=1, left_out=0)
    report = replace(dedupe_report(DuplicateGroup(keep=Path("keep.jpg"), copies=copies)), details=counts)
    free = sum(copy.facts.size for copy in copies if copy.facts and copy.path.name in planned)
    assert plan_sentence(report, only).startswith(words)
    data = dedupe_json(report, only)
    assert data["plan"] == {"copies": len(planned), "bytes": free}
    assert {copy["path"] for copy in data["groups"][0]["copies"] if copy["planned"]} == planned
    rows = csv.DictReader(io.StringIO(dedupe_csv(report, only)))
    assert {row["path"] for row in rows if row["planned"] == "true"} == planned
    write_dedupe_html(report, tmp_path / "p.html", only=only)
    page = Page(tmp_path / "p.html")
    assert plan_sentence(report, only) in page.text
    assert f'id="to-free">{human_bytes(free)}<' in page.source


def sized(path: str, size: int, relation: Relation) -> Copy:
    """Return a copy of so many bytes."""
    facts = Facts(size=size, width=1, height=1, format="JPEG", content_hash=path)
    return Copy(path=Path(path), distance=0.1, relation=relation, facts=facts)


def test_one_and_many_are_said_in_words_that_fit() -> None:
    """A single copy is one, and nothing found needs no sentence."""
    one = sized("a.jpg", 10, Relation.CONFIRMED)
    group = DuplicateGroup(keep=Path("k.jpg"), copies=(one,))
    assert plan_sentence(dedupe_report(group)) == "A plan acts on it, 10 bytes to free."
    assert plan_sentence(dedupe_report(group, group)) == "A plan acts on all of them, 20 bytes to free."
    assert plan_sentence(dedupe_report()) == ""


def test_page_shows_every_group_and_skipped_file(report: DedupeReport, tmp_path: Path) -> None:
    """Nothing that the report holds is missing from the page: paths, sizes, distances, relations, reasons."""
    write_dedupe_html(report, tmp_path / "index.html")
    page = Page(tmp_path / "index.html")
    assert len(page.cards) == 2
    for group, card in zip(reversed(report.groups), page.cards, strict=True):
        assert str(group.keep) in card
        for copy in group.copies:
            assert str(copy.path) in card
            assert f"{copy.distance:.3f}" in card
    assert "99 \N{MULTIPLICATION SIGN} 50" in page.cards[0]
    assert human_bytes((tmp_path / "c.bmp").stat().st_size) in page.cards[0]
    assert "identical" in page.cards[1]
    assert "same pixels" in page.cards[1]
    for item in report.skipped:
        assert str(item.path) in page.text
        assert item.reason in page.text
    assert len([image for image in page.all("img") if image["src"].startswith("data:image/")]) == 5
    assert threshold_sentence(THRESHOLD, found=3) in page.text
    assert coverage_sentence(report.coverage) in page.text


def test_groups_are_sorted_by_what_they_would_free(report: DedupeReport, tmp_path: Path) -> None:
    """The group whose copies take the most bytes comes first, wherever the report had it."""
    write_dedupe_html(report, tmp_path / "index.html")
    cards = Page(tmp_path / "index.html").cards
    assert ["c.bmp" in card for card in cards] == [True, False]


def test_page_asks_the_network_for_nothing(report: DedupeReport, search: SearchReport, tmp_path: Path) -> None:
    """Every address is embedded, inside the page, or a local file to click on; and the page forbids itself the rest."""
    write_page(tmp_path / "p.html", title="All", search=search, dedupe=report, pictures=[str(report.groups[0].keep)])
    page = Page(tmp_path / "p.html")
    for tag, attributes in page.elements:
        for name in URL_ATTRIBUTES & attributes.keys():
            allowed = ("data:", "#", "file:///") if tag == "a" else ("data:",)
            assert attributes[name].startswith(allowed), (tag, name)
    assert not re.search(r"url\(|@import", page.contents["style"])
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|EventSource|sendBeacon)\b", page.contents["script"])
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_page_allows_exactly_its_own_script(report: DedupeReport, tmp_path: Path) -> None:
    """The hash in the policy is that of the script, so the script runs and no injected one would."""
    write_dedupe_html(report, tmp_path / "p.html")
    source = Page(tmp_path / "p.html").source
    script = source.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in source


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """A file name or reason made of HTML is shown letter by letter and runs nothing."""
    group = DuplicateGroup(keep=picture(tmp_path / HOSTILE), copies=(near(str(tmp_path / f'"><script>{HOSTILE}')),))
    skipped = (Skipped(path=Path("</td><script>x</script>"), reason="<b>bold</b>"),)
    write_dedupe_html(dedupe_report(group, skipped=skipped), tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    assert [image["src"].startswith("data:") for image in page.all("img")] == [True]
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in page.cards[0]
    assert "</td><script>x</script>" in page.text


def test_names_that_are_not_utf8_reach_the_page(tmp_path: Path) -> None:
    """The page is valid UTF-8, shows the odd bytes escaped, and its link still leads to the file."""
    try:
        keep = picture(tmp_path / NOT_UTF8)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    skipped = (Skipped(path=Path(NOT_UTF8), reason=NOT_UTF8),)
    report = dedupe_report(DuplicateGroup(keep=Path(keep), copies=(near("\ud800\0"),)), skipped=skipped)
    write_dedupe_html(report, tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    assert r"caf\xe9.png" in page.text
    assert any(str(link["href"]).endswith("caf%E9.png") for link in page.all("a"))
    assert len(page.all("img")) == 1


def test_pictures_that_vanished_or_broke_leave_a_placeholder(tmp_path: Path) -> None:
    """The page says what became of them, and the group still stands."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(picture(tmp_path / "x.png")).read_bytes()[:50])
    group = DuplicateGroup(keep=tmp_path / "gone.png", copies=(near(str(broken)),))
    write_dedupe_html(dedupe_report(group), tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    assert "no longer there" in page.cards[0]
    assert "50 bytes" in page.cards[0]
    assert not page.all("img")


def test_turned_pictures_have_the_size_a_person_sees(tmp_path: Path) -> None:
    """A JPEG that its EXIF data turns by 90 degrees is shown upright, so its sides are swapped."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 20)).save(tmp_path / "turned.jpg", exif=exif)
    group = DuplicateGroup(keep=tmp_path / "turned.jpg", copies=(near("gone"),))
    write_dedupe_html(dedupe_report(group), tmp_path / "p.html")
    assert "20 \N{MULTIPLICATION SIGN} 60" in Page(tmp_path / "p.html").cards[0]


def test_a_failed_page_leaves_the_old_one_and_nothing_else(report: DedupeReport, tmp_path: Path) -> None:
    """Whatever goes wrong in the middle, a half-written page is never seen."""
    out = made_folder(tmp_path / "out") / "index.html"
    write_dedupe_html(report, out)
    before = out.read_bytes()

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dedupe_html(report, out, progress=stop)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_a_page_that_cannot_be_written_is_a_clear_error(report: DedupeReport, tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"file.index\.html: cannot be written: .*file is no folder"):
        write_dedupe_html(report, tmp_path / "file" / "index.html")
    with pytest.raises(FolderError, match="make that folder first, or check the name"):
        write_dedupe_html(report, tmp_path / "typo" / "index.html")
    with pytest.raises(FolderError, match="is a folder; name a file in it"):
        write_dedupe_html(report, tmp_path)
    assert not (tmp_path / "typo").exists()


def test_progress_counts_every_picture(report: DedupeReport, search: SearchReport, tmp_path: Path) -> None:
    """Progress ends at the number of pictures on the page, whatever its parts."""
    seen: list[tuple[int, int]] = []
    write_page(
        tmp_path / "p.html",
        title="All",
        search=search,
        dedupe=report,
        pictures=[str(report.groups[0].keep)],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 10) for done in range(1, 11)]


def test_search_page_shows_hits_against_the_threshold(search: SearchReport, tmp_path: Path) -> None:
    """Hits stand beside their query, nearest first, marked as near-duplicates or not."""
    write_page(tmp_path / "p.html", title="Search", search=search)
    page = Page(tmp_path / "p.html")
    first, lonely = page.cards
    assert first.index("query.png") < first.index("hit.png") < first.index("other.png")
    assert "1 duplicate" in first
    assert "0.031" in first
    assert "nearest" in first
    assert "nothing to compare with" in lonely
    bars = [attributes["style"] for tag, attributes in page.elements if attributes.get("class") == "bar"]
    assert bars == ["--share: 0.0220; --mark: 0.5000", "--share: 0.8803; --mark: 0.5000"]


def test_a_page_of_several_parts_says_the_threshold_once(
    report: DedupeReport, search: SearchReport, tmp_path: Path
) -> None:
    """What decides is said once, however many parts it decides."""
    write_page(tmp_path / "p.html", title="All", lead="Two <parts>", search=search, dedupe=report)
    page = Page(tmp_path / "p.html")
    assert page.text.count("pictures count as copies within the threshold") == 1
    assert "Two <parts>" in page.text


def test_a_report_without_groups_says_so(tmp_path: Path) -> None:
    """An empty result is an answer, not an empty page."""
    write_dedupe_html(dedupe_report(), tmp_path / "p.html")
    assert "No two of these pictures are near-duplicates." in Page(tmp_path / "p.html").text


def test_many_groups_are_all_there_and_stay_small(tmp_path: Path) -> None:
    """Thousands of pictures get smaller thumbnails, and every group its card."""
    keep = str(tmp_path / "large.jpg")
    Image.effect_noise((400, 300), 90).save(keep)
    one = DuplicateGroup(keep=Path(keep), copies=(near(keep),))
    few, many = tmp_path / "few.html", tmp_path / "many.html"
    write_dedupe_html(dedupe_report(one), few)
    write_dedupe_html(dedupe_report(one, *[DuplicateGroup(keep=Path("gone"), copies=(near("gone"),))] * 2000), many)
    assert len(Page(many).cards) == 2001
    sizes = [len(Page(path).all("img")[0]["src"]) for path in (few, many)]
    assert sizes[1] < sizes[0] / 2


def altered(folder: Path) -> DuplicateGroup:
    """Return a group of a picture and its mirror image, with a black mark on it, near the top left of the original."""
    original = Image.effect_mandelbrot((200, 150), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    original.save(folder / "original.png")
    marked = ImageOps.mirror(original)
    marked.paste("red", (150, 15, 190, 45))
    marked.save(folder / "marked.png")
    copy = Copy(
        path=folder / "marked.png",
        distance=0.2,
        relation=Relation.ALTERED,
        differences=((0.05, 0.1, 0.25, 0.3),),
        differences_in_copy=((0.75, 0.1, 0.95, 0.3),),
        transform=((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    return DuplicateGroup(keep=folder / "original.png", copies=(copy,))


def test_what_differs_is_shown_close_up(tmp_path: Path) -> None:
    """Both close-ups show the same part, the copy laid on the keeper: only the mark differs."""
    group = altered(tmp_path)
    with Decoder() as decoder:
        shown = close_up(group, group.copies[0], decoder)
        assert close_up(group, replace(group.copies[0], transform=()), decoder) is None
        assert close_up(group, replace(group.copies[0], path=tmp_path / "gone.png"), decoder) is None
    assert shown is not None
    assert shown.keeper.size == shown.copy.size
    difference = np.asarray(ImageChops.difference(shown.keeper, shown.copy)).max(axis=-1)
    across = np.flatnonzero((difference > 60).mean(axis=0) > 0.3) / difference.shape[1]
    assert (across.min(), across.max()) == (pytest.approx(0.167, abs=0.05), pytest.approx(0.833, abs=0.05))


def test_boxes_are_drawn_on_both(tmp_path: Path) -> None:
    """Where one copy is altered, each of the two has its box in its own frame, and the page knows how they lie."""
    write_dedupe_html(dedupe_report(altered(tmp_path)), tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    assert [(box["x"], box["width"]) for box in page.all("rect") if "x" in box][-2:] == [
        ("10.0", "40.0"),
        ("150.0", "40.0"),
    ]
    (copy,) = (figure for figure in page.all("figure") if figure.get("class") == "match")
    assert copy["data-transform"] == "-1 0 1 0 1 0 0 0 1"
    assert len(page.all("img")) == 4


def test_bursts_are_shown_as_such(tmp_path: Path) -> None:
    """Frames come in their order, the sharpest is marked, and none can be ticked."""
    frames = tuple(picture(tmp_path / f"{number}.png") for number in range(3))
    report = replace(dedupe_report(), bursts=(Burst(pictures=frames, sharpest=frames[1]),))
    write_dedupe_html(report, tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    assert [figure["title"] for figure in page.all("figure")] == [str(frame) for frame in frames]
    assert page.text.count("sharpest") == 1
    assert page.text.index("1.png") < page.text.index("sharpest") < page.text.index("2.png")
    assert not page.all("input")


def test_common_root_is_said_once() -> None:
    """The folder that all pictures share is left out of their own; the disk itself is not worth saying."""
    assert common_root(["/a/b/c/1.jpg", "/a/b/2.jpg", "relative.jpg"]) == "/a/b"
    assert common_root(["/a/1.jpg", "/b/2.jpg"]) == ""
    assert common_root([]) == ""


def test_query_sheet_frames_the_duplicates(search: SearchReport, tmp_path: Path) -> None:
    """The sheet is a PNG as wide as its hits; a near-duplicate has a frame, another hit has none."""
    write_query_sheet(search.queries[0], tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.format == "PNG"
        teal = (15, 118, 110)
        framed = [x for x in range(sheet.width) if sheet.getpixel((x, sheet.height // 3)) == teal]
    assert framed
    assert max(framed) - min(framed) < 260  # one frame only: a tile and its border


def test_group_sheet_bears_missing_pictures_and_long_names(tmp_path: Path) -> None:
    """A picture that is gone leaves its place empty; a long or odd name is shortened, never an error."""
    names = ["gone.png", "long " * 60 + NOT_UTF8, "line\nbreak.png", *["x"] * 5]
    group = DuplicateGroup(keep=picture(tmp_path / "k.png"), copies=tuple(near(name) for name in names))
    write_group_sheet(group, tmp_path / "s.png")
    write_query_sheet(QueryResult(query=str(group.keep), hits=()), tmp_path / "alone.png")
    with Image.open(tmp_path / "s.png") as sheet, Image.open(tmp_path / "alone.png") as alone:
        assert sheet.height > 2 * 240
        assert alone.height < sheet.height
