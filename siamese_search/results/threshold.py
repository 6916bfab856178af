"""Distances that decide, and what is known of them."""

from dataclasses import dataclass
from enum import StrEnum

from siamese_search.tables import Printed, Tabular


class ThresholdSource(StrEnum):
    """Where the threshold in force comes from."""

    OPTION = "option"  # the user gave it
    ENCODER = "encoder"  # the calibration table that travels with the encoder
    GALLERY = "gallery"  # measured on the gallery's own pictures
    PAIRS = "pairs"  # measured on pairs that a person labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Printed):
    """The distance at or below which two pictures count as near-duplicates, as far as distance alone tells.

    `distance` is in [0, 2]; the expected precision and recall are fractions, or None where nobody measured them. They
    are of photos: pages, screens and drawings lie nearer to one another, and there it errs more. Where details decide,
    a distance of the same kind is the *reach*: within it details are compared.
    """

    distance: float
    source: ThresholdSource
    expected_precision: float | None = None
    expected_recall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow(Printed):
    """One operating point: what to expect at or below this distance."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailCheck(Printed):
    """What details made of pairs of which it is known what they are, made from a gallery's own pictures.

    Of `edited` copies within the gallery's reach so many were `confirmed` and so many called `altered`; the rest was
    not found. Of `changed` pictures, with a part exchanged for another one and so surely different, so many were
    `mistaken` for copies; with a confidence of 95 % no larger share than `mistaken_at_most` would be.
    """

    edited: int
    confirmed: int
    altered: int
    changed: int
    mistaken: int
    mistaken_at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Tabular[CalibrationRow]):
    """How a gallery's threshold was found, when it held `images` pictures.

    `likeness` tells how near its unrelated pictures are to one another: 1 as those that the encoder was calibrated
    with, less when they are more alike. `false_pairs` is the number of false pairs expected among all pairs within the
    threshold. Within `reach` details are looked at, and `details` is what they are worth here, None where that was not
    measured; the other figures are of distance alone. `answers` is the number of answers of people that went into it,
    `correction` the factor by which they changed the expected number of false pairs, with its 90 % interval.
    """

    threshold: Threshold
    table: tuple[CalibrationRow, ...]
    images: int
    likeness: float
    false_pairs: float
    reach: float = 0.0
    answers: int = 0
    correction: float = 1.0
    correction_low: float = 1.0
    correction_high: float = 1.0
    details: DetailCheck | None = None
