"""Two pictures laid on one another: what they are to each other, how one lies in the other, and where they differ.

They are looked at as `dedupe` looks at them: what cannot be read any more is unchecked there, and so it is here.
"""

from dataclasses import asdict
from io import BytesIO
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from siamese_search.images.files import content_hash
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import Source
from siamese_search.results import Relation
from siamese_search.web.app import json_body, json_reply
from siamese_search.web.asked import pictures_in
from siamese_search.web.known import Known
from siamese_search.web.turns import Turns

_NO_RELATION = "alike"  # the verdict on two pictures that are not one


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
        from siamese_search.gallery.looking import Look  # noqa: PLC0415  (OpenCV, when it is wanted)

        sent = [self._known.upload(name) for name in uploads]
        known = [self._known.item(id_) for id_ in items]
        pictures: list[Source] = [*sent, *(item.path for item in known)]
        look = Look(dict(enumerate(pictures)), self._decoder)
        (found,) = look.compare([(0, 1)])
        one, other = [*(content_hash(BytesIO(data)) for data in sent), *(item.content_hash for item in known)]
        if one == other:
            relation: str | None = Relation.IDENTICAL
        elif look.same_pixels(0, 1):
            relation = Relation.SAME_PIXELS
        else:
            relation = None if found.verdict == _NO_RELATION else found.verdict.value
        return {**asdict(found), "relation": relation}
