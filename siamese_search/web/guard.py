"""Who may ask: requests by a foreign name or from a foreign page, without the key, or too long are refused unread."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAX_JSON = 64 << 10  # bytes; the longest thing said in JSON
_OPEN = ("/enter/", "/api/health")  # where the key is brought, and what tells nothing


class Keyed(Protocol):
    """What knows who may in."""

    def knows(self, connection: HTTPConnection) -> bool:
        """Tell whether a request brings the key."""


class Guard:
    """Lets nobody pass without the key, no body that is too long, and no reply without the headers.

    `names` are the host names by which this server may be called, beside those of this machine and plain addresses:
    a page of a foreign name that is made to lead here (DNS rebinding) comes by that name. `max_bodies` says how many
    bytes may be sent to some addresses.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Keyed,
        names: Collection[str] = (),
        max_bodies: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._names = {"localhost", *(name.lower() for name in names)}
        self._max_bodies = max_bodies or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(HTTPConnection(scope), scope["path"])
        answer = self._app if refusal is None else _reply(scope["path"], *refusal)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection, path: str) -> tuple[int, str] | None:
        """Return the status and the words for a request that nobody is to see."""
        if not self._is_ours(connection.headers.get("host", "")):
            return 400, "no such host here; name it with --name"
        if _is_foreign(connection):
            return 403, "another site's page may not ask this"
        if not (path.startswith(_OPEN) or self._access.knows(connection)):
            return 401, "open the address that simsearch printed on the terminal"
        if "transfer-encoding" in connection.headers:  # a length is known, or nothing is read
            return 411, "say how long it is"
        length = connection.headers.get("content-length", "0")
        limit = self._max_bodies.get(path, MAX_JSON)
        if not (length.isascii() and length.isdigit()) or int(length) > limit:
            return 413, f"too long: the limit is {limit:,} bytes"
        return None

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname if _is_plain(host) else None
        return name is not None and (name in self._names or _is_address(name))


def _is_foreign(connection: HTTPConnection) -> bool:
    """Tell whether a browser says that a page of another site asks; following a link to here is no such asking."""
    headers = connection.headers
    if "origin" in headers:
        origin = headers["origin"]
        return not (_is_plain(origin) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower())
    follows = connection.scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not follows


def _is_plain(text: str) -> bool:
    """Tell whether a host or an origin is made of what these are made of, so that taking it apart cannot fail."""
    try:
        urlsplit(f"//{text}" if "://" not in text else text).port  # noqa: B018  it raises
    except ValueError:
        return False
    return text.isascii() and not set(text) & set("@\\ \t#?")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _reply(path: str, status: int, words: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None  # noqa: PLR2004
    if path.startswith("/api/"):
        return JSONResponse({"error": words}, status_code=status, headers=headers)
    return PlainTextResponse(words, status_code=status, headers=headers)
