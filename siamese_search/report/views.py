"""Reports as a page shows them: frozen views, with pictures read one by one as they are needed.

Thumbnails are made while the page is written, a few ahead of it, so memory stays bounded however long the report is.
"""

import base64
import io
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.sandbox import Decoder
from siamese_search.report.closeup import close_up
from siamese_search.report.words import (
    copies_words,
    coverage_sentence,
    details_sentence,
    hit_words,
    note_words,
    plan_sentence,
    reason_words,
    relation_words,
    threshold_sentence,
)
from siamese_search.results import (
    Box,
    Burst,
    Copy,
    DedupeReport,
    DuplicateGroup,
    QueryResult,
    Relation,
    SearchReport,
    Threshold,
)

Progress = Callable[[int, int], None]  # pictures done, pictures in all

_BINS = 48  # of the plot of distances
_FEWEST_FOR_PLOT = 12
_WORKERS = 2
_AHEAD = 16
_EQUAL = frozenset({Relation.IDENTICAL, Relation.SAME_PIXELS})
_AS_IT_IS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureView:
    """One picture; what could not be read is None, and `trouble` says why. `folder` is relative to the page's root."""

    path: str
    name: str
    folder: str
    link: str | None
    size: int | None
    width: int | None
    height: int | None
    thumbnail: str | None
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchView:
    """A picture beside the one it was compared with. `share` in [0, 1] is the length of its distance bar.

    `note` says what else is known of it, such as what its edit looks like. `boxes` are where it differs, in shares of
    its own frame and of the other's; `transform` takes shares of its frame to those of the other's, row by row.
    `close_up` shows the other and it where they differ most.
    """

    picture: PictureView
    distance: float
    share: float
    label: str
    duplicate: bool
    note: str = ""
    boxes: tuple[Box, ...] = ()
    boxes_in_other: tuple[Box, ...] = ()
    transform: tuple[float, ...] = ()
    close_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A keeper, why it is kept, and its copies; `reclaimable` counts the bytes that their going would free.

    `place` is the group's in the report.
    """

    number: int
    place: int
    keep: PictureView
    reason: str
    copies: tuple[MatchView, ...]
    reclaimable: int
    farthest: float

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Return where the keeper differs from its copy, if one alone does."""
        altered = [copy.boxes_in_other for copy in self.copies if copy.boxes_in_other]
        return altered[0] if len(altered) == 1 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstView:
    """Exposures of one scene in the order of capture; `sharpest` is the place of the one with most detail."""

    pictures: tuple[PictureView, ...]
    sharpest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryView:
    """A query picture and its hits; `mark` in [0, 1] is where the threshold lies on their bars."""

    number: int
    picture: PictureView
    hits: tuple[MatchView, ...]
    duplicates: int
    mark: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeView:
    """The figures above the groups, the groups, largest saving first, and the bursts. Both can be walked once."""

    images: int
    against: str | None
    group_count: int
    copy_count: int
    reclaimable: int
    planned: str
    sentence: str
    coverage: str
    threshold: float
    bars: tuple[float, ...]
    groups: Iterator[GroupView]
    burst_count: int
    bursts: Iterator[BurstView]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """The queries with their hits, in the order they were asked. `queries` can be walked once."""

    query_count: int
    sentence: str
    threshold: float
    queries: Iterator[QueryView]


class Viewer:
    """Makes the views of one page: one size of thumbnail, one common root, one count of progress."""

    def __init__(self, paths: Sequence[str], *, progress: Progress | None = None) -> None:
        self.root = common_root(paths)
        # The more pictures, the smaller: a page of ten thousand stays within what a browser opens at once.
        self.longest = 320 if len(paths) <= 400 else 224 if len(paths) <= 4000 else 144  # noqa: PLR2004
        self._total = len(paths)
        self._done = 0
        self._progress = progress

    def pictures(self, paths: Iterable[str]) -> Iterator[PictureView]:
        """Yield the pictures in order, read by a few threads at most `_AHEAD` ahead of the reader."""
        with Decoder() as decoder, ThreadPoolExecutor(_WORKERS) as pool:
            view = partial(picture_view, root=self.root, longest=self.longest, decoder=decoder)
            waiting: deque[Future[PictureView]] = deque()
            for path in paths:
                waiting.append(pool.submit(view, path))
                if len(waiting) > _AHEAD:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)

    def dedupe(self, report: DedupeReport, only: Collection[Relation] = ()) -> DedupeView:
        """Return the view of a dedupe report, with what a plan acts on by default or for `only` some relations."""
        savings = [sum(_bytes(copy) for copy in group.copies if report.acts_on(copy, only)) for group in report.groups]
        places = range(len(report.groups))
        ranked = sorted(
            zip(savings, report.groups, places, strict=True), key=lambda entry: (-entry[0], entry[1].keep, entry[2])
        )
        distances = [copy.distance for group in report.groups for copy in group.copies]
        return DedupeView(
            images=report.images,
            against=report.against,
            group_count=len(report.groups),
            copy_count=len(distances),
            reclaimable=sum(savings),
            planned=plan_sentence(report, only),
            sentence=details_sentence(report),
            coverage=coverage_sentence(report.coverage),
            threshold=report.threshold.distance,
            bars=_histogram(distances, report.threshold.distance),
            groups=self._groups(ranked, report.threshold),
            burst_count=len(report.bursts),
            bursts=self._bursts(report.bursts),
        )

    def search(self, report: SearchReport) -> SearchView:
        """Return the view of a search."""
        found = sum(hit.duplicate for result in report.queries for hit in result.hits)
        return SearchView(
            query_count=len(report.queries),
            sentence=threshold_sentence(report.threshold, found=found),
            threshold=report.threshold.distance,
            queries=self._queries(report.queries, report.threshold),
        )

    def _groups(self, ranked: Sequence[tuple[int, DuplicateGroup, int]], threshold: Threshold) -> Iterator[GroupView]:
        pictures = self.pictures(chain.from_iterable(group_paths(group) for _, group, _ in ranked))
        decoder = Decoder()
        for number, (saving, group, place) in enumerate(ranked, start=1):
            keep = next(pictures)
            copies = tuple(
                MatchView(
                    picture=next(pictures),
                    distance=copy.distance,
                    share=_share(copy.distance, threshold.distance),
                    label=relation_words(copy.relation),
                    duplicate=True,
                    note=note_words(copy),
                    boxes=copy.differences_in_copy,
                    boxes_in_other=copy.differences,
                    transform=_transform(copy),
                    close_up=tuple(map(_data_uri, close_up(group, copy, decoder) or ())),
                )
                for copy in group.copies
            )
            yield GroupView(
                number=number,
                place=place,
                keep=keep,
                reason=reason_words(group.reason),
                copies=copies,
                reclaimable=saving,
                farthest=max(copy.distance for copy in group.copies),
            )

    def _bursts(self, bursts: Sequence[Burst]) -> Iterator[BurstView]:
        pictures = self.pictures(chain.from_iterable(map(burst_paths, bursts)))
        for burst in bursts:
            sharpest = burst.pictures.index(burst.sharpest) if burst.sharpest else None
            yield BurstView(pictures=tuple(next(pictures) for _ in burst.pictures), sharpest=sharpest)

    def _queries(self, results: Sequence[QueryResult], threshold: Threshold) -> Iterator[QueryView]:
        pictures = self.pictures(chain.from_iterable(query_paths(result) for result in results))
        for number, result in enumerate(results, start=1):
            scale = max([2 * threshold.distance, *(hit.distance for hit in result.hits)])
            picture = next(pictures)
            hits = tuple(
                MatchView(
                    picture=next(pictures),
                    distance=hit.distance,
                    share=_share(hit.distance, scale),
                    label=hit_words(hit),
                    duplicate=hit.duplicate,
                    note=copies_words(hit),
                )
                for hit in result.hits
            )
            yield QueryView(
                number=number,
                picture=picture,
                hits=hits,
                duplicates=sum(hit.duplicate for hit in result.hits),
                mark=_share(threshold.distance, scale),
            )

    def _next(self, waiting: deque[Future[PictureView]]) -> PictureView:
        picture = waiting.popleft().result()
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)
        return picture


def picture_view(path: str, *, root: str, longest: int, decoder: Decoder) -> PictureView:
    """Read one picture for a page; a file that is gone or damaged becomes a view without a thumbnail."""
    folder, name = os.path.split(path)
    relative = os.path.relpath(folder, root) if root and folder else folder
    link = size = width = height = thumbnail = None
    trouble = ""
    try:
        size = Path(path).stat().st_size
        link = Path(path).absolute().as_uri()
        picture = decoder.thumbnail(path, longest=longest)
        width, height = picture.width, picture.height
        thumbnail = _data_uri(picture.image)
    except ImageError as error:
        trouble = error.reason
    except (OSError, ValueError):  # ValueError: a NUL byte or a surrogate that no file name can hold
        trouble = "no longer there"
    return PictureView(
        path=path,
        name=name,
        folder="" if relative == "." else relative,
        link=link,
        size=size,
        width=width,
        height=height,
        thumbnail=thumbnail,
        trouble=trouble,
    )


def group_paths(group: DuplicateGroup) -> tuple[str, ...]:
    """Return the paths of a group, keeper first."""
    return (str(group.keep), *(str(copy.path) for copy in group.copies))


def burst_paths(burst: Burst) -> tuple[str, ...]:
    """Return the paths of a burst."""
    return tuple(map(str, burst.pictures))


def query_paths(result: QueryResult) -> tuple[str, ...]:
    """Return the paths of a query and its hits, query first."""
    return (result.query, *(str(hit.path) for hit in result.hits))


def common_root(paths: Iterable[str]) -> str:
    """Return the folder that all absolute paths share, so that a page says it once; "" if it is the disk itself."""
    folders = {path.parent for path in map(Path, paths) if path.is_absolute()}
    try:
        root = Path(os.path.commonpath(folders)) if folders else Path()
    except ValueError:  # several drives
        return ""
    return "" if root == root.parent else str(root)


def _transform(copy: Copy) -> tuple[float, ...]:
    if copy.relation in _EQUAL:
        return _AS_IT_IS
    return tuple(number for row in copy.transform for number in row)


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "WEBP", quality=72, method=2)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def _histogram(distances: Sequence[float], threshold: float) -> tuple[float, ...]:
    """Return bar heights in [0, 1] over [0, threshold]; none where there are too few distances to have a shape."""
    if len(distances) < _FEWEST_FOR_PLOT:
        return ()
    counts = [0] * _BINS
    for distance in distances:
        counts[min(int(_share(distance, threshold) * _BINS), _BINS - 1)] += 1
    return tuple(count / max(counts) for count in counts)


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


def _bytes(copy: Copy) -> int:
    if copy.facts:
        return copy.facts.size
    try:
        return copy.path.stat().st_size
    except (OSError, ValueError):
        return 0
