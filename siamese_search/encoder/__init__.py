"""The encoder: picture -> embedding of unit length."""

from siamese_search.encoder.runtime import Encoder, load_encoder

__all__ = ["Encoder", "load_encoder"]
