"""What could be done about duplicate groups, as a file that people may read and shorten before anything happens.

    {"simsearch": "plan", "format": 1, "gallery": "/…/indexes/default", "against": null, "threshold": 0.71,
     "protected": ["/…/Originals"], "seal": "…",
     "steps": [{"copy": "/…/a.jpg", "copy_hash": "…", "keep": "/…/b.jpg", "keep_hash": "…", "size": 31234,
                "distance": 0.03, "relation": "near", "looks": ["resized"], "reason": "pixels",
                "companions": [{"path": "/…/a.xmp", "hash": "…"}]}]}

`companions` are files that go along with a copy, such as its sidecar; there need not be any. Steps may be taken out by
hand. The seal covers everything else but the steps; those are checked one by one, against the gallery and the disk,
when they are applied, so an invented step does no harm.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from siamese_search.actions.texts import Damage, absolute_in, object_in, text_in
from siamese_search.atomic import output_file
from siamese_search.errors import PlanError
from siamese_search.gallery import Gallery
from siamese_search.gallery.locations import absolute
from siamese_search.images.files import hash_file
from siamese_search.results import DedupeReport, Relation, companions_of

FORMAT = 1
_MAKE_ONE = "make one with: simsearch dedupe --plan NEW.json"
_MAX_DISTANCE = 2.0
_MAX_BYTES = 4 << 30  # more is no plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A file that goes along with a copy: in the same folder, named after it."""

    path: Path
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One copy that could go because of one keeper; paths are absolute, hashes those of the contents."""

    copy: Path
    copy_hash: str
    keep: Path
    keep_hash: str
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps, and the gallery, threshold and protected folders that they were made under."""

    gallery: str
    against: str | None
    threshold: float
    protected: tuple[Path, ...]
    steps: tuple[Step, ...]


def plan_json(
    report: DedupeReport,
    gallery: Gallery,
    *,
    against: Gallery | None = None,
    protected: Sequence[Path] = (),
    only: Sequence[Relation] = (),
) -> dict[str, Any]:
    """Return the plan of a report as plain data: a step for each copy that is surely one, or of `only` some relations.

    Left out are protected copies, and those that are links, soft or hard: to take one away frees nothing. So are copies
    with a companion that cannot be read, since it would stay behind alone.
    """
    head = plan_head(report, gallery, against=against, protected=protected)
    able = {
        copy: files
        for group in report.groups
        for copy in group.copies
        if group.facts and copy.facts and report.acts_on(copy, only) and not is_link(copy.path)
        if (files := with_hashes((*copy.companions, *(each.path for each in copy.shared)))) is not None
    }
    along = companions_of(able)
    steps = [
        {
            "copy": str(copy.path),
            "copy_hash": copy.facts.content_hash,
            "keep": str(group.keep),
            "keep_hash": group.facts.content_hash,
            "size": copy.facts.size,
            "distance": round(copy.distance, 6),
            "relation": copy.relation.value,
            "looks": [edit.value for edit in copy.looks],
            "reason": group.reason.rule.value if group.reason else None,
            "companions": [file for file in able[copy] if Path(file["path"]) in along[copy.path]],
        }
        for group in report.groups
        for copy in group.copies
        if group.facts and copy.facts and copy in able
    ]
    return {**head, "steps": steps}


def plan_head(
    report: DedupeReport, gallery: Gallery, *, against: Gallery | None = None, protected: Sequence[Path] = ()
) -> dict[str, Any]:
    """Return all of a plan but its steps, with the seal over it.

    Its threshold covers all copies of the report: details find some by way of others, farther than candidates lie.
    """
    farthest = max((copy.distance for group in report for copy in group), default=0.0)
    head = {
        "simsearch": "plan",
        "format": FORMAT,
        "gallery": absolute(gallery.location),
        "against": None if against is None else absolute(against.location),
        "threshold": max(report.threshold.distance, farthest),
        "protected": [str(folder) for folder in protected],
    }
    return {**head, "seal": seal(head)}


def with_hashes(paths: Iterable[Path]) -> list[dict[str, str]] | None:
    """Return files as a plan names them; None when one of them cannot be read."""
    try:
        return [{"path": str(path), "hash": hash_file(path)} for path in paths]
    except OSError:
        return None


def write_plan(
    path: str | Path,
    report: DedupeReport,
    gallery: Gallery,
    *,
    against: Gallery | None = None,
    protected: Sequence[Path] = (),
    only: Sequence[Relation] = (),
) -> None:
    """Write the plan of a report as a file, for `apply_plan`; raises PlanError where one was applied already."""
    path = Path(path)
    if journal_of(path).exists():
        raise PlanError(f"{path}: was applied already, {journal_of(path)} is its journal; choose another name")
    text = json.dumps(plan_json(report, gallery, against=against, protected=protected, only=only), indent=2)
    with output_file(path) as half:
        half.write_text(f"{text}\n", encoding="utf-8")


def journal_of(plan: Path) -> Path:
    """Return where the journal of a plan file lies: beside it."""
    return plan.with_suffix(".journal")


def read_plan(path: Path) -> Plan:
    """Read a plan file; raises PlanError when it is missing, no plan, too new, or was edited beyond its steps."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            path.stat()
            raise PlanError(f"{path}: not a plan: no regular file; {_MAKE_ONE}")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise PlanError(f"{path}: not a plan: no text; {_MAKE_ONE}") from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not a plan ({error}); {_MAKE_ONE}") from error
    if not isinstance(data, dict) or data.get("simsearch") != "plan":
        raise PlanError(f"{path}: not a plan; {_MAKE_ONE}")
    if data.get("format") != FORMAT:
        raise PlanError(f"{path}: a plan of format {data.get('format')!r}, this version reads {FORMAT}; make a new one")
    head = {key: value for key, value in data.items() if key not in {"seal", "steps"}}
    if data.get("seal") != seal(head):
        raise PlanError(f"{path}: edited by hand; steps may be taken out, nothing else may change: make a new plan")
    try:
        return _plan(head, data.get("steps"))
    except Damage as damage:
        raise PlanError(f"{path}: not a plan: {damage}; make a new one") from None


def _plan(head: dict[str, Any], steps: object) -> Plan:
    threshold: Any = head.get("threshold")
    protected = head.get("protected")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold <= _MAX_DISTANCE:  # no NaN is, either
        raise Damage("its threshold is no distance")
    if not isinstance(protected, list):
        raise Damage("it has no list of protected folders")
    if not isinstance(steps, list):
        raise Damage("it has no list of steps")
    return Plan(
        gallery=text_in(head, "gallery"),
        against=None if "against" in head and head["against"] is None else text_in(head, "against"),
        threshold=float(threshold),
        protected=tuple(absolute_in({"protected": folder}, "protected") for folder in protected),
        steps=tuple(_step(number, step) for number, step in enumerate(steps, start=1)),
    )


def _step(number: int, data: object) -> Step:
    try:
        step = object_in(data)
        companions = step.get("companions", [])
        if not isinstance(companions, list):
            raise Damage("it has no list of companions")  # noqa: TRY301
        return Step(
            copy=Path(text_in(step, "copy")),
            copy_hash=text_in(step, "copy_hash"),
            keep=Path(text_in(step, "keep")),
            keep_hash=text_in(step, "keep_hash"),
            companions=tuple(
                Companion(path=absolute_in(along, "path"), content_hash=text_in(along, "hash"))
                for along in map(object_in, companions)
            ),
        )
    except Damage as damage:
        raise Damage(f"step {number}: {damage}") from None


def is_link(path: Path) -> bool:
    """Tell whether a path is or leads through a link, or is one of several names of a file."""
    try:
        return path.lstat().st_nlink > 1 or os.path.realpath(path) != str(path)
    except OSError:  # it is gone: applying the plan will tell
        return False


def seal(head: dict[str, Any]) -> str:
    """Return a checksum of all but the steps, that tells a slip of an editor; it is no signature."""
    return xxhash.xxh3_128_hexdigest(json.dumps(head, sort_keys=True).encode())
