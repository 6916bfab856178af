"""The review page: two pictures, three keys, and answers that the gallery keeps."""

import io
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from siamese_search.escapes import printable
from siamese_search.gallery import Gallery
from siamese_search.images.sandbox import Decoder
from siamese_search.report.words import human_bytes
from siamese_search.results import Answer, EmbeddingPair
from siamese_search.web.app import Access, json_body, make_app, page
from siamese_search.web.questions import Questions

_ANSWERS = frozenset(Answer)
_LONGEST = 1400  # pixels of a picture on the page


def review_app(gallery: Gallery, questions: Questions, access: Access) -> Starlette:
    """Return the app."""
    return make_app(Review(gallery, questions, Decoder()).routes(), access)


class Review:
    """The page and what it asks for. Whatever reads or writes the gallery does so on a thread of its own.

    Within a larger house, `pages` are those beside it: a name, an address, and words.
    """

    def __init__(
        self, gallery: Gallery, questions: Questions, decoder: Decoder, *, pages: Sequence[tuple[str, str, str]] = ()
    ) -> None:
        self._gallery = gallery
        self._questions = questions
        self._decoder = decoder
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        return [
            Route("/", self.show),
            Route("/question", self.question),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/back", self.back, methods=["POST"]),
            Route("/picture/{item:int}", self.picture),
            Route("/pairs.csv", self.pairs),
        ]

    def show(self, request: Request) -> Response:  # noqa: ARG002  starlette's signature
        """Show the page."""
        return page("review.html.j2", gallery=printable(self._gallery.location), pages=self._pages)

    def question(self, request: Request) -> Response:  # noqa: ARG002
        """Return the next question."""
        return self._state(self._questions.next())

    async def answer(self, request: Request) -> Response:
        """Take an answer, and return the next question."""
        said = await json_body(request)
        first, second, answer = (said.get(name) for name in ("first", "second", "answer"))
        if not (answer is None or (isinstance(answer, str) and answer in _ANSWERS)):
            raise HTTPException(400, "answer is same, different or null")
        if type(first) is not int or type(second) is not int:
            raise HTTPException(400, "first and second are numbers")
        if not await run_in_threadpool(
            self._questions.answer, first, second, None if answer is None else Answer(answer)
        ):
            raise HTTPException(404, "no such pair")
        return self._state(self._questions.next())

    async def back(self, request: Request) -> Response:
        """Take the last answer back, and return its question."""
        await json_body(request)
        pair = await run_in_threadpool(self._questions.back)
        return self._state(pair or self._questions.next())

    def picture(self, request: Request) -> Response:
        """Show one of the pictures that are asked about."""
        item = self._questions.items.get(request.path_params["item"])
        if item is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "private, max-age=3600"}
        data = io.BytesIO()
        self._decoder.thumbnail(item.path, longest=_LONGEST).image.save(data, "WEBP", quality=85, method=2)
        return Response(data.getvalue(), media_type="image/webp", headers=headers)

    def pairs(self, request: Request) -> Response:  # noqa: ARG002
        """Give all answers as a table."""
        headers = {"Content-Disposition": "attachment; filename=pairs.csv"}
        return Response(self._gallery.answers.csv(), media_type="text/csv", headers=headers)

    def _state(self, pair: EmbeddingPair | None) -> Response:
        known = self._questions.known
        said = [answer for _, answer in known]
        standing = self._questions.standing
        return JSONResponse(
            {
                "pair": None if pair is None else self._pair(pair),
                "threshold": self._questions.threshold,
                "limit": self._questions.limit,
                "guess": self._questions.guess,
                "known": known,
                "same": said.count(Answer.SAME),
                "different": said.count(Answer.DIFFERENT),
                "sitting": len(self._questions.answers),
                "left": standing.left,
                "enough": standing.is_enough,
                "standing": standing.sentence(self._questions.threshold),
            }
        )

    def _pair(self, pair: EmbeddingPair) -> dict[str, Any]:
        return {
            "first": self._picture(pair.first),
            "second": self._picture(pair.second),
            "distance": pair.distance,
        }

    def _picture(self, id_: int) -> dict[str, Any]:
        item = self._questions.items[id_]
        return {
            "id": id_,
            "name": printable(item.path.name),
            "folder": printable(str(item.path.parent)),
            "facts": f"{item.width} \N{MULTIPLICATION SIGN} {item.height} \N{MIDDLE DOT} {item.format}"
            f" \N{MIDDLE DOT} {human_bytes(item.size)}",
        }
