"""The tutorial's commands work as they stand, one after the other, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import siamese_search

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial-siamese.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_block(language: str, text: str, folder: Path, bin_folder: Path) -> str:
    """Run a block as its reader would, and return what it prints."""
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(siamese_search.__file__).parents[1]),
    }
    command = [sys.executable, "-c", text] if language == "python" else ["sh", "-ec", text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Walk through the whole tutorial; give its folder, and what each block printed by its text."""
    folder, bin_folder = tmp_path_factory.mktemp("tutorial"), tmp_path_factory.mktemp("bin")
    command = bin_folder / "simsearch"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m siamese_search "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    printed = {}
    for language, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        printed[text] = run_block(language, text, folder, bin_folder)
    return folder, printed


def test_the_encoder_is_complete(walked: tuple[Path, dict[str, str]]) -> None:
    """With its report, its figures, and a test accuracy far above chance."""
    folder, _ = walked
    made = folder / "digits-encoder"
    for name in ("encoder.json", "weights.safetensors", "model.onnx", "metrics.json", "report.html", "pairs.csv"):
        assert (made / name).is_file(), name
    figures = {path.stem for path in (made / "figures").glob("*.png")}
    parts = {"pairs-train", "pairs-validation", "pairs-test"}
    assert figures == {*parts, "curves", "distances", "roc", "map", "mistakes"}
    assert json.loads((made / "metrics.json").read_text())["parts"]["test"]["accuracy"] > 0.95
    page = (made / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(figures)
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_queries_find_their_digit(walked: tuple[Path, dict[str, str]]) -> None:
    """Nearly all of the first hits show the digit that was asked for."""
    _, printed = walked
    (table,) = (output for text, output in printed.items() if "simsearch query" in text)
    rows = [line.split("\t") for line in table.splitlines() if "\t" in line]
    firsts = [(Path(row[0]).name[0], Path(row[-1]).name[0]) for row in rows if row[1] == "1"]
    assert len(firsts) == 20
    assert sum(asked == found for asked, found in firsts) >= 18


def test_evaluation_is_printed(walked: tuple[Path, dict[str, str]]) -> None:
    """Pairs and retrieval, also of classes that were never seen."""
    _, printed = walked
    outputs = [output for text, output in printed.items() if "simsearch evaluate" in text]
    assert len(outputs) == 4
    for output in outputs:
        assert re.search(r"^accuracy +0\.\d+", output, re.MULTILINE)
    assert re.search(r"^recall@1 +0\.9\d+", outputs[0], re.MULTILINE)
