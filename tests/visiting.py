"""Somebody who visits a server, and a server to visit."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette

from siamese_search.web.server import HEAD_SECONDS, LOOPBACK, listening, server_of

KEY = "a-key-of-sixteen-letters"


class Visitor:
    """Somebody with a cookie jar, who asks the server as the page does."""

    def __init__(self, door: str) -> None:
        """Come in by an address, or stay outside when it does not open or is none to come in by."""
        self.root = door.split("/enter/", maxsplit=1)[0].rstrip("/") + "/"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self.entered = self.ask(door.removeprefix(self.root))[0] if "/enter/" in door else 0

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Send a request, as JSON when there is a body; return status, content and headers."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = urllib.request.Request(self.root + path, data=data, headers=sent)  # noqa: S310
        try:
            with self._opener.open(request, timeout=20) as reply:
                return reply.status, reply.read(), dict(reply.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)


class Client(Visitor):
    """A program that brings the token."""

    def get(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Ask with the token."""
        return self.ask(path, body, **{"Authorization": f"Bearer {KEY}", **headers})

    def json(self, path: str, body: object = None, *, status: int = 200, **headers: str) -> Any:
        """Ask for JSON, and expect a status."""
        found, content, about = self.get(path, body, **headers)
        assert (found, about["content-type"]) == (status, "application/json"), content
        return json.loads(content)

    def picture(self, data: bytes, options: str = "", *, status: int = 200, kind: str = "image/png") -> Any:
        """Search with a picture."""
        return self.json(f"api/search{options}", data, status=status, Content_Type=kind)


@contextmanager
def served(app: Starlette, *, head_seconds: float = HEAD_SECONDS) -> Iterator[str]:
    """Serve an app on this machine, and give its address."""
    with listening(LOOPBACK, 0) as listener:
        server = server_of(app, head_seconds=head_seconds)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
