"""Duplicates over HTTP: found by a job, chosen from on the page of the report, acted on and taken back."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from siamese_search.actions import apply_plan, choices_json, journal_of, read_plan, undo_journal
from siamese_search.actions.journal import State, read_journal
from siamese_search.duplicates.find import find_duplicates
from siamese_search.errors import FolderError, PlanError, SimsearchError
from siamese_search.gallery import Gallery
from siamese_search.gallery.locations import absolute
from siamese_search.report.data import action_json, dedupe_json
from siamese_search.report.html import write_dedupe_html
from siamese_search.results import Action, DedupeReport
from siamese_search.web.app import body_of, by_method, json_reply, media_type
from siamese_search.web.asked import distance_in, is_whole, known, truth_in
from siamese_search.web.framed import framed
from siamese_search.web.jobs import Kind, Progress, Work, until_stopped
from siamese_search.web.turns import Turns

MAX_PLAN = 64 << 20  # bytes
_MAX_NUMBER = 10**9
_ACTIONS = (Action.TRASH, Action.HARDLINK)  # those that need no folder to be named


class Duplicates:
    """The last report, and the plans made from it; these lie in `folder`, named by numbers.

    Without a `folder` nothing is chosen or acted on.
    """

    def __init__(self, gallery: Gallery, folder: Path | None, looks: Turns) -> None:
        self._gallery = gallery
        self._folder = folder
        self._looks = looks
        self._report: DedupeReport | None = None
        self._state = ""
        self._page = b""
        self._keeping = Lock()

    def kinds(self) -> dict[str, Kind]:
        """Return the jobs of this part."""
        finding: dict[str, Kind] = {"dedupe": self._finding}
        return finding if self._folder is None else {**finding, "apply": self._applying, "undo": self._undoing}

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        reading: list[BaseRoute] = [
            Route("/api/duplicates", self.duplicates),
            Route("/duplicates/report", self.report),
        ]
        if self._folder is None:
            return reading
        return [
            *reading,
            Route("/api/plans", by_method(GET=self.plans, POST=self.keep_plan), methods=["GET", "POST"], name="plans"),
            Route("/api/answers", self.take_answers, methods=["POST"]),
        ]

    @property
    def are_found(self) -> bool:
        """Whether they were looked for."""
        return self._report is not None

    @property
    def are_old(self) -> bool:
        """Whether the gallery has changed since they were looked for."""
        return self._report is not None and self._state != self._gallery.state

    # -- over HTTP

    async def duplicates(self, request: Request) -> Response:  # noqa: ARG002
        """Return what the last job found."""
        return json_reply(await self._looks.run(lambda: dedupe_json(self._found())))

    async def report(self, request: Request) -> Response:  # noqa: ARG002
        """Show it, on the page that `dedupe --report` writes: whole in itself, its one script known by its hash."""
        self._found()
        return framed(self._page)

    async def plans(self, request: Request) -> Response:  # noqa: ARG002
        """List the plans, the latest first."""
        return json_reply({"plans": await self._looks.run(self._listed)})

    async def keep_plan(self, request: Request) -> Response:
        """Keep a plan, as the page of the report makes it, or `dedupe --plan`."""
        if media_type(request) != "application/json":
            raise HTTPException(415, "send application/json in UTF-8")
        text = await body_of(request, MAX_PLAN)
        return json_reply(await self._looks.run(self._kept, text), status=201)

    async def take_answers(self, request: Request) -> Response:
        """Take answers as CSV: first, second, label."""
        if media_type(request) != "text/csv":
            raise HTTPException(415, "send text/csv in UTF-8")
        text = await body_of(request)
        return json_reply({"answers": await self._looks.run(self._answered, text)})

    # -- jobs

    def _finding(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind", "threshold", "details", "exact"})
        threshold = distance_in(said.get("threshold"))
        details, exact = truth_in(said, "details", otherwise=True), truth_in(said, "exact", otherwise=False)

        def find(progress: Progress, stop: Event) -> dict[str, Any]:
            progress = until_stopped(progress, stop)
            state = self._gallery.state
            report = find_duplicates(
                self._gallery, threshold=threshold, details=details, exact=exact, progress=progress
            )
            with TemporaryDirectory(prefix="simsearch-") as folder:
                page = Path(folder) / "index.html"
                choices = None if self._folder is None else choices_json(report, self._gallery)
                write_dedupe_html(report, page, choices=choices, progress=progress)
                self._page = page.read_bytes()
            self._report, self._state = report, state
            return {
                "images": report.images,
                "groups": len(report.groups),
                "copies": sum(map(len, report.groups)),
                "bytes": sum(map(report.freed, report.groups)),
            }

        return find

    def _applying(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind", "plan", "to", "dry_run"})
        path = self._plan(said.get("plan"))
        if said.get("to") not in _ACTIONS:
            raise HTTPException(422, f"to: expected one of {', '.join(_ACTIONS)}")
        action, dry_run = Action(said["to"]), truth_in(said, "dry_run", otherwise=False)

        def act(progress: Progress, stop: Event) -> dict[str, Any]:
            plan, journal = read_plan(path), journal_of(path)
            return action_json(
                apply_plan(plan, action=action, journal=journal, dry_run=dry_run, progress=progress, stop=stop.is_set)
            )

        return act

    def _undoing(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind", "plan"})
        path = self._plan(said.get("plan"))
        if not journal_of(path).exists():
            raise HTTPException(409, "this plan was not applied; there is nothing to take back")
        return lambda progress, stop: action_json(undo_journal(journal_of(path), progress=progress, stop=stop.is_set))

    # -- inside

    def _found(self) -> DedupeReport:
        if self._report is None:
            raise HTTPException(409, "duplicates were not looked for yet; start the job dedupe")
        return self._report

    def _plan(self, number: object) -> Path:
        """Return the file of a plan by its number."""
        if not isinstance(number, int | float) or not is_whole(number):
            raise HTTPException(422, "plan: expected a number")
        path = self._folder / f"{int(number)}.json" if self._folder and abs(number) < _MAX_NUMBER else None
        if path is None or not path.is_file():
            raise HTTPException(404, "plan: no plan of that number")
        return path

    def _numbers(self) -> list[int]:
        """Return the numbers of the plans, the latest first."""
        names = [path.stem for path in self._folder.glob("*.json")] if self._folder else []
        return sorted((int(name) for name in names if name.isascii() and name.isdigit()), reverse=True)

    def _listed(self) -> list[dict[str, Any]]:
        found = []
        for number in self._numbers():
            with suppress(PlanError):
                found.append(self._told(number))
        return found

    def _kept(self, text: bytes) -> dict[str, Any]:
        """Write a plan where it can be applied; one that is none, or of another gallery, is refused and gone.

        One that is kept already, as by a double click, stays the only one.
        """
        assert self._folder is not None  # noqa: S101  there is no way here without
        with self._keeping:
            numbers = self._numbers()
            for number in numbers:
                if _holds(self._folder / f"{number}.json", text):
                    return self._told(number)
            number = max(numbers, default=0) + 1
            path = self._folder / f"{number}.json"
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                path.write_bytes(text)
            except OSError as error:
                raise FolderError(f"{path}: cannot be written: {error.strerror}") from error
            try:
                plan = read_plan(path)
            except PlanError as error:
                path.unlink()
                raise HTTPException(422, str(error).replace(str(path), "the plan")) from error
            if plan.gallery != absolute(self._gallery.location):
                path.unlink()
                raise HTTPException(422, "this plan is of another gallery")
            return self._told(number)

    def _told(self, number: int) -> dict[str, Any]:
        path = self._plan(number)
        return {"plan": number, "steps": len(read_plan(path).steps), "applied": _applied(path)}

    def _answered(self, text: bytes) -> int:
        with TemporaryDirectory(prefix="simsearch-") as folder:
            path = Path(folder) / "answers.csv"
            path.write_bytes(text)
            try:
                return self._gallery.answers.read(path)
            except SimsearchError as error:
                raise HTTPException(422, str(error).replace(str(path), "the answers")) from error


def _holds(path: Path, text: bytes) -> bool:
    return path.stat().st_size == len(text) and path.read_bytes() == text


def _applied(plan: Path) -> int:
    """Return how many steps of a plan are done, and not taken back."""
    journal = journal_of(plan)
    return list(read_journal(journal).states.values()).count(State.DONE) if journal.exists() else 0
