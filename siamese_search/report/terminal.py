"""Pictures in the terminal itself, where it can show them: kitty's protocol and iTerm2's, known by the environment."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder

_SIDE = 96  # pixels, about five lines of text
_GAP = 8
_MOST = 8  # pictures in a row: a terminal is not wide
_CHUNK = 4096  # characters; kitty takes no more in one escape


def picture_protocol(environment: Mapping[str, str]) -> str | None:
    """Return "kitty" or "iterm" when the terminal that set this environment shows pictures; None for any other."""
    if "KITTY_WINDOW_ID" in environment or environment.get("TERM") in {"xterm-kitty", "xterm-ghostty"}:
        return "kitty"
    return "iterm" if environment.get("TERM_PROGRAM") in {"iTerm.app", "WezTerm"} else None


def picture_row(paths: Sequence[Path], protocol: str) -> str:
    """Return what a terminal must be sent to show some pictures side by side; unreadable ones leave a gap."""
    row = Image.new("RGBA", (min(len(paths), _MOST) * (_SIDE + _GAP), _SIDE))
    with Decoder() as decoder:
        for place, path in enumerate(paths[:_MOST]):
            with suppress(ImageError):
                row.paste(decoder.thumbnail(path, longest=_SIDE).image, (place * (_SIDE + _GAP), 0))
    data = io.BytesIO()
    row.save(data, "PNG")
    if protocol == "kitty":
        return "".join(_kitty(base64.b64encode(data.getvalue()).decode())) + "\n"
    return f"\x1b]1337;File=inline=1;size={data.tell()}:{base64.b64encode(data.getvalue()).decode()}\a\n"


def _kitty(text: str) -> Iterator[str]:
    """Yield the escapes of https://sw.kovidgoyal.net/kitty/graphics-protocol: show (a=T) a PNG (f=100), in parts."""
    for start in range(0, len(text), _CHUNK):
        head = "a=T,f=100," if start == 0 else ""
        more = int(start + _CHUNK < len(text))
        yield f"\x1b_G{head}m={more};{text[start : start + _CHUNK]}\x1b\\"
