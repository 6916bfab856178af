"""What the API offers, in the words of OpenAPI 3.1: for programs, and for the page that shows it."""

from functools import cache
from typing import Any

from siamese_search.version import __version__
from siamese_search.web.asked import MAX_K
from siamese_search.web.schemas import DISTANCE, NUMBER, SCHEMAS, TEXT, list_of, object_of, ref
from siamese_search.web.thumbnails import SIZES

_ERRORS = {
    400: "Not what it says it is",
    401: "Without the token",
    403: "From another site's page, or not allowed here",
    404: "No such thing",
    405: "Not asked for in this way",
    408: "The body did not come in time",
    409: "Not now: another job is at work, nothing is indexed yet, or its encoder was replaced: index first",
    410: "The file is no longer what it was when it was indexed",
    411: "Without a length",
    413: "Too long",
    415: "Of another content type",
    422: "Options that make no sense",
    429: "Too many ask at once; see Retry-After",
    500: "Something is wrong with the gallery",
    503: "Busy, or it took too long; see Retry-After",
}
_ALWAYS = (400, 401, 403, 411, 413, 429, 500, 503)


def _operation(summary: str, answer: dict[str, Any], *errors: int, status: int = 200, **more: Any) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {
            str(status): {"description": "Done", "content": answer},
            **{
                str(error): {
                    "description": _ERRORS[error],
                    "content": {"application/json": {"schema": ref("Error")}, "text/plain": {"schema": TEXT}},
                }
                for error in sorted({*_ALWAYS, *errors})
            },
        },
        **more,
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": ref(name)}}


def _option(name: str, schema: dict[str, Any], words: str, *, place: str = "query") -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": words}


_ID = _option("id", NUMBER, "The number of a picture or job.", place="path")
_K = _option("k", {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": 20}, "How many to find.")


@cache
def description() -> dict[str, Any]:
    """Return the description, a JSON object."""
    anything = {"application/json": {"schema": {"type": "object"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "simsearch",
            "version": __version__,
            "description": "Finds the same and the similar picture. Bring the token as `Authorization: Bearer TOKEN`.",
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "paths": {
            "/api/search": {
                "post": _operation(
                    "Find what is near a picture, as query --copies does, or near several together, as with --combine.",
                    _json("Found"),
                    404,
                    408,
                    409,
                    410,
                    415,
                    422,
                    operationId="search",
                    parameters=[
                        _K,
                        _option(
                            "threshold",
                            DISTANCE,
                            "In place of the gallery's reach, or without details of its threshold; not for several.",
                        ),
                        _option("details", {"type": "boolean"}, "Look at what is near in detail."),
                    ],
                    requestBody={
                        "required": True,
                        "content": {
                            "image/*": {"schema": {"type": "string", "format": "binary"}},
                            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                            **_json("Question"),
                        },
                    },
                )
            },
            "/api/compare": {
                "post": _operation(
                    "Lay one of two known pictures on the other: do the details agree, and where do they not?",
                    _json("Comparison"),
                    404,
                    408,
                    415,
                    422,
                    operationId="compare",
                    requestBody={"required": True, "content": _json("Pair")},
                )
            },
            "/api/items": {
                "get": _operation(
                    "List pictures, the last indexed first.",
                    _json("Items"),
                    422,
                    operationId="items",
                    parameters=[
                        _option("after", NUMBER, "The `next` of the page before."),
                        _option("limit", {"type": "integer", "minimum": 1, "maximum": 500}, "How many at most."),
                        _option("q", TEXT, "Words that are all in the path."),
                    ],
                )
            },
            "/api/items/{id}": {
                "get": _operation("Describe a picture.", _json("Item"), 404, 422, operationId="item", parameters=[_ID])
            },
            "/api/items/{id}/similar": {
                "get": _operation(
                    "Find what is near a picture of the gallery.",
                    _json("Found"),
                    404,
                    409,
                    422,
                    operationId="similar",
                    parameters=[_ID, _K, _option("details", {"type": "boolean"}, "Look at what is near in detail.")],
                )
            },
            "/api/items/{id}/thumbnail": {
                "get": _operation(
                    "Show a picture, small.",
                    {"image/webp": {"schema": {"type": "string", "format": "binary"}}},
                    404,
                    410,
                    422,
                    operationId="thumbnail",
                    parameters=[_ID, _option("size", {"enum": list(SIZES)}, "Pixels of the longer side.")],
                )
            },
            "/api/jobs": {
                "get": _operation(
                    "List the last jobs.",
                    {"application/json": {"schema": object_of({"jobs": list_of(ref("Job"))})}},
                    operationId="jobs",
                ),
                "post": _operation(
                    "Start a job; one at a time.",
                    _json("Job"),
                    404,
                    408,
                    409,
                    415,
                    422,
                    status=202,
                    operationId="start",
                    requestBody={
                        "required": True,
                        "content": {"application/json": {"schema": ref("Order")}},
                    },
                ),
            },
            "/api/jobs/{id}": {
                "get": _operation("Tell about a job.", _json("Job"), 404, operationId="job", parameters=[_ID])
            },
            "/api/jobs/{id}/events": {
                "get": _operation(
                    "Tell about a job whenever something changes, as server-sent events.",
                    {"text/event-stream": {"schema": TEXT}},
                    404,
                    operationId="events",
                    parameters=[_ID],
                )
            },
            "/api/jobs/{id}/stop": {
                "post": _operation(
                    "Ask a job to end early; what it did stays.",
                    _json("Job"),
                    404,
                    408,
                    415,
                    status=202,
                    operationId="stop",
                    parameters=[_ID],
                    requestBody={"required": True, "content": anything},
                )
            },
            "/api/duplicates": {
                "get": _operation("Return what the last job `dedupe` found.", anything, 409, operationId="duplicates")
            },
            "/api/plans": {
                "get": _operation(
                    "List the plans, the latest first.",
                    {"application/json": {"schema": object_of({"plans": list_of(ref("Plan"))})}},
                    operationId="plans",
                ),
                "post": _operation(
                    "Keep a plan, as the page of the report or `dedupe --plan` makes it, for the jobs apply and undo.",
                    _json("Plan"),
                    408,
                    415,
                    422,
                    status=201,
                    operationId="keep_plan",
                    requestBody={"required": True, "content": anything},
                ),
            },
            "/api/answers": {
                "post": _operation(
                    "Take what a person said about pairs, as CSV with the columns first, second, label.",
                    {"application/json": {"schema": object_of({"answers": NUMBER})}},
                    408,
                    415,
                    422,
                    operationId="answers",
                    requestBody={"required": True, "content": {"text/csv": {"schema": TEXT}}},
                )
            },
            "/api/info": {"get": _operation("Describe the gallery.", anything, 409, operationId="info")},
            "/api/health": {
                "get": _operation("Tell that it is there; needs no token.", anything, operationId="health", security=[])
            },
            "/metrics": {
                "get": _operation(
                    "Tell what was done so far, for Prometheus.",
                    {"text/plain": {"schema": TEXT}},
                    operationId="metrics",
                )
            },
        },
    }
