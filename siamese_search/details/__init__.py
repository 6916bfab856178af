"""Local features: does one picture show the other, where, and what differs?

The distance of embeddings proposes pairs, the details confirm them. Nothing here knows of galleries or files: pixels
come in, features are kept, pairs of features are compared.

    one, other = features(pixels), features(other_pixels)
    compare(one, other).verdict  # "confirmed", "altered", "alike" or "unchecked"
"""

from siamese_search.details.compare import Change, Comparison, Difference, Verdict, compare
from siamese_search.details.features import WORKING_SIZE, Features, features, use_one_thread

__all__ = [
    "WORKING_SIZE",
    "Change",
    "Comparison",
    "Difference",
    "Features",
    "Verdict",
    "compare",
    "features",
    "use_one_thread",
]
