"""The review of borderline pairs within the house: a job finds the questions, which are asked as `review` asks them."""

from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from siamese_search.gallery import Gallery
from siamese_search.images.sandbox import Decoder
from siamese_search.web.asked import known
from siamese_search.web.jobs import Kind, Progress, Work, until_stopped
from siamese_search.web.questions import Questions
from siamese_search.web.review import Review


class Asking:
    """The pages under `/review/`."""

    def __init__(self, gallery: Gallery, decoder: Decoder, pages: Sequence[tuple[str, str, str]]) -> None:
        self._pages = pages
        self._gallery = gallery
        self._decoder = decoder
        self._review: Router | None = None

    def kinds(self) -> dict[str, Kind]:
        """Return the jobs of this part."""
        return {"questions": self._questions}

    def mount(self, before: Route) -> BaseRoute:
        """Return where it is found; `before` is shown until there are questions."""
        first = Router([before])

        async def review(scope: Scope, receive: Receive, send: Send) -> None:
            await (self._review or first)(scope, receive, send)

        return Mount("/review", review)

    def _questions(self, said: Mapping[str, Any]) -> Work:
        known(said, {"kind"})

        def find(progress: Progress, stop: Event) -> dict[str, Any]:
            progress = until_stopped(progress, stop)
            questions = Questions(self._gallery, progress=progress)
            self._review = Router(Review(self._gallery, questions, self._decoder, pages=self._pages).routes())
            return {"known": len(questions.known), "more": questions.next() is not None}

        return find
