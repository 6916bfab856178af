"""Pictures that a request may name: by the id of a gallery's item, or by the name of an upload. Never by a path."""

from starlette.exceptions import HTTPException

from siamese_search.gallery import Gallery
from siamese_search.results import Item
from siamese_search.web.uploads import Uploads

MAX_ID = 2**63 - 1
"""Of a number that a store takes."""


class Known:
    """What there is to be named; whatever is not there is a 404."""

    def __init__(self, gallery: Gallery, uploads: Uploads) -> None:
        self._gallery = gallery
        self._uploads = uploads

    def item(self, id_: int) -> Item:
        """Return the picture with an id."""
        if id_ <= MAX_ID and self._gallery.exists() and (item := self._gallery.items_by_id([id_]).get(id_)):
            return item
        raise HTTPException(404, "no picture of that id")

    def upload(self, name: str) -> bytes:
        """Return a picture that was sent."""
        picture = self._uploads.get(name)
        if picture is None:
            raise HTTPException(404, "that picture is not kept any more; send it again")
        return picture
