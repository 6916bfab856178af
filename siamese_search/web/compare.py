"""Two pictures laid on one another: whether their details agree, how one lies in the other, and where they differ."""

from dataclasses import asdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from siamese_search.errors import ImageError
from siamese_search.images.decode import Picture
from siamese_search.images.sandbox import Decoder
from siamese_search.web.app import json_body, json_reply
from siamese_search.web.asked import pictures_in
from siamese_search.web.known import Known
from siamese_search.web.turns import Turns


class Comparing:
    """The part of the API that compares two pictures."""

    def __init__(self, known: Known, decoder: Decoder, turns: Turns) -> None:
        self._known = known
        self._decoder = decoder
        self._turns = turns

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        return [Route("/api/compare", self.compare, methods=["POST"])]

    async def compare(self, request: Request) -> Response:
        """Compare two pictures; those that were sent come before those of the gallery."""
        items, uploads = pictures_in(await json_body(request), others=())
        if len(items) + len(uploads) != 2:  # noqa: PLR2004
            raise HTTPException(422, "items and uploads: name two pictures")
        return json_reply(await self._turns.run(self._compared, items, uploads))

    def _compared(self, items: tuple[int, ...], uploads: tuple[str, ...]) -> dict[str, Any]:
        from siamese_search.details import LONGEST, compare, features  # noqa: PLC0415  (OpenCV, when it is wanted)

        def look(source: Any) -> Picture:
            try:
                return self._decoder.thumbnail(source, longest=LONGEST)
            except ImageError as error:
                raise HTTPException(410, f"a picture cannot be read: {error.reason}") from error

        sources = [*map(self._known.upload, uploads), *(self._known.item(id_).path for id_ in items)]
        first, second = map(look, sources)
        return asdict(compare(features(first.pixels), features(second.pixels)))
