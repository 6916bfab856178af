"""Acting on duplicates: a plan, applied and taken back. What is promised, and why it holds, is in docs/acting.md."""

from siamese_search.actions.apply import apply_plan
from siamese_search.actions.choices import choices_json
from siamese_search.actions.plan import Companion, Plan, Step, journal_of, plan_json, read_plan, write_plan
from siamese_search.actions.undo import undo_journal

__all__ = [
    "Companion",
    "Plan",
    "Step",
    "apply_plan",
    "choices_json",
    "journal_of",
    "plan_json",
    "read_plan",
    "undo_journal",
    "write_plan",
]
