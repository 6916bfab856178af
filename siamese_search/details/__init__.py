"""The details of two pictures compared: whether one shows the other, where, and what differs.

Distance proposes, details confirm. Nothing here knows of galleries or files: pixels come in, their features are kept,
and features are compared.

    one, other = features(pixels), features(other_pixels)
    look_closer(pixels, other_pixels, compare(one, other)).verdict
"""

from siamese_search.details.compare import compare
from siamese_search.details.features import LONGEST, Features, features
from siamese_search.details.fine import FINEST, WORTH_A_CLOSER_LOOK, look_closer
from siamese_search.details.quality import Quality, poorer, quality
from siamese_search.details.threads import one_thread
from siamese_search.details.verdict import Comparison, Verdict

__all__ = [
    "FINEST",
    "LONGEST",
    "WORTH_A_CLOSER_LOOK",
    "Comparison",
    "Features",
    "Quality",
    "Verdict",
    "compare",
    "features",
    "look_closer",
    "one_thread",
    "poorer",
    "quality",
]
