"""The review page: two pictures, three keys, and answers that the gallery keeps.

It is served under an unguessable path, to names of this machine only, and takes answers as JSON alone, so neither
another user of the machine nor a page in the same browser can read pictures or give answers.
"""

import io
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from siamese_search.errors import ImageError
from siamese_search.escapes import printable
from siamese_search.gallery import Gallery
from siamese_search.images.decode import load_thumbnail
from siamese_search.report.words import human_bytes
from siamese_search.results import EmbeddingPair
from siamese_search.version import __version__
from siamese_search.web.questions import Questions

_LONGEST = 1400  # pixels of a picture on the page
_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def review_app(gallery: Gallery, questions: Questions, *, token: str) -> Starlette:
    """Return the app; the gallery must have been opened by the thread that serves it."""
    page = _Page(gallery, questions)
    routes = [
        Route("/", page.show),
        Route("/question", page.question),
        Route("/answer", page.answer, methods=["POST"]),
        Route("/back", page.back, methods=["POST"]),
        Route("/picture/{item:int}", page.picture),
        Route("/pairs.csv", page.pairs),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
    return Starlette(routes=[Mount(f"/{token}", routes=routes)], middleware=[hosts])


class _Page:
    def __init__(self, gallery: Gallery, questions: Questions) -> None:
        self._gallery = gallery
        self._questions = questions

    async def show(self, request: Request) -> Response:  # noqa: ARG002  starlette's signature
        environment = Environment(
            loader=PackageLoader("siamese_search", "web/templates"), autoescape=True, undefined=StrictUndefined
        )
        template = environment.get_template("review.html.j2")
        return HTMLResponse(
            template.render(version=__version__, gallery=printable(self._gallery.location)), headers=_HEADERS
        )

    async def question(self, request: Request) -> Response:  # noqa: ARG002
        return self._state(self._questions.next())

    async def answer(self, request: Request) -> Response:
        said = await _json(request)
        label = said.get("label")
        if label not in {0, 1, None} or isinstance(label, bool):
            raise HTTPException(422, "label is 0, 1 or null")
        if not self._questions.answer(said.get("first", 0), said.get("second", 0), label):
            raise HTTPException(404, "no such pair")
        return self._state(self._questions.next())

    async def back(self, request: Request) -> Response:
        await _json(request)
        return self._state(self._questions.back() or self._questions.next())

    async def picture(self, request: Request) -> Response:
        item = self._questions.items.get(request.path_params["item"])
        if item is None:
            raise HTTPException(404)
        try:
            data = await run_in_threadpool(_thumbnail, item.path)
        except ImageError as error:
            raise HTTPException(410, printable(error.reason)) from error
        return Response(data, media_type="image/webp", headers={**_HEADERS, "Cache-Control": "private, max-age=3600"})

    async def pairs(self, request: Request) -> Response:  # noqa: ARG002
        headers = {**_HEADERS, "Content-Disposition": "attachment; filename=pairs.csv"}
        return Response(self._gallery.answers.csv(), media_type="text/csv", headers=headers)

    def _state(self, pair: EmbeddingPair | None) -> Response:
        known = self._questions.known
        return JSONResponse(
            {
                "pair": None if pair is None else self._pair(pair),
                "threshold": self._questions.threshold,
                "limit": self._questions.limit,
                "guess": self._questions.guess,
                "known": known,
                "same": sum(label == 0 for _, label in known),
                "different": sum(label == 1 for _, label in known),
                "sitting": len(self._questions.answers),
            },
            headers=_HEADERS,
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


async def _json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; another content type could come from a foreign page, so it is refused."""
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415)
    try:
        said = json.loads(await request.body())
    except ValueError as error:
        raise HTTPException(422, "not JSON") from error
    if not isinstance(said, dict):
        raise HTTPException(422, "not an object")
    return said


def _thumbnail(path: Path) -> bytes:
    data = io.BytesIO()
    load_thumbnail(path, longest=_LONGEST).save(data, "WEBP", quality=85, method=2)
    return data.getvalue()
