"""The threshold for one gallery: the loosest at which the pairs it reports still have the precision promised.

How many of the pairs within a distance are false is estimated, not guessed from them: the encoder brings along how near
pairs of *different* pictures come to one another (`EncoderSpec.distinct`, measured on pictures known to be different).
A gallery of look-alikes packs its pictures closer, by about the same factor at all distances; that factor, the
*likeness*, is read off the gallery's own unrelated pairs, far from where copies lie. So

    false(t) = all pairs * share of different pictures nearer than t / likeness
    precision(t) = 1 - correction * false(t) / pairs within t

Where nobody chose the precision, and hardly any more edited copies of the gallery's own pictures lie beyond some nearer
distance, the threshold stays there: farther out it would find false pairs rather than copies.

The correction is 1 until a person has answered about pairs of the gallery. Then it is the number of false pairs among
those, over the number that was expected: a Gamma distribution, whose prior is worth half a false pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.check import check_details
from siamese_search.calibration.table import PRECISIONS, PROMISED
from siamese_search.encoder import Encoder
from siamese_search.errors import FolderError, ImageError, OptionError
from siamese_search.images.edits import views_of_one
from siamese_search.images.sandbox import Decoder
from siamese_search.results import (
    Answer,
    AnsweredPair,
    Calibration,
    CalibrationRow,
    Item,
    Threshold,
    ThresholdSource,
)

STEP = 0.002  # of the distances looked at
WIDEST = 1.2
FARTHEST_SHARE = 3e-5  # of different pictures, at most: in small galleries one confusion makes many false pairs
LIKENESS_SHARE = 0.1  # where likeness is read off: so many pairs are copies in no gallery, not in a small one either
MOST_READ = 100_000  # embeddings, chosen at random; of n times as many pictures, n² times as many pairs lie within
MOST_PRODUCTS = 400_000_000  # of rows and pictures compared: some seconds
PRIOR_FALSE = 0.5  # false pairs that the uncorrected estimate is worth, against a person's answers
FEW_KEPT = 0.25  # of the pictures; when leaving out copies leaves fewer, they are look-alikes rather than copies
NEARLY_ALL = 0.99  # of the copies that the precision would let it find
EDITED = 40  # pictures whose edited copies tell the recall
TRIED = 5  # times as many are tried, when some cannot be read
EDIT_STRENGTHS = (0.0, 0.3, 0.6)  # everyday edits, not the heaviest
MIN_LOOKED_AT = 32_000  # pairs beyond the threshold that are looked at in detail, some minutes of one core
DUE = 0.1  # a gallery that changed by this share is calibrated again

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DistinctPairs:
    """How near pairs of different pictures come: shares of all pairs, descending, and the distances they lie within."""

    share: Floats
    distance: Floats

    def within(self, distance: Floats, likeness: float) -> Floats:
        """Return the share of different pictures nearer than each distance; beyond the nearest measured, extrapolated.

        The logarithm of the share is taken as linear between the points and as going on straight beyond the last: it
        really falls faster there, so the estimate errs towards more false pairs.
        """
        at, log_share = self.distance[::-1], np.log10(self.share[::-1])
        scaled = distance / likeness
        slope = (log_share[1] - log_share[0]) / (at[1] - at[0])
        inside = np.interp(scaled, at, log_share)
        return np.asarray(10.0 ** np.where(scaled < at[0], log_share[0] + slope * (scaled - at[0]), inside))

    def distance_at(self, share: float) -> float:
        """Return the distance within which this share of the pairs lies."""
        return float(np.interp(np.log10(share), np.log10(self.share[::-1]), self.distance[::-1]))


def calibrate(
    encoder: Encoder,
    items: Sequence[Item],
    vectors_of: Callable[[list[int]], NDArray[np.float32]],
    *,
    answers: Sequence[AnsweredPair] = (),
    precision: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Find the threshold of a gallery, from its own pictures and from what people said of its pairs.

    `vectors_of` gives the embeddings `(n, dim)` of items, named by their ids. The threshold is the loosest that keeps a
    `precision`; without one, the nearest that finds nearly all that 0.99 would. Where look-alikes are so near that no
    threshold keeps the precision, the one of the highest precision is returned, with that as what to expect. Takes some
    seconds whatever the gallery's size: of a large one, a sample is compared with all. Raises OptionError for fewer
    than two pictures and when the encoder does not bring what it takes, FolderError when next to none of the pictures
    can be read.
    """
    if len(items) < 2:  # noqa: PLR2004  a pair
        raise OptionError("fewer than two pictures tell nothing of distances; index more of them first")
    if precision is not None and not 0 < precision < 1:
        raise OptionError(f"precision {precision}: expected a share between 0 and 1")
    if len(encoder.spec.distinct) < 2:  # noqa: PLR2004  no line goes through fewer points
        raise OptionError(f"encoder {encoder.name} was trained on too few pictures to calibrate a gallery by")
    known = DistinctPairs(*np.array(encoder.spec.distinct, np.float64).T)
    # In an order that no indexing and no renaming changes: the same pictures give the same threshold.
    items = sorted(items, key=lambda item: (item.content_hash, item.path))
    distances = np.arange(STEP, WIDEST, STEP)
    recall = recalls(encoder, items, distances, Random(seed))  # noqa: S311  (edits, not secrets)
    rng = np.random.default_rng(seed)
    some = [items[place] for place in np.sort(rng.permutation(len(items))[:MOST_READ])]
    vectors = vectors_of([item.id for item in some])
    reported = pairs_within(vectors, distances, rng) * (len(items) / max(len(some), 1)) ** 2
    likeness = likeness_of(vectors, known, encoder.threshold.distance, rng)
    share = known.within(distances, likeness)
    false = len(items) * (len(items) - 1) / 2 * share
    answers = [answer for answer in answers if answer.distance is not None]
    low, correction, high = corrected(answers, distances, reported, false)
    # With hardly any copies in the gallery the ratio says nothing; a twentieth of the pictures having one is ordinary.
    expected = np.maximum(reported, max(1.0, len(items) / 20))
    precisions = 1 - np.minimum(correction * false / expected, 1)
    precisions[share > FARTHEST_SHARE] = 0
    row = nearest_as_good(distances, precisions, recall)
    if precision is not None:
        wanted = loosest(distances, precisions, recall, precision)
        # A stricter wish than the default's never ends farther out than the default does.
        row = wanted if precision < PROMISED or wanted.threshold < row.threshold else row
    reach = reach_of(distances, reported, row.threshold, len(items))
    return Calibration(
        threshold=Threshold(
            distance=row.threshold,
            source=ThresholdSource.PAIRS if answers else ThresholdSource.GALLERY,
            expected_precision=row.precision,
            expected_recall=row.recall,
        ),
        table=rows(distances, precisions, recall),
        images=len(items),
        likeness=likeness,
        false_pairs=float(np.interp(row.threshold, distances, correction * false)),
        reach=reach,
        answers=len(answers),
        correction=correction,
        correction_low=low,
        correction_high=high,
        details=check_details(encoder, items, reach, seed=seed),
    )


def reach_of(distances: Floats, reported: Floats, threshold: float, images: int) -> float:
    """Return the distance up to which pairs are few enough to be looked at in detail: beyond it copies lie as well.

    How many more than within the threshold those are depends on the gallery alone, so its time is bounded.
    """
    within = float(np.interp(threshold, distances, reported))
    affordable = distances[reported - within <= max(MIN_LOOKED_AT, images / 2)]
    return max(threshold, float(affordable[-1]) if len(affordable) else threshold)


def is_due(before: Calibration | None, images: int) -> bool:
    """Tell whether a gallery of so many pictures changed by a tenth since it was calibrated, or never was."""
    return images >= 2 and (before is None or abs(images - before.images) > DUE * before.images)  # noqa: PLR2004


def pairs_within(vectors: NDArray[np.float32], distances: Floats, rng: np.random.Generator) -> Floats:
    """Return how many pairs lie within each distance; of a large gallery estimated from a sample of its pictures."""
    n = len(vectors)
    count = max(1, min(n, MOST_PRODUCTS // max(n, 1)))
    chosen = np.sort(rng.permutation(n)[:count])
    edges = np.concatenate([[-1.0], distances])
    histogram = np.zeros(len(distances), np.float64)
    for start in range(0, count, 256):
        block = chosen[start : start + 256]
        squared = np.clip(2 - 2 * vectors[block] @ vectors.T, 0, None)
        squared[np.arange(len(block)), block] = np.inf  # a picture is no copy of itself
        near = squared[squared <= distances[-1] ** 2]
        histogram += np.histogram(np.sqrt(near), edges)[0]
    return np.asarray(np.cumsum(histogram) * n / count / 2)  # every pair was met from both sides


def likeness_of(
    vectors: NDArray[np.float32], known: DistinctPairs, copies_within: float, rng: np.random.Generator
) -> float:
    """Return by what factor the gallery's unrelated pictures lie nearer to one another than known different ones.

    Copies are left out first: of pictures within `copies_within` of each other, one stays; unless next to nothing would
    stay, for then these are look-alikes. What few pictures say is pulled towards 1.
    """
    kept: list[int] = []
    sample = vectors[rng.permutation(len(vectors))[:1000]]
    for i, vector in enumerate(sample):
        if not kept or float(np.max(sample[kept] @ vector)) < 1 - copies_within**2 / 2:
            kept.append(i)
    if len(kept) < FEW_KEPT * len(sample):
        kept = list(range(len(sample)))
    rows, columns = np.triu_indices(len(kept), 1)
    if len(rows) == 0:
        return 1.0
    nearness = (sample[kept] @ sample[kept].T)[rows, columns]
    observed = float(np.sqrt(np.clip(2 - 2 * np.quantile(nearness, 1 - LIKENESS_SHARE), 1e-6, None)))
    telling = len(rows) * LIKENESS_SHARE
    weight = telling / (telling + 2)
    return float(np.clip((observed / known.distance_at(LIKENESS_SHARE)) ** weight, 0.01, 2))


def corrected(
    answers: Sequence[AnsweredPair], distances: Floats, reported: Floats, false: Floats
) -> tuple[float, float, float]:
    """Return the factor on the false pairs that a person's answers call for, as (5 %, middle, 95 %).

    A pair at distance d was expected to be false with the share of false pairs among all those about as far apart.
    """
    if not answers:
        return 1.0, 1.0, 1.0
    about = max(1, round(0.02 / STEP))
    lower, upper = np.arange(len(distances)) - about, np.arange(len(distances)) + about
    lower, upper = np.clip(lower, 0, None), np.clip(upper, None, len(distances) - 1)
    chance = np.clip((false[upper] - false[lower]) / np.maximum(reported[upper] - reported[lower], 1e-9), 1e-6, 1)
    expected = sum(float(np.interp(answer.distance or 0, distances, chance)) for answer in answers)
    seen = sum(answer.answer is Answer.DIFFERENT for answer in answers)
    shape, rate = PRIOR_FALSE + seen, PRIOR_FALSE + expected
    draws = np.random.default_rng(0).gamma(shape, 1 / rate, 20_000)
    low, high = np.quantile(draws, (0.05, 0.95))
    return float(low), shape / rate, float(high)


def recalls(encoder: Encoder, items: Sequence[Item], distances: Floats, rng: Random) -> Floats:
    """Return the share of everyday edits of the gallery's own pictures that each distance finds.

    Pictures that cannot be read are passed over for others; raises FolderError when next to none can.
    """
    wanted = min(EDITED, len(items))
    apart: list[float] = []
    read, unread = 0, ""
    with Decoder() as decoder:
        for tried, item in enumerate(rng.sample(items, len(items))):
            if read == wanted or tried == TRIED * wanted:
                break
            try:
                apart.extend(_edits_apart(encoder, item.path, rng, decoder))
                read += 1
            except ImageError as error:
                unread = str(error)
    if 2 * read < wanted:
        raise FolderError(
            f"{unread}; only {read} of the pictures tried can be read, so the threshold stays as it was: is a drive not"
            " connected? Connect it, or index again"
        )
    found = (np.array(apart)[:, None] <= distances).sum(axis=0)
    return np.asarray((found + 1) / (len(apart) + 2))  # as Laplace would: some copies say nothing of all


def _edits_apart(encoder: Encoder, path: Path, rng: Random, decoder: Decoder) -> list[float]:
    """Return how far edited copies of a picture lie from it; raises ImageError."""
    picture = decoder.thumbnail(path, longest=2 * encoder.input_size).image
    original = decoder.square(path, size=encoder.input_size, channels=encoder.channels).pixels
    views = views_of_one(picture, size=encoder.input_size, strengths=EDIT_STRENGTHS, rng=rng)
    embedded = encoder.embed_pixels(np.stack([original, *(in_channels(v, encoder.channels) for v in views)]))
    apart: list[float] = np.linalg.norm(embedded[1:] - embedded[0], axis=1).tolist()
    return apart


def in_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return RGB pixels (h, w, 3) as (h, w, channels), grey by the weights that Pillow uses too."""
    grey = np.rint(pixels @ (0.299, 0.587, 0.114)).astype(np.uint8)[:, :, None]
    return grey if channels == 1 else pixels


def nearest_as_good(distances: Floats, precisions: Floats, recall: Floats) -> CalibrationRow:
    """Return the nearest operating point that finds nearly all that the loosest of the promised precision finds."""
    farthest = loosest(distances, precisions, recall, PROMISED)
    as_good = (recall >= NEARLY_ALL * farthest.recall) & (precisions >= farthest.precision)
    return row_at(int(np.flatnonzero(as_good)[0]), distances, precisions, recall)


def loosest(distances: Floats, precisions: Floats, recall: Floats, wanted: float) -> CalibrationRow:
    """Return the loosest operating point of the precision wanted, or of the best there is."""
    (row,) = rows(distances, precisions, recall, wanted=(min(wanted, float(precisions.max())),))
    return row


def row_at(at: int, distances: Floats, precisions: Floats, recall: Floats) -> CalibrationRow:
    """Return the operating point at a position of the three."""
    return CalibrationRow(threshold=float(distances[at]), precision=float(precisions[at]), recall=float(recall[at]))


def rows(
    distances: Floats, precisions: Floats, recall: Floats, *, wanted: Sequence[float] = PRECISIONS
) -> tuple[CalibrationRow, ...]:
    """Return the loosest operating point for each precision wanted, smallest distance first."""
    found: dict[int, CalibrationRow] = {}
    for precision in wanted:
        enough = np.flatnonzero(precisions >= precision)
        if len(enough):
            at = int(enough[-1])
            found[at] = row_at(at, distances, precisions, recall)
    return tuple(found[at] for at in sorted(found))
