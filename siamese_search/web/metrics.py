"""What a server did so far, as Prometheus reads it (text format 0.0.4)."""

import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Metrics:
    """Counts of replies and how long they took, by what answered; all from one event loop.

    `gauges` are read when the numbers are asked for: a name, with its help, and what it is now.
    """

    def __init__(self, gauges: Mapping[tuple[str, str], Callable[[], float]]) -> None:
        self._gauges = gauges
        self._replies: Counter[tuple[str, int]] = Counter()
        self._within: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._began = time.monotonic()

    def count(self, handler: str, status: int, seconds: float) -> None:
        """Take note of a reply."""
        self._replies[handler, status] += 1
        self._seconds[handler] += seconds  # type: ignore[assignment]  # a Counter adds any numbers
        for bucket in _BUCKETS:
            if seconds <= bucket:
                self._within[handler, bucket] += 1

    def text(self) -> str:
        """Return all numbers."""
        lines = ["# HELP simsearch_requests_total Replies sent.", "# TYPE simsearch_requests_total counter"]
        for (handler, status), count in sorted(self._replies.items()):
            lines.append(f'simsearch_requests_total{{handler="{handler}",status="{status}"}} {count}')
        name = "simsearch_request_seconds"
        lines += [f"# HELP {name} Time from a request to its reply.", f"# TYPE {name} histogram"]
        for handler in sorted({handler for handler, _ in self._replies}):
            total = sum(count for (one, _), count in self._replies.items() if one == handler)
            lines += [
                f'{name}_bucket{{handler="{handler}",le="{bucket:g}"}} {self._within[handler, bucket]}'
                for bucket in _BUCKETS
            ]
            lines.append(f'{name}_bucket{{handler="{handler}",le="+Inf"}} {total}')
            lines.append(f'{name}_sum{{handler="{handler}"}} {self._seconds[handler]:.6f}')
            lines.append(f'{name}_count{{handler="{handler}"}} {total}')
        gauges = {
            **self._gauges,
            ("simsearch_uptime_seconds", "Time since the start."): lambda: time.monotonic() - self._began,
            ("process_peak_resident_memory_bytes", "Most memory that the process held at once."): _peak_memory,
        }
        for (gauge, help_), value in gauges.items():
            lines += [f"# HELP {gauge} {help_}", f"# TYPE {gauge} gauge", f"{gauge} {value():g}"]
        return "\n".join([*lines, ""])


class Counted:
    """Middleware that tells `Metrics` of every reply."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and take note of its reply."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            handler = getattr(scope.get("endpoint"), "__name__", "other")
            self._metrics.count(handler, status, time.perf_counter() - start)


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
