"""Searching in the browser, and over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from siamese_search.cli.options import IndexOption, QuietOption
from siamese_search.cli.output import silent_decoders, until_interrupted
from siamese_search.errors import OptionError

app = typer.Typer()

_LOOPBACK = "127.0.0.1"
_TOKEN = "SIMSEARCH_TOKEN"  # noqa: S105  the name of a variable


@app.command(epilog="Example: simsearch serve ~/Pictures")
def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Folders to index first, as simsearch index does.  [default: none]"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8460,
    address: Annotated[
        str, typer.Option(metavar="IP", help="Address to listen at; 0.0.0.0 is all of this machine's.")
    ] = _LOOPBACK,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A name by which it is reached, as through a proxy; repeatable."),
    ] = None,
    token: Annotated[
        bool,
        typer.Option(
            "--token/--no-token",
            help=f"Ask for a token: {_TOKEN}, or a new one each time. Without, whoever uses this machine gets in.",
        ),
    ] = True,
    read_only: Annotated[bool, typer.Option("--read-only", help="Change neither the gallery nor a picture.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page at once.")] = True,
    index: IndexOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search in the browser, and serve the HTTP API.

    Drop, paste or photograph a picture, and see which are the same, and which look alike. The API is described at /api.
    Only this machine can reach it, unless --address says otherwise; then it asks for the token, and a proxy in front of
    it has to encrypt (docs/deploy.md). End with Ctrl-C.
    """
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415
    import webbrowser  # noqa: PLC0415
    from ipaddress import ip_address  # noqa: PLC0415

    from siamese_search.images.files import resolve_folders  # noqa: PLC0415
    from siamese_search.web.app import Access  # noqa: PLC0415
    from siamese_search.web.server import serve  # noqa: PLC0415
    from siamese_search.web.service import Service  # noqa: PLC0415

    try:
        is_loopback = ip_address(address).is_loopback
    except ValueError:
        raise OptionError(f"--address {address}: expected an address such as 127.0.0.1, 0.0.0.0 or ::1") from None
    if not (token or is_loopback):
        raise OptionError(f"--address {address}: others can reach it there, so a token is needed; omit --no-token")
    if read_only and folders:
        raise OptionError("--read-only indexes nothing; name no FOLDER, or leave it out")
    access = Access(os.environ.get(_TOKEN) or None, open_to_all=not token)

    def ready(where: str) -> None:
        if not quiet:
            key = f"/enter/{access.secret}" if token and _TOKEN not in os.environ else ""
            sys.stderr.write(f"Search at {where}{key} and end with Ctrl-C\n")
            sys.stderr.flush()
        if browser:
            webbrowser.open(f"{where}/enter/{access.ticket()}")

    with (
        silent_decoders(),
        until_interrupted(),
        Service(index, folders=resolve_folders(folders or ()), read_only=read_only) as service,
    ):
        if folders:
            service.jobs.start({"kind": "sync"})
        serve(
            service.app(access, names=name or ()),
            address=address,
            port=port,
            ready=ready,
            grace=5,
            stopping=service.jobs.stop,
        )
