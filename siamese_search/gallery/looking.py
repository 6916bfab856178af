"""Pictures looked at in detail: decoded and described once, as long as there is room, and compared by all cores."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from threading import Lock

from siamese_search.cores import usable_cores
from siamese_search.details import (
    FINEST,
    LONGEST,
    WORTH_A_CLOSER_LOOK,
    Comparison,
    Features,
    Quality,
    Verdict,
    compare,
    features,
    look_closer,
    one_thread,
    poorer,
    quality,
)
from siamese_search.errors import ImageError
from siamese_search.images.decode import Picture
from siamese_search.images.sandbox import Decoder
from siamese_search.images.sources import Source, is_file

_HELD = 1500  # pictures: some 190 MB
_HELD_LARGE = 8  # at 1,600 pixels: some 50 MB
_HELD_QUALITIES = 60  # some 60 MB
_WHOLE = 0.93  # of a picture: all of it, but for what an edge may hide
_NEARLY_UPRIGHT = 2.0  # degrees

Progress = Callable[[int, int], None]


class Look:
    """Compares pictures, known by their positions, in detail; `pictures` says where each is found.

    Pictures may be added to that mapping later. It may be used from several threads at once. With `quality` it also
    tells which of two confirmed ones is the poorer one.
    """

    def __init__(
        self,
        pictures: Mapping[int, Source],
        decoder: Decoder,
        *,
        quality: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._pictures = pictures
        self._decoder = decoder
        self._ask_quality = quality
        self._progress = progress
        self._seen: OrderedDict[int, Future[_Seen | None]] = OrderedDict()
        self._lock = Lock()
        self._large = lru_cache(_HELD_LARGE)(self._decoded)
        self._quality = lru_cache(_HELD_QUALITIES)(self._measured)

    def compare(self, pairs: Sequence[tuple[int, int]]) -> list[Comparison]:
        """Compare pairs, in order; what cannot be read any more is unchecked. Progress is told in pairs."""
        found = self._compared(pairs, few=len(pairs))
        return [found[place] for place in range(len(pairs))]

    def compare_until_confirmed(self, pairs: Sequence[tuple[int, int]], *, few: int) -> list[Comparison | None]:
        """Compare the first `few` pairs of each second picture, and the others unless one of those is confirmed."""
        found = self._compared(pairs, few=few)
        return [found.get(place) for place in range(len(pairs))]

    def _compared(self, pairs: Sequence[tuple[int, int]], *, few: int) -> dict[int, Comparison]:
        # All pairs of a second picture in a row, so that it is decoded once, and what is near follows what is near.
        by_second = sorted(range(len(pairs)), key=lambda place: pairs[place][1])
        runs = [list(run) for _, run in groupby(by_second, key=lambda place: pairs[place][1])]
        found: dict[int, Comparison] = {}
        done = 0
        with one_thread(), ThreadPoolExecutor(usable_cores()) as pool:
            compared = pool.map(lambda run: self._run([pairs[place] for place in run], few), runs)
            try:
                for run, comparisons in zip(runs, compared, strict=True):
                    found |= zip(run, comparisons, strict=False)  # the last ones of a run may be left out
                    done += len(run)
                    if self._progress:
                        self._progress(done, len(pairs))
            except BaseException:  # such as Ctrl-C: what was not begun is not waited for
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return found

    def same_pixels(self, first: int, second: int) -> bool:
        """Tell whether two picture files show the same, entirely, as far as it can be told cheaply.

        Only those that look the same, pixel by pixel, as they were compared are decoded whole: of a picture kept in
        formats that are decoded differently that is not found.
        """
        one, other = self._look(first), self._look(second)
        return (
            one is not None
            and other is not None
            and one.features.jpeg == other.features.jpeg
            and self._entirely(first, second)
        )

    def _run(self, pairs: Sequence[tuple[int, int]], few: int) -> list[Comparison]:
        """Compare pairs that share their second picture, the first `few` or, if none of those is confirmed, all."""
        below = pairs[0][1]
        second = self._look(below)
        if second is None:
            return [Comparison(Verdict.UNCHECKED)] * len(pairs)
        found: list[Comparison] = []
        for above, _ in pairs:
            if len(found) == few and any(seen.verdict is Verdict.CONFIRMED for seen in found):
                break
            found.append(self._pair(above, below, second))
        return found

    def _pair(self, above: int, below: int, second: "_Seen") -> Comparison:
        first = self._look(above)
        if first is None:
            return Comparison(Verdict.UNCHECKED)
        if not (first.is_whole and second.is_whole):
            return Comparison(Verdict.CONFIRMED if self._entirely(above, below) else Verdict.UNCHECKED)
        seen = self._closer(above, below, compare(first.features, second.features))
        if self._ask_quality:
            seen = self._with_quality(above, below, seen)
        return _with_unseen(first, second, seen)

    def _closer(self, first: int, second: int, found: Comparison) -> Comparison:
        """Look again, at more pixels, where what a page says may be too small, or a date in a still scene."""
        is_whole = min(found.covers, found.covered) >= _WHOLE
        if found.verdict is not Verdict.CONFIRMED or not (found.drawn or is_whole):
            return found
        seen = self._look(first), self._look(second)
        if any(each is None or each.longest < WORTH_A_CLOSER_LOOK for each in seen):
            return found
        try:
            return look_closer(self._large(first).pixels, self._large(second).pixels, found)
        except ImageError:
            return Comparison(Verdict.UNCHECKED)

    def _with_quality(self, first: int, second: int, seen: Comparison) -> Comparison:
        """Return a comparison that knows which of the two, if any, is clearly the poorer one.

        Of pictures of which one shows more, or lies another way, that is not asked.
        """
        upright = abs(seen.turned) < _NEARLY_UPRIGHT and not (seen.mirrored or seen.inverted)
        if seen.verdict is not Verdict.CONFIRMED or not upright or min(seen.covers, seen.covered) < _WHOLE:
            return seen
        try:
            which = poorer(self._quality(first), self._quality(second), drawn=seen.drawn)
        except ImageError:
            return replace(seen, verdict=Verdict.UNCHECKED)
        return replace(seen, poorer=which)

    def _measured(self, position: int) -> Quality:
        picture = self._large(position)
        return quality(picture.pixels, own_size=picture.pixels.shape[1::-1] == (picture.width, picture.height))

    def _decoded(self, position: int) -> Picture:
        return self._decoder.thumbnail(self._pictures[position], longest=FINEST)

    def _entirely(self, first: int, second: int) -> bool:
        """Compare files of which one picture is but a part, an animation, several pages or a RAW file: in all of it."""
        one, other = self._pictures[first], self._pictures[second]
        if not (is_file(one) and is_file(other)):
            return False
        try:
            return self._decoder.same_picture(one, other)
        except ImageError:
            return False

    def _look(self, position: int) -> "_Seen | None":
        """Return what is seen of a picture, None where it cannot be read; whoever wants it meanwhile waits for it."""
        with self._lock:
            known = self._seen.get(position)
            if known:
                self._seen.move_to_end(position)
            else:
                mine: Future[_Seen | None] = Future()
                self._seen[position] = mine
                while len(self._seen) > _HELD:
                    self._seen.popitem(last=False)
        if known:
            return known.result()
        try:
            mine.set_result(self._see(position))
        except BaseException as error:
            mine.set_exception(error)
            raise
        return mine.result()

    def _see(self, position: int) -> "_Seen | None":
        try:
            picture = self._decoder.thumbnail(self._pictures[position], longest=LONGEST)
        except ImageError:
            return None
        longest = max(picture.width, picture.height)
        return _Seen(features(picture.pixels), longest, picture.is_whole, picture.see_through, picture.bits)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a picture, how long it is, whether that is all there is; and if it is transparent, how deep."""

    features: Features
    longest: int
    is_whole: bool
    see_through: bool
    bits: int

    def would_lose(self, other: "_Seen") -> bool:
        """Tell whether the other one has what is lost in this one: what a cut-out leaves out, more than eight bits."""
        return other.bits > self.bits or (other.see_through and not self.see_through)


def _with_unseen(first: _Seen, second: _Seen, seen: Comparison) -> Comparison:
    """Return a comparison that knows of what cannot be seen: it would be lost with a picture if the other stayed."""
    if first.would_lose(second):
        seen = replace(seen, only_second=1.0)
    return replace(seen, only_first=1.0) if second.would_lose(first) else seen
