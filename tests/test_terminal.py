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
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.report.terminal import picture_protocol, picture_row


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


@pytest.mark.parametrize("kitty", [False, True])
def test_dedupe_in_a_terminal(kitty: bool, photos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """In a real terminal the table has its head, and pictures follow only where they can be shown."""
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([photos])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KITTY", "TERM"))}
    environment |= {"PYTHONPATH": str(Path(siamese_search.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "200"}
    environment |= {"KITTY_WINDOW_ID": "1"} if kitty else {}
    command = [sys.executable, "-m", "siamese_search", "dedupe", "--threshold", "0.3", "--quiet"]
    leader, follower = pty.openpty()
    output = b""
    with subprocess.Popen([*command, "--index", tmp_path / "gallery"], stdout=follower, env=environment) as process:
        os.close(follower)
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            output += part
        assert process.wait() == 0
    os.close(leader)
    assert b"distance" in output
    assert (b"\x1b_Ga=T,f=100" in output) == kitty
