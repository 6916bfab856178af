"""The gallery: indexed pictures, their embeddings, and the searches over them."""

from siamese_search.gallery.gallery import Gallery, GalleryInfo

__all__ = ["Gallery", "GalleryInfo"]
