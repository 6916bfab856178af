"""What the speed benchmarks share: commands run in turn, what each costs, slopes, tables and plots."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from runs import memory_of

Command = Sequence[str | Path]
HERE = Path(__file__).parent
SIMSEARCH: Command = (sys.executable, "-m", "siamese_search.cli.app")
RESULTS = Path("data/speed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command and its children took: seconds on the clock and of CPU, and the most bytes in memory at once."""

    wall: float
    cpu: float
    peak: int


def cost_of(command: Command, *, out: Path | None = None) -> Cost:
    """Run a command to its end, its output to a file or nowhere; raises CalledProcessError when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    begin = time.perf_counter()
    with (out or Path(os.devnull)).open("w") as stream:
        process = subprocess.Popen([str(part) for part in command], stdout=stream, env=environment)
        with ThreadPoolExecutor(1) as pool:
            peak = pool.submit(peak_of, process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak=peak.result())


def peak_of(pid: int) -> int:
    """Watch a process and its children until it ends; return the most bytes that they had in memory at once.

    What the kernel tells at the end (`ru_maxrss`) counts the process that started it as well.
    """
    peak = 0
    while current := memory_of(pid):
        peak = max(peak, current)
        time.sleep(0.05)
    return peak


def in_turn(commands: Mapping[str, Command], rounds: int) -> dict[str, Cost]:
    """Run all commands one after the other, so many rounds; return the median of each one's costs.

    So whatever else the machine does meanwhile meets all of them alike.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(1, rounds + 1):
        for name, command in commands.items():
            tell(f"round {number} of {rounds}: {name}")
            costs[name].append(cost_of(command))
    return {
        name: Cost(
            wall=median(cost.wall for cost in found),
            cpu=median(cost.cpu for cost in found),
            peak=round(median(cost.peak for cost in found)),
        )
        for name, found in costs.items()
    }


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent p of the power law cost = c * size^p nearest to the points, in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def about(*distributions: str) -> str:
    """Return a line on what was measured with: the processor, how many of its cores, Python and libraries."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    known = [f"{name} {importlib.metadata.version(name)}" for name in ("siamese-search", *distributions)]
    return f"{processor()}, {cores} of its cores; Python {platform.python_version()}; {', '.join(known)}"


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "a processor")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, all but the first column to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def keep(name: str, result: Mapping[str, Any], out: Path) -> None:
    """Write what was measured as JSON; a Cost becomes an object."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(result, default=asdict, indent=1) + "\n", encoding="utf-8")


def plot(
    path: Path, title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, size: str, cost: str
) -> None:
    """Draw costs against sizes, both logarithmic, and name each line's slope; a line is its sizes and its costs."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "simsearch"  # the same figures give the same file
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, (sizes, costs) in lines.items():
        words = f"{name} (slope {slope(sizes, costs):.2f})" if len(sizes) > 1 else name
        axes.loglog(sizes, costs, marker="o", label=words)
    axes.set(title=title, xlabel=size, ylabel=cost)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    tell(f"drawn: {path}")


def tell(text: str) -> None:
    """Print a line on stderr: stdout is for tables."""
    print(text, file=sys.stderr, flush=True)
