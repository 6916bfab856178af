"""Pages that the commands write, whole in themselves, shown in a frame of ours."""

import re

from starlette.responses import HTMLResponse, Response

_SCRIPT = re.compile(rb"script-src ('sha256-[A-Za-z0-9+/=]+')")


def framed(page: bytes) -> Response:
    """Return a page that `report` wrote: it loads nothing, and its one script is known by its hash."""
    script = _SCRIPT.search(page)
    allowed = script[1].decode() if script else "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed};"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})
