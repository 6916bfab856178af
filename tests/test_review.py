"""The review page: which pairs are asked about, what the server answers and refuses, and the page in a browser."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import siamese_search
from browser import Browser, needs_browser
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.errors import BusyError, GalleryError, ImageError
from siamese_search.gallery import Gallery
from siamese_search.results import Answer
from siamese_search.web.app import Access, make_app
from siamese_search.web.questions import Questions, boundary, boundary_range
from visiting import Visitor, served


@pytest.fixture
def gallery(photos: Path, encoder: Encoder, tmp_path: Path) -> Gallery:
    """Index the six photos and their three copies."""
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([photos])
    return gallery


# -- which pairs are asked about


def test_the_guess_starts_at_the_threshold_and_follows_the_answers() -> None:
    """Without answers it is the threshold; then it moves to where same turns into different, slips or not."""
    assert boundary([], 0.6) == pytest.approx(0.6, abs=0.01)
    rng = random.Random(5)
    for truth in (0.35, 0.5, 0.75):
        known: list[tuple[float, Answer]] = []
        for _ in range(30):
            distance = boundary(known, 0.6)
            said = Answer.DIFFERENT if distance + rng.gauss(0, 0.02) > truth else Answer.SAME
            known.append((distance + rng.uniform(-0.005, 0.005), said))
        assert boundary(known, 0.6) == pytest.approx(truth, abs=0.03)
        known.append((truth + 0.2, Answer.SAME))
        assert boundary(known, 0.6) == pytest.approx(truth, abs=0.05)
        low, high = boundary_range(known, 0.6)
        assert low - 0.03 <= truth <= high + 0.03
        assert high - low < 0.1


def test_questions_begin_at_the_threshold_and_end(gallery: Gallery) -> None:
    """The first lies nearest the threshold; none comes twice; skips are asked no more in this sitting but later."""
    questions = Questions(gallery, threshold=1.2)
    pairs = {(pair.first, pair.second): pair.distance for pair in gallery.pairs(questions.limit)}
    first = questions.next()
    assert first is not None
    assert abs(first.distance - 1.2) == min(abs(distance - 1.2) for distance in pairs.values())
    asked = []
    while (pair := questions.next()) is not None:
        asked.append((pair.first, pair.second))
        assert questions.answer(pair.first, pair.second, None if len(asked) % 2 else Answer.DIFFERENT)
    assert len(asked) == len(set(asked)) > 10
    assert len(gallery.answers.all()) == len(asked) // 2
    again = Questions(gallery, threshold=1.2)
    assert len(again.known) == len(asked) // 2
    while (pair := again.next()) is not None:
        again.answer(pair.first, pair.second, None)
    assert len(again.answers) == len(asked) - len(asked) // 2


def test_the_questions_say_when_the_answers_are_enough(gallery: Gallery) -> None:
    """What is left is counted, the threshold is set beside what the answers say, and the end is enough."""
    questions = Questions(gallery, threshold=1.2)
    assert questions.standing.sentence(1.2).endswith("pairs near the threshold of 1.200 to ask about.")
    assert not questions.standing.is_enough
    left = questions.standing.left
    while (pair := questions.next()) is not None:
        questions.answer(pair.first, pair.second, Answer.DIFFERENT)
        left -= 1
        assert (questions.standing.left, questions.standing.answers) == (left, len(questions.answers))
    said = questions.standing.sentence(1.2)
    assert questions.standing.is_enough
    assert "lies above: it takes in pairs that you call different" in said
    assert said.endswith("That is enough: more answers would change little.")


def test_going_back_takes_the_answer_back(gallery: Gallery) -> None:
    """The gallery forgets the answer, and the same pair is asked again; at the beginning there is no way back."""
    questions = Questions(gallery, threshold=1.2)
    assert questions.back() is None
    pair = questions.next()
    assert pair is not None
    questions.answer(pair.first, pair.second, Answer.SAME)
    assert len(gallery.answers.all()) == 1
    assert questions.back() == pair
    assert gallery.answers.all() == []
    assert questions.next() == pair
    assert not questions.answer(pair.first, 9999, Answer.SAME)


# -- the server


@pytest.fixture
def server(gallery: Gallery) -> Iterator[str]:
    """Run `simsearch review` as a person does, and give the address that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])}
    command = [sys.executable, "-m", "siamese_search.cli.app", "review", "--no-browser", "--threshold", "1.2"]
    with subprocess.Popen(
        [*command, "--index", str(Path(gallery.location)), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stderr
        assert process.stdout
        line = process.stderr.readline()
        assert line.startswith("Review at http://127.0.0.1:"), line
        yield line.split()[2]
        process.send_signal(signal.SIGINT)
        summary = json.loads(process.stdout.read())
        said = [pair.answer for pair in gallery.answers.all()]
        assert (summary["same"], summary["different"]) == (said.count(Answer.SAME), said.count(Answer.DIFFERENT))
    assert process.returncode == 0


@pytest.fixture
def visitor(server: str) -> Visitor:
    """Come in by the printed address."""
    visitor = Visitor(server)
    assert visitor.entered == 200
    return visitor


def test_the_server_keeps_answers(visitor: Visitor, gallery: Gallery) -> None:
    """Answers are stored as they come, skips are not, back takes back; the CSV holds them with paths."""
    state: dict[str, Any] = json.loads(visitor.ask("question")[1])
    told = []
    for answer in ("different", None, "same"):
        pair = state["pair"]
        body = {"first": pair["first"]["id"], "second": pair["second"]["id"], "answer": answer}
        state = json.loads(visitor.ask("answer", body)[1])
        told.append(body)
    assert (state["same"], state["different"], state["sitting"]) == (1, 1, 3)
    assert [pair.answer for pair in gallery.answers.all()] == ["different", "same"]
    rows = list(csv.DictReader(io.StringIO(visitor.ask("pairs.csv")[1].decode())))
    assert [row["label"] for row in rows] == ["different", "same"]
    assert all(Path(row["first"]).is_file() and Path(row["second"]).is_file() for row in rows)
    state = json.loads(visitor.ask("back", {})[1])
    assert (state["pair"]["first"]["id"], state["same"]) == (told[-1]["first"], 0)
    status, content, headers = visitor.ask(f"picture/{told[0]['first']}")
    assert (status, content[8:12], headers["content-type"]) == (200, b"WEBP", "image/webp")


def test_the_server_lets_nobody_in_without_the_address(server: str) -> None:
    """Without the cookie nothing is shown, and a made-up address opens nothing."""
    stranger = Visitor(f"{server}x")
    assert stranger.entered == 403
    for path in ("", "question", "picture/1", "pairs.csv", "static/review.js"):
        assert stranger.ask(path)[0] == 401
    assert stranger.ask("answer", {"first": 1, "second": 2, "answer": "same"})[0] == 401


def test_a_ticket_opens_once() -> None:
    """What the browser is started with, any user of the machine can read: it is worth nothing afterwards."""
    access = Access()
    with served(make_app([], access)) as address:
        ticket = access.ticket()
        first, second = (Visitor(f"{address}/enter/{ticket}") for _ in range(2))
        assert first.ask("static/icon.svg")[0] == 200
        assert second.entered == 403
        assert second.ask("static/icon.svg")[0] == 401


def test_errors_become_a_status_and_a_line() -> None:
    """A busy gallery is 503, a picture that is gone 410, and no traceback reaches anybody."""
    raised = {"busy": BusyError("g: busy"), "gone": ImageError("a.png", "no such file"), "other": GalleryError("g: no")}

    def fail(request: Request) -> Response:
        raise raised[request.path_params["kind"]]

    access = Access()
    with served(make_app([Route("/{kind}", fail)], access)) as address:
        visitor = Visitor(f"{address}/enter/{access.secret}")
        found = {kind: visitor.ask(kind)[:2] for kind in raised}
    assert found == {"busy": (503, b"g: busy"), "gone": (410, b"no such file"), "other": (500, b"g: no")}


def test_the_server_refuses_what_it_must(visitor: Visitor, gallery: Gallery, photos: Path) -> None:
    """No foreign name, no form from another page, no unknown pair, answer or picture, nothing long or deep."""
    assert visitor.ask("", Host="attacker.example")[0] == 400
    pair = json.loads(visitor.ask("question")[1])["pair"]
    body = {"first": pair["first"]["id"], "second": pair["second"]["id"], "answer": "same"}
    assert visitor.ask("answer", body, Content_Type="text/plain")[0] == 415
    for answer in (0, True, ["same"], {"a": 1}, "alike"):
        assert visitor.ask("answer", {**body, "answer": answer})[0] == 400
    assert visitor.ask("answer", [1])[0] == 400
    assert visitor.ask("answer", b"[" * 30_000)[0] == 400
    assert visitor.ask("answer", b" " * 100_000)[0] == 413
    assert visitor.ask("answer", {**body, "first": [1]})[0] == 400
    assert visitor.ask("answer", {**body, "first": 9999})[0] == 404
    assert visitor.ask("answer")[0] == 405
    assert visitor.ask("picture/9999")[0] == 404
    assert visitor.ask("static/../review.py")[0] == 404
    assert gallery.answers.all() == []
    policy = visitor.ask("")[2]["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    (photos / "rocket.png").unlink()
    rocket = next(item.id for item in gallery.items() if item.path.name == "rocket.png")
    assert visitor.ask(f"picture/{rocket}")[:2] == (410, b"no such file")


@needs_browser
def test_the_page_in_a_browser(server: str, gallery: Gallery, tmp_path: Path) -> None:
    """Keys answer, skip, go back and show the difference; nothing foreign is asked for, nothing complained of."""
    with Browser(tmp_path / "profile") as page:
        page.open(server)
        page.wait("state && document.getElementById('first-picture').naturalWidth > 0")
        page.press("x")
        assert page.evaluate("document.getElementById('question').dataset.view") == "difference"
        for count, key in enumerate(["s", "d", "d", " "], start=1):
            page.press(key)
            page.wait(f"!busy && state.sitting === {count}")
        assert [pair.answer for pair in gallery.answers.all()] == ["same", "different", "different"]
        page.press("z")
        page.wait("!busy && state.sitting === 3")
        page.press("z")
        page.wait("!busy && state.sitting === 2")
        assert page.evaluate("document.getElementById('different').textContent") == "1"
        assert [pair.answer for pair in gallery.answers.all()] == ["same", "different"]
        assert page.errors == []
        assert all(address.startswith(server.split("enter/", maxsplit=1)[0]) for address in page.requests)


def test_export_without_a_server(gallery: Gallery, tmp_path: Path) -> None:
    """`--export` writes the answers and ends; they can be read as labelled pairs."""
    ids = {item.path.name: item.id for item in gallery.items()}
    gallery.answers.set(ids["rocket.png"], ids["camera.png"], "different")
    environment = {**os.environ, "PYTHONPATH": str(Path(siamese_search.__file__).parents[1])}
    command = [sys.executable, "-m", "siamese_search.cli.app", "review", "--export", "pairs.csv"]
    subprocess.run([*command, "--index", Path(gallery.location)], check=True, cwd=tmp_path, env=environment)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "pairs.csv").read_text()))
    assert ({Path(row["first"]).name, Path(row["second"]).name}, row["label"]) == (
        {"rocket.png", "camera.png"},
        "different",
    )


def test_dedupe_respects_the_answers(gallery: Gallery) -> None:
    """What was called different on the page is in no group afterwards."""
    report = find_duplicates(gallery, threshold=0.3)
    pair = next(pair for pair in gallery.pairs(0.3) if pair.distance > 0.05)
    questions = Questions(gallery, threshold=0.3)
    assert questions.answer(pair.first, pair.second, Answer.DIFFERENT)
    assert len(find_duplicates(gallery, threshold=0.3).groups) == len(report.groups) - 1
