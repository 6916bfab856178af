"""Figures and file names in words for people, the same in terminal, page and contact sheet."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from siamese_search.results import (
    SAFE_RELATIONS,
    ActionReport,
    Copy,
    Coverage,
    DedupeReport,
    DetailCheck,
    Hit,
    HitKind,
    Loss,
    QueryResult,
    Reason,
    Relation,
    Rule,
    Threshold,
    ThresholdSource,
)

SOURCES = {
    ThresholdSource.OPTION: "given by hand",
    ThresholdSource.ENCODER: "from the encoder's calibration",
    ThresholdSource.GALLERY: "measured on this gallery's own pictures",
    ThresholdSource.PAIRS: "measured on pairs that a person labelled",
}
_RELATIONS = {
    Relation.IDENTICAL: "identical",
    Relation.SAME_PIXELS: "same pixels",
    Relation.CONFIRMED: "confirmed",
    Relation.ALTERED: "altered",
    Relation.NEAR: "near",
    Relation.UNCHECKED: "unchecked",
}
_KINDS = {
    HitKind.SAME: "the same",
    HitKind.ALTERED: "the same in part",
    HitKind.ALIKE: "looks alike",
    HitKind.NEAREST: "nearest",
}
_LOSSES = {Loss.SCENE: "shows more than the one kept", Loss.DETAILS: "has more detail than the one kept"}
_REASONS = {
    Rule.PROTECTED: "protected: in {0}",
    Rule.PREFERRED: "preferred: in {0}",
    Rule.CAMERA: "as a camera wrote it: {0}, next {1}",
    Rule.NOT_DERIVED: "{0}, next {1}",
    Rule.ORIGINAL_NAME: "by its name {0}, next {1}",
    Rule.COMPANIONS: "with {0} that belong to it, next {1}",
    Rule.METADATA: "its data say more: {0}, next {1}",
    Rule.SOURCE: "source of the others: {0}, next {1}",
    Rule.PIXELS: "most pixels: {0}, next {1}",
    Rule.DEPTH: "deepest colours: {0} bits a channel, next {1}",
    Rule.LOSSLESS: "lossless: {0}, next {1}",
    Rule.FORMAT: "the more original format: {0}, next {1}",
    Rule.SIZE: "largest file: {0}, next {1}",
    Rule.OLDEST: "oldest: {0}, next {1}",
    Rule.NEWEST: "newest: {0}, next {1}",
    Rule.SHORTEST_PATH: "shortest path, equal in all else",
    Rule.NAME: "first by name, equal in all else",
    Rule.AGAINST: "in the gallery compared with",
}
_PAST = {"trash": "put in the trash", "move": "moved", "hardlink": "made hard links", "reflink": "made to share blocks"}
_NOT_OF_PAGES = "pages, screens and drawings lie nearer to one another, and only their details tell them apart"
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def human_bytes(count: int) -> str:
    """Return a size in powers of 1000 and three digits, as file managers show it: "312 KB"."""
    power = min((len(str(count)) - 1) // 3, len(_UNITS) - 1)
    size = count / 1000**power
    digits = 0 if power == 0 else max(0, 3 - len(str(int(size))))
    return f"{size:,.{digits}f} {_UNITS[power]}"


def relation_words(relation: Relation) -> str:
    """Say how a copy relates to its keeper."""
    return _RELATIONS[relation]


def note_words(copy: Copy) -> str:
    """Say what else is known of a copy, "" if nothing; what its edit looks like is named as an impression."""
    notes = [f"looks {' and '.join(edit.value for edit in copy.looks)}"] if copy.looks else []
    if copy.loss:
        notes.append(_LOSSES[copy.loss])
    if copy.reviewed:
        notes.append("the same, you said")
    if copy.protected:
        notes.append("protected")
    if copy.linked:
        notes.append("linked, frees nothing")
    if copy.holds:
        notes.append(f"holds {joined_words(copy.holds)} that the kept one lacks")
    if copy.companions:
        notes.append(f"with {', '.join(path.name for path in copy.companions)}")
    for each in copy.shared:
        others = sorted(path.name for path in each.pictures if path != copy.path)
        notes.append(f"{each.path.name} belongs to it and to {joined_words(others)}")
    return ", ".join(notes)


def kind_words(copy: Copy) -> str:
    """Say both in one line."""
    return ", ".join(filter(None, (relation_words(copy.relation), note_words(copy))))


def hit_words(hit: Hit) -> str:
    """Say what a hit is: "the same, confirmed", "looks alike"."""
    if hit.relation is None or hit.kind is HitKind.ALTERED:
        return _KINDS[hit.kind]
    return f"{_KINDS[hit.kind]}, {relation_words(hit.relation)}"


def copies_words(hit: Hit) -> str:
    """Say how many more copies of a hit there are, "" without any."""
    return f"+{counted(len(hit.copies), 'copy', 'copies')}" if hit.copies else ""


def nothing_words(result: QueryResult) -> str:
    """Say that nothing is like the query, and how near the nearest lies."""
    if not result.hits:
        return "nothing like it here"
    return f"nothing like it here (the nearest lies at {result.hits[0].distance:.3f}; --nearest lists them)"


def reason_words(reason: Reason | None) -> str:
    """Say why a keeper is kept: the first rule in which it beats the best of its copies."""
    if reason is None:
        return ""
    ways = _WAYS.get(reason.rule, (str,))
    shown = ("", "")
    for way in ways:  # until the two differ, as they do
        one, other = (way(value) if isinstance(value, int) else value for value in (reason.keeper, reason.runner_up))
        shown = one, other
        if one != other:
            break
    return _REASONS[reason.rule].format(*shown)


def _moment(digits: int) -> Callable[[int], str]:
    """Return what shows nanoseconds since 1970 to the minute, to the second, or to so many `digits` of it."""

    def shown(moment_ns: int) -> str:
        second, fraction = divmod(moment_ns, 10**9)
        try:
            minute = datetime.fromtimestamp(second)  # noqa: DTZ006  as the clocks of this machine show it
        except (OverflowError, ValueError, OSError):
            return f"{moment_ns:,} ns since 1970"
        if digits < 0:
            return f"{minute:%Y-%m-%d %H:%M}"
        return f"{minute:%Y-%m-%d %H:%M:%S}" + (f".{fraction:09}"[: digits + 1] if digits else "")

    return shown


_MOMENTS = tuple(map(_moment, (-1, 0, 2, 6, 9)))
_WAYS: dict[Rule, tuple[Callable[[int], str], ...]] = {
    Rule.SIZE: (human_bytes, "{:,} bytes".format),
    Rule.OLDEST: _MOMENTS,
    Rule.NEWEST: _MOMENTS,
}


def threshold_sentence(threshold: Threshold, *, found: int) -> str:
    """Say which distance decides, where it comes from, and how many of the `found` copies may be false."""
    rule = (
        f"By distance alone: pictures count as copies within the threshold, {threshold.distance:.3f},"
        f" {SOURCES[threshold.source]}"
    )
    if threshold.expected_precision is None:
        return f"{rule}; how often it errs has not been measured."
    expected = f"{rule}. Were all of them photos, {share_words(threshold.expected_precision)} should be true copies"
    false = (1 - threshold.expected_precision) * found
    of_these = f" ({'fewer than one' if false < 1 else f'about {false:,.0f}'} of {found:,} false)" if found else ""
    return f"{expected}{of_these}; {_NOT_OF_PAGES}."


def share_words(share: float) -> str:
    """Say an estimated share in per cent, which is never everything: that would want a proof."""
    return "more than 99.9%" if share > 0.999 else f"{share:.1%}"  # noqa: PLR2004


def details_sentence(report: DedupeReport) -> str:
    """Say what was looked at in detail and what that showed, or by what distance alone decided."""
    found = sum(map(len, report))
    counts = report.details
    if counts is None:
        return threshold_sentence(report.threshold, found=found)
    said = (
        f"Details of {counted(counts.compared, 'pair')} within reach, {report.threshold.distance:.3f}, were compared:"
        f" {counts.confirmed:,} confirmed, {counts.altered:,} altered, {counts.alike:,} alike"
    )
    said += f", {counts.unchecked:,} unchecked" if counts.unchecked else ""
    if counts.left_out:
        return f"{said}. Not compared: {counted(counts.left_out, 'pair')} beyond the nearest few of each picture."
    return f"{said}."


def promise_sentence(check: DetailCheck | None) -> str:
    """Say what details are worth in a gallery, as far as that was measured; "" where it was not."""
    if check is None:
        return ""
    said = (
        f"Of {counted(check.edited, 'edited copy', 'edited copies')} of its own pictures, details confirm"
        f" {check.confirmed:,} and call {check.altered:,} altered"
    )
    if not check.changed:
        return f"{said}."
    mistaken = f"{check.mistaken:,}" if check.mistaken else "none"
    return (
        f"{said}; of {check.changed:,} with a part exchanged for another, {mistaken} is called a copy"
        f" (at most {check.mistaken_at_most:.1%} of such, with 95 % confidence)."
    )


def relations_sentence(report: DedupeReport) -> str:
    """Say how many copies there are of each relation, "" without any."""
    counts = Counter(copy.relation for group in report for copy in group)
    return ", ".join(f"{counts[relation]:,} {relation_words(relation)}" for relation in Relation if counts[relation])


def plan_sentence(report: DedupeReport, only: Collection[Relation] = ()) -> str:
    """Say how many of the copies a plan acts on, what that frees, and what of the others; "" without any."""
    copies = [copy for group in report for copy in group]
    staying = Counter(_stays(copy, only) for copy in copies if not report.acts_on(copy, only))
    free = human_bytes(sum(report.freed(group, only) for group in report))
    if not staying:
        return f"A plan acts on {'it' if len(copies) == 1 else 'all of them'}, {free} to free." if copies else ""
    others = ", ".join(f"{count:,} {words}" for words, count in staying.items())
    hint = "" if only or not staying[_RELATIONS[Relation.ALTERED]] else "; --only altered plans for those"
    acted = len(copies) - staying.total()
    said = f"A plan acts on {acted:,} of them, {free} to free" if acted else "A plan acts on none of them"
    return f"{said}; {others} {'stays' if staying.total() == 1 else 'stay'}{hint}."


def _stays(copy: Copy, only: Collection[Relation]) -> str:
    """Say by what a copy that a plan leaves alone stays."""
    if copy.protected:
        return "protected"
    if copy.linked:
        return "linked"
    if copy.holds and copy.relation in (only or SAFE_RELATIONS):
        return "with data that the kept one lacks"
    return "larger than the one kept" if copy.loss and copy.relation is Relation.NEAR else relation_words(copy.relation)


def joined_words(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: "keywords, caption and place"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural but for one."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def coverage_sentence(coverage: Coverage) -> str:
    """Say whether all pairs were found, and how many as far as that was measured."""
    if coverage.exact:
        return "The distances of all pictures were compared: no pair is missing."
    said = "Pairs were looked for by cells, not by comparing all pictures"
    if not coverage.known:
        return f"{said}; a sample of {coverage.sampled:,} had no pairs, so what is missing was not measured."
    share = coverage.found / coverage.known
    return (
        f"{said}; of {counted(coverage.known, 'pair')} of {counted(coverage.sampled, 'sampled picture')}"
        f" {coverage.found:,} {'was' if coverage.found == 1 else 'were'} found ({share:.1%}). --exact finds all."
    )


def action_words(report: ActionReport) -> str:
    """Say in one line what `apply` or `undo` did."""
    done, past = len(report.done), _PAST[report.action]
    if report.undo:
        line = f"{done:,} restored ({human_bytes(report.size)})"
    elif not report.journal:
        line = f"{done:,} would be {past} ({human_bytes(report.size)}); nothing was changed"
    else:
        line = f"{done:,} {past} ({human_bytes(report.size)})"
    if report.already:
        line += f", {report.already:,} done before"
    return f"{line}, {len(report.refused):,} refused." if report.refused else f"{line}."
