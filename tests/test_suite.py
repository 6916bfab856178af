"""The suite itself: what pytest-xdist and a reader of its summary rely on."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collecting(seed: str, temporary: Path) -> subprocess.Popen[str]:
    """Begin to collect every test, with another order of hashes and another temporary folder."""
    temporary.mkdir()
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            str(ROOT / "tests"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_same_tests_are_found_every_time(tmp_path: Path) -> None:
    """Names and order of the tests change with neither clock nor hash seed; workers refuse to share them if they do."""
    first = collecting("1", tmp_path / "one")
    time.sleep(1.1)  # so that a clock in an id shows, also one that counts in seconds
    runs = (first, collecting("2", tmp_path / "two"))
    printed = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed[0][-2000:]
    ids = [[line for line in text.splitlines() if "::" in line] for text in printed]
    assert len(ids[0]) > 500
    assert ids[0] == ids[1]
