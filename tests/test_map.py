"""The map of a gallery: every picture in one cell, like beside like, and a page that works in a browser."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from browser import Browser, needs_browser
from conftest import Run
from siamese_search.encoder import Encoder
from siamese_search.errors import OptionError
from siamese_search.gallery import Gallery
from siamese_search.report.layout import lay_out
from siamese_search.report.map import write_map_html


def clusters(count: int, size: int) -> np.ndarray:
    """Return unit vectors `(count * size, 16)` around as many directions, mixed."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(count, 16)), size, axis=0)
    vectors = centres + rng.normal(scale=0.2, size=centres.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def page(photos: Path, encoder: Encoder, tmp_path: Path) -> Path:
    """Write the map of a small gallery, one name of which is odd."""
    (photos / "rocket.png").rename(photos / "<b>odd & 100%.png")
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos], calibrate=False)
    told: list[tuple[int, int]] = []
    write_map_html(gallery, tmp_path / "map.html", progress=lambda *done: told.append(done))
    assert told[-1] == (9, 9)
    return tmp_path / "map.html"


def data_of(page: Path) -> dict[str, object]:
    """Return what the page's script works with."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(text)  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_every_picture_has_one_cell(count: int) -> None:
    """None is lost and none shown twice, however many there are; all belong to a region, and its middle is one."""
    layout = lay_out(clusters(count, 1))
    cells = layout.cells[layout.cells >= 0]
    assert sorted(cells.tolist()) == list(range(count))
    assert sorted(number for region in layout.regions for number in region.pictures.tolist()) == list(range(count))
    assert all(region.middle in region.pictures for region in layout.regions)


def test_like_lies_beside_like() -> None:
    """Of neighbours on the map most are of one kind, and the same pictures give the same map."""
    vectors = clusters(6, 50)
    layout = lay_out(vectors)
    kind = layout.cells // 50
    assert (kind[:, 1:] == kind[:, :-1]).mean() > 0.6
    assert (kind[1:] == kind[:-1]).mean() > 0.6
    assert np.array_equal(layout.cells, lay_out(vectors).cells)


def test_equal_pictures_are_laid_out_too() -> None:
    """Where there is nothing to tell them apart by, each still has its cell."""
    cells = lay_out(np.ones((130, 8), np.float32)).cells
    assert sorted(cells[cells >= 0].tolist()) == list(range(130))


def test_links_lead_to_the_files(page: Path, photos: Path) -> None:
    """Each cell names its file, whatever it is called; nothing in a name can end the script."""
    data = data_of(page)
    root, links = str(data["root"]), [str(link) for link in data["links"] if link]  # type: ignore[attr-defined]
    found = {Path(unquote(urlsplit(f"{root}/{link}").path)) for link in links}
    assert found == {path for path in photos.rglob("*.*") if path.is_file()}
    assert "<b>" not in page.read_text("utf-8").split('id="data"')[1]


def test_the_page_asks_the_network_for_nothing(page: Path) -> None:
    """Pictures and script are in it, and its policy allows no others."""
    text = page.read_text("utf-8")
    assert "default-src 'none'; img-src data:" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_a_gallery_without_pictures_has_no_map(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """The error says what to do."""
    (tmp_path / "empty").mkdir()
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([tmp_path / "empty"])
    with pytest.raises(OptionError, match="simsearch index FOLDER"):
        write_map_html(gallery, tmp_path / "map.html")
    assert not (tmp_path / "map.html").exists()
    assert photos.exists()


def test_info_draws_it(run: Run, photos: Path, tmp_path: Path) -> None:
    """`info --map` writes the page, and says where."""
    assert run("index", photos).returncode == 0
    assert "map.html" in run("info", "--map", "map.html").stdout
    assert (tmp_path / "map.html").stat().st_size > 5000


@needs_browser
def test_one_can_wander_in_it(page: Path, tmp_path: Path) -> None:
    """Keys choose, move and zoom; the name of what is chosen is shown with a link; a region is gone to."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        before = browser.evaluate("at.scale")
        browser.evaluate("view.focus()")
        browser.press("ArrowRight")
        assert browser.evaluate("byId('caption').textContent").endswith((".png", ".jpg", ".bmp"))
        assert browser.evaluate("byId('open').href").startswith("file:///")
        browser.press("-")
        browser.wait(f"at.scale < {before}")
        browser.press("+")
        browser.press("0")
        browser.wait(f"Math.abs(at.scale - {before}) < 1e-6")
        browser.evaluate("byId('list-button').click()")
        assert browser.evaluate("list.children.length") == browser.evaluate("map.regions.length")
        browser.evaluate("list.firstElementChild.click()")
        assert browser.evaluate("cell === map.regions[0].cell")
        browser.press("Escape")
        assert browser.evaluate("cell") == -1
        assert browser.errors == []


@needs_browser
def test_a_drag_moves_and_a_click_opens(page: Path, tmp_path: Path) -> None:
    """What was dragged opens nothing; what was clicked does."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        browser.evaluate("opened = []; window.open = (address) => opened.push(address)")
        browser.evaluate("zoomed(4)")
        mouse = {"button": "left", "buttons": 1, "clickCount": 1}
        x, y = 640, 450
        browser.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **mouse)
        for step in range(1, 5):
            browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 8 * step, y=y, button="left", buttons=1)
        before = browser.evaluate("opened.length")
        browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 32, y=y, **mouse)
        assert browser.evaluate("opened.length") == before == 0
        browser.evaluate("showAll()")
        place = browser.evaluate(
            "(() => { const box = view.getBoundingClientRect(), n = map.links.findIndex(Boolean), s = unit * at.scale;"
            " return [box.left + at.x + (n % map.columns + .5) * s,"
            " box.top + at.y + (Math.floor(n / map.columns) + .5) * s]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **mouse)
        assert len(browser.evaluate("opened")) == 1
        assert browser.evaluate("opened[0]").startswith("file:///")
        assert browser.errors == []
