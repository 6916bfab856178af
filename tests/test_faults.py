"""The fault campaign, in small: every part of it still holds."""

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "benchmarks" / "faults.py"
GUARANTEES = Path(__file__).parents[1] / "docs" / "guarantees.md"


@pytest.mark.parametrize(
    ("part", "scale"),
    [("kills", 0.03), ("disk", 0.9), ("flips", 0.04), ("traffic", 0.03), ("pictures", 0.02), ("strangers", 0.02)],
)
def test_the_campaign_holds(part: str, scale: float) -> None:
    """Killed, cut, flipped, crowded and fuzzed: nothing is lost, wrong or crashed."""
    pytest.importorskip("onnx")
    finished = subprocess.run(
        [sys.executable, str(CAMPAIGN), part, "--scale", str(scale)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.startswith(f"{part}: held in ")
