"""What a request asks for, checked: whatever it holds, it is a value of the right kind and size, or a clear refusal."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from siamese_search.web.app import body_of, json_object, media_type
from siamese_search.web.known import MAX_ID

MAX_K = 500
MAX_PICTURES = 8  # of a kind, in one question
MAX_UPLOAD = 64 << 20  # bytes
_MAX_DISTANCE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to search with: one picture, as the bytes of its file, or several of those that are known already."""

    picture: bytes | None = None
    items: tuple[int, ...] = ()
    uploads: tuple[str, ...] = ()
    k: int = 20
    threshold: float | None = None
    details: bool = True


async def question_in(request: Request) -> Question:
    """Return what a search is asked for: a picture with options in the address, or JSON that names pictures."""
    kind = media_type(request)
    if kind == "application/json":
        return _question(json_object(await body_of(request)))
    if kind == "application/octet-stream" or kind.startswith("image/"):
        options = dict(request.query_params)
        known(options, {"k", "threshold", "details"})
        picture = await body_of(request, MAX_UPLOAD)
        if not picture:
            raise HTTPException(400, "no picture: the body is empty")
        return Question(
            picture=picture,
            k=whole(options.get("k", "20"), "k", most=MAX_K),
            threshold=distance_in(options.get("threshold")),
            details=truth(options.get("details", "true"), "details"),
        )
    raise HTTPException(415, "send a picture as image/... or application/octet-stream, or name pictures in JSON")


def _question(said: Mapping[str, Any]) -> Question:
    items, uploads = pictures_in(said, others=("k", "threshold", "details"))
    return Question(
        items=items,
        uploads=uploads,
        k=_number_in(said, "k", 20),
        threshold=distance_in(said.get("threshold")),
        details=truth_in(said, "details", otherwise=True),
    )


def pictures_in(said: Mapping[str, Any], *, others: Collection[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the ids of items and the names of uploads in JSON that has no options but these and `others`."""
    known(said, {"items", "uploads", *others})
    items, uploads = said.get("items", []), said.get("uploads", [])
    if not (isinstance(items, list) and all(is_whole(item) and 0 <= item <= MAX_ID for item in items)):
        raise HTTPException(422, "items: expected a list of ids")
    if not (isinstance(uploads, list) and all(type(name) is str for name in uploads)):
        raise HTTPException(422, "uploads: expected a list of names")
    if not (items or uploads) or max(len(items), len(uploads)) > MAX_PICTURES:
        raise HTTPException(422, f"items and uploads: name a picture, and at most {MAX_PICTURES} of either")
    return tuple(map(int, items)), tuple(uploads)


def known(options: Mapping[str, Any], names: set[str]) -> None:
    """Refuse an option that does not exist: it was misspelt."""
    for name in options:
        if name not in names:
            raise HTTPException(422, f"{name}: no such option; there are {', '.join(sorted(names))}")


def whole(text: str, name: str, *, least: int = 1, most: int = MAX_ID) -> int:
    """Return a whole number in an address."""
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:  # noqa: PLR2004  digits of 2**63
        return int(text)
    raise HTTPException(422, f"{name}: expected a whole number of {least:,} to {most:,}")


def is_whole(value: object) -> bool:
    """Tell whether a value from JSON is a whole number, which may be written 1.0."""
    return type(value) is int or (type(value) is float and value.is_integer())


def _number_in(said: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = said.get(name, otherwise)
    if is_whole(value) and 1 <= value <= MAX_K:
        return int(value)
    raise HTTPException(422, f"{name}: expected a whole number of 1 to {MAX_K}")


def distance_in(value: object) -> float | None:
    """Return a distance; given as a number in JSON, as text in an address."""
    if value is None:
        return None
    try:
        distance = float(value) if isinstance(value, str | int | float) and type(value) is not bool else -1.0
    except (ValueError, OverflowError):
        distance = -1.0
    if not 0 <= distance <= _MAX_DISTANCE:
        raise HTTPException(422, "threshold: expected a distance of 0 to 2")
    return distance


def truth_in(said: Mapping[str, Any], name: str, *, otherwise: bool) -> bool:
    """Return whether JSON says so."""
    value = said.get(name, otherwise)
    if type(value) is not bool:
        raise HTTPException(422, f"{name}: expected true or false")
    return value


def truth(text: str, name: str) -> bool:
    """Return whether an address says so."""
    if text not in {"true", "false"}:
        raise HTTPException(422, f"{name}: expected true or false")
    return text == "true"
