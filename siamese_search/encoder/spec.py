"""What an encoder is, apart from its weights: the content of `encoder.json`."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from siamese_search.errors import EncoderError
from siamese_search.results import CalibrationRow

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """One encoder's architecture, input and calibration.

    Pictures are squashed to `input_size` x `input_size` with `channels` planes (3 = RGB, 1 = grey) and normalised
    inside the network as `(pixel - mean) / std`, with pixels in [0, 255]. `calibration` lists operating points by
    distance, `threshold` is the one in force. `distinct` holds, as (share, distance), which share of all pairs of
    different pictures lies nearer than a distance: what a gallery's own calibration starts from.
    """

    name: str
    architecture: str
    input_size: int
    channels: int
    mean: float
    std: float
    dim: int
    fingerprint: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    calibration: tuple[CalibrationRow, ...] = ()
    distinct: tuple[tuple[float, float], ...] = ()
    threshold: CalibrationRow | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that `encoder.json` holds."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any, *, source: str) -> "EncoderSpec":
        """Read the object that `encoder.json` holds; raise `EncoderError` naming `source` when it is not one."""
        if not isinstance(data, dict) or not isinstance(data.get("format"), int):
            raise EncoderError(f"{source}: not an encoder description (no format number)")
        if data["format"] > FORMAT:
            raise EncoderError(
                f"{source}: written in format {data['format']}, this version reads up to {FORMAT}; upgrade simsearch"
            )
        values = {key: value for key, value in data.items() if key != "format"}
        if unknown := values.keys() - {f.name for f in fields(cls)}:
            raise EncoderError(f"{source}: unknown entries {', '.join(sorted(unknown))}")
        try:
            values["calibration"] = tuple(CalibrationRow(**row) for row in values.get("calibration", ()))
            values["distinct"] = tuple((float(part), float(distance)) for part, distance in values.get("distinct", ()))
            values["threshold"] = CalibrationRow(**values["threshold"]) if values.get("threshold") else None
            spec = cls(**values)
        except (TypeError, KeyError, ValueError) as error:
            raise EncoderError(f"{source}: incomplete encoder description ({error})") from error
        spec.check(source)
        return spec

    def check(self, source: str) -> None:
        """Raise `EncoderError` when a value is out of its range, before anything is allocated by it."""
        whole = {"input_size": (8, 1024), "dim": (2, 4096)}
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise EncoderError(f"{source}: {name} is {value!r}, expected a whole number in [{low}, {high}]")
        if self.channels not in (1, 3):
            raise EncoderError(f"{source}: channels is {self.channels!r}, expected 1 (grey) or 3 (RGB)")
        if not all(isinstance(v, int | float) for v in (self.mean, self.std)) or self.std <= 0:
            raise EncoderError(f"{source}: mean and std must be numbers, std above 0")
        if not all(isinstance(v, str) for v in (self.name, self.architecture, self.fingerprint)):
            raise EncoderError(f"{source}: name, architecture and fingerprint must be text")
