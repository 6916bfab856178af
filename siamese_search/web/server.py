"""Serving an app at an address until Ctrl-C or a request to terminate, with patience that ends."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from siamese_search.errors import OptionError

LOOPBACK = "127.0.0.1"
HEAD_SECONDS = 20.0  # in which a request has to have begun and its head to be here
_MAX_CONNECTIONS = 1000


def serve(
    app: Starlette,
    *,
    port: int,
    ready: Callable[[str], None],
    address: str = LOOPBACK,
    grace: int = 1,
    stopping: Callable[[], None] | None = None,
) -> None:
    """Serve until interrupted; `ready` is called with the address once connections are taken. Port 0 is any free one.

    Requests at work get `grace` seconds to end, once `stopping` was called. Raises OptionError when the address cannot
    be had.
    """
    with listening(address, port) as listener:
        shown = f"[{address}]" if ":" in address else address
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        try:
            server_of(app, grace=grace, stopping=stopping).run(sockets=[listener])
        except KeyboardInterrupt:
            return


def server_of(
    app: Starlette,
    *,
    grace: int = 1,
    head_seconds: float = HEAD_SECONDS,
    stopping: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """Return a server, not yet running, that gives a request `head_seconds` to say what it wants."""
    protocol = type("_Protocol", (_ImpatientProtocol,), {"head_seconds": head_seconds})
    return _Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            log_level="error",
            access_log=False,
            lifespan="off",
            limit_concurrency=_MAX_CONNECTIONS,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=grace,
        ),
        stopping,
    )


def listening(address: str, port: int) -> socket.socket:
    """Return a socket that takes connections."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise OptionError(f"address {address}: expected numbers such as {LOOPBACK}, 0.0.0.0 or ::1") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise OptionError(f"port {port} of {address}: {error.strerror}; choose another --port, or 0 for any") from error
    return listener


class _Server(uvicorn.Server):
    """A server that tells when it begins to stop, so that what would go on for long can end."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._stopping:
            self._stopping()
        await super().shutdown(sockets)


class _ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection over which no whole head of a request comes for a while."""

    head_seconds = HEAD_SECONDS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._be_patient()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _be_patient(self) -> None:
        """Wait for a head from its first byte on, however slowly it drips; once it is here, no more."""
        if not self._waits_for_head():
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self._give_up)

    def _waits_for_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stop_waiting(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self._waits_for_head():
            self.transport.close()
