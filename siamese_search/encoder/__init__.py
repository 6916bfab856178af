"""The encoder: picture -> embedding of unit length."""

from siamese_search.encoder.runtime import Encoder, device_for, load_encoder

__all__ = ["Encoder", "device_for", "load_encoder"]
