"""Searching over HTTP: by a picture that is sent, by pictures of the gallery, by several together."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from siamese_search.gallery import Gallery
from siamese_search.images.sources import Source
from siamese_search.report.data import item_json, search_json
from siamese_search.results import Item, QueryResult, SearchReport
from siamese_search.web.app import json_reply
from siamese_search.web.asked import MAX_K, Question, known, question_in, truth, whole
from siamese_search.web.known import Known
from siamese_search.web.thumbnails import SIZES, Thumbnails
from siamese_search.web.turns import Turns
from siamese_search.web.uploads import Uploads

_PAGE = 60
_MAX_PAGE = 500


class Searching:
    """The part of the API that reads: whatever takes time does so on a thread of `searches` or `looks`."""

    def __init__(
        self,
        gallery: Gallery,
        named: Known,
        uploads: Uploads,
        thumbnails: Thumbnails,
        *,
        searches: Turns,
        looks: Turns,
    ) -> None:
        self._gallery = gallery
        self._thumbnails = thumbnails
        self._named = named
        self._uploads = uploads
        self._searches = searches
        self._looks = looks

    def routes(self) -> list[BaseRoute]:
        """Return where it is found."""
        return [
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/items", self.items),
            Route("/api/items/{id:int}", self.item),
            Route("/api/items/{id:int}/similar", self.similar),
            Route("/api/items/{id:int}/thumbnail", self.thumbnail),
        ]

    async def search(self, request: Request) -> Response:
        """Answer a question; a picture that came with it is kept, and named, for further ones."""
        question = await question_in(request)
        found = await self._searches.run(self._found, question)
        if question.picture is not None:
            found["upload"] = self._uploads.keep(question.picture)
        return json_reply(found)

    async def similar(self, request: Request) -> Response:
        """Find what is near a picture of the gallery."""
        options = dict(request.query_params)
        known(options, {"k", "details"})
        question = Question(
            items=(request.path_params["id"],),
            k=whole(options.get("k", "20"), "k", most=MAX_K),
            details=truth(options.get("details", "true"), "details"),
        )
        return json_reply(await self._searches.run(self._found, question))

    async def items(self, request: Request) -> Response:
        """List pictures, page by page, in the order in which they were indexed or against it."""
        options = dict(request.query_params)
        known(options, {"after", "limit", "q"})
        after = whole(options["after"], "after", least=0) if "after" in options else None
        limit = whole(options.get("limit", str(_PAGE)), "limit", most=_MAX_PAGE)
        return json_reply(await self._looks.run(self._listed, after, limit, options.get("q", "")))

    async def item(self, request: Request) -> Response:
        """Describe one picture."""
        return json_reply(item_json(await self._looks.run(self._named.item, request.path_params["id"])))

    async def thumbnail(self, request: Request) -> Response:
        """Show one picture, small."""
        options = dict(request.query_params)
        known(options, {"size"})
        size = whole(options.get("size", str(SIZES[1])), "size")
        if size not in SIZES:
            raise HTTPException(422, f"size: expected one of {', '.join(map(str, SIZES))}")
        item = await self._looks.run(self._named.item, request.path_params["id"])
        tag = f'"{item.content_hash}-{size}"'
        headers = {"Cache-Control": "private, max-age=3600", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        data = await self._looks.run(self._thumbnails.of, item, size)
        return Response(data, media_type="image/webp", headers=headers)

    # -- on a thread

    def _found(self, question: Question) -> dict[str, Any]:
        if not (self._gallery.exists() and len(self._gallery)):
            raise HTTPException(409, "the gallery is empty; index a folder first")
        report = self._report(question)
        data = search_json(report, copies=True)
        hits = [hit for result in report.queries for hit in result.files(copies=True)]
        items = self._gallery.items_by_id([hit.id for hit in hits])
        for hit, shown in zip(hits, data["queries"][0]["hits"], strict=True):
            shown["item"] = item_json(items[hit.id]) if hit.id in items else None
        return data

    def _report(self, question: Question) -> SearchReport:
        """Search as `query` does: with one picture, or with several together."""
        gallery, k = self._gallery, question.k
        items = [self._named.item(id_) for id_ in question.items]
        pictures = [self._named.upload(name) for name in question.uploads]
        pictures += [] if question.picture is None else [question.picture]
        sources: list[Source] = [*(item.path for item in items), *pictures]
        if len(sources) > 1:
            if question.threshold is not None:
                raise HTTPException(422, "threshold: nothing is the same picture as several together")
            return SearchReport(threshold=gallery.threshold, queries=(gallery.search_combined(sources, k=k),))
        report = gallery.search(sources, k=k, threshold=question.threshold, details=question.details)
        if not report.skipped:
            return report
        if not items:
            raise HTTPException(422, f"the picture: {report.skipped[0].reason}")
        return self._remembered(items[0], question)

    def _remembered(self, item: Item, question: Question) -> SearchReport:
        """Search with a picture that cannot be read, but is known: by distance alone, so that it finds itself too."""
        gallery, limit = self._gallery, self._gallery.threshold_or(question.threshold)
        (hits,) = gallery.search_vectors(gallery.vectors_of([item.id]), k=question.k, threshold=limit.distance)
        result = QueryResult(query=str(item.path), hits=hits, alike=gallery.alike)
        return SearchReport(threshold=limit, queries=(result,))

    def _listed(self, after: int | None, limit: int, words: str) -> dict[str, Any]:
        """Return a page of pictures, the last indexed first; those behind the one with the id `after`.

        How many there are in all is told where nobody has to look for words to know.
        """
        gallery, wanted = self._gallery, words.split()
        if not gallery.exists():
            return {"items": [], "total": 0, "next": None}
        with gallery.snapshot():
            found = gallery.latest(limit + 1, before=after, words=wanted)  # one more tells whether there are more
            total = None if wanted else len(gallery)
        some = found[:limit]
        return {
            "items": [item_json(item) for item in some],
            "total": total,
            "next": some[-1].id if len(found) > limit else None,
        }
