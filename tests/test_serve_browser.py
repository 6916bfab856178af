"""The pages of `simsearch serve` in a real browser: by mouse, by keyboard, on a phone, in the dark."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser, needs_browser
from siamese_search.gallery import Gallery
from siamese_search.web.app import Access
from siamese_search.web.service import Service
from visiting import served

pytestmark = needs_browser


@pytest.fixture
def address(gallery: Gallery) -> Iterator[str]:
    """Serve the nine pictures to whoever asks."""
    with Service(gallery.location) as service, served(service.app(Access(open_to_all=True))) as address:
        yield address


def give(page: Browser, picture: Path, *, by: str) -> None:
    """Drop or paste a picture."""
    data = base64.b64encode(picture.read_bytes()).decode()
    events = {
        "drop": "new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true })",
        "paste": "new ClipboardEvent('paste', { clipboardData: given, bubbles: true })",
    }
    page.evaluate(
        "given = new DataTransfer();"
        f"octets = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));"
        f"given.items.add(new File([octets], '{picture.name}', {{ type: 'image/png' }}));"
        f"document.body.dispatchEvent({events[by]}); found = null"
    )
    page.wait("found")


def names(page: Browser, kind: str = "") -> list[str]:
    """Return the names on the cards, of all or of one kind."""
    part = f'.group[data-kind="{kind}"] ' if kind else ""
    return page.evaluate(
        f"[...document.querySelectorAll('#results {part}.card b')].map((b) => b.textContent).join('/')"
    ).split("/")  # type: ignore[no-any-return]


def change(page: Browser, id_: str, value: str) -> None:
    """Set a control as a person does."""
    page.evaluate(
        f"control = document.getElementById('{id_}'); control.value = {value!r};"
        "control.dispatchEvent(new Event('input', { bubbles: true }))"
    )


def only_here(page: Browser, address: str) -> bool:
    """Tell whether the page asked nobody else."""
    return all(asked.startswith((address, "data:", "blob:")) for asked in page.requests)


def test_searching_by_mouse(address: str, photos: Path, tmp_path: Path) -> None:
    """Drop, look, slide, filter, compare, click on, go back, paste; sliders and filters ask the server nothing."""
    with Browser(tmp_path / "profile") as page:
        page.open(f"{address}/")
        page.wait("document.querySelectorAll('#start-list img').length === 9")
        give(page, photos / "astronaut.png", by="drop")
        assert set(names(page, "same")) == {"astronaut.png", "astronaut bright.jpg"}
        assert page.evaluate("document.getElementById('summary').textContent").startswith("The same picture 2 times")
        assert len(names(page)) == 9
        assert page.evaluate("document.querySelectorAll('#results .limit').length") >= 1
        page.wait("[...document.querySelectorAll('#results img')].every((one) => one.naturalWidth)")
        asked = len(page.requests)
        change(page, "limit", "0")
        assert names(page, "same") == ["astronaut.png"]
        change(page, "limit", "2")
        assert len(names(page, "same")) == 9
        change(page, "k", "5")
        assert len(names(page)) == 5
        page.evaluate("document.getElementById('reset').click()")
        change(page, "kind", "JPEG")
        assert names(page) == ["astronaut bright.jpg"]
        change(page, "kind", "")
        change(page, "folder", str(photos / "copies"))
        assert set(names(page)) == {"astronaut bright.jpg", "chelsea again.png", "coffee.bmp"}
        change(page, "name", "COFF")
        assert names(page) == ["coffee.bmp"]
        change(page, "to", "2001-01-01")
        assert page.evaluate("document.getElementById('summary').textContent") == "Nothing passes the filters."
        page.evaluate("document.getElementById('reset').click()")
        assert [one for one in page.requests[asked:] if "thumbnail" not in one] == []
        page.evaluate("document.querySelectorAll('#results .card button')[1].click()")
        page.wait("document.getElementById('compare-words').textContent.includes('the same picture')")
        page.press("x")
        assert page.evaluate("document.getElementById('stage').dataset.view") == "difference"
        page.press("Escape")
        page.evaluate(
            "[...document.querySelectorAll('#results .card')]"
            ".find((one) => one.textContent.includes('coffee.bmp')).querySelector('a').click()"
        )
        page.wait("location.search.startsWith('?item=') && document.title.startsWith('coffee.bmp')")
        page.wait("document.querySelector('.group[data-kind=same]').textContent.includes('coffee.png')")
        page.evaluate("found = null; history.back()")
        page.wait("found && document.title.startsWith('astronaut.png')")
        give(page, photos / "rocket.png", by="paste")
        page.wait("document.title.startsWith('rocket.png')")
        assert page.errors == []
        assert only_here(page, address)


def test_searching_by_keyboard_on_a_phone_in_the_dark(address: str, tmp_path: Path) -> None:
    """Pick one, walk, compare, close, search on, start anew, all without a mouse; nothing is wider than the screen."""
    with Browser(tmp_path / "profile", width=390, height=844, dark=True) as page:
        page.open(f"{address}/")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 21)"
        page.evaluate("document.querySelector('.pick').focus()")
        page.press("Enter")
        page.wait("document.querySelectorAll('#picker-list a').length === 9")
        page.evaluate("document.getElementById('words').focus()")
        for letter in "rocket":
            page.press(letter)
        page.wait("document.querySelectorAll('#picker-list a').length === 1")
        page.evaluate("document.querySelector('#picker-list a').focus()")
        page.press("Enter")
        page.wait("found")
        page.evaluate("document.querySelector('#results .card a').focus()")
        page.press("ArrowRight")
        page.press("c")
        page.wait("document.getElementById('compare').open")
        page.wait("document.getElementById('compare-words').textContent.includes('two pictures')")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.press("Escape")
        page.wait("document.activeElement.dataset.place === '1'")
        page.evaluate("found = null")
        page.press("Enter")
        page.wait("found")
        page.press("n")
        page.wait("!document.getElementById('ask').hidden && document.activeElement.id === 'file'")
        assert page.errors == []
        assert only_here(page, address)


def test_duplicates_are_found_and_acted_on(address: str, photos: Path, tmp_path: Path) -> None:
    """Looked for, chosen, planned, tried, put in the trash and taken back, without leaving the page."""
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    with Browser(tmp_path / "profile") as page:
        page.open(f"{address}/duplicates")
        page.evaluate("document.getElementById('look').click()")
        page.wait("document.getElementById('report').contentDocument?.getElementById('save-plan')")
        assert "3 groups" in page.evaluate("document.getElementById('said').textContent")
        page.evaluate("document.getElementById('report').contentDocument.getElementById('save-plan').click()")
        page.wait("document.activeElement.textContent === 'Try'")
        page.press("Enter")
        page.wait("document.getElementById('said').textContent.startsWith('3 copies would go')")
        assert {path: path.read_bytes() for path in photos.rglob("*.*") if path.is_file()} == before
        press(page, "Into the trash")
        page.wait("document.getElementById('said').textContent.startsWith('3 copies put in the trash')")
        assert sum(path.is_file() for path in before) == 6
        press(page, "Undo")
        page.wait("document.getElementById('said').textContent.startsWith('3 copies restored')")
        assert {path: path.read_bytes() for path in before} == before
        assert page.errors == []
        assert only_here(page, address)


def press(page: Browser, words: str, *, times: int = 1) -> None:
    """Press a button by what is on it."""
    page.evaluate(
        f"button = [...document.querySelectorAll('button')].find((one) => one.textContent === {words!r});"
        f"for (let time = 0; time < {times}; time += 1) button.click()"
    )


def test_the_first_five_minutes(photos: Path, tmp_path: Path) -> None:
    """Indexed by itself, then six clicks: search, duplicates, a plan, the trash, all of it undone; nothing is typed."""
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    clicks = []
    with (
        Service(tmp_path / "new", folders=[photos]) as service,
        served(service.app(Access(open_to_all=True))) as address,
        Browser(tmp_path / "profile") as page,
    ):

        def click(selector: str, *, then: str) -> None:
            page.wait(f"document.querySelector({selector!r})")
            page.click(selector)
            page.wait(then)
            clicks.append(selector)

        said = "document.getElementById('said').textContent"
        service.jobs.start({"kind": "sync"})  # as the command does
        page.open(f"{address}/")
        page.wait("document.querySelectorAll('#start-list img').length === 9")
        click("#start-list a", then="found")
        click("nav a[href='/duplicates']", then="location.pathname === '/duplicates' && window.look")
        click("#look", then="document.getElementById('report').contentDocument?.getElementById('save-plan')")
        page.evaluate("document.getElementById('report').contentDocument.getElementById('save-plan').click()")
        clicks.append("#save-plan")
        click("#plan-1 button:last-child", then=f"{said}.startsWith('3 copies put in the trash')")
        assert sum(path.is_file() for path in before) == 6
        click("#plan-1 button:last-child", then=f"{said}.startsWith('3 copies restored')")
        assert {path: path.read_bytes() for path in before} == before
        assert page.errors == []
        assert only_here(page, address)
    assert len(clicks) == 6


def test_what_is_clicked_twice_happens_once(address: str, photos: Path, tmp_path: Path) -> None:
    """By a double click, from two tabs, after going back: one plan, done once, and nothing complains."""
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    with Browser(tmp_path / "profile") as page, Browser(tmp_path / "other") as other:
        page.open(f"{address}/duplicates")
        page.evaluate("document.getElementById('look').click(); document.getElementById('look').click()")
        save = "document.getElementById('report').contentDocument?.getElementById('save-plan')"
        page.wait(save)
        page.evaluate(f"{save}.click(); {save}.click()")
        page.wait("document.getElementById('plan-1')")
        other.open(f"{address}/duplicates")
        other.wait("document.getElementById('plan-1')")
        press(page, "Into the trash", times=2)
        page.wait("document.getElementById('said').textContent.startsWith('3 copies put in the trash')")
        assert page.evaluate("document.querySelectorAll('#plan-list li').length") == 1
        assert page.evaluate("document.getElementById('trouble').hidden")
        assert not page.evaluate("document.getElementById('old').hidden")
        press(other, "Into the trash")  # which this page still offers
        other.wait("document.getElementById('said').textContent.startsWith('0 copies put in the trash')")
        other.wait("document.getElementById('plan-1').textContent.includes('3 applied')")
        page.open(f"{address}/gallery")
        page.evaluate("history.back()")
        page.wait("location.pathname === '/duplicates' && document.getElementById('plan-1')")
        press(page, "Undo", times=2)
        page.wait("document.getElementById('said').textContent.startsWith('3 copies restored')")
        assert {path: path.read_bytes() for path in before} == before
        assert page.evaluate("document.getElementById('trouble').hidden")
        assert page.errors == other.errors == []


def test_indexing_and_reviewing(address: str, gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    """Index tells what it found; the review asks, and the gallery keeps the answer; the map leads to a search."""
    (photos / "broken.jpg").write_bytes(b"no picture")
    with Browser(tmp_path / "profile") as page:
        page.open(f"{address}/gallery")
        page.wait("document.getElementById('about').textContent.startsWith('9 pictures')")
        press(page, "Index")
        page.wait("document.getElementById('skipped').textContent.includes('broken.jpg')")
        page.open(f"{address}/review/")
        press(page, "Begin")
        page.wait(
            "document.getElementById('first-picture')?.naturalWidth > 0"
            " || document.getElementById('end')?.hidden === false"
        )
        if page.evaluate("!document.getElementById('question').hidden"):
            page.press("d")
            page.wait("!busy && state.sitting === 1")
            assert [pair.answer for pair in gallery.answers.all()] == ["different"]
        page.open(f"{address}/map")
        press(page, "Draw the map")
        page.wait("document.getElementById('report').contentDocument?.getElementById('open')")
        rocket = (photos / "rocket.png").as_uri()
        page.evaluate(
            "inside = document.getElementById('report').contentDocument;"
            f"inside.getElementById('open').href = {rocket!r}; inside.getElementById('open').click()"
        )
        page.wait("location.search.startsWith('?item=') && document.title.startsWith('rocket.png')")
        page.open(f"{address}/api")
        assert "/api/search" in page.evaluate("document.body.textContent")
        assert page.errors == []
        assert only_here(page, address)
