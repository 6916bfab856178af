r"""Text that any terminal, table and encoding can carry.

A file name may hold anything but a slash and a zero byte: line breaks that split rows, escape sequences that a terminal
obeys, bytes that are no text. People are shown them as Python shows them: `\n`, `\x1b`, `\xe9`. In CSV, where programs
read them, they are written with the escapes of JSON, which `original` turns back.
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
_JSON_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_BYTES = range(0xDC80, 0xDD00)  # how Python keeps the bytes of a name that are not UTF-8 (PEP 383)
_FORMULA = ("=", "+", "-", "@", "'")


def printable(text: str) -> str:
    """Return a text as one line for people, which any UTF-8 output can carry."""
    return _UNSHOWABLE.sub(lambda match: _shown(match[0]), text)


def table_cell(text: str) -> str:
    """Return a text as one cell of a table for people; a backslash becomes two, so that it is no escape."""
    return _SPECIAL.sub(lambda match: _shown(match[0]), text)


def csv_cell(text: str) -> str:
    """Return a text as a cell of CSV on one line, from which `original` has it back.

    A spreadsheet would compute what begins with = + - or @: an apostrophe before it makes it a text, as OWASP advises.
    """
    escaped = _SPECIAL.sub(lambda match: _SHORT.get(match[0]) or _in_json(match[0]), text)
    return f"'{escaped}" if escaped.startswith(_FORMULA) and escaped != "-" else escaped


def original(cell: str) -> str:
    """Return the text that `csv_cell` was given."""
    return _joined(_JSON_ESCAPE.sub(lambda match: json.loads(f'"{match[0]}"'), cell.removeprefix("'")))


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


def _joined(text: str) -> str:
    """Return a text whose pairs of surrogates, as an encoding without the character got them, are one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
