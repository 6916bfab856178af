"""What is said over HTTP: the values of the API, as JSON Schema."""

from typing import Any

from siamese_search.results import HitKind, Relation
from siamese_search.web.asked import MAX_K, MAX_PICTURES
from siamese_search.web.known import MAX_ID

NUMBER = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
TEXT = {"type": "string"}
DISTANCE = {"type": "number", "minimum": 0, "maximum": 2}


def object_of(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    """Return an object that has all of the properties, but perhaps not the `optional` ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a value that may be missing."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a list of such values."""
    return {"type": "array", "items": schema}


def ref(name: str) -> dict[str, Any]:
    """Return one of the `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _order(kind: str, *required: str, **options: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"kind": {"const": kind}, **options},
        "required": ["kind", *required],
        "additionalProperties": False,
    }


def _named(**counts: int) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {"items": NUMBER, "uploads": TEXT}
    lists = {name: {**list_of(kinds[name]), "minItems": count, "maxItems": count} for name, count in counts.items()}
    return {**object_of(lists), "additionalProperties": False}


SCHEMAS = {
    "Error": object_of({"error": TEXT}),
    "Item": object_of(
        {
            "id": NUMBER,
            "path": TEXT,
            "name": TEXT,
            "folder": TEXT,
            "size": NUMBER,
            "width": NUMBER,
            "height": NUMBER,
            "format": TEXT,
            "modified": or_null({"type": "integer"}),
        }
    ),
    "Hit": object_of(
        {
            "rank": NUMBER,
            "path": TEXT,
            "distance": DISTANCE,
            "duplicate": {"type": "boolean"},
            "kind": {"enum": [kind.value for kind in HitKind]},
            "relation": or_null({"enum": [relation.value for relation in Relation]}),
            "group": NUMBER,
            "copies": NUMBER,
            "item": or_null(ref("Item")),
        }
    ),
    "Found": object_of(
        {
            "threshold": DISTANCE,
            "reach": or_null(DISTANCE),
            "queries": list_of(
                object_of(
                    {
                        "query": TEXT,
                        "hits": list_of(ref("Hit")),
                        "alike": or_null(DISTANCE),
                        "nothing_alike": {"type": "boolean"},
                    }
                )
            ),
            "upload": TEXT,
        },
        "upload",
    ),
    "Items": object_of({"items": list_of(ref("Item")), "total": or_null(NUMBER), "next": or_null(NUMBER)}),
    "Comparison": object_of(
        {
            "verdict": {"enum": ["confirmed", "altered", "alike", "unchecked"]},
            "relation": or_null({"enum": [relation.value for relation in Relation if relation is not Relation.NEAR]}),
            "agreement": {"type": "number"},
            "covers": {"type": "number"},
            "covered": {"type": "number"},
            "matches": NUMBER,
            "mirrored": {"type": "boolean"},
            "inverted": {"type": "boolean"},
            "recoloured": {"type": "boolean"},
            "turned": {"type": "number"},
            "transform": list_of(list_of({"type": "number"})),
            "differences": list_of(list_of({"type": "number"})),
            "differences_in_second": list_of(list_of({"type": "number"})),
            "largest": {"type": "number"},
            "only_first": {"type": "number"},
            "only_second": {"type": "number"},
            "drawn": {"type": "boolean"},
        }
    ),
    "Pair": {"oneOf": [_named(items=2), _named(items=1, uploads=1), _named(uploads=2)]},
    "Job": object_of(
        {
            "id": NUMBER,
            "kind": TEXT,
            "state": {"enum": ["running", "done", "stopped", "failed"]},
            "done": NUMBER,
            "total": NUMBER,
            "error": or_null(TEXT),
            "result": or_null({"type": "object"}),
        }
    ),
    "Plan": object_of({"plan": NUMBER, "steps": NUMBER, "applied": NUMBER}),
    "Order": {
        "oneOf": [_order(kind) for kind in ("sync", "calibrate", "questions", "map")]
        + [
            _order("dedupe", threshold=or_null(DISTANCE), details={"type": "boolean"}, exact={"type": "boolean"}),
            _order("apply", "plan", "to", plan=NUMBER, to={"enum": ["trash", "hardlink"]}, dry_run={"type": "boolean"}),
            _order("undo", "plan", plan=NUMBER),
        ]
    },
    "Question": {
        **object_of(
            {
                "items": {**list_of(NUMBER), "maxItems": MAX_PICTURES},
                "uploads": {**list_of(TEXT), "maxItems": MAX_PICTURES},
                "k": {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": 20},
                "threshold": or_null(DISTANCE),
                "details": {"type": "boolean", "default": True},
            },
            "items",
            "uploads",
            "k",
            "threshold",
            "details",
        ),
        "additionalProperties": False,
        "anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("items", "uploads")],
    },
}


def kind_words(schema: dict[str, Any]) -> str:  # noqa: PLR0911  a table of cases
    """Say what kind of value a schema describes."""
    match schema:
        case {"$ref": reference}:
            return str(reference).rsplit("/", 1)[1]
        case {"anyOf": [kind, {"type": "null"}]}:
            return f"{kind_words(kind)} or null"
        case {"const": value}:
            return str(value)
        case {"enum": values}:
            return ", ".join(map(str, values))
        case {"type": "array", "items": kind}:
            return f"list of {kind_words(kind)}"
        case {"format": "binary"}:
            return "the file"
        case {"properties": properties}:
            return f"object of {', '.join(properties)}"
        case _:
            return str(schema["type"])
