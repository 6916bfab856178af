r"""Text that any terminal, table and encoding can carry.

A file name may hold anything but a slash and a zero byte: line breaks that split rows, escape sequences that a terminal
obeys, bytes that are no text. People are shown them as Python shows them: `\n`, `\x1b`, `\xe9`.
"""

import codecs
import json
import re

HANDLER = "simsearch-escapes"
"""The error handler, once `register` was called, for characters that an encoding lacks: they become `\\u00e9`."""

# Controls (C0, DEL, C1), separators of lines and paragraphs, what turns the direction of text, and lone surrogates.
_HIDDEN = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSHOWABLE = re.compile(f"[{_HIDDEN}]")
_SPECIAL = re.compile(rf"[\\{_HIDDEN}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_BYTES = range(0xDC80, 0xDD00)  # how Python keeps the bytes of a name that are not UTF-8 (PEP 383)
_FORMULA = re.compile("'*[=+@\t\r]|'*-.", re.DOTALL)  # a - alone is the standard input


def printable(text: str) -> str:
    """Return a text as one line for people, which any UTF-8 output can carry."""
    return text if text.isprintable() else _UNSHOWABLE.sub(lambda match: _shown(match[0]), text)


def table_cell(text: str) -> str:
    """Return a text as one cell of a table for people; a backslash becomes two, so that it is no escape."""
    if text.isprintable() and "\\" not in text:
        return text
    return _SPECIAL.sub(lambda match: _shown(match[0]), text)


def csv_cell(text: str) -> str:
    """Return a text as a cell of CSV, as it is; but what a spreadsheet would compute gets an apostrophe before it.

    That is what begins with = + - or @, a tab or a carriage return (OWASP, CSV injection), after apostrophes or none:
    so the one that was added can be taken away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def register() -> None:
    """Make the error handler known to Python's codecs."""
    codecs.register_error(HANDLER, _escape_unencodable)


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_json, error.object[error.start : error.end])), error.end


def _shown(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if character.isascii() else f"\\u{code:04x}"


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1]
