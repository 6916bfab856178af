"""Files that commands write where a user says: never in the place of another one, which might be the only copy."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

WRITERS = {
    "a plan": ("dedupe", "--plan"),
    "a sheet of a group": ("dedupe", "--sheet"),
    "a sheet of hits": ("query", "QUERY", "--sheet"),
    "a map": ("info", "--map"),
    "answers": ("review", "--export"),
    "a page": ("dedupe", "--report"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_file_that_is_there_stays(photos: Path, run: Run, tmp_path: Path, what: str) -> None:
    """A picture that is named as an output is refused in one line, and what was written before may be written again."""
    assert run("index", photos, "-q").returncode == 0
    words = [str(photos / "coffee.png") if word == "QUERY" else word for word in WRITERS[what]]
    suffix = {"--report": ".html", "--map": ".html", "--plan": ".json", "--export": ".csv"}.get(words[-1], ".png")
    taken = photos / f"taken{suffix}"
    shutil.copy(photos / "coffee.png", taken)
    refused = run(*words, taken)
    assert (refused.returncode, taken.read_bytes()) == (1, (photos / "coffee.png").read_bytes())
    assert f"{taken}: is there already" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    for _ in range(2):
        assert run(*words, tmp_path / f"own{suffix}", "-q").returncode == 0, what


def test_a_table_and_an_array_of_somebody_else_stay(photos: Path, run: Run, tmp_path: Path) -> None:
    """A folder with another table, or another array, of the names that are exported is refused as well."""
    assert run("index", photos, "-q").returncode == 0
    for name in ("items.csv", "embeddings.npy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"of somebody else")
        refused = run("export", tmp_path / name)
        assert refused.returncode == 1
        assert "is there already" in refused.stderr
        assert [path.read_bytes() for path in (tmp_path / name).iterdir()] == [b"of somebody else"]
    for _ in range(2):
        assert run("export", tmp_path / "own").returncode == 0
