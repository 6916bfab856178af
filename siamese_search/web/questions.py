"""Which pairs to ask a person about, so that few answers tell much about where the threshold belongs.

The first questions lie nearest the threshold. Each answer then moves the guess of where "the same" turns into
"different", and the next question lies nearest that guess: the adaptive method of A. B. Watson and D. G. Pelli, QUEST,
Perception & Psychophysics 33, 1983, with the distance in the part of the stimulus.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from siamese_search.gallery import Gallery
from siamese_search.results import EmbeddingPair, Item

_REACH = 1.3  # how far beyond the threshold pairs are looked at
_LEAST_REACH = 0.1
_BINS = 60
_A_BIN = 40  # pairs kept for each bin of distances: memory stays small however large the gallery
_SPREAD = 0.3  # standard deviation of the first guess, as a share of the threshold
_SLIPS = 0.03  # share of answers that are a slip of the finger
_SLOPES = (0.03, 0.08, 0.16)  # how wide the change from same to different may be, as shares of the threshold


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said about a pair in this sitting; `label` None means skipped."""

    pair: EmbeddingPair
    label: int | None


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
        self._earlier = [(pair.distance, pair.label) for pair in gallery.answers.all() if pair.distance is not None]
        self.answers: list[Answer] = []
        self._lock = Lock()

    @property
    def known(self) -> list[tuple[float, int]]:
        """All answers that count, as (distance, label), those of earlier sittings first."""
        now = [(answer.pair.distance, answer.label) for answer in list(self.answers) if answer.label is not None]
        return [*self._earlier, *now]

    @property
    def guess(self) -> float:
        """The distance at which "the same" seems to turn into "different", by all answers so far."""
        return boundary(self.known, self.threshold)

    def next(self) -> EmbeddingPair | None:
        """Return the most informative pair that was not asked in this sitting or answered before; None at the end."""
        asked = {(answer.pair.first, answer.pair.second) for answer in list(self.answers)}
        middle = self.guess
        left = (pair for pair in self._pool if (pair.first, pair.second) not in asked)
        return min(left, key=lambda pair: abs(pair.distance - middle), default=None)

    def answer(self, first: int, second: int, label: int | None) -> bool:
        """Take an answer about a pair of the pool, and store it unless it was a skip; False for any other pair."""
        pair = next((pair for pair in self._pool if (pair.first, pair.second) == (first, second)), None)
        if pair is None:
            return False
        with self._lock:
            if label is not None:
                self._gallery.answers.set(first, second, label)
            self.answers.append(Answer(pair, label))
        return True

    def back(self) -> EmbeddingPair | None:
        """Take the last answer of this sitting back, and return its pair to be asked again."""
        with self._lock:
            if not self.answers:
                return None
            last = self.answers[-1]
            if last.label is not None:
                self._gallery.answers.forget(last.pair.first, last.pair.second)
            self.answers.pop()
        return last.pair


def boundary(known: Sequence[tuple[float, int]], threshold: float) -> float:
    """Return the expected distance at which label 0 (same) turns into 1 (different), given (distance, label) pairs.

    Bayes' rule over a grid of places and slopes; before any answer the threshold itself.
    """
    places = np.linspace(0, 2 * threshold, 201)
    logarithms: NDArray[np.float64] = np.tile(
        -0.5 * ((places - threshold) / max(_SPREAD * threshold, 1e-9)) ** 2, (len(_SLOPES), 1)
    )
    for row, slope in enumerate(_SLOPES):
        for distance, label in known:
            different = 1 / (1 + np.exp(np.clip((places - distance) / max(slope * threshold, 1e-9), -50, 50)))
            different = _SLIPS + (1 - 2 * _SLIPS) * different
            logarithms[row] += np.log(different if label else 1 - different)
    weights = np.exp(logarithms - logarithms.max())
    return float((weights * places).sum() / weights.sum())


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
