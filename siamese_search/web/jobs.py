"""Work that takes its time, one at a time, with progress to watch: indexing, finding duplicates, calibrating."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from siamese_search.errors import SimsearchError
from siamese_search.web.app import by_method, json_body, json_reply

Progress = Callable[[int, int], None]
Work = Callable[[Progress, Event], dict[str, Any]]
"""Work gets what to tell its progress to, and what is set when it should end early; its result is plain data."""

Kind = Callable[[Mapping[str, Any]], Work]
"""A kind of job gets what was asked for, checks its options, and returns the work."""

_KEPT = 20
_LOOK_SECONDS = 0.2
_BEAT_SECONDS = 15.0  # a line at least so often, so that nobody in between takes the connection for dead
_MAX_WATCHERS = 32


class StoppedError(Exception):
    """A job was asked to end, and does."""


def until_stopped(progress: Progress, stop: Event) -> Progress:
    """Return what tells progress, and ends a job that should end: for work that leaves nothing half done."""

    def tell(done: int, total: int) -> None:
        if stop.is_set():
            raise StoppedError
        progress(done, total)

    return tell


@dataclass(slots=True)
class Job:
    """A piece of work; `state` is running, done, stopped or failed, `error` then says why."""

    id: int
    kind: str
    state: str = "running"
    done: int = 0
    total: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None
    stop: Event = field(default_factory=Event)

    def as_json(self) -> dict[str, Any]:
        """Return what is known of it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "error": self.error,
            "result": self.result,
        }


class Jobs:
    """The jobs of a server: `kinds` can be started, one at a time, and the last few are remembered.

    `say` turns an error into words for people.
    """

    def __init__(self, kinds: Mapping[str, Kind], *, say: Callable[[SimsearchError], str]) -> None:
        self.kinds = kinds
        self._say = say
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._watchers = 0
        self._stopping = False

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        return [
            Route("/api/jobs", by_method(GET=self.list, POST=self.begin), methods=["GET", "POST"], name="jobs"),
            Route("/api/jobs/{id:int}", self.show),
            Route("/api/jobs/{id:int}/events", self.events),
            Route("/api/jobs/{id:int}/stop", self.end, methods=["POST"]),
        ]

    def start(self, said: Mapping[str, Any]) -> Job:
        """Start the job that is asked for; 422 for one that makes no sense, 409 while another is at work."""
        kind = said.get("kind")
        if not isinstance(kind, str) or kind not in self.kinds:
            raise HTTPException(422, f"kind: expected one of {', '.join(self.kinds)}")
        work = self.kinds[kind](said)
        with self._lock:
            running = next((job for job in self._jobs.values() if job.state == "running"), None)
            if running:
                raise HTTPException(409, f"one job at a time: {running.kind} is at work, number {running.id}")
            job = Job(next(reversed(self._jobs), 0) + 1, kind)
            self._jobs[job.id] = job
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        self._thread = Thread(target=self._run, args=(job, work), name=f"job-{kind}")
        self._thread.start()
        return job

    def stop(self) -> None:
        """Ask what is at work to end, and tell those who watch no more."""
        self._stopping = True
        for job in list(self._jobs.values()):
            job.stop.set()

    def close(self) -> None:
        """Stop, and wait until what is at work has ended."""
        self.stop()
        if self._thread:
            self._thread.join()

    # -- over HTTP

    async def list(self, request: Request) -> Response:  # noqa: ARG002
        """List the last jobs, the latest first."""
        return json_reply({"jobs": [job.as_json() for job in reversed(self._jobs.values())]})

    async def begin(self, request: Request) -> Response:
        """Start a job."""
        return json_reply(self.start(await json_body(request)).as_json(), status=202)

    async def show(self, request: Request) -> Response:
        """Tell about a job."""
        return json_reply(self._job(request).as_json())

    async def end(self, request: Request) -> Response:
        """Ask a job to end early; what it did so far stays."""
        await json_body(request)
        job = self._job(request)
        job.stop.set()
        return json_reply(job.as_json(), status=202)

    async def events(self, request: Request) -> Response:
        """Tell of a job whenever something changes, as server-sent events, until it ends."""
        job = self._job(request)
        if self._watchers >= _MAX_WATCHERS:
            raise HTTPException(429, "too many watch already", headers={"Retry-After": "5"})
        return StreamingResponse(self._told(job), media_type="text/event-stream")

    # -- inside

    def _job(self, request: Request) -> Job:
        job = self._jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "no job of that number")
        return job

    async def _told(self, job: Job) -> AsyncIterator[str]:
        self._watchers += 1
        try:
            before, said_at = "", 0.0
            while True:
                ended = job.state != "running"  # looked at first: what is told last is the end
                now = json.dumps(job.as_json())
                if now != before:
                    yield f"data: {now}\n\n"
                    before, said_at = now, time.monotonic()
                elif time.monotonic() - said_at > _BEAT_SECONDS:
                    yield ": still at work\n\n"
                    said_at = time.monotonic()
                if ended or self._stopping:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watchers -= 1

    def _run(self, job: Job, work: Work) -> None:
        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total

        try:
            job.result = work(progress, job.stop)
            job.state = "stopped" if job.stop.is_set() else "done"
        except StoppedError:
            job.state = "stopped"
        except SimsearchError as error:
            job.error, job.state = self._say(error), "failed"
        except Exception as error:
            job.error, job.state = f"failed in a way that should not happen ({type(error).__name__})", "failed"
            raise
