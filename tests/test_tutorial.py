"""The tutorial's commands work as they stand, one after the other, in an empty folder."""

import contextlib
import glob
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from siamese_search.cli.app import run as run_command

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial-siamese.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_line(line: str) -> None:
    """Run a command as a shell would that knows quotes and file patterns; a process for each would take a minute."""
    command, *words = shlex.split(line)
    assert command == "simsearch"
    arguments = [name for word in words for name in (sorted(glob.glob(word)) or [word])]  # noqa: PTH207  (as sh does)
    assert run_command(arguments) == 0, line


def run_block(language: str, text: str) -> str:
    """Run a block as its reader would, and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if language == "python":
            exec(compile(text, str(TUTORIAL), "exec"), {"__name__": "tutorial"})  # noqa: S102  (our own page)
        else:
            for line in text.splitlines():
                run_line(line)
    return printed.getvalue()


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Walk through the whole tutorial; give its folder, and what each block printed by its text."""
    folder = tmp_path_factory.mktemp("tutorial")
    with contextlib.chdir(folder):
        blocks = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
        assert {language for language, _ in blocks} == {"python", "sh"}
        printed = {text: run_block(language, text) for language, text in blocks}
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
