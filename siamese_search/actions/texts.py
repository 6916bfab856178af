"""Values of a file that anybody may have changed: taken only where they are of the right type and in range."""

import base64
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

_MAX_NUMBER = 1 << 64
_MAX_TIME = 1 << 90  # nanoseconds; 64 bits hold only some centuries of them


class Damage(Exception):  # noqa: N818  it is caught and named where the file is known
    """What is wrong with a line."""


def object_in(data: object) -> dict[str, Any]:
    """Return an object; raises Damage."""
    if not isinstance(data, dict):
        raise Damage("it has something else where an object should be")
    return data


def text_in(data: dict[str, Any], key: str, pattern: re.Pattern[str] | None = None) -> str:
    """Return the text `key`, which fits a pattern and could be a path; raises Damage."""
    text = data.get(key)
    if not isinstance(text, str) or not is_name(text) or not (pattern is None or pattern.fullmatch(text)):
        raise Damage(f"its {key} is missing, or no such thing")
    return text


def is_name(text: str) -> bool:
    """Tell whether a text can be a path."""
    try:
        return b"\0" not in os.fsencode(text) and bool(text)
    except UnicodeEncodeError:
        return False


def absolute_in(data: dict[str, Any], key: str) -> Path:
    """Return the absolute path `key`; raises Damage."""
    text = text_in(data, key)
    if not is_absolute(text):
        raise Damage(f"its {key} is no absolute path")
    return Path(text)


def is_absolute(text: str) -> bool:
    """Tell whether a text is an absolute path without detours."""
    return text[:1] == "/" != text[1:2] and str(PurePosixPath(text)) == text and ".." not in PurePosixPath(text).parts


def relative_in(data: dict[str, Any], key: str) -> str:
    """Return the path `key`, which leads nowhere but down; raises Damage."""
    text = text_in(data, key)
    path = PurePosixPath(text)
    if path.is_absolute() or str(path) != text or ".." in path.parts or text == ".":
        raise Damage(f"its {key} leads out of its root")
    return text


def number_in(data: dict[str, Any], key: str, end: int) -> int:
    """Return the whole number `key` in [0, end); raises Damage."""
    number = data.get(key)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < end:
        raise Damage(f"its {key} is out of range")
    return number


def number_or_none_in(data: dict[str, Any], key: str, end: int = _MAX_NUMBER) -> int | None:
    """Return the whole number `key`, or None where there is none; raises Damage."""
    return None if data.get(key) is None else number_in(data, key, end)


def is_base64(text: object) -> bool:
    """Tell whether a value is a text of base64."""
    try:
        return isinstance(text, str) and base64.b64decode(text, validate=True) is not None
    except ValueError:
        return False


def time_in(data: dict[str, Any], key: str) -> int:
    """Return the time `key` in nanoseconds; raises Damage."""
    time = data.get(key)
    if not isinstance(time, int) or isinstance(time, bool) or not -_MAX_TIME < time < _MAX_TIME:
        raise Damage(f"its {key} is no time")
    return time
