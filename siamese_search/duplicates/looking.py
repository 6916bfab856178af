"""Pictures looked at in detail: decoded and described once, as long as there is room, and compared by all cores."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock

from siamese_search.cores import usable_cores
from siamese_search.details import LONGEST, Comparison, Features, Verdict, compare, features, one_thread
from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder

_HELD = 1500  # pictures: some 350 MB

Progress = Callable[[int, int], None]


class Look:
    """Compares pictures, known by their positions, in detail; `paths` says where each lies."""

    def __init__(self, paths: Mapping[int, Path], decoder: Decoder, *, progress: Progress | None = None) -> None:
        self._paths = paths
        self._decoder = decoder
        self._progress = progress
        self._seen: OrderedDict[int, Features | None] = OrderedDict()
        self._lock = Lock()

    def compare(self, pairs: Sequence[tuple[int, int]]) -> list[Comparison]:
        """Compare pairs, in order; what cannot be read any more is unchecked. Progress is told in pairs."""
        # One after the other for each picture, so that it is decoded once, and seen in the mirror once.
        by_second = sorted(range(len(pairs)), key=lambda place: (pairs[place][1], pairs[place][0]))
        runs = list(_runs(by_second, [second for _, second in pairs]))
        found: dict[int, Comparison] = {}
        with one_thread(), ThreadPoolExecutor(usable_cores()) as pool:
            compared = pool.map(lambda run: self._run([pairs[place] for place in run]), runs)
            for run, comparisons in zip(runs, compared, strict=True):
                found |= zip(run, comparisons, strict=True)
                if self._progress:
                    self._progress(len(found), len(pairs))
        return [found[place] for place in range(len(pairs))]

    def _run(self, pairs: Sequence[tuple[int, int]]) -> list[Comparison]:
        """Compare pairs that share their second picture."""
        second = self._features(pairs[0][1])
        if second is None:
            return [Comparison(Verdict.UNCHECKED)] * len(pairs)
        second = replace(second)  # what it looks like in the mirror is forgotten with the run
        firsts = (self._features(first) for first, _ in pairs)
        return [Comparison(Verdict.UNCHECKED) if first is None else compare(first, second) for first in firsts]

    def _features(self, position: int) -> Features | None:
        with self._lock:
            if position in self._seen:
                self._seen.move_to_end(position)
                return self._seen[position]
        try:
            found = features(self._decoder.thumbnail(self._paths[position], longest=LONGEST).pixels)
        except ImageError:
            found = None
        with self._lock:
            self._seen[position] = found
            while len(self._seen) > _HELD:
                self._seen.popitem(last=False)
        return found


def _runs(places: Sequence[int], key: Sequence[int]) -> Iterator[list[int]]:
    """Yield places, in order, as long as their keys are equal."""
    run: list[int] = []
    for place in places:
        if run and key[run[-1]] != key[place]:
            yield run
            run = []
        run.append(place)
    if run:
        yield run
