"""The map of the gallery: drawn by a job, as `info --map` draws it, and wandered in."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from siamese_search.gallery import Gallery
from siamese_search.report.map import write_map_html
from siamese_search.web.app import json_reply
from siamese_search.web.asked import known
from siamese_search.web.framed import framed
from siamese_search.web.jobs import Kind, Progress, Work, until_stopped


class Map:
    """The last map that was drawn, and the pictures that its links name."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._page = b""
        self._shown: dict[Path, int] = {}  # ids by place

    @property
    def is_drawn(self) -> bool:
        """Whether there is one."""
        return bool(self._page)

    def kinds(self) -> dict[str, Kind]:
        """Return the jobs of this part."""
        return {"map": self._drawing}

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        return [Route("/map/page", self.show), Route("/map/item", self.find)]

    async def show(self, request: Request) -> Response:  # noqa: ARG002
        """Show it, in a frame."""
        if not self._page:
            raise HTTPException(404, "no map was drawn yet; start the job map")
        return framed(self._page)

    async def find(self, request: Request) -> Response:
        """Tell which picture a link of the map names; other files have no number."""
        place = unquote_to_bytes(request.query_params.get("file", "").removeprefix("file://"))
        id_ = self._shown.get(Path(place.decode("utf-8", "surrogateescape")))
        if id_ is None:
            raise HTTPException(404, "no such picture on the map")
        return json_reply({"id": id_})

    def _drawing(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind"})

        def draw(progress: Progress, stop: Event) -> dict[str, Any]:
            progress = until_stopped(progress, stop)
            with TemporaryDirectory(prefix="simsearch-") as folder:
                page = Path(folder) / "map.html"
                shown = write_map_html(self._gallery, page, progress=progress)
                self._page, self._shown = page.read_bytes(), {item.path: item.id for item in shown}
            return {"bytes": len(self._page)}

        return draw
