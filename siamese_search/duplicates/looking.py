"""Pictures looked at in detail: decoded and described once, as long as there is room, and compared by all cores."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Lock

from siamese_search.cores import usable_cores
from siamese_search.details import (
    FINEST,
    LONGEST,
    Comparison,
    Features,
    Verdict,
    compare,
    features,
    look_closer,
    one_thread,
)
from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder

_HELD = 1500  # pictures: some 190 MB

Progress = Callable[[int, int], None]


class Look:
    """Compares pictures, known by their positions, in detail; `paths` says where each lies."""

    def __init__(self, paths: Mapping[int, Path], decoder: Decoder, *, progress: Progress | None = None) -> None:
        self._paths = paths
        self._decoder = decoder
        self._progress = progress
        self._seen: OrderedDict[int, _Seen | None] = OrderedDict()
        self._lock = Lock()

    def compare(self, pairs: Sequence[tuple[int, int]]) -> list[Comparison]:
        """Compare pairs, in order; what cannot be read any more is unchecked. Progress is told in pairs."""
        # All pairs of a second picture in a row, so that it is decoded once, and what is near follows what is near.
        by_second = sorted(range(len(pairs)), key=lambda place: (pairs[place][1], pairs[place][0]))
        runs = [list(run) for _, run in groupby(by_second, key=lambda place: pairs[place][1])]
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
        below = pairs[0][1]
        second = self._look(below)
        if second is None:
            return [Comparison(Verdict.UNCHECKED)] * len(pairs)
        found = []
        for above, _ in pairs:
            first = self._look(above)
            if first is None:
                found.append(Comparison(Verdict.UNCHECKED))
            elif first.is_whole and second.is_whole:
                found.append(self._closer(above, below, compare(first.features, second.features)))
            else:
                found.append(Comparison(self._entirely(above, below)))
        return found

    def _closer(self, above: int, below: int, found: Comparison) -> Comparison:
        """Look again, at more pixels, where what a page says may be too small."""
        if found.verdict is not Verdict.CONFIRMED or not found.drawn:
            return found
        try:
            first, second = (
                self._decoder.thumbnail(self._paths[place], longest=FINEST).pixels for place in (above, below)
            )
        except ImageError:
            return Comparison(Verdict.UNCHECKED)
        return look_closer(first, second, found)

    def _entirely(self, first: int, second: int) -> Verdict:
        """Compare files of which one picture is but a part, an animation, several pages or a RAW file: in all of it."""
        try:
            same = self._decoder.same_picture(self._paths[first], self._paths[second])
        except ImageError:
            same = False
        return Verdict.CONFIRMED if same else Verdict.UNCHECKED

    def _look(self, position: int) -> "_Seen | None":
        with self._lock:
            if position in self._seen:
                self._seen.move_to_end(position)
                return self._seen[position]
        try:
            picture = self._decoder.thumbnail(self._paths[position], longest=LONGEST)
            found = _Seen(features(picture.pixels), picture.is_whole)
        except ImageError:
            found = None
        with self._lock:
            self._seen[position] = found
            while len(self._seen) > _HELD:
                self._seen.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a picture, and whether that is all there is."""

    features: Features
    is_whole: bool
