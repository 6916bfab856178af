r"""What a page needs to let a person choose: which copies a plan may name, and for which keeper.

A page makes no step up: it picks among pictures that a report has compared, with their paths and checksums of that
moment, and the plan that it saves is checked by `apply` like any other, file by file. What was not compared cannot be
picked.

    {"id": "…", "plan": "{\"simsearch\": \"plan\", …}", "only": ["identical", …], "may": ["identical", …, "altered"],
     "finer": 2.0, "fixed": false,
     "groups": [{"members": [{"path": "/…/b.jpg", "hash": "…", "size": 51234, "frees": 51234, "pixels": 90000,
                              "blocked": ""},
                             {"path": "/…/a.jpg", "hash": "…", "size": 31234, "frees": 31234, "pixels": 40000,
                              "blocked": "", "relation": "confirmed", "distance": 0.03, "looks": ["resized"],
                              "along": [], "knows": [["keywords", "…"]],
                              "shared": [{"path": "/…/a.mov", "hash": "…", "of": ["/…/a.jpg", "/…/a.heic"]}],
                              "acts": true}],
                 "reason": "pixels", "pairs": [[1, 2, "confirmed"]]}]}

The first member of a group is its keeper. What a picture `knows`, and the one kept does not, lets it stay where nobody
ticks it. What is `shared` goes along with the last of the pictures that it is `of`, if all go. `plan` is a text, and
stays one: the checksum in it is that of the very numbers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from siamese_search.actions.plan import is_link, plan_head, with_hashes
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in
from siamese_search.results import FINER, SAFE_RELATIONS, Copy, DedupeReport, DuplicateGroup, Facts, Relation

_PROTECTED = "protected"
_LINK = "a link, frees nothing"
_UNKNOWN = "not in the gallery"


def choices_json(
    report: DedupeReport,
    gallery: Gallery,
    *,
    against: Gallery | None = None,
    protected: Sequence[Path] = (),
    only: Sequence[Relation] = (),
) -> dict[str, Any]:
    """Return what may be chosen about a report, as plain data, groups in its order.

    Chosen at first is what `plan_json` would plan. `only` and `may` are the relations that are acted on when another
    keeper is chosen, and those that a person may choose one by one; what has `finer` times the pixels of the one kept
    is never chosen by itself. `fixed`: keepers are another gallery's.
    """
    safe = only or (*SAFE_RELATIONS, *([Relation.NEAR] if report.details is None else []))
    data = {
        "plan": json.dumps(plan_head(report, gallery, against=against, protected=protected)),
        "only": [relation.value for relation in safe],
        "may": [relation.value for relation in dict.fromkeys((*SAFE_RELATIONS, *safe, Relation.ALTERED))],
        "finer": FINER,
        "fixed": against is not None,
        "groups": [_group(group, report, protected, only) for group in report.groups],
    }
    return {"id": xxhash.xxh3_64_hexdigest(json.dumps(data).encode()), **data}


def _group(
    group: DuplicateGroup, report: DedupeReport, protected: Sequence[Path], only: Sequence[Relation]
) -> dict[str, Any]:
    return {
        "members": [_keeper(group, protected), *(_copy(copy, report, only) for copy in group.copies)],
        "reason": group.reason.rule.value if group.reason else None,
        "pairs": [[pair.keep, pair.copy, pair.relation.value] for pair in group.pairs],
    }


def _keeper(group: DuplicateGroup, protected: Sequence[Path]) -> dict[str, Any]:
    blocked = _blocked(group.keep, group.facts, is_protected=lies_in(group.keep, protected))
    belonging = (*group.companions, *(each.path for each in group.shared))
    if not blocked and belonging:
        blocked = f"{', '.join(path.name for path in belonging)} would stay behind alone"
    return {**_facts(group.keep, group.facts), "blocked": blocked}


def _copy(copy: Copy, report: DedupeReport, only: Sequence[Relation]) -> dict[str, Any]:
    blocked = _blocked(copy.path, copy.facts, is_protected=copy.protected)
    along = [] if blocked else with_hashes(copy.companions)
    shared = [] if blocked else with_hashes(each.path for each in copy.shared)
    if along is None or shared is None:
        blocked = "a file that belongs to it cannot be read"
    return {
        **_facts(copy.path, copy.facts),
        **({"frees": 0} if copy.linked else {}),
        "blocked": blocked,
        "relation": copy.relation.value,
        "distance": round(copy.distance, 6),
        "looks": [edit.value for edit in copy.looks],
        "along": along or [],
        "shared": [
            {**file, "of": [str(picture) for picture in each.pictures]}
            for file, each in zip(shared or (), copy.shared, strict=False)
        ],
        "acts": not blocked and report.acts_on(copy, only),
    }


def _facts(path: Path, facts: Facts | None) -> dict[str, Any]:
    size, pixels = (facts.size, facts.width * facts.height) if facts else (0, 0)
    return {
        "path": str(path),
        "hash": facts.content_hash if facts else "",
        "size": size,
        "frees": size,
        "pixels": pixels,
        "knows": list(map(list, facts.entries)) if facts else [],
    }


def _blocked(path: Path, facts: Facts | None, *, is_protected: bool) -> str:
    """Say why a picture is never acted on, "" where nothing speaks against it."""
    if is_protected:
        return _PROTECTED
    if facts is None:
        return _UNKNOWN
    return _LINK if is_link(path) else ""
