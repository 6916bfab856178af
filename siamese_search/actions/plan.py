"""What could be done about duplicate groups, as a file that people may read and shorten before anything happens.

    {"simsearch": "plan", "format": 1, "gallery": "/…/indexes/default", "against": null, "threshold": 0.71,
     "protected": ["/…/Originals"], "seal": "…",
     "steps": [{"copy": "/…/a.jpg", "copy_hash": "…", "keep": "/…/b.jpg", "keep_hash": "…", "size": 31234,
                "distance": 0.03, "relation": "near", "looks": ["resized"], "reason": "pixels"}]}

Steps may be taken out by hand. The seal covers everything else but the steps; those are checked one by one, against the
gallery and the disk, when they are applied, so an invented step does no harm.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from siamese_search.atomic import whole_file
from siamese_search.errors import PlanError
from siamese_search.gallery import Gallery
from siamese_search.gallery.locations import absolute
from siamese_search.results import DedupeReport, Relation

FORMAT = 1
_TEXTS = ("copy", "copy_hash", "keep", "keep_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One copy that could go because of one keeper; paths are absolute, hashes those of the contents."""

    copy: Path
    copy_hash: str
    keep: Path
    keep_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps, and the gallery, threshold and protected folders that they were made under."""

    gallery: Path
    against: Path | None
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

    Protected copies are left out.
    """
    hashes = {item.path: item.content_hash for item in gallery.items()}
    kept = hashes if against is None else {item.path: item.content_hash for item in against.items()}
    head = {
        "simsearch": "plan",
        "format": FORMAT,
        "gallery": absolute(gallery.location),
        "against": None if against is None else absolute(against.location),
        "threshold": report.threshold.distance,
        "protected": [str(folder) for folder in protected],
    }
    steps = [
        {
            "copy": str(copy.path),
            "copy_hash": hashes[copy.path],
            "keep": str(group.keep),
            "keep_hash": kept[group.keep],
            "size": copy.facts.size if copy.facts else None,
            "distance": round(copy.distance, 6),
            "relation": copy.relation.value,
            "looks": [edit.value for edit in copy.looks],
            "reason": group.reason.rule.value if group.reason else None,
        }
        for group in report.groups
        for copy in group.copies
        if report.acts_on(copy, only)
    ]
    return {**head, "seal": _seal(head), "steps": steps}


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
    with whole_file(path) as half:
        half.write_text(f"{text}\n", encoding="utf-8")


def journal_of(plan: Path) -> Path:
    """Return where the journal of a plan file lies: beside it."""
    return plan.with_suffix(".journal")


def read_plan(path: Path) -> Plan:
    """Read a plan file; raises PlanError when it is missing, no plan, too new, or was edited beyond its steps."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not a plan: {error}") from error
    if not isinstance(data, dict) or data.get("simsearch") != "plan":
        raise PlanError(f"{path}: not a plan; make one with: simsearch dedupe --plan {path}")
    if data.get("format") != FORMAT:
        raise PlanError(f"{path}: a plan of format {data.get('format')}, this version reads {FORMAT}; make a new one")
    head = {key: value for key, value in data.items() if key not in {"seal", "steps"}}
    if data.get("seal") != _seal(head):
        raise PlanError(f"{path}: edited by hand; steps may be taken out, nothing else may change: make a new plan")
    steps = data.get("steps")
    if not isinstance(steps, list):
        raise PlanError(f"{path}: has no list of steps; make a new plan")
    return Plan(
        gallery=Path(head["gallery"]),
        against=None if head["against"] is None else Path(head["against"]),
        threshold=head["threshold"],
        protected=tuple(map(Path, head["protected"])),
        steps=tuple(_step(path, number, step) for number, step in enumerate(steps, start=1)),
    )


def _step(path: Path, number: int, step: object) -> Step:
    if not isinstance(step, dict) or not all(isinstance(step.get(key), str) for key in _TEXTS):
        raise PlanError(f"{path}: step {number} needs the texts {', '.join(_TEXTS)}; make a new plan")
    return Step(
        copy=Path(step["copy"]), copy_hash=step["copy_hash"], keep=Path(step["keep"]), keep_hash=step["keep_hash"]
    )


def _seal(head: dict[str, Any]) -> str:
    """Return a checksum that tells a slip of an editor; it is no signature."""
    return xxhash.xxh3_128_hexdigest(json.dumps(head, sort_keys=True).encode())
