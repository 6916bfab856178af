"""The details of two pictures compared: whether one shows the other, where, and what differs."""

from siamese_search.details.compare import compare
from siamese_search.details.features import LONGEST, Features, features
from siamese_search.details.threads import one_thread
from siamese_search.details.verdict import Comparison, Verdict

__all__ = ["LONGEST", "Comparison", "Features", "Verdict", "compare", "features", "one_thread"]
