"""What every page shares: who may see it, what it may load, how its errors look.

Pages are served to names of this machine only. The way in is an address with a secret, printed on the terminal, or with
a ticket that is good for one use, since what a browser is started with any user of the machine can read. Either is
traded for a cookie, so that no page carries it on; and nothing but JSON is taken, which no foreign page can send.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siamese_search.errors import BusyError, ImageError, OptionError, SimsearchError
from siamese_search.version import __version__

_HERE = Path(__file__).parent
_COOKIE = "simsearch"
_MAX_BODY = 64 << 10  # bytes; the longest thing said here is an answer
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STATUS: tuple[tuple[type[SimsearchError], int], ...] = (
    (BusyError, 503),
    (ImageError, 410),  # it was there when it was indexed
    (OptionError, 422),
    (SimsearchError, 500),
)


class Access:
    """Who may in: whoever brings the secret or a ticket."""

    def __init__(self) -> None:
        self.secret = token_urlsafe(24)
        self._cookie = token_urlsafe(24)
        self._tickets: set[str] = set()

    def ticket(self) -> str:
        """Return something that opens the door once."""
        ticket = token_urlsafe(24)
        self._tickets.add(ticket)
        return ticket

    async def enter(self, request: Request) -> Response:
        """Trade a secret or a ticket for the cookie."""
        brought = request.path_params["key"]
        if not self._opens(brought):
            raise HTTPException(
                403, "this address was used already, or is of another run; the one on the terminal opens"
            )
        reply = RedirectResponse("/", status_code=303)
        reply.set_cookie(_COOKIE, self._cookie, httponly=True, samesite="strict")
        return reply

    def knows(self, connection: HTTPConnection) -> bool:
        """Tell whether a request brings the cookie."""
        return compare_digest(connection.cookies.get(_COOKIE, "").encode(), self._cookie.encode())

    def _opens(self, brought: str) -> bool:
        if brought in self._tickets:
            self._tickets.discard(brought)
            return True
        return compare_digest(brought.encode(), self.secret.encode())


def make_app(routes: Sequence[BaseRoute], access: Access) -> Starlette:
    """Return an app with these pages, and with what all of them need around them."""
    return Starlette(
        routes=[
            Route("/enter/{key}", access.enter),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
            *routes,
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False),
            Middleware(_Guard, access=access),
        ],
        exception_handlers={SimsearchError: _told},
    )


def page(name: str, **values: object) -> HTMLResponse:
    """Return a page made of one of the templates."""
    return HTMLResponse(_templates().get_template(name).render(version=__version__, **values))


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; another content type could come from a foreign page, so it is refused."""
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415)
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(said, dict):
        raise HTTPException(400, "not an object")
    return said


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("siamese_search", "web/templates"), autoescape=True, undefined=StrictUndefined
    )


async def _told(_request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    words = error.reason if isinstance(error, ImageError) else str(error)
    return PlainTextResponse(words.encode("utf-8", "backslashreplace"), status_code=status)


class _Guard:
    """Lets nobody pass without the cookie, no body that is too long, and no reply without the headers."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        if not (connection.url.path.startswith("/enter/") or self._access.knows(connection)):
            return PlainTextResponse("open the address that simsearch printed on the terminal", status_code=403)
        if "transfer-encoding" in connection.headers:  # a length is known, or nothing is read
            return PlainTextResponse("say how long it is", status_code=411)
        length = connection.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _MAX_BODY:
            return PlainTextResponse("too long", status_code=413)
        return None
