"""Serving an app on this machine's own address, until Ctrl-C."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from siamese_search.errors import OptionError

_ADDRESS = "127.0.0.1"


def serve(app: Starlette, *, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is called with the address once connections are taken. Port 0 is any free one.

    Raises OptionError when the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_ADDRESS, port))
        except OSError as error:
            raise OptionError(f"port {port}: {error.strerror}; choose another --port, or 0 for any") from error
        listener.listen()
        ready(f"http://{_ADDRESS}:{listener.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return
