"""The README: every command and every line of Python in it works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_every_command_of_the_tour_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's commands succeed one after the other in an empty folder, and so does its Python."""
    monkeypatch.delenv("SIMSEARCH_INDEX")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) > 10
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "simsearch"
        stdin = b""
        if "<" in arguments:
            *arguments, _, name = arguments
            stdin = (tmp_path / name).read_bytes()
        ran = run(*arguments, stdin=stdin)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
    (python,) = blocks("python")
    checked = f"{python}\nassert hits[0].distance < 1e-3 and hits[0].duplicate and groups and vectors.shape == (1, 256)"
    # An older FAISS crashes when its own warning about its own types is an error.
    warnings = ["-W", "error", "-W", "ignore:builtin type:DeprecationWarning"]
    subprocess.run([sys.executable, *warnings, "-c", checked], cwd=tmp_path, timeout=120, check=True)


def test_layout_of_the_readme_is_the_layout() -> None:
    """Each file and folder that the README's map names is there, and so is each page that it links to."""
    mapped = re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE)
    names = [name for row in mapped for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 8
    for name in names:
        assert (ROOT / "siamese_search" / name).exists(), name
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_two_commands_are_targets_of_the_makefile() -> None:
    """The README's two commands exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
