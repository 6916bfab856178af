"""The whole house over HTTP: search, pictures, jobs, and what a server tells of itself, around one gallery."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from siamese_search.cores import usable_cores
from siamese_search.encoder import load_encoder
from siamese_search.errors import SimsearchError
from siamese_search.escapes import printable
from siamese_search.gallery import Gallery
from siamese_search.gallery.locations import Location, folder_at
from siamese_search.gallery.settings import DEFAULT_ENCODER
from siamese_search.images.sandbox import Decoder
from siamese_search.report.data import calibrate_json, info_json, sync_json
from siamese_search.version import __version__
from siamese_search.web.app import Access, json_reply, make_app, page, without
from siamese_search.web.asked import MAX_UPLOAD, known
from siamese_search.web.asking import Asking
from siamese_search.web.compare import Comparing
from siamese_search.web.duplicates import MAX_PLAN, Duplicates
from siamese_search.web.jobs import Jobs, Kind, Progress, Work
from siamese_search.web.known import Known
from siamese_search.web.map import Map
from siamese_search.web.metrics import CONTENT_TYPE, Counted, Metrics
from siamese_search.web.openapi import description
from siamese_search.web.schemas import kind_words
from siamese_search.web.search import Searching
from siamese_search.web.thumbnails import Thumbnails
from siamese_search.web.turns import Turns
from siamese_search.web.uploads import Uploads

_SECONDS = 60.0  # for a search or a look, the wait for a turn included
_WAITING = 64
_PAGES = (
    ("search", "/", "Search"),
    ("duplicates", "/duplicates", "Duplicates"),
    ("review", "/review/", "Review"),
    ("map", "/map", "Map"),
    ("gallery", "/gallery", "Gallery"),
    ("api", "/api", "API"),
)
_MAX_UPLOAD_PIXELS = 178_956_970


class Service:
    """A gallery, served: made before the first request, closed after the last one.

    `folders` may be indexed from the page, beside those that are indexed already. With `read_only` nothing that is
    asked for changes the gallery or a picture.
    """

    def __init__(self, location: Location | None, *, folders: Sequence[Path] = (), read_only: bool = False) -> None:
        with Gallery(location) as first:
            # After an upgrade it may be another one than indexed the gallery: then indexing embeds all pictures anew.
            encoder = load_encoder(first.encoder_location if first.exists() else DEFAULT_ENCODER)
            where = first.location
        self._decoder = Decoder(max_pixels=_MAX_UPLOAD_PIXELS)
        self.gallery = Gallery(where, encoder=encoder.shared(), decoder=self._decoder)
        self._encoders = encoder.folder.parent
        self.folders = tuple(folders)
        self.read_only = read_only
        cores = usable_cores()
        self.searches = Turns("search", threads=2 * cores + 2, waiting=_WAITING, seconds=_SECONDS)
        self._looks = Turns("look", threads=2 * cores, waiting=4 * _WAITING, seconds=_SECONDS)
        uploads = Uploads()
        self._map = Map(self.gallery)
        named = Known(self.gallery, uploads)
        self._comparing = Comparing(named, self._decoder, self._looks)
        self._searching = Searching(
            self.gallery,
            named,
            uploads,
            Thumbnails(self._decoder),
            searches=self.searches,
            looks=self._looks,
        )
        self._duplicates = Duplicates(self.gallery, None if read_only else self._plans(), self._looks)
        self._asking = Asking(self.gallery, self._decoder, _PAGES)
        writing: dict[str, Kind] = {"sync": self._sync, "calibrate": self._calibrate, **self._asking.kinds()}
        reading = {**self._duplicates.kinds(), **self._map.kinds()}
        self.jobs = Jobs(reading if read_only else {**writing, **reading}, say=self._say)
        self._metrics = Metrics(
            {
                ("simsearch_images", "Pictures in the gallery."): self._images,
                ("simsearch_searches_in_progress", "Searches at work or waiting."): lambda: self.searches.taken,
                ("simsearch_searches_refused", "Searches refused so far, since too many waited."): lambda: (
                    self.searches.refused
                ),
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.jobs.close()
        self.searches.close()
        self._looks.close()
        self._decoder.close()
        self.gallery.close()

    def app(self, access: Access, *, names: Collection[str] = ()) -> Starlette:
        """Return the app; `names` are those of `make_app`."""
        routes: list[BaseRoute] = [
            Route("/", self.home),
            Route("/api", self.api),
            Route("/api/openapi.json", self.openapi),
            Route("/api/health", self.health),
            Route("/api/info", self.info),
            Route("/metrics", self.metrics),
            *self._searching.routes(),
            *self._comparing.routes(),
            *self.jobs.routes(),
            Route("/duplicates", self.duplicates),
            Route("/gallery", self.gallery_page),
            *self._duplicates.routes(),
            Route("/map", self.map_page),
            *self._map.routes(),
        ]
        if not self.read_only:
            routes.append(self._asking.mount(Route("/", self.before_review)))
        return make_app(
            routes,
            access,
            names=names,
            max_bodies={"/api/search": MAX_UPLOAD, "/api/plans": MAX_PLAN},
            middleware=[Middleware(Counted, metrics=self._metrics)],
            hidden=self._hidden(),
        )

    # -- pages and what is not worth a file of its own

    async def home(self, request: Request) -> Response:  # noqa: ARG002
        """Show the search page."""
        threshold = self.gallery.threshold.distance if self.gallery.exists() else ""
        return self._page("search.html.j2", "search", threshold=threshold)

    async def duplicates(self, request: Request) -> Response:  # noqa: ARG002
        """Show the page on which duplicates are found, chosen and acted on."""
        are_old = await self._looks.run(lambda: self._duplicates.are_old)
        return self._page("duplicates.html.j2", "duplicates", found=self._duplicates.are_found, old=are_old)

    async def map_page(self, request: Request) -> Response:  # noqa: ARG002
        """Show the map of the gallery."""
        return self._page("map.html.j2", "map", drawn=self._map.is_drawn)

    async def gallery_page(self, request: Request) -> Response:  # noqa: ARG002
        """Show what is in the gallery, and the way to index."""
        return self._page(
            "gallery.html.j2",
            "gallery",
            folders=[printable(str(folder)) for folder in self.folders],
            indexed=self.gallery.exists(),
        )

    async def before_review(self, request: Request) -> Response:  # noqa: ARG002
        """Show the page that begins the review."""
        return self._page("before-review.html.j2", "review")

    async def api(self, request: Request) -> Response:  # noqa: ARG002
        """Show the description of the API as a page."""
        return self._page("api.html.j2", "api", api=description(), words=kind_words)

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        """Describe the API in OpenAPI."""
        return json_reply(description())

    async def health(self, request: Request) -> Response:  # noqa: ARG002
        """Tell that it is there."""
        return json_reply({"status": "ok", "version": __version__})

    async def info(self, request: Request) -> Response:  # noqa: ARG002
        """Describe the gallery."""
        return json_reply(await self._looks.run(self._info))

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        """Tell what was done so far."""
        text = await self._looks.run(self._metrics.text)
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

    def _page(self, template: str, here: str, **values: object) -> Response:
        pages = [entry for entry in _PAGES if not (self.read_only and entry[0] == "review")]
        return page(template, pages=pages, here=here, read_only=self.read_only, **values)

    # -- on a thread

    def _info(self) -> dict[str, Any]:
        if not self.gallery.exists():
            raise HTTPException(409, "no gallery here yet; index a folder first")
        return info_json(self.gallery.info())

    def _images(self) -> int:
        return len(self.gallery) if self.gallery.exists() else 0

    def _sync(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind"})

        def sync(progress: Progress, stop: Event) -> dict[str, Any]:
            roots = self.gallery.roots if self.gallery.exists() else ()
            return sync_json(self.gallery.sync([*roots, *self.folders], progress=progress, stop=stop.is_set))

        return sync

    def _calibrate(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind"})

        def calibrate(_progress: Progress, _stop: Event) -> dict[str, Any]:
            before = self.gallery.threshold
            return calibrate_json(self.gallery.calibrate(), before)

        return calibrate

    def _plans(self) -> Path | None:
        """Return where plans are kept: beside the gallery's own files, where that is a folder."""
        folder = folder_at(self.gallery.location)
        return folder / "plans" if folder else None

    def _say(self, error: SimsearchError) -> str:
        return without(self._hidden(), str(error))

    def _hidden(self) -> list[Path]:
        folder = folder_at(self.gallery.location)
        own = [] if folder is None else [folder.parent, folder.resolve().parent]
        return [*own, self._encoders]
