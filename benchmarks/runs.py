"""Runs: a system over a set in a process of its own, with what it cost and what it scored, and the tables of many."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from scoring import Ranking, Score, distinct, scores
from sets import read_set
from systems import SYSTEMS

WORKER = Path(__file__).with_name("systems.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a system did with a set.

    `images_per_cpu_second` counts the whole process, from its start over decoding to the ranking; it hardly moves when
    other programs share the machine, while `images_per_second`, of wall time in decoding and embedding, does. `peak_mb`
    is resident memory of all its processes together.
    """

    version: str
    images: int
    scores: dict[str, Score]
    images_per_cpu_second: float
    images_per_second: float
    peak_mb: float

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Run":
        """Read what `save` wrote."""
        return cls(**{**data, "scores": {scope: Score(**score) for scope, score in data["scores"].items()}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a system made of pictures, and what that cost: `peak` is in bytes."""

    features: NDArray[Any]
    ranking: Ranking
    version: str
    embed_seconds: float
    cpu_seconds: float
    peak: int


def installed(system: str, python: str) -> bool:
    """Tell whether a Python has what a system needs."""
    search = f"import importlib.util as u, sys; sys.exit(u.find_spec({SYSTEMS[system].module!r}) is None)"
    return subprocess.run([python, "-c", search], check=False).returncode == 0


def run_system(system: str, folder: Path, *, python: str = sys.executable, encoder: str = "photo") -> Run:
    """Run a system over the set in `folder` and score it; a system that fails raises CalledProcessError."""
    rows = read_set(folder)
    work = work_of(system, [folder / "images" / row.file for row in rows], python=python, encoder=encoder)
    return Run(
        version=work.version,
        images=len(rows),
        scores=scores(rows, work.ranking),
        images_per_cpu_second=len(rows) / work.cpu_seconds,
        images_per_second=len(rows) / work.embed_seconds,
        peak_mb=work.peak / 2**20,
    )


def work_of(system: str, paths: Sequence[Path], *, python: str = sys.executable, encoder: str = "photo") -> Work:
    """Let a system embed and rank pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        listed, out = Path(temporary, "pictures.txt"), Path(temporary, "pairs.npz")
        listed.write_text("".join(f"{path.resolve()}\n" for path in paths), encoding="utf-8")
        cpu_seconds, peak = watched([python, str(WORKER), system, str(listed), str(out), "--encoder", encoder])
        about = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(out) as found:
            return Work(
                features=found["features"],
                ranking=distinct(found["first"], found["second"], found["score"]),
                version=about["version"],
                embed_seconds=about["embed_seconds"],
                cpu_seconds=cpu_seconds,
                peak=peak,
            )


def watched(command: Sequence[str]) -> tuple[float, int]:
    """Run a command; return the CPU seconds of it and its children, and the most bytes they had in memory at once."""
    before = os.times()
    process = subprocess.Popen(command, stdout=sys.stderr)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system), peak


def memory_of(pid: int) -> int:
    """Return the resident bytes of a process and its children; of those that just ended, none."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:
        return total
    return total


# ---- kept


def save(path: Path, runs: Mapping[str, Mapping[str, Run]]) -> None:
    """Write runs, by set and system."""
    data = {name: {system: asdict(run) for system, run in of_set.items()} for name, of_set in runs.items()}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, dict[str, Run]]:
    """Read runs, by set and system; none where there is no such file."""
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: {system: Run.from_json(run) for system, run in of_set.items()} for name, of_set in data.items()}


# ---- shown


def tables(title: str, runs: Mapping[str, Run]) -> str:
    """Return the tables of one set in Markdown: scores and costs, then the recall of each edit; all shares in %."""
    names = sorted(runs, key=lambda name: -runs[name].scores["ref"].average_precision)
    parts = [f"### {title}: {runs[names[0]].images:,} pictures\n"]
    parts.append(markdown(COLUMNS, [cells(name, runs[name]) for name in names]))
    for scope, words in SCOPES.items():
        found = {name: runs[name].scores[scope].per_edit for name in names}
        lines = [[edit, *(f"{100 * found[name][edit]:.0f}" for name in names)] for edit in found[names[0]]]
        lines.append(["**mean**", *(f"{100 * np.mean(list(found[name].values())):.1f}" for name in names)])
        parts.append(f"Recall of each edit's (original, copy) pairs where the precision over {words} is 0.99:\n")
        parts.append(markdown(["edit", *names], lines))
    return "\n".join(parts)


COLUMNS = [
    "system", "all µAP", "all best F1", "all R@P99", "all R@P90", "ref µAP", "ref best F1", "ref R@P99", "ref R@P90",
    "img / CPU-s", "img / s", "peak RSS MB",
]  # fmt: skip
SCOPES = {"all": "all pairs", "ref": "pairs of an original and a copy"}


def cells(name: str, run: Run) -> list[str]:
    """Return one system's row."""
    about = f"{name} ({SYSTEMS[name].about})" if name in SYSTEMS else name
    shares = [
        f"{100 * value:.1f}"
        for scope in SCOPES
        for score in [run.scores[scope]]
        for value in (score.average_precision, score.best_f1, score.recall_at_p99, score.recall_at_p90)
    ]
    cost = f"{run.images_per_cpu_second:.0f}", f"{run.images_per_second:.0f}", f"{run.peak_mb:.0f}"
    return [about, *shares, *cost]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
