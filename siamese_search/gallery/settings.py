"""What a gallery knows of itself: its encoder, and the threshold in force with what it came from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from siamese_search.encoder import Encoder
from siamese_search.encoder.folder import SHIPPED, encoder_folder, read_spec
from siamese_search.errors import EncoderError, FingerprintError
from siamese_search.gallery.store import DamagedError, Settings
from siamese_search.results import Calibration, CalibrationRow, DetailCheck, Threshold, ThresholdSource

DEFAULT_ENCODER = "photo"  # of a new gallery
_DIMS = range(2, 4097)
_MAX_DISTANCE = 2.0  # between unit vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderIdentity:
    """The encoder whose embeddings a gallery holds; `location` is what `load_encoder` takes to find it again."""

    name: str
    location: str
    fingerprint: str
    dim: int

    @classmethod
    def of(cls, encoder: Encoder) -> "EncoderIdentity":
        """Return the identity of an encoder: of one that ships the name, wherever this package lies, or the folder."""
        location = _location_of(encoder)
        return cls(name=encoder.name, location=location, fingerprint=encoder.fingerprint, dim=encoder.dim)

    @property
    def present_fingerprint(self) -> str:
        """The fingerprint of the encoder that lies at `location` now; this one's where none can be read."""
        try:
            return read_spec(encoder_folder(self.location)).fingerprint
        except EncoderError:  # whoever needs it loads it, and is told
            return self.fingerprint

    def is_at(self, encoder: Encoder) -> bool:
        """Tell whether an encoder lies where this one did: the same, or what it was replaced by."""
        return _location_of(encoder) == self.location

    def check(self, encoder: Encoder, location: str) -> None:
        """Raise FingerprintError unless an encoder is this one."""
        if encoder.fingerprint == self.fingerprint:
            return
        if self.is_at(encoder):
            said = "embed its pictures anew, which keeps folders and answers"
            command = f"simsearch index --index {location}"
        else:
            said = "name another --index, or embed its pictures anew, which keeps folders and answers"
            command = f"simsearch index --index {location} --encoder {_location_of(encoder)} --re-embed"
        raise FingerprintError(
            f"{location}: was indexed by encoder {self.name} ({self.fingerprint[:12]}), which is not"
            f" {encoder.name} ({encoder.fingerprint[:12]}); {said}: {command}"
        )


def _location_of(encoder: Encoder) -> str:
    folder = encoder.folder.resolve()
    return folder.name if folder.parent == SHIPPED.resolve() else str(folder)


def first_settings(encoder: Encoder) -> Settings:
    """Return the settings that a new gallery begins with."""
    return {"encoder": asdict(EncoderIdentity.of(encoder)), "threshold": asdict(encoder.threshold)}


def next_settings(settings: Settings, encoder: Encoder, location: str) -> Settings:
    """Return the settings of a gallery of which another encoder embeds all pictures anew; they name the earlier ones.

    Nothing that was calibrated holds any more.
    """
    former = [*former_in(settings), identity_in(settings, location).fingerprint]
    return {**first_settings(encoder), "calibration": {}, "former": {"fingerprints": former}}


def former_in(settings: Settings) -> tuple[str, ...]:
    """Return the fingerprints of the encoders that a gallery had before, oldest first."""
    found = settings.get("former", {}).get("fingerprints", ())
    return tuple(map(str, found)) if isinstance(found, list) else ()


def identity_in(settings: Settings, location: str) -> EncoderIdentity:
    """Return the encoder that made every embedding; raises DamagedError when the settings do not say it."""
    try:
        identity = EncoderIdentity(**settings["encoder"])
    except (KeyError, TypeError) as error:
        raise _damaged(location, "no encoder in it") from error
    texts = identity.name, identity.location, identity.fingerprint
    if identity.dim not in _DIMS or not all(isinstance(text, str) for text in texts):
        raise _damaged(location, "an impossible encoder")
    return identity


def threshold_in(settings: Settings, location: str) -> Threshold:
    """Return the threshold in force; raises DamagedError when the settings do not say it."""
    try:
        return _threshold(settings["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(location, "an impossible threshold") from error


def calibration_in(settings: Settings, location: str) -> Calibration | None:
    """Return how the threshold in force was found; None while it is the encoder's own. Raises DamagedError."""
    values = settings.get("calibration")
    if not values:
        return None
    try:
        table = tuple(CalibrationRow(**row) for row in values["table"])
        details = DetailCheck(**values["details"]) if values.get("details") else None
        limit = threshold_in(settings, location)
        return Calibration(**{**values, "threshold": limit, "table": table, "details": details})
    except (KeyError, TypeError) as error:
        raise _damaged(location, "an impossible calibration") from error


def _threshold(values: Mapping[str, Any]) -> Threshold:
    threshold = Threshold(**{**values, "source": ThresholdSource(values["source"])})
    if not 0 <= threshold.distance <= _MAX_DISTANCE:
        raise ValueError(threshold.distance)
    return threshold


def _damaged(location: str, detail: str) -> DamagedError:
    return DamagedError(location, location, detail)
