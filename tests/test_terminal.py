"""Pictures in the terminal: the escapes hold a whole PNG, and only terminals that can show them get any."""

import base64
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import siamese_search
from siamese_search.cli.found import print_groups
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.report.terminal import picture_protocol, picture_row
from siamese_search.results import Copy, DedupeReport, DuplicateGroup, Facts, Relation, Threshold, ThresholdSource


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM_PROGRAM": "Apple_Terminal", "TERM": "xterm-256color"}, None),
        ({}, None),
    ],
)
def test_terminals_are_told_by_their_environment(environment: dict[str, str], protocol: str | None) -> None:
    """Nothing is sent to a terminal that is not known to show pictures."""
    assert picture_protocol(environment) == protocol


@pytest.mark.parametrize("protocol", ["kitty", "iterm"])
def test_a_row_of_pictures_arrives_whole(protocol: str, tmp_path: Path) -> None:
    """The parts together are one PNG with every picture in its place; a missing one leaves a gap."""
    Image.effect_noise((90, 90), 80).convert("RGB").save(tmp_path / "a.png")
    Image.new("RGB", (10, 10), "red").save(tmp_path / "b.png")
    text = picture_row([tmp_path / name for name in ("a.png", "gone.png", "b.png")], protocol)
    if protocol == "kitty":
        parts = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", text)
        assert parts[0][0] == "a=T,f=100,m=1"
        assert [head for head, _ in parts[1:]] == ["m=1"] * (len(parts) - 2) + ["m=0"]
        data = "".join(part for _, part in parts)
    else:
        data = text.partition(":")[2].rstrip("\a\n")
    with Image.open(io.BytesIO(base64.b64decode(data))) as row:
        assert row.size == (3 * 104, 96)
        assert [row.convert("RGBA").getpixel((x, 5)) for x in (150, 210)] == [(0, 0, 0, 0), (255, 0, 0, 255)]


def in_terminal(*arguments: str | Path, **environment: str) -> str:
    """Return what a command writes to a real terminal of 200 columns, without its bold type."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("KITTY", "TERM"))}
    known |= {"PYTHONPATH": str(Path(siamese_search.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "siamese_search", *arguments]
    leader, follower = pty.openpty()
    output = b""
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=known | environment) as process:
        os.close(follower)
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            output += part
        assert process.wait() == 0
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;]*m", "", output.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("kitty", [False, True])
def test_dedupe_in_a_terminal(kitty: bool, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """The folder is said once, groups stand apart, and pictures follow only where they can be shown."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos], calibrate=False)
    command = ("dedupe", "--threshold", "0.3", "--index", tmp_path / "gallery")
    output = in_terminal(*command, **({"KITTY_WINDOW_ID": "1"} if kitty else {}))
    lines = [line.rstrip() for line in output.splitlines()]
    assert lines[:2] == [f"In {photos}:", ""]
    assert lines[2].split() == ["group", "distance", "pixels", "size", "what", "path"]
    assert [bool(line) for line in lines[3:12]] == [True, True, False] * 3
    assert lines[4].endswith("copies/astronaut bright.jpg")
    assert "9 images: 3 groups with 3 copies" in output
    assert ("\x1b_Ga=T,f=100" in output) == kitty


def test_quiet_and_with_a_page(photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """`-q` prints the groups and nothing else; with a page the groups are there, not in the terminal."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos], calibrate=False)
    command = ("dedupe", "--threshold", "0.3", "--index", tmp_path / "gallery")
    quiet = in_terminal(*command, "-q")
    assert "chelsea again.png" in quiet
    assert "images" not in quiet
    paged = in_terminal(*command, "--report", tmp_path / "page.html")
    assert "chelsea again.png" not in paged
    assert paged.startswith("9 images: 3 groups with 3 copies")
    assert f"Report: {tmp_path / 'page.html'}" in paged
    assert in_terminal(*command, "-q", "--report", tmp_path / "page.html") == ""


def test_of_many_groups_a_terminal_shows_the_largest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten that free most, by their numbers in the report, and how many there are; a program gets all."""
    groups = tuple(DuplicateGroup(keep=Path(f"/p/{number}.jpg"), copies=(copy_of(number),)) for number in range(1, 31))
    report = DedupeReport(
        threshold=Threshold(distance=0.5, source=ThresholdSource.OPTION), images=60, groups=groups, skipped=()
    )
    print_groups(report, (), quiet=True, page=None)
    assert len(capsys.readouterr().out.splitlines()) == 60
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_groups(report, (), quiet=True, page=None)
    shown = capsys.readouterr().out
    numbers = [int(line.split()[0]) for line in shown.splitlines() if " keep " in line]
    assert numbers == list(range(30, 20, -1))
    assert "These 10 of 30 groups free most" in shown


def copy_of(number: int) -> Copy:
    """Return a copy that frees so many bytes."""
    facts = Facts(size=number, width=1, height=1, format="JPEG", content_hash=f"{number:032x}")
    return Copy(path=Path(f"/p/{number} copy.jpg"), distance=0.1, relation=Relation.CONFIRMED, facts=facts)
