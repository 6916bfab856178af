"""The plain values that cross module borders: frozen and typed; they print, and turn into tables.

A file is a `Path` everywhere; text only where it is printed or written. A gallery has a location, which is a text.
"""

from siamese_search.results.actions import Action, ActionReport, Refused
from siamese_search.results.answers import Answer, AnsweredPair, EmbeddingPair
from siamese_search.results.copies import (
    FINER,
    KEEP_RULES,
    SAFE_RELATIONS,
    Box,
    Copy,
    CopyPair,
    Edit,
    Facts,
    Loss,
    Reason,
    Relation,
    Rule,
    Shared,
    companions_of,
)
from siamese_search.results.duplicates import Burst, Coverage, DedupeReport, DetailCounts, DuplicateGroup
from siamese_search.results.files import ImageFile, Item, KindCount, LeftOut, Noted, Skipped
from siamese_search.results.gallery import GalleryInfo, SyncReport, VerifyReport
from siamese_search.results.search import Hit, HitKind, QueryResult, SearchReport
from siamese_search.results.threshold import Calibration, CalibrationRow, DetailCheck, Threshold, ThresholdSource

__all__ = [
    "FINER",
    "KEEP_RULES",
    "SAFE_RELATIONS",
    "Action",
    "ActionReport",
    "Answer",
    "AnsweredPair",
    "Box",
    "Burst",
    "Calibration",
    "CalibrationRow",
    "Copy",
    "CopyPair",
    "Coverage",
    "DedupeReport",
    "DetailCheck",
    "DetailCounts",
    "DuplicateGroup",
    "Edit",
    "EmbeddingPair",
    "Facts",
    "GalleryInfo",
    "Hit",
    "HitKind",
    "ImageFile",
    "Item",
    "KindCount",
    "LeftOut",
    "Loss",
    "Noted",
    "QueryResult",
    "Reason",
    "Refused",
    "Relation",
    "Rule",
    "SearchReport",
    "Shared",
    "Skipped",
    "SyncReport",
    "Threshold",
    "ThresholdSource",
    "VerifyReport",
    "companions_of",
]
