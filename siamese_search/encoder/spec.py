"""What an encoder is, apart from its weights: the content of `encoder.json`."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from siamese_search.errors import EncoderError
from siamese_search.results import CalibrationRow

FORMAT = 2  # 1 knew no part that tells what a picture shows; it is read as it is
_GREATEST = 1e9
_MAX_DISTANCE = 2.0  # between unit vectors
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """One encoder's architecture, input and calibration.

    Pictures are squashed to `input_size` x `input_size` with `channels` planes (3 = RGB, 1 = grey) and normalised
    inside the network as `(pixel - mean) / std`, with pixels in [0, 255]. `calibration` lists operating points by
    distance, `threshold` is the one in force. `distinct` holds, as (share, distance), which share of all pairs of
    different pictures lies nearer than a distance: what a gallery's own calibration starts from. `negatives` counts the
    embeddings that the network subtracts at `negatives_temperature`, see `NegativeEmbeddingSubtraction`; 0 when it does
    not. `alike` is the distance up to which pictures are said to look alike, showing the same kind of thing; None where
    nobody measured it.

    Of the `dim` numbers of an embedding, the last `subject` tell what a picture shows, those before which picture it
    is; each part is of unit length before they are joined as `[sqrt(1 - w) copy, sqrt(w) subject]`, where w is
    `subject_weight`: the share of the squared distance that likeness of subject decides. 0 numbers: there is no such
    part.
    """

    name: str
    architecture: str
    input_size: int
    channels: int
    mean: float
    std: float
    dim: int
    negatives: int = 0
    negatives_temperature: float = 0.07
    subject: int = 0
    subject_weight: float = 0.0
    fingerprint: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    calibration: tuple[CalibrationRow, ...] = ()
    distinct: tuple[tuple[float, float], ...] = ()
    threshold: CalibrationRow | None = None
    alike: float | None = None

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
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise EncoderError(f"{source}: incomplete encoder description ({error})") from error
        spec.check(source)
        return spec

    def check(self, source: str) -> None:
        """Raise `EncoderError` when a value is out of its range, before anything is allocated by it."""
        whole = {"input_size": (8, 1024), "dim": (2, 4096), "negatives": (0, 4096), "subject": (0, 4094)}
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise EncoderError(f"{source}: {name} is {value!r}, expected a whole number in [{low}, {high}]")
        if self.channels not in (1, 3):
            raise EncoderError(f"{source}: channels is {self.channels!r}, expected 1 (grey) or 3 (RGB)")
        if not (_is_number(self.negatives_temperature) and self.negatives_temperature > 0):
            raise EncoderError(f"{source}: negatives_temperature must be a number above 0")
        if self.subject > self.dim - 2:
            raise EncoderError(f"{source}: subject is {self.subject}, which leaves fewer than 2 of {self.dim} numbers")
        if not (_is_number(self.subject_weight) and 0 <= self.subject_weight < 1):
            raise EncoderError(f"{source}: subject_weight is {self.subject_weight!r}, expected a share in [0, 1)")
        if not (_is_number(self.mean) and _is_number(self.std) and self.std > 0):
            raise EncoderError(f"{source}: mean and std must be numbers, std above 0")
        if not all(_is_word(text) for text in (self.name, self.architecture, self.fingerprint)):
            raise EncoderError(f"{source}: name, architecture and fingerprint must be text of one short line")
        if not isinstance(self.provenance, dict):
            raise EncoderError(f"{source}: provenance must be an object")
        self._check_tables(source)

    def _check_tables(self, source: str) -> None:
        if not all(_is_number(value) for pair in self.distinct for value in pair):
            raise EncoderError(f"{source}: distinct must hold pairs of numbers")
        if self.alike is not None and not (_is_number(self.alike) and 0 <= self.alike <= _MAX_DISTANCE):
            raise EncoderError(f"{source}: alike is {self.alike!r}, expected a distance in [0, 2]")
        for row in (*self.calibration, *((self.threshold,) if self.threshold else ())):
            if not (_is_number(row.threshold) and 0 <= row.threshold <= _MAX_DISTANCE):
                raise EncoderError(f"{source}: a threshold is {row.threshold!r}, expected a distance in [0, 2]")
            if not all(_is_number(share) and 0 <= share <= 1 for share in (row.precision, row.recall)):
                raise EncoderError(f"{source}: precision and recall must be shares in [0, 1]")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _GREATEST  # so neither NaN nor infinite


def _is_word(value: object) -> bool:
    """Tell whether a stranger's text may be shown: no line breaks, nothing that steers a terminal."""
    return isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()
