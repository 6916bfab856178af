"""The report in a real browser: it works without network, by keyboard, and stays fluent when it is large."""

import time
from pathlib import Path

from PIL import Image

from browser import Browser, needs_browser
from siamese_search.report.html import write_dedupe_html
from siamese_search.results import (
    Copy,
    DedupeReport,
    DuplicateGroup,
    Edit,
    Reason,
    Relation,
    Rule,
    Skipped,
    Threshold,
    ThresholdSource,
)

pytestmark = needs_browser


def write_report(folder: Path, *, groups: int) -> str:
    """Write a report of this many groups of three small pictures, and return its address."""
    made = []
    for number in range(groups):
        # A thousand files at most: only the report has to be large.
        paths = [folder / f"{number % 333}-{name}.png" for name in ("keep", "mirrored", "other")]
        image = Image.linear_gradient("L").resize((24 + number % 7, 20)).rotate(30)
        drawings = (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image)
        for path, drawing in zip(paths, drawings, strict=True):
            if not path.exists():
                drawing.save(path)
        copies = (
            Copy(path=paths[1], distance=0.2, relation=Relation.NEAR, looks=(Edit.MIRRORED,)),
            Copy(path=paths[2], distance=0.3 + number / 10_000, relation=Relation.NEAR, reviewed=True),
        )
        reason = Reason(rule=Rule.PIXELS, keeper="24 x 20", runner_up="20 x 20")
        made.append(DuplicateGroup(keep=paths[0], copies=copies[: 1 + number % 2], reason=reason))
    report = DedupeReport(
        threshold=Threshold(distance=0.7, source=ThresholdSource.GALLERY, expected_precision=0.99),
        images=3 * groups,
        groups=tuple(made),
        skipped=(Skipped(path=Path("broken.jpg"), reason="the file is cut short"),),
    )
    write_dedupe_html(report, folder / "index.html")
    return (folder / "index.html").as_uri()


def test_the_page_works_by_keyboard(tmp_path: Path) -> None:
    """Walking, comparing, the difference aligned by turns, closing, sorting and filtering; no complaint, no request."""
    address = write_report(tmp_path, groups=6)
    with Browser(tmp_path / "profile") as page:
        page.open(address)
        page.press("j")
        page.press("j")
        assert page.evaluate("document.activeElement.id") == "g2"
        page.press("Enter")
        page.wait("document.getElementById('compare').open")
        assert page.evaluate("document.getElementById('compare-note').textContent") == "looks mirrored"
        page.wait("document.getElementById('compare-turn').textContent.includes('turned or mirrored')")
        pixels = "document.getElementById('compare-together').getContext('2d').getImageData(9, 9, 99, 99).data"
        assert page.evaluate(f"Math.max(...{pixels}.filter((value, place) => place % 4 < 3))") < 100
        page.press("j")
        page.wait("document.getElementById('compare').open")
        page.press("Escape")
        page.wait("!document.getElementById('compare').open")
        page.wait("document.activeElement.id === 'g3'")  # the dialog's close event comes after it is closed
        order = "[...document.querySelectorAll('.card')].map((card) => card.dataset.farthest).join()"
        page.evaluate("sort = document.getElementById('sort'); sort.value = 'farthest'")
        page.evaluate("sort.dispatchEvent(new Event('change'))")
        distances = page.evaluate(order).split(",")
        assert distances == sorted(distances, reverse=True)
        page.press("/")
        for letter in "you said":
            page.press(letter)
        page.wait("document.getElementById('shown').value === '3 of 6 groups'")
        assert page.errors == []
        assert [address for address in page.requests if not address.startswith("data:")] == [address]


def test_an_altered_copy_is_laid_on_its_keeper(tmp_path: Path) -> None:
    """A cut of the middle fits where the details say; both frames have their boxes; fading mixes."""
    photo = Image.effect_mandelbrot((300, 200), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    photo.save(tmp_path / "keep.png")
    photo.crop((75, 50, 225, 150)).save(tmp_path / "copy.png")
    copy = Copy(
        path=tmp_path / "copy.png",
        distance=0.2,
        relation=Relation.ALTERED,
        differences=((0.3, 0.3, 0.4, 0.4),),
        differences_in_copy=((0.1, 0.1, 0.3, 0.3),),
        transform=((0.5, 0.0, 0.25), (0.0, 0.5, 0.25), (0.0, 0.0, 1.0)),
    )
    report = DedupeReport(
        threshold=Threshold(distance=0.7, source=ThresholdSource.GALLERY),
        images=2,
        groups=(DuplicateGroup(keep=tmp_path / "keep.png", copies=(copy,)),),
        skipped=(),
    )
    write_dedupe_html(report, tmp_path / "page.html")
    drawn = "document.getElementById('compare-together')"
    value = f"(x, y) => {drawn}.getContext('2d').getImageData(x, y, 1, 1).data[0]"
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        page.press("j")
        page.press("Enter")
        page.wait(f"{drawn}.width === 300")
        inside = f"[...{drawn}.getContext('2d').getImageData(80, 55, 140, 90).data].filter((_, at) => at % 4 < 3)"
        assert page.evaluate(f"(({inside}).reduce((sum, one) => sum + one, 0)) / (140 * 90 * 3)") < 30
        assert page.evaluate("document.querySelectorAll('#compare .boxes rect').length") == 2
        assert page.evaluate("document.getElementById('compare-turn').textContent") == ""
        page.evaluate("document.querySelector('[value=fade]').click()")
        page.evaluate("fade = document.getElementById('compare-fade'); fade.value = 100")
        page.evaluate("fade.dispatchEvent(new Event('input', { bubbles: true }))")
        assert page.evaluate(f"({value})(5, 5)") == 0
        page.evaluate("fade.value = 0; fade.dispatchEvent(new Event('input', { bubbles: true }))")
        assert page.evaluate(f"({value})(5, 5)") > 0
        assert page.errors == []


def test_a_large_report_stays_fluent(tmp_path: Path) -> None:
    """The page opens, filters and jumps to its end within moments however many groups it has."""
    address = write_report(tmp_path, groups=1000)
    with Browser(tmp_path / "profile") as page:
        start = time.monotonic()
        page.open(address)
        page.wait("document.querySelectorAll('.card').length === 1000")
        opened = time.monotonic() - start
        page.evaluate("filter = document.getElementById('filter'); filter.value = '0.366 /332-keep'")
        page.evaluate("filter.dispatchEvent(new Event('input'))")
        page.wait("document.getElementById('shown').value === '1 of 1,000 groups'")
        page.evaluate("filter.value = ''; filter.dispatchEvent(new Event('input'))")
        page.wait("document.getElementById('shown').value === '1,000 groups'")
        page.press("k")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        moved = time.monotonic() - start - opened
        assert page.errors == []
    assert (opened < 30, moved < 30) == (True, True)
