"""simsearch finds the same and the similar picture in your own folders.

    import siamese_search as ss

    gallery = ss.Gallery()  # the one that the commands use; or name a folder
    gallery.sync(["./images"])  # index them, and calibrate
    hits = gallery.search("a.jpg", k=5)  # or bytes, an open file, a PIL image, an array; or several of them
    report = ss.find_duplicates(gallery)
    ss.write_plan("plan.json", report, gallery)
    ss.apply_plan("plan.json", action="trash", dry_run=True)

docs/api.md lists everything. Names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from siamese_search.version import __version__ as __version__

if TYPE_CHECKING:
    from siamese_search.actions import (
        Companion,
        Plan,
        Step,
        apply_plan,
        choices_json,
        read_plan,
        undo_journal,
        write_plan,
    )
    from siamese_search.demo import Demo, DemoReport, DemoScore, Planted, run_demo
    from siamese_search.duplicates.find import find_duplicates
    from siamese_search.duplicates.keeper import KeeperRules
    from siamese_search.encoder import Encoder, load_encoder
    from siamese_search.encoder.spec import EncoderSpec
    from siamese_search.errors import (
        BusyError,
        DataError,
        EncoderError,
        FingerprintError,
        FolderError,
        GalleryError,
        ImageError,
        OptionError,
        PlanError,
        SimsearchError,
    )
    from siamese_search.gallery import Gallery
    from siamese_search.gallery.answers import Answers
    from siamese_search.gallery.encoders import encoder_for
    from siamese_search.gallery.join import Embeddings
    from siamese_search.gallery.locations import gallery_location
    from siamese_search.report.html import write_page
    from siamese_search.report.map import write_map_html
    from siamese_search.report.sheet import write_group_sheet, write_query_sheet
    from siamese_search.results import (
        Action,
        ActionReport,
        Answer,
        AnsweredPair,
        Burst,
        Calibration,
        CalibrationRow,
        Copy,
        CopyPair,
        Coverage,
        DedupeReport,
        DetailCheck,
        DetailCounts,
        DuplicateGroup,
        Edit,
        EmbeddingPair,
        Facts,
        GalleryInfo,
        Hit,
        HitKind,
        Item,
        KindCount,
        Loss,
        Noted,
        QueryResult,
        Reason,
        Refused,
        Relation,
        Rule,
        SearchReport,
        Shared,
        Skipped,
        SyncReport,
        Threshold,
        ThresholdSource,
        VerifyReport,
    )
    from siamese_search.training.encoder import TrainReport, evaluate_encoder, train_encoder
    from siamese_search.training.evaluation import Evaluation, Spread
    from siamese_search.training.retrieval import Retrieval

__all__ = [
    "Action",
    "ActionReport",
    "Answer",
    "AnsweredPair",
    "Answers",
    "Burst",
    "BusyError",
    "Calibration",
    "CalibrationRow",
    "Companion",
    "Copy",
    "CopyPair",
    "Coverage",
    "DataError",
    "DedupeReport",
    "Demo",
    "DemoReport",
    "DemoScore",
    "DetailCheck",
    "DetailCounts",
    "DuplicateGroup",
    "Edit",
    "EmbeddingPair",
    "Embeddings",
    "Encoder",
    "EncoderError",
    "EncoderSpec",
    "Evaluation",
    "Facts",
    "FingerprintError",
    "FolderError",
    "Gallery",
    "GalleryError",
    "GalleryInfo",
    "Hit",
    "HitKind",
    "ImageError",
    "Item",
    "KeeperRules",
    "KindCount",
    "Loss",
    "Noted",
    "OptionError",
    "Plan",
    "PlanError",
    "Planted",
    "QueryResult",
    "Reason",
    "Refused",
    "Relation",
    "Retrieval",
    "Rule",
    "SearchReport",
    "Shared",
    "SimsearchError",
    "Skipped",
    "Spread",
    "Step",
    "SyncReport",
    "Threshold",
    "ThresholdSource",
    "TrainReport",
    "VerifyReport",
    "apply_plan",
    "choices_json",
    "encoder_for",
    "evaluate_encoder",
    "find_duplicates",
    "gallery_location",
    "load_encoder",
    "read_plan",
    "run_demo",
    "train_encoder",
    "undo_journal",
    "write_group_sheet",
    "write_map_html",
    "write_page",
    "write_plan",
    "write_query_sheet",
]

# The module of each name that is neither an error nor a result.
_HOMES = {
    "Plan": "actions",
    "Companion": "actions",
    "Step": "actions",
    "apply_plan": "actions",
    "choices_json": "actions",
    "read_plan": "actions",
    "undo_journal": "actions",
    "write_plan": "actions",
    "Demo": "demo",
    "DemoReport": "demo",
    "DemoScore": "demo",
    "Planted": "demo",
    "run_demo": "demo",
    "find_duplicates": "duplicates.find",
    "KeeperRules": "duplicates.keeper",
    "Encoder": "encoder",
    "load_encoder": "encoder",
    "EncoderSpec": "encoder.spec",
    "Gallery": "gallery",
    "Answers": "gallery.answers",
    "encoder_for": "gallery.encoders",
    "Embeddings": "gallery.join",
    "gallery_location": "gallery.locations",
    "write_map_html": "report.map",
    "write_page": "report.html",
    "write_group_sheet": "report.sheet",
    "write_query_sheet": "report.sheet",
    "TrainReport": "training.encoder",
    "evaluate_encoder": "training.encoder",
    "train_encoder": "training.encoder",
    "Evaluation": "training.evaluation",
    "Spread": "training.evaluation",
    "Retrieval": "training.retrieval",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "errors" if name.endswith("Error") else "results")
    return getattr(import_module(f"siamese_search.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
