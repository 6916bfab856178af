"""The encoder that a gallery is indexed with."""

from siamese_search.encoder import Encoder, device_for, load_encoder
from siamese_search.gallery.gallery import Gallery
from siamese_search.gallery.locations import Location
from siamese_search.gallery.settings import DEFAULT_ENCODER


def encoder_for(location: Location | None = None, name: str | None = None, *, device: str = "auto") -> Encoder | None:
    """Return the encoder to index a gallery with, on a device: the one named, or else the gallery's own, or "photo".

    None leaves it to the gallery, which loads its own for the CPU when it needs it.
    """
    where = device_for(device)
    if where == "cpu":
        return load_encoder(name) if name else None
    if name is None:
        with Gallery(location) as gallery:
            if gallery.exists():
                return load_encoder(gallery.encoder_location, device=where)
    return load_encoder(name or DEFAULT_ENCODER, device=where)
