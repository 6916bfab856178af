"""What every page shares: the way in, how its errors look, and what is said in JSON.

The way in is an address with a key, printed on the terminal, or with a ticket that is good for one use, since what a
browser is started with any user of the machine can read. Either is traded for a cookie, so that no page carries it on;
a program brings the key as a bearer token. Nothing but JSON and pictures is taken, which no foreign page can send.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from siamese_search.errors import (
    BusyError,
    DataError,
    FingerprintError,
    ImageError,
    OptionError,
    PlanError,
    SimsearchError,
)
from siamese_search.escapes import printable
from siamese_search.version import __version__
from siamese_search.web.guard import HEADERS, MAX_JSON, Guard

MIN_KEY = 16  # characters of a key that a person chose
_BODY_SECONDS = 30.0  # in which a body has to be here

_HERE = Path(__file__).parent
_STATUS: tuple[tuple[type[SimsearchError], int], ...] = (
    (BusyError, 503),
    (ImageError, 410),  # it was there when it was indexed
    (OptionError, 422),
    (PlanError, 422),
    (DataError, 422),
    (FingerprintError, 409),  # indexing embeds everything anew
    (SimsearchError, 500),
)


class Access:
    """Who may in: whoever brings the key or a ticket; with `open_to_all`, everybody who gets this far.

    The cookie is made of the key, so that one that stays the same opens after a restart, too.
    """

    def __init__(self, key: str | None = None, *, open_to_all: bool = False) -> None:
        if key is not None and (len(key) < MIN_KEY or not key.isascii() or not key.isprintable() or "/" in key):
            raise OptionError(f"the token: at least {MIN_KEY} letters and digits, so that nobody guesses it")
        self.secret = key or token_urlsafe(24)
        self._open_to_all = open_to_all
        self._cookie = sha256(f"cookie {self.secret}".encode()).hexdigest()
        self._name = f"simsearch-{sha256(self.secret.encode()).hexdigest()[:8]}"  # cookies know no ports
        self._tickets: set[str] = set()

    def ticket(self) -> str:
        """Return something that opens the door once."""
        ticket = token_urlsafe(24)
        self._tickets.add(ticket)
        return ticket

    async def enter(self, request: Request) -> Response:
        """Trade a key or a ticket for the cookie."""
        if not self._opens(request.path_params["key"]):
            raise HTTPException(
                403, "this address was used already, or is of another run; the one on the terminal opens"
            )
        reply = RedirectResponse("/", status_code=303)
        reply.set_cookie(self._name, self._cookie, httponly=True, samesite="strict")
        return reply

    def knows(self, connection: HTTPConnection) -> bool:
        """Tell whether a request brings the cookie or the key."""
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        return (
            self._open_to_all
            or compare_digest(connection.cookies.get(self._name, "").encode(), self._cookie.encode())
            or (scheme.lower() == "bearer" and self._is_key(key.strip()))
        )

    def _opens(self, brought: str) -> bool:
        if brought in self._tickets:
            self._tickets.discard(brought)
            return True
        return self._is_key(brought)

    def _is_key(self, brought: str) -> bool:
        return compare_digest(brought.encode("utf-8", "replace"), self.secret.encode())


def make_app(
    routes: Sequence[BaseRoute],
    access: Access,
    *,
    names: Collection[str] = (),
    max_bodies: Mapping[str, int] | None = None,
    middleware: Sequence[Middleware] = (),
    hidden: Collection[Path] = (),
) -> Starlette:
    """Return an app with these pages, and with what all of them need around them.

    `names` and `max_bodies` are those of `Guard`. Messages name what lies in one of the folders `hidden` without saying
    where those are. `middleware` sees everything, refused or not.
    """

    async def say(request: Request, error: Exception) -> Response:
        return _told(request, error, hidden)

    return Starlette(
        routes=[
            Route("/enter/{key}", access.enter),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
            *routes,
        ],
        middleware=[*middleware, Middleware(Guard, access=access, names=names, max_bodies=max_bodies)],
        exception_handlers={SimsearchError: say, HTTPException: say, Exception: _failed},
    )


def by_method(**handlers: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return one handler made of those for each method, so that a refusal names all that are taken."""

    async def handle(request: Request) -> Response:
        return await handlers[request.method.replace("HEAD", "GET")](request)

    handle.__name__ = handlers["GET"].__name__  # by which replies are counted
    return handle


def page(name: str, **values: object) -> HTMLResponse:
    """Return a page made of one of the templates."""
    return HTMLResponse(_templates().get_template(name).render(version=__version__, **values))


def json_reply(data: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return one JSON object in pure ASCII, so that a name that is not UTF-8 survives."""
    return Response(
        json.dumps(data, separators=(",", ":")), status_code=status, media_type="application/json", headers=headers
    )


async def body_of(request: Request, limit: int = MAX_JSON) -> bytes:
    """Return the body; 413 beyond a limit, 408 when it does not come in time."""
    parts = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                parts += part
                if len(parts) > limit:
                    raise HTTPException(413, f"too long: the limit is {limit:,} bytes")
    except TimeoutError:
        raise HTTPException(408, "the body did not come in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body was cut short") from None
    return bytes(parts)


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; another content type could come from a foreign page, so it is refused."""
    if media_type(request) != "application/json":
        raise HTTPException(415, "send application/json in UTF-8")
    return json_object(await body_of(request))


def json_object(text: bytes) -> dict[str, Any]:
    """Return what JSON says, which has to be an object."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(said, dict):
        raise HTTPException(400, "not an object")
    return said


def media_type(request: Request) -> str:
    """Return what the body is said to be, "" where it is said to be in another encoding than UTF-8."""
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    return kind if charsets <= {"utf-8", "us-ascii"} else ""


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("siamese_search", "web/templates"), autoescape=True, undefined=StrictUndefined
    )


async def _failed(request: Request, _error: Exception) -> Response:
    """Answer what should never happen; the server's log has the traceback."""
    words = "something went wrong in the server; what it prints says more"
    if request.url.path.startswith("/api/"):
        return json_reply({"error": words}, status=500, headers=HEADERS)
    return PlainTextResponse(words, status_code=500, headers=HEADERS)


def _told(request: Request, error: Exception, hidden: Collection[Path]) -> Response:
    """Say in one line what went wrong: as JSON to who uses the API, else as text."""
    headers = None
    if isinstance(error, HTTPException):
        status, words, headers = error.status_code, error.detail, error.headers
    else:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        words = error.reason if isinstance(error, ImageError) else without(hidden, str(error))
    if request.url.path.startswith("/api/"):
        return json_reply({"error": printable(words)}, status=status, headers=headers)
    return PlainTextResponse(words.encode("utf-8", "backslashreplace"), status_code=status, headers=headers)


def without(hidden: Collection[Path], words: str) -> str:
    """Name what lies in some folders by its place in them."""
    for folder in sorted(map(str, hidden), key=len, reverse=True):
        words = words.replace(f"{folder}/", "")
    return words
