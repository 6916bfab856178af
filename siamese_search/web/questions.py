"""Which pairs to ask a person about, so that few answers tell much about where the threshold belongs.

The first questions lie nearest the threshold. Each answer then moves the guess of where "the same" turns into
"different", and the next question lies nearest that guess: the adaptive method of A. B. Watson and D. G. Pelli, QUEST,
Perception & Psychophysics 33, 1983, with the distance in the part of the stimulus.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from siamese_search.gallery import Gallery
from siamese_search.report.words import counted
from siamese_search.results import Answer, EmbeddingPair, Item

_REACH = 1.3  # how far beyond the threshold pairs are looked at
_LEAST_REACH = 0.1
_BINS = 60
_A_BIN = 40  # pairs kept for each bin of distances: memory stays small however large the gallery
_SPREAD = 0.3  # standard deviation of the first guess, as a share of the threshold
_ENOUGH = 0.12  # as a share of the threshold, how well the distance is to be known: 20 to 60 answers mostly do
_SLIPS = 0.03  # share of answers that are a slip of the finger
_SLOPES = (0.03, 0.08, 0.16)  # how wide the change from same to different may be, as shares of the threshold


Known = tuple[float, Answer]
"""A distance, and what a person said of a pair that far apart."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A pair that a person was asked about in this sitting; without an `answer` it was skipped."""

    pair: EmbeddingPair
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the answers say by now: from `low` to `high` (90 %) is the distance at which same turns into different.

    `answers` counts those that say it, `between` the pairs without an answer that lie there, `left` all that are left
    to ask about. It `is_enough` when that distance is known well, or no pair is left that would tell more of it.
    """

    answers: int
    low: float
    high: float
    between: int
    left: int
    is_enough: bool

    def sentence(self, threshold: float) -> str:
        """Say it in words, beside the threshold in force."""
        if not self.answers:
            return f"{counted(self.left, 'pair')} near the threshold of {threshold:.3f} to ask about."
        said = (
            f"By {counted(self.answers, 'answer')}, same turns into different between {self.low:.3f} and"
            f" {self.high:.3f} (90 %); the threshold, {threshold:.3f}, {self._place(threshold)}."
        )
        if self.is_enough:
            return f"{said} That is enough: more answers would change little."
        return (
            f"{said} {counted(self.between, 'pair')} in between {'has' if self.between == 1 else 'have'} no answer yet."
        )

    def _place(self, threshold: float) -> str:
        if threshold > self.high:
            return "lies above: it takes in pairs that you call different"
        return "lies below: it leaves out pairs that you call the same" if threshold < self.low else "lies within"


class Questions:
    """The questions about one gallery, one after another, asked from any thread; answers are stored as they come."""

    def __init__(
        self, gallery: Gallery, *, threshold: float | None = None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._gallery = gallery
        self.threshold = gallery.threshold.distance if threshold is None else threshold
        self.items: dict[int, Item] = {item.id: item for item in gallery.items()}
        self.limit = min(2.0, max(self.threshold * _REACH, self.threshold + _LEAST_REACH))
        self._pool = _pool(gallery, self.items, self.limit, progress)
        self._earlier = [(pair.distance, pair.answer) for pair in gallery.answers.all() if pair.distance is not None]
        self.answers: list[Asked] = []
        self._lock = Lock()

    @property
    def known(self) -> list[Known]:
        """All answers that count, those of earlier sittings first."""
        now = [(asked.pair.distance, asked.answer) for asked in list(self.answers) if asked.answer is not None]
        return [*self._earlier, *now]

    @property
    def guess(self) -> float:
        """The distance at which "the same" seems to turn into "different", by all answers so far."""
        return boundary(self.known, self.threshold)

    @property
    def standing(self) -> Standing:
        """What all answers so far say, and whether they are enough."""
        known = self.known
        low, high = boundary_range(known, self.threshold)
        left = [pair.distance for pair in self._left()]
        between = sum(low <= distance <= high for distance in left)
        is_enough = bool(known) and (not between or high - low <= _ENOUGH * self.threshold)
        return Standing(answers=len(known), low=low, high=high, between=between, left=len(left), is_enough=is_enough)

    def next(self) -> EmbeddingPair | None:
        """Return the most informative pair that was not asked in this sitting or answered before; None at the end."""
        middle = self.guess
        return min(self._left(), key=lambda pair: abs(pair.distance - middle), default=None)

    def _left(self) -> Iterator[EmbeddingPair]:
        asked = {(each.pair.first, each.pair.second) for each in list(self.answers)}
        return (pair for pair in self._pool if (pair.first, pair.second) not in asked)

    def answer(self, first: int, second: int, answer: Answer | None) -> bool:
        """Take an answer about a pair of the pool, and store it unless it was a skip; False for any other pair."""
        pair = next((pair for pair in self._pool if (pair.first, pair.second) == (first, second)), None)
        if pair is None:
            return False
        with self._lock:
            if answer is not None:
                self._gallery.answers.set(first, second, answer)
            self.answers.append(Asked(pair, answer))
        return True

    def back(self) -> EmbeddingPair | None:
        """Take the last answer of this sitting back, and return its pair to be asked again."""
        with self._lock:
            if not self.answers:
                return None
            last = self.answers[-1]
            if last.answer is not None:
                self._gallery.answers.forget(last.pair.first, last.pair.second)
            self.answers.pop()
        return last.pair


def boundary(known: Sequence[Known], threshold: float) -> float:
    """Return the expected distance at which same turns into different; before any answer the threshold itself."""
    places, weights = _chances(known, threshold)
    return float((weights * places).sum())


def boundary_range(known: Sequence[Known], threshold: float) -> tuple[float, float]:
    """Return the distances between which same turns into different with a probability of 90 %."""
    places, weights = _chances(known, threshold)
    below = weights.cumsum()
    low, high = (places[min(int(np.searchsorted(below, share)), len(places) - 1)] for share in (0.05, 0.95))
    return float(low), float(high)


def _chances(known: Sequence[Known], threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places where same may turn into different, and their probabilities, by Bayes' rule over all slopes."""
    places = np.linspace(0, 2 * threshold, 201)
    logarithms: NDArray[np.float64] = np.tile(
        -0.5 * ((places - threshold) / max(_SPREAD * threshold, 1e-9)) ** 2, (len(_SLOPES), 1)
    )
    for row, slope in enumerate(_SLOPES):
        for distance, answer in known:
            different = 1 / (1 + np.exp(np.clip((places - distance) / max(slope * threshold, 1e-9), -50, 50)))
            different = _SLIPS + (1 - 2 * _SLIPS) * different
            logarithms[row] += np.log(different if answer is Answer.DIFFERENT else 1 - different)
    weights = np.exp(logarithms - logarithms.max()).sum(axis=0)
    return places, weights / weights.sum()


def _pool(
    gallery: Gallery, items: dict[int, Item], limit: float, progress: Callable[[int, int], None] | None
) -> list[EmbeddingPair]:
    """Return pairs to ask about: a fair sample of each small range of distances, none twice, none answered."""
    answered = {(pair.first, pair.second) for pair in gallery.answers.all()}
    rng = random.Random(0)  # noqa: S311  the same questions in the same order, every time
    seen: defaultdict[int, int] = defaultdict(int)
    bins: defaultdict[int, list[EmbeddingPair]] = defaultdict(list)
    contents: set[tuple[str, str]] = set()
    for pair in gallery.pairs(limit, progress=progress):
        first, second = items[pair.first].content_hash, items[pair.second].content_hash
        hashes = (min(first, second), max(first, second))
        if first == second or hashes in answered or hashes in contents:
            continue
        contents.add(hashes)
        place = int(pair.distance / limit * _BINS)
        seen[place] += 1
        if len(bins[place]) < _A_BIN:
            bins[place].append(pair)
        elif (at := rng.randrange(seen[place])) < _A_BIN:
            bins[place][at] = pair
    return [pair for place in sorted(bins) for pair in bins[place]]
