"""How many CPU cores there are to use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cores() -> int:
    """Return how many CPU cores this process may use, by its affinity and its container's quota; at least 1.

    Of a quota of one and a half cores two threads make full use, and one would not.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(min(cpu_quotas(), default=cores))))


def cpu_quotas(root: Path = Path("/")) -> Iterator[float]:
    """Yield the limits on CPU time, in cores, of this process's control groups (versions 1 and 2) and those above."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        own = PurePosixPath(group.lstrip("/"))
        for each in (own, *own.parents):
            try:
                if controllers:
                    quota, period = ((top / each / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                else:
                    quota, period = (top / each / "cpu.max").read_text().split()
                if quota != "max" and int(quota) > 0:  # -1 is none in version 1
                    yield int(quota) / int(period)
            except (OSError, ValueError):  # inside a container the groups above it are not there
                continue
