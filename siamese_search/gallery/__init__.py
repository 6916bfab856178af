"""The gallery: indexed pictures, their embeddings, and the searches over them."""

from siamese_search.gallery.gallery import Gallery

__all__ = ["Gallery"]
