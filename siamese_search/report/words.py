"""Figures and file names in words for people, the same in terminal, page and contact sheet."""

import re

from siamese_search.results import Threshold, ThresholdSource

SOURCES = {
    ThresholdSource.OPTION: "given by hand",
    ThresholdSource.ENCODER: "from the encoder's calibration",
    ThresholdSource.GALLERY: "measured on this gallery's own pictures",
    ThresholdSource.PAIRS: "measured on pairs that a person labelled",
}
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a path or message that any UTF-8 output can carry: bytes that are not UTF-8 become `\xff`.

    Python keeps such bytes of a file name as lone surrogates (PEP 383), which no encoder accepts.
    """
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004 - PEP 383's range


def human_bytes(count: int) -> str:
    """Return a size in powers of 1000 and three digits, as file managers show it: "312 KB"."""
    power = min((len(str(count)) - 1) // 3, len(_UNITS) - 1)
    size = count / 1000**power
    digits = 0 if power == 0 else max(0, 3 - len(str(int(size))))
    return f"{size:,.{digits}f} {_UNITS[power]}"


def threshold_sentence(threshold: Threshold, *, found: int) -> str:
    """Say which distance decides, where it comes from, and how many of the `found` copies may be false."""
    rule = (
        f"Two pictures count as near-duplicates at a distance of {threshold.distance:.3f} or less, "
        f"{SOURCES[threshold.source]}"
    )
    if threshold.expected_precision is None:
        return f"{rule}; how often it errs has not been measured."
    expected = f"{rule}; {threshold.expected_precision:.1%} of what it finds should be true copies"
    if not found:
        return f"{expected}."
    false = (1 - threshold.expected_precision) * found
    return (
        f"{expected}, so of these {found:,}, {'fewer than one' if false < 1 else f'about {false:,.0f}'} may be false."
    )
