"""Serving: what the API answers, what it refuses, and that nothing a client does stops the others."""

import io
import itertools
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conftest import Run
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.encoder.shared import SharedBackend
from siamese_search.errors import OptionError
from siamese_search.gallery import Gallery
from siamese_search.results import Item
from siamese_search.web.app import Access, make_app
from siamese_search.web.openapi import description
from siamese_search.web.service import Service
from siamese_search.web.turns import Turns
from test_fine import invoice
from visiting import KEY, Client, Visitor, served

ROOT = Path(__file__).resolve().parents[1]


Sample = Callable[[str], Image.Image]


@pytest.fixture
def service(gallery: Gallery) -> Iterator[Service]:
    """Serve the nine pictures."""
    with Service(gallery.location) as service:
        yield service


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Give the address of the server."""
    with served(service.app(Access(KEY), names=["pictures.example"]), head_seconds=1.0) as address:
        yield address


@pytest.fixture
def client(address: str) -> Client:
    """Give a program that may ask."""
    return Client(address)


@pytest.fixture
def items(gallery: Gallery) -> dict[str, Item]:
    """Give the pictures by their names."""
    return {item.path.name: item for item in gallery.items()}


# -- what it answers


def test_a_picture_is_searched_with(client: Client, photos: Path, gallery: Gallery) -> None:
    """The same hits as of the gallery itself, with what is known of each; the picture is kept for later."""
    data = (photos / "astronaut.png").read_bytes()
    found = client.picture(data, "?k=3")
    result = gallery.search(data, k=3)
    told = found["queries"][0]["hits"]
    assert [(hit["path"], hit["kind"], hit["group"]) for hit in told] == [
        (str(hit.path), hit.kind, hit.rank) for hit in result.files(copies=True)
    ]
    assert told[0]["item"]["name"] == "astronaut.png"
    assert found["threshold"] == pytest.approx(gallery.reach.distance, abs=1e-6)
    by_distance = client.picture(data, "?k=3&details=false")
    assert by_distance["threshold"] == pytest.approx(gallery.threshold.distance, abs=1e-6)
    assert by_distance["queries"][0]["hits"][0]["distance"] < 0.01
    again = client.json("api/search", {"uploads": [found["upload"]], "k": 3})
    assert again["queries"][0]["hits"] == told
    assert "upload" not in again


def test_pictures_of_the_gallery_are_searched_with(client: Client, items: dict[str, Item]) -> None:
    """One finds its copies, by distance alone, too; several together find what lies between them."""
    one, other = items["astronaut.png"].id, items["coffee.png"].id
    (copy,) = client.json(f"api/items/{one}/similar?k=1")["queries"][0]["hits"]
    assert (copy["item"]["name"], copy["kind"]) == ("astronaut bright.jpg", "same")
    found = client.json(f"api/items/{one}/similar?k=1&details=false")["queries"][0]["hits"]
    assert [hit["item"]["id"] for hit in found] == [copy["item"]["id"]]
    both = client.json("api/search", {"items": [one, other], "k": 4})["queries"][0]["hits"]
    assert {hit["kind"] for hit in both} == {"nearest"}
    assert not {one, other} & {hit["item"]["id"] for hit in both}
    client.json("api/search", {"items": [one, other], "threshold": 0.3}, status=422)


def test_a_picture_that_is_away_is_searched_with(client: Client, items: dict[str, Item]) -> None:
    """Its place in the gallery is known, so that its copies are found by distance; several have to be there."""
    one, other = items["astronaut.png"], items["coffee.png"].id
    one.path.unlink()
    found = client.json(f"api/items/{one.id}/similar?k=1")["queries"][0]["hits"]
    assert {hit["item"]["name"] for hit in found} == {"astronaut.png", "astronaut bright.jpg"}
    assert client.json("api/search", {"items": [one.id, other]}, status=410)["error"] == "no such file"


def test_the_json_is_that_of_the_commands(
    client: Client, gallery: Gallery, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Field by field: of a search in every form, of duplicates, of what was indexed, calibrated, done and undone."""
    monkeypatch.setenv("SIMSEARCH_INDEX", gallery.location)

    def said(*arguments: str | Path, stdin: bytes = b"") -> Any:
        return json.loads(run(*arguments, "--json", "--quiet", stdin=stdin).stdout)

    def answered(found: dict[str, Any]) -> Any:
        found.pop("upload", None)
        for hit in found["queries"][0]["hits"]:
            assert hit["path"] == hit.pop("item")["path"]
        return found

    def job(**order: object) -> Any:
        started = client.json("api/jobs", order, status=202)
        client.get(f"api/jobs/{started['id']}/events")
        return client.json(f"api/jobs/{started['id']}")["result"]

    path, other = photos / "coffee.png", photos / "rocket.png"
    data = path.read_bytes()
    ids = {item.path: item.id for item in gallery.items()}
    query = ("query", "--copies", "-k", "4")
    for options, asked in (
        ([], ""),
        (["--no-details"], "&details=false"),
        (["--threshold", "0.5"], "&threshold=0.5"),
        (["--threshold", "0.2", "--no-details"], "&threshold=0.2&details=false"),
    ):
        assert answered(client.picture(data, f"?k=4{asked}")) == said(*query, "-", *options, stdin=data)
    known = {"items": [ids[path]], "k": 4}
    assert answered(client.json("api/search", known)) == said(*query, path)
    assert answered(client.json("api/search", {**known, "details": False})) == said(*query, path, "--no-details")
    both = {"items": [ids[path], ids[other]], "k": 4}
    assert answered(client.json("api/search", both)) == said(*query, path, other, "--combine")

    job(kind="dedupe")
    assert client.json("api/duplicates") == said("dedupe")
    assert client.json("api/info") == said("info")
    plan = photos.parent / "plan.json"
    said("dedupe", "--plan", plan)
    number = client.json("api/plans", plan.read_bytes(), status=201)["plan"]
    tried = job(kind="apply", plan=number, to="trash", dry_run=True)
    assert tried == said("apply", plan, "--to", "trash", "--dry-run")
    done, undone = job(kind="apply", plan=number, to="trash"), job(kind="undo", plan=number)
    assert done.keys() == undone.keys() == tried.keys()
    assert (len(done["done"]), done["reasons"], undone["undo"]) == (3, {}, True)
    indexed = {**job(kind="sync"), "seconds": 0}
    assert indexed == {**said("index", photos), "seconds": 0}
    calibrated = job(kind="calibrate")
    assert calibrated.keys() == said("calibrate").keys()


def test_items_come_page_by_page(client: Client, items: dict[str, Item]) -> None:
    """The last indexed first, each once, also by words of the path."""
    seen: list[int] = []
    after = ""
    while True:
        page = client.json(f"api/items?limit=4{after}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == sorted((item.id for item in items.values()), reverse=True)
    assert page["total"] == 9
    called = client.json("api/items?q=COPIES+coff")
    assert [item["name"] for item in called["items"]] == ["coffee.bmp"]
    assert (called["total"], called["next"]) == (None, None)
    about = client.json(f"api/items/{items['coffee.bmp'].id}")
    assert about["path"] == str(items["coffee.bmp"].path)


def test_thumbnails_are_small_pictures(client: Client, items: dict[str, Item]) -> None:
    """WebP of the size that was asked for; one that the browser has already is not sent again."""
    place = f"api/items/{items['coffee.bmp'].id}/thumbnail?size=160"
    status, content, headers = client.get(place)
    assert (status, headers["content-type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(content)) as image:
        assert max(image.size) == 160
    assert client.get(place, If_None_Match=headers["etag"])[:2] == (304, b"")
    items["coffee.bmp"].path.unlink()
    assert client.get(place)[0] == 200  # it is kept
    gone = client.json(place.replace("160", "320"), status=410)
    assert gone == {"error": "no such file"}


def test_two_pictures_are_compared(client: Client, items: dict[str, Item], photos: Path) -> None:
    """The details of a picture that was sent and one of the gallery: one picture, or two."""
    with Image.open(photos / "rocket.png") as image:
        data = io.BytesIO()
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(data, "PNG")
    upload = client.picture(data.getvalue())["upload"]
    same = client.json("api/compare", {"uploads": [upload], "items": [items["rocket.png"].id]})
    assert (same["verdict"], same["relation"], same["mirrored"]) == ("confirmed", "confirmed", True)
    assert len(same["transform"]) == 3
    other = client.json("api/compare", {"items": [items["rocket.png"].id, items["camera.png"].id]})
    assert (other["verdict"], other["relation"]) == ("alike", None)
    equal = client.picture((photos / "chelsea.png").read_bytes())["upload"]
    again = client.json("api/compare", {"uploads": [equal], "items": [items["chelsea again.png"].id]})
    assert again["relation"] == "identical"
    pixels = client.json("api/compare", {"items": [items["coffee.png"].id, items["coffee.bmp"].id]})
    assert pixels["relation"] == "same-pixels"
    assert "two pictures" in client.json("api/compare", {"items": [1]}, status=422)["error"]


def test_a_comparison_says_what_dedupe_says(tmp_path: Path, sample: Sample, encoder: Encoder) -> None:
    """Of small type, of a cut-out, of what moves and of what is no picture any more, too: there is one answer."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number, total in enumerate(("418.20", "953.75")):
        invoice(total).save(folder / f"invoice {number}.png")
    rocket, coffee, cat = (sample(name) for name in ("rocket.jpg", "coffee.png", "chelsea.png"))
    rocket.save(folder / "rocket 0.png")
    cut = rocket.convert("RGBA")
    cut.putalpha(Image.linear_gradient("L").resize(rocket.size).point(lambda level: 255 if level > 128 else 0))
    cut.save(folder / "rocket 1.png")
    for number in (0, 1):
        moved = coffee if number else ImageOps.mirror(coffee)
        coffee.save(folder / f"coffee {number}.gif", save_all=True, append_images=[moved])
        cat.save(folder / f"cat {number}.jpg", quality=90 - number)
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([folder], calibrate=False)
        ids = {item.path.name: item.id for item in gallery.items()}
        (folder / "cat 1.jpg").unlink()
        told = {
            frozenset((group.keep.name, copy.path.name)): copy.relation
            for group in find_duplicates(gallery, threshold=1.0).groups
            for copy in group.copies
        }
    assert told[frozenset(("invoice 0.png", "invoice 1.png"))] == "altered"
    with (
        Service(gallery.location) as service,
        served(service.app(Access(open_to_all=True))) as address,
    ):
        for first, second in itertools.combinations(ids, 2):
            found = Client(address).json("api/compare", {"items": [ids[first], ids[second]]})
            if first.split()[0] == second.split()[0]:
                said = found["relation"] if found["relation"] != "unchecked" else None  # dedupe does not group it
                assert said == told.get(frozenset((first, second))), (first, second)
            else:
                assert found["relation"] in {None, "unchecked"}


def test_what_another_process_changes_is_found(client: Client, gallery: Gallery, photos: Path) -> None:
    """A picture that was indexed or removed meanwhile is there or gone at the next question."""
    (photos / "copies" / "chelsea again.png").rename(photos / "renamed.png")
    (photos / "camera.png").unlink()
    gallery.sync(calibrate=False)
    names = {item["name"] for item in client.json("api/items")["items"]}
    assert "renamed.png" in names
    assert "camera.png" not in names
    hits = client.picture((photos / "renamed.png").read_bytes(), "?k=9")["queries"][0]["hits"]
    assert {hit["item"]["name"] for hit in hits} == names


def test_what_it_tells_of_itself(client: Client, address: str) -> None:
    """Health to everybody, info and metrics to those who may ask; the description names every address there is."""
    assert json.loads(Visitor(address).ask("api/health")[1])["status"] == "ok"
    assert client.json("api/info")["images"] == 9
    client.json("api/items/77777", status=404)
    status, content, headers = client.get("metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'simsearch_requests_total{handler="item",status="404"} 1\n' in content
    assert b"\nsimsearch_images 9\n" in content
    assert all(re.fullmatch(r"# .*|[a-z_]+(\{[^}]*\})? [0-9.e+]+", line) for line in content.decode().splitlines())
    told = client.json("api/openapi.json")
    assert told["openapi"].startswith("3.1")
    assert b"/api/search" in client.get("api")[1]


def test_the_description_names_every_address(service: Service) -> None:
    """What is routed under /api is described, and the other way round."""
    described = set(description()["paths"]) - {"/metrics"}
    routed = {
        re.sub(r":int", "", route.path)  # type: ignore[attr-defined]
        for route in service.app(Access()).routes
        if route.path.startswith("/api/")  # type: ignore[attr-defined]
    }
    assert described == routed - {"/api/openapi.json"}


# -- what it refuses


def test_nobody_comes_in_without_the_token(address: str, photos: Path) -> None:
    """Nothing but health is told, whatever is brought in place of the token."""
    stranger = Visitor(address)
    data = (photos / "rocket.png").read_bytes()
    for path in ("", "api", "api/items", "api/info", "metrics", "static/search.js", "api/openapi.json"):
        for brought in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Cookie": "simsearch=1"}):
            assert stranger.ask(path, **brought)[0] == 401
    assert stranger.ask("api/search", data, Content_Type="image/png")[0] == 401
    assert Visitor(f"{address}/enter/wrong").entered == 403
    assert Visitor(f"{address}/enter/{KEY}").ask("api/items")[0] == 200


@pytest.mark.parametrize("key", ["short", "sixteen letters/with a slash", "Größe ist nicht alles"])
def test_a_token_is_one_that_nobody_guesses(key: str) -> None:
    """A short one, or one that an address cannot carry, is refused at the start."""
    with pytest.raises(OptionError, match="token"):
        Access(key)


def test_foreign_names_and_pages_are_refused(client: Client) -> None:
    """A name that was made to lead here, and a page of another site that asks with the cookie; a link is followed."""
    cases: list[tuple[dict[str, str], int]] = [
        ({"Host": "attacker.example"}, 400),
        ({"Host": "attacker.example:80"}, 400),
        ({"Host": "127.0.0.1.attacker.example"}, 400),
        ({"Host": "[::1"}, 400),
        ({"Host": "a@127.0.0.1"}, 400),
        ({"Host": "127.0.0.1:port"}, 400),
        ({"Host": "pictures.example"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "pictures.example", "Origin": "https://pictures.example"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ]
    for headers, status in cases:
        assert client.get("api/items", **headers)[0] == status, headers


def test_files_are_named_by_id_alone(client: Client) -> None:
    """No path leads anywhere."""
    for path in (
        "static/../app.py",
        "static/%2e%2e/app.py",
        "static//etc/passwd",
        "static/..%2f..%2fapp.py",
        "api/items/../../etc/passwd",
        "api/items/%2e%2e/thumbnail",
        "api/items/1%2f..%2f2/thumbnail",
        "api/items/-1/thumbnail",
        f"api/items/{'9' * 30}/thumbnail",
        "enter/../../etc/passwd",
    ):
        status, content, _ = client.get(path)
        assert status in {403, 404, 422}, path
        assert b"root:" not in content
        assert b"import" not in content


def test_options_that_make_no_sense_are_refused(client: Client) -> None:
    """A list where a text is expected, numbers that are none, an option that does not exist: each one clear line."""
    cases: list[tuple[object, int]] = [
        ({"items": "1"}, 422),
        ({"items": [["1"]]}, 422),
        ({"items": [True]}, 422),
        ({"items": [-1]}, 422),
        ({"items": [2**70]}, 422),
        ({"items": [1.5]}, 422),
        ({"uploads": "text"}, 422),
        ({"uploads": [["a", "list"]]}, 422),
        ({"uploads": ["unknown"]}, 404),
        ({"items": [987654]}, 404),
        ({}, 422),
        ({"items": [1] * 9}, 422),
        ({"items": [1], "k": 0}, 422),
        ({"items": [1], "k": "5"}, 422),
        ({"items": [1], "k": [5]}, 422),
        ({"items": [1], "k": 501}, 422),
        ({"items": [1], "threshold": "near"}, 422),
        ({"items": [1], "threshold": 1e400}, 422),
        ({"items": [1], "threshold": [1]}, 422),
        ({"items": [1], "details": "yes"}, 422),
        ({"items": [1], "url": "http://127.0.0.1/"}, 422),
        ([1], 400),
        ("text", 400),
        (b"[" * 20_000, 400),
        (b"\xff\xfe", 400),
        (b"", 400),
    ]
    for body, status in cases:
        told = client.json("api/search", body, status=status)
        assert set(told) == {"error"}
        assert "\n" not in told["error"]
    assert "limit" in client.json("api/compare", b" " * 70_000, status=413)["error"]


def test_content_types_are_read_as_they_are_meant(client: Client, items: dict[str, Item], photos: Path) -> None:
    """A charset, capitals and spaces are fine; what a form of a foreign page can send is not taken."""
    body = {"items": [items["rocket.png"].id]}
    for kind in (
        "application/json; charset=utf-8",
        'Application/JSON ; charset="UTF-8"',
        "application/json;charset=utf-8",
    ):
        client.json("api/search", body, Content_Type=kind)
    for kind in ("application/json; charset=utf-16", "text/plain", "application/x-www-form-urlencoded", "text/json"):
        client.json("api/search", body, status=415, Content_Type=kind)
    data = (photos / "rocket.png").read_bytes()
    client.picture(data, kind="application/octet-stream")
    client.picture(data, kind="image/png; charset=binary", status=415)
    client.picture(data, kind="multipart/form-data; boundary=x", status=415)


def test_pictures_that_are_none(client: Client, photos: Path) -> None:
    """Damage, a bomb, nothing at all, and what is too long, are told in one line, and the next picture is answered."""
    data = (photos / "rocket.png").read_bytes()
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    for broken in (
        b"no picture",
        data[:3000],
        bomb.getvalue(),
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        assert client.picture(broken, status=422)["error"].startswith("the picture: ")
    assert "empty" in client.picture(b"", status=400)["error"]
    assert client.picture(data, "?k=5&k=6&url=x", status=422)
    head = f"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
    assert raw(client, head + "Content-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n").startswith(
        b"HTTP/1.1 413"
    )
    assert raw(client, head + "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n").startswith(
        b"HTTP/1.1 411"
    )
    assert client.picture(data)["queries"][0]["hits"]


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "TGA", "JPEG2000", "PCX", "AVIF")


def hostile(count: int) -> Iterator[bytes]:
    """Give pictures of many formats with bytes changed, left out, doubled and cut off; always the same ones."""
    turn = random.Random(0)
    whole = []
    for name in FORMATS:
        data = io.BytesIO()
        Image.linear_gradient("L").resize((48, 32)).convert("P" if name == "GIF" else "RGB").save(data, name)
        whole.append(data.getvalue())
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        for _ in range(turn.choice((1, 3, 30))):
            at = turn.randrange(min(len(data), turn.choice((40, 1000))))
            data[at] = turn.choice((0, 1, 0x7F, 0x80, 0xFF, turn.randrange(256)))
        start, length = turn.randrange(len(data)), turn.choice((0, 0, 1, 16, 400))
        if turn.random() < 0.3:
            data[start:start] = data[start : start + length]
        elif turn.random() < 0.5:
            del data[start : start + length]
        yield bytes(data)


def test_hostile_pictures_are_answered(client: Client, tmp_path: Path) -> None:
    """Whatever is sent as a picture is searched with or refused in a line: no failure, no wait, no path."""

    def send(data: bytes) -> tuple[int, bytes]:
        return client.get("api/search?k=1", data, Content_Type="image/png")[:2]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, hostile(120)))
    assert {status for status, _ in answers} == {200, 422}
    words = [json.loads(content)["error"] for status, content in answers if status == 422]
    assert len(words) > 20
    assert not [line for line in words if "/" in line or "\n" in line or str(tmp_path) in line]


def test_errors_do_not_tell_where_the_gallery_lies(client: Client, service: Service, gallery: Gallery) -> None:
    """A gallery that was damaged meanwhile is named by its last folder."""
    service.gallery.close()
    (Path(gallery.location) / "gallery.db").write_bytes(b"no database" * 1000)
    told = client.json("api/info", status=500)["error"]
    assert str(Path(gallery.location).parent) not in told
    assert "gallery/gallery.db" in told


def test_what_should_never_happen_is_answered() -> None:
    """An error of ours is a 500 in a line, with the headers of every reply, and tells nothing of what went wrong."""

    def fail(request: Request) -> Response:
        raise KeyError(f"secret {request.url}")

    with served(make_app([Route("/api/fail", fail)], Access(open_to_all=True))) as address:
        status, content, headers = Client(address).get("api/fail")
    assert (status, b"secret" in content) == (500, False)
    assert json.loads(content)["error"].startswith("something went wrong")
    assert headers["content-security-policy"].startswith("default-src 'none'")


# -- many at once


def raw(client: Client, text: str) -> bytes:
    """Send bytes as they are, and return what comes back."""
    host, port = client.root.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(text.encode("latin-1"))
        return connection.recv(1 << 16)


def is_closed_while_dripping(connection: socket.socket) -> bool:
    """Tell whether a connection is closed although something comes over it all the while."""
    try:
        for _ in range(400):
            connection.sendall(b"X-Slow: 1\r\n")
            time.sleep(0.05)
    except OSError:
        return True
    return False


def test_slow_and_idle_clients_hold_up_nobody(client: Client, photos: Path) -> None:
    """Beside 200 idle connections and a head that drips, others are answered; all of them are closed in time."""
    host, port = client.root.removeprefix("http://").rstrip("/").split(":")
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(200)]
        dripping = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
        dripping.sendall(b"GET /api/health HTTP/1.1\r\n")
        assert client.picture((photos / "rocket.png").read_bytes())["queries"]
        assert is_closed_while_dripping(dripping)
        assert all(connection.recv(1) == b"" for connection in idle)


def test_bodies_that_drip_or_are_cut_short(client: Client, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time is given up on, one that ends early is nobody's trouble."""
    monkeypatch.setattr("siamese_search.web.app._BODY_SECONDS", 0.3)
    head = f"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: image/png\r\n"
    assert raw(client, f"{head}Content-Length: 1000\r\n\r\nsome of it").startswith(b"HTTP/1.1 408")
    host, port = client.root.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nsome of it".encode())
    assert client.picture((photos / "rocket.png").read_bytes())["queries"]


def test_overload_is_refused_and_passes(client: Client, service: Service, photos: Path) -> None:
    """With every place taken a search is told to come again, and is answered once there is room."""
    data = (photos / "rocket.png").read_bytes()
    turns = service.searches
    free, turns.limit = turns.limit, 0
    status, content, headers = client.get("api/search", data, Content_Type="image/png")
    assert (status, headers["retry-after"]) == (429, "1")
    assert json.loads(content)["error"].startswith("too many")
    turns.limit = free
    assert client.picture(data)["queries"]
    assert b"simsearch_searches_refused 1\n" in client.get("metrics")[1]


def test_work_that_takes_too_long_is_given_up_on() -> None:
    """Whoever waits is told so; the place is taken until the work ends."""
    import asyncio  # noqa: PLC0415

    from starlette.exceptions import HTTPException  # noqa: PLC0415

    async def wait() -> tuple[int, int, int]:
        turns = Turns("test", threads=1, waiting=0, seconds=0.05)
        done = threading.Event()
        with pytest.raises(HTTPException) as told:
            await turns.run(done.wait, 20)
        with pytest.raises(HTTPException) as refused:
            await turns.run(done.wait, 20)
        done.set()
        turns.close()
        for _ in range(1000):
            if turns.taken:
                await asyncio.sleep(0.01)
        return told.value.status_code, refused.value.status_code, turns.taken

    assert asyncio.run(wait()) == (503, 429, 0)


def test_many_clients_get_their_own_answers(client: Client, gallery: Gallery) -> None:
    """However many ask at once, each hears of its own picture."""
    pictures = {item.path: item.path.read_bytes() for item in gallery.items()}

    def nearest(path: Path) -> float:
        hits = client.picture(pictures[path], "?k=9")["queries"][0]["hits"]
        return next(hit["distance"] for hit in hits if hit["path"] == str(path))  # type: ignore[no-any-return]

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(nearest, list(pictures) * 6)) < 0.01


def test_pictures_of_several_threads_are_embedded_together(encoder: Encoder) -> None:
    """The embeddings are those of each alone, and an error reaches whoever waits for it."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, encoder.input_size, encoder.input_size, 3), np.uint8)
    alone = encoder.embed_pixels(pixels)
    shared = encoder.shared()
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda row: shared.embed_pixels(pixels[row : row + 1])[0], range(24)))
    assert np.abs(np.stack(together) - alone).max() < 1e-4
    assert np.abs(shared.embed_pixels(pixels) - alone).max() < 1e-4

    class Broken:
        batch = 4

        def __call__(self, pixels: Any) -> Any:
            raise MemoryError(len(pixels))

    broken = SharedBackend(Broken())
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(broken, pixels[:1]) for _ in range(8)]
        assert all(isinstance(future.exception(), MemoryError) for future in futures)
