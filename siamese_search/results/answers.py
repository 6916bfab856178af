"""What people say of two pictures."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siamese_search.tables import Printed


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingPair(Printed):
    """Two item ids of a gallery, `first < second`, and the distance between them."""

    first: int
    second: int
    distance: float


class Answer(StrEnum):
    """What a person can say of two pictures."""

    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPair(Printed):
    """What a person said about two pictures.

    The answer is about contents (`first` < `second` are content hashes), so it holds wherever the files move. `paths`
    and `distance` are those in the gallery now, None when one of the two contents is no longer in it. `time` is in
    seconds since 1970.
    """

    first: str
    second: str
    answer: Answer
    time: float
    paths: tuple[Path, Path] | None
    distance: float | None

    @property
    def id(self) -> str:
        """What a person can call it by: eight digits."""
        return f"{self.first[:4]}{self.second[:4]}"
