"""What a gallery.db says of the gallery as a whole: its encoder, and the threshold in force with what it came from."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from siamese_search.gallery.local.database import Database
from siamese_search.results import Calibration, CalibrationRow, Threshold, ThresholdSource

_DIMS = range(2, 4097)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderIdentity:
    """The encoder whose embeddings a gallery holds; `location` is what `load_encoder` takes to find it again."""

    name: str
    location: str
    fingerprint: str
    dim: int


class Settings:
    """The settings in an open gallery.db; part of `Catalogue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def encoder(self) -> EncoderIdentity:
        """The encoder that made every embedding in here."""
        values = self._meta("encoder")
        try:
            identity = EncoderIdentity(**values)
        except TypeError as error:
            raise self._database.damaged(error) from error
        texts = identity.name, identity.location, identity.fingerprint
        if identity.dim not in _DIMS or not all(isinstance(text, str) for text in texts):
            raise self._database.damaged("an impossible encoder")
        return identity

    @property
    def threshold(self) -> Threshold:
        """The threshold in force."""
        values = self._meta("threshold")
        try:
            threshold = Threshold(**{**values, "source": ThresholdSource(values["source"])})
            possible = 0 <= threshold.distance <= 2  # noqa: PLR2004  unit vectors are no further apart
        except (TypeError, KeyError, ValueError) as error:
            raise self._database.damaged(error) from error
        if not possible:
            raise self._database.damaged("an impossible threshold")
        return threshold

    @property
    def calibration(self) -> Calibration | None:
        """How the threshold in force was found; None while it is the encoder's own."""
        values = self._meta("calibration", optional=True)
        if not values:
            return None
        try:
            table = tuple(CalibrationRow(**row) for row in values["table"])
            return Calibration(**{**values, "threshold": self.threshold, "table": table})
        except (TypeError, KeyError) as error:
            raise self._database.damaged(error) from error

    def set_calibration(self, calibration: Calibration) -> None:
        """Put a threshold in force, with the table that it is a row of."""
        values = {"calibration": asdict(calibration), "threshold": asdict(calibration.threshold)}
        for key, value in values.items():
            self._database.put("meta", (key, json.dumps(value)))

    def _meta(self, key: str, *, optional: bool = False) -> dict[str, Any]:
        text = self._database.meta(key)
        if text is None and optional:
            return {}
        try:
            values = json.loads(text or "")
        except (ValueError, RecursionError) as error:
            raise self._database.damaged(f"no {key} in it") from error
        if not isinstance(values, dict):
            raise self._database.damaged(f"no {key} in it")
        return values
