"""Names that hold anything, in every text that is printed."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import Run
from siamese_search.escapes import csv_cell, printable, table_cell

NAMES = (
    b"return\r.png",
    b"newline\n.png",
    b"tab\t.png",
    b"escape\x1b[31m\x1b]0;title\x07.png",
    b"latin \xe9.png",
    "utf-8 \u00e9 \U0001f600.png".encode(),
    "turned \u202egnp.png".encode(),
    b"back\\nslash.png",
    b'quote ".png',
    b"=cmd|'calc'!A0.png",
)
CONTROLS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")  # but for the tab and the newline, which are our own


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a folder of equal pictures with such names, and one that is no picture; index it; return both."""
    folder, index = tmp_path_factory.mktemp("names"), tmp_path_factory.mktemp("index")
    data = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(data, "PNG")
    for name in NAMES:
        try:
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(data.getvalue())
        except OSError:
            pytest.skip("this file system takes fewer names")
    (folder / "no\x1b[2Jpicture\n.jpg").write_bytes(b"none")
    command = [sys.executable, "-m", "siamese_search", "index", str(folder), "--index", str(index)]
    finished = subprocess.run(command, capture_output=True, check=True)
    assert b"skipped" in finished.stdout
    assert not CONTROLS.search(finished.stdout)
    return folder, index


def arguments(index: Path) -> tuple[str, ...]:
    """Return the command that prints all names."""
    return ("dedupe", "--threshold", "0.1", "--index", str(index))


def test_a_name_is_one_cell_of_a_table(run_process: Run, named: tuple[Path, Path]) -> None:
    """Lines and columns are those of the table, controls are escaped, and no two names look alike."""
    finished = run_process(*arguments(named[1]))
    assert (finished.returncode, finished.stderr) == (0, "")
    rows = [line.split("\t") for line in finished.stdout.split("\n") if line.startswith("1\t")]
    assert [len(row) for row in rows] == [7] * len(NAMES)
    assert len({row[-1] for row in rows}) == len(NAMES)
    assert not CONTROLS.search(finished.stdout.encode())
    shown = {row[-1].removeprefix(f"{named[0]}/") for row in rows}
    assert {r"newline\n.png", r"latin \xe9.png", r"back\\nslash.png", r"escape\x1b[31m\x1b]0;title\x07.png"} <= shown


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_every_name_survives_in_csv_and_json(
    named: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Read by any reader of CSV, the names are those on disk, byte by byte, whatever encoding the terminal has."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    command = [sys.executable, "-m", "siamese_search", *arguments(named[1])]
    table = subprocess.run([*command, "--csv"], capture_output=True, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8", "surrogateescape"), newline="")))
    there = {os.fsencode(named[0]) + b"/" + name for name in NAMES}
    assert {os.fsencode(row["path"]) for row in rows} == there
    assert len(rows) == len(NAMES)
    (group,) = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)["groups"]
    assert {os.fsencode(path) for path in (group["keep"], *(copy["path"] for copy in group["copies"]))} == there


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:strict"])
def test_narrow_encodings_are_no_trouble(
    run_process: Run, named: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """What an encoding lacks is escaped, in answers as in errors."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    finished = run_process(*arguments(named[1]), encoding=encoding.split(":", maxsplit=1)[0])
    assert (finished.returncode, finished.stderr) == (0, "")
    assert r"\ud83d\ude00" in finished.stdout
    finished = run_process("query", "\U0001f600.jpg", "--index", named[1])
    assert (finished.returncode, finished.stderr) == (1, "simsearch: \\ud83d\\ude00.jpg: no such file\n")


@pytest.mark.parametrize("format_", [(), ("--csv",), ("--json",)])
def test_a_terminal_is_told_nothing_by_a_name(named: tuple[Path, Path], format_: tuple[str, ...]) -> None:
    """Of what arrives at a terminal only our own colours are controls."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "siamese_search", *arguments(named[1]), *format_]
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "300"}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                seen += os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
    os.close(leader)
    assert b"newline" in seen
    assert not CONTROLS.search(seen.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize(
    "command",
    [
        ("\x1b[31m",),
        ("dedupe", "--keep", "\x1b[31m"),
        ("apply", "\x1b[31m\n", "--to", "trash"),
        ("info", "--index", "\x1b[31m\n"),
    ],
)
def test_mistakes_are_told_without_controls(run: Run, command: tuple[str, ...]) -> None:
    """What was typed comes back escaped, from the command line itself and from our own errors."""
    finished = run(*command)
    assert finished.returncode in {1, 2}
    assert r"\x1b[31m" in finished.stderr
    assert not CONTROLS.search(finished.stderr.encode())
    assert finished.returncode == 2 or finished.stderr.count("\n") == 1


def test_a_spreadsheet_computes_no_name(run: Run, named: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins like a formula is a text there, and can be had back."""
    monkeypatch.chdir(named[0])
    name = os.fsdecode(NAMES[-1])
    finished = run("query", name, "-k", "1", "--csv", "--index", named[1])
    (row,) = csv.DictReader(io.StringIO(finished.stdout))
    assert row["query"] == f"'{name}"


@given(st.text())
def test_cells_of_csv_can_be_had_back(text: str) -> None:
    """An apostrophe before what would be a formula, after others or none, is the one that was added."""
    cell = csv_cell(text)
    assert cell in {text, f"'{text}"}
    assert not cell.startswith(("=", "+", "@", "\t", "\r"))
    assert cell == "-" or not cell.startswith("-")
    bare = cell.lstrip("'")
    added = bare.startswith(("=", "+", "@", "\t", "\r")) or (bare.startswith("-") and bare != "-")
    assert (cell[1:] if added else cell) == text


@given(st.text(alphabet=st.characters(), max_size=20))
def test_escaped_text_is_one_line_of_utf8(text: str) -> None:
    """Whatever a text holds, what is printed of it is printable, and short escapes stay as they are."""
    for shown in (printable(text), table_cell(text)):
        assert shown.isprintable() or " " in shown or not shown.isascii()
        assert len(shown.splitlines()) <= 1
        shown.encode()
