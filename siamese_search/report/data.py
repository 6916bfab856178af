"""Results as plain data for scripts: dicts with the stable JSON keys, and CSV tables.

The keys and column names are an interface: they are added to, never renamed. A cell of CSV holds a name as
it is, bytes that are no UTF-8 as Python's surrogates; but see `csv_cell`.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from siamese_search.escapes import csv_cell, printable
from siamese_search.report.words import reason_words
from siamese_search.results import (
    ActionReport,
    Calibration,
    DedupeReport,
    DuplicateGroup,
    Facts,
    GalleryInfo,
    Item,
    Relation,
    SearchReport,
    Skipped,
    SyncReport,
    Threshold,
    VerifyReport,
    companions_of,
)

SEARCH_COLUMNS = ("query", "rank", "path", "distance", "duplicate", "kind", "relation", "group")
DEDUPE_COLUMNS = ("group", "role", "path", "distance", "relation", "looks", "size", "reason", "planned", "holds")

_DIGITS = 6  # of a distance: float32 carries no more


def sync_json(report: SyncReport) -> dict[str, Any]:
    """Return what `index` did."""
    return {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "skipped": _skipped(report.skipped),
        "images": report.images,
        "seconds": round(report.seconds, 3),
        "index": report.index,
        "stopped": report.stopped,
        "left_out": {entry.kind: entry.count for entry in report.left_out},
        "noted": [{"path": str(entry.path), "note": entry.note} for entry in report.noted],
        "re_embedded": report.re_embedded,
    }


def search_json(report: SearchReport, *, copies: bool = False) -> dict[str, Any]:
    """Return what `query` found, queries in the order they were asked, hits nearest first.

    `rank` counts the hits and `group` the different pictures: with `copies` all copies of a picture are hits of its
    group, and without they are counted. `threshold` is the distance within which a hit may be the same picture: where
    details decide it is the gallery's `reach`, which is null where distance alone does. `kind` says what a hit is
    (`HitKind`), `relation` how sure that is; null where nothing says that it is the same picture. `alike` is null where
    nobody knows up to which distance pictures look so.
    """
    return {
        "threshold": round(report.threshold.distance, _DIGITS),
        "reach": round(report.threshold.distance, _DIGITS) if report.details else None,
        "queries": [
            {
                "query": result.query,
                "hits": [
                    {
                        "rank": rank,
                        "path": str(hit.path),
                        "distance": round(hit.distance, _DIGITS),
                        "duplicate": hit.duplicate,
                        "kind": hit.kind.value,
                        "relation": hit.relation.value if hit.relation else None,
                        "group": hit.rank,
                        "copies": len(hit.copies),
                    }
                    for rank, hit in enumerate(result.files(copies=copies), start=1)
                ],
                "alike": None if result.alike is None else round(result.alike, _DIGITS),
                "nothing_alike": result.nothing_alike,
            }
            for result in report.queries
        ],
    }


def item_json(item: Item) -> dict[str, Any]:
    """Return one picture of a gallery, `path` as it is, `name` and `folder` as they are to be shown.

    `modified` is in seconds since 1970, null where it is not known for sure.
    """
    return {
        "id": item.id,
        "path": str(item.path),
        "name": printable(item.path.name),
        "folder": printable(str(item.path.parent)),
        "size": item.size,
        "width": item.width,
        "height": item.height,
        "format": item.format,
        "modified": item.mtime_ns // 10**9 or None,
    }


def info_json(info: GalleryInfo) -> dict[str, Any]:
    """Return the description of a gallery; `folder`, as it was called once, is its location."""
    return {**asdict(info), "folder": info.location, "roots": list(map(str, info.roots))}


def calibrate_json(calibration: Calibration, before: Threshold) -> dict[str, Any]:
    """Return what `calibrate` found, and the threshold that was in force `before`."""
    return {**asdict(calibration), "before": asdict(before)}


def verify_json(report: VerifyReport) -> dict[str, Any]:
    """Return what `verify` found; `files` is null where they were not looked at, `images` where none can be counted."""
    return {**asdict(report), "files": None if report.files is None else _skipped(report.files)}


def dedupe_json(report: DedupeReport, only: Sequence[Relation] = ()) -> dict[str, Any]:
    """Return what `dedupe` found; `expected_precision`, of photos, is null where nobody measured it.

    `threshold` is the distance within which copies were looked for: where details decide it is the gallery's `reach`,
    which is null where distance alone does. `planned` tells of each copy whether a plan would act on it, as `plan`
    counts: by default, or on `only` some relations. `looks` is an impression, of small pictures; sizes are in bytes,
    null where they are unknown. `holds` is what a copy's file knows and the keeper's does not: then it stays.
    `coverage` tells whether all pictures were compared with all; if not, how many of the pairs that `sampled` pictures
    have were found.
    """
    planned = [copy for group in report for copy in group if report.acts_on(copy, only)]
    along = companions_of(planned)
    return {
        "threshold": round(report.threshold.distance, _DIGITS),
        "reach": None if report.details is None else round(report.threshold.distance, _DIGITS),
        "expected_precision": report.threshold.expected_precision,
        "images": report.images,
        "groups": [_group(group, along) for group in report.groups],
        "plan": {"copies": len(planned), "bytes": sum(copy.facts.size for copy in planned if copy.facts)},
        "skipped": _skipped(report.skipped),
        "against": report.against,
        "coverage": {
            "exact": report.coverage.exact,
            "sampled": report.coverage.sampled,
            "known": report.coverage.known,
            "found": report.coverage.found,
        },
        "details": None if report.details is None else asdict(report.details),
        "check": None if report.check is None else asdict(report.check),
        "bursts": [
            {
                "pictures": [str(path) for path in burst.pictures],
                "sharpest": str(burst.sharpest) if burst.sharpest else None,
            }
            for burst in report.bursts
        ],
    }


def _group(group: DuplicateGroup, along: Mapping[Path, Sequence[Path]]) -> dict[str, Any]:
    """Return a group; `along` holds what goes along with each copy that a plan acts on."""
    return {
        "keep": str(group.keep),
        "copies": [
            {
                "path": str(copy.path),
                "distance": round(copy.distance, _DIGITS),
                "relation": copy.relation.value,
                "looks": [edit.value for edit in copy.looks],
                "size": copy.facts.size if copy.facts else None,
                "reviewed": copy.reviewed,
                "protected": copy.protected,
                "linked": copy.linked,
                "holds": list(copy.holds),
                "companions": [str(path) for path in along.get(copy.path, copy.companions)],
                "differences": [list(box) for box in copy.differences],
                "loss": copy.loss.value if copy.loss else None,
                "planned": copy.path in along,
            }
            for copy in group.copies
        ],
        "size": group.facts.size if group.facts else None,
        "rule": group.reason.rule.value if group.reason else None,
        "reason": reason_words(group.reason),
        "links": [str(path) for path in group.links],
    }


def action_json(report: ActionReport) -> dict[str, Any]:
    """Return what `apply` or `undo` did; `journal` is null after a dry run."""
    return {
        "action": report.action,
        "undo": report.undo,
        "done": list(map(str, report.done)),
        "refused": [{"path": str(refused.path), "reason": refused.reason} for refused in report.refused],
        "reasons": refused_by_reason(report),
        "already": report.already,
        "bytes": report.size,
        "journal": str(report.journal) if report.journal else None,
        "places": list(map(str, report.places)),
        "note": report.note or None,
    }


def refused_by_reason(report: ActionReport) -> dict[str, int]:
    """Count the refusals of `apply` or `undo` by reason, most frequent first; a path that ends a reason counts not."""
    reasons = Counter(refused.reason.partition(": /")[0] for refused in report.refused)
    return dict(reasons.most_common())


def json_text(data: dict[str, Any]) -> str:
    r"""Return the JSON text of one object, in pure ASCII.

    ASCII prints on every terminal, and a path that is not valid UTF-8 stays exact: its bytes become `\udcXX` escapes,
    which `json.loads` and `os.fsencode` turn back into the same bytes.
    """
    return json.dumps(data, indent=2)


def search_csv(report: SearchReport, *, copies: bool = False) -> str:
    """Return one row a hit, with the values of `search_json`: `duplicate` is true or false."""
    return _csv(
        SEARCH_COLUMNS,
        (
            (
                result.query,
                rank,
                hit.path,
                f"{hit.distance:.{_DIGITS}f}",
                str(hit.duplicate).lower(),
                hit.kind.value,
                hit.relation.value if hit.relation else "",
                hit.rank,
            )
            for result in report.queries
            for rank, hit in enumerate(result.files(copies=copies), start=1)
        ),
    )


def dedupe_csv(report: DedupeReport, only: Sequence[Relation] = ()) -> str:
    """Return one row a picture: group (from 1), role (keep or copy), path, for copies distance, relation and looks.

    `size` is in bytes, `reason` says why the keeper is kept, `planned` (true or false) whether a plan would act on a
    copy, by default or on `only` some relations, and `holds` what its file knows that the keeper's does not.
    """
    rows: list[tuple[object, ...]] = []
    for number, group in enumerate(report.groups, start=1):
        rows.append(
            (number, "keep", group.keep, "", "", "", _file_size(group.facts), reason_words(group.reason), "", "")
        )
        rows.extend(
            (
                number,
                "copy",
                copy.path,
                f"{copy.distance:.{_DIGITS}f}",
                copy.relation.value,
                " ".join(copy.looks),
                _file_size(copy.facts),
                "",
                str(report.acts_on(copy, only)).lower(),
                ", ".join(copy.holds),
            )
            for copy in group.copies
        )
    return _csv(DEDUPE_COLUMNS, rows)


def _file_size(facts: Facts | None) -> object:
    return facts.size if facts else ""


def _skipped(skipped: Iterable[Skipped]) -> list[dict[str, str]]:
    return [{"path": str(item.path), "reason": item.reason} for item in skipped]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        cells = [csv_cell(str(value)) for value in row]
        # Python's writer does not see a carriage return for the end of a line, which readers do.
        (quoted if any("\r" in cell for cell in cells) else writer).writerow(cells)
    return text.getvalue()
