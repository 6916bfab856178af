"""The encoder folder: `encoder.json`, `weights.safetensors`, and `model.onnx`, the graph that computes with them.

No pickle, no code.
"""

import json
from pathlib import Path

import xxhash

from siamese_search.atomic import whole_file
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError
from siamese_search.paths import expanded

SPEC, WEIGHTS, GRAPH = "encoder.json", "weights.safetensors", "model.onnx"
SHIPPED = Path(__file__).parent
_LONGEST_SPEC = 16 << 20  # bytes
MAX_BYTES = 1 << 30  # of a file in an encoder folder: far above any real one


def encoder_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a shipped encoder, by name, or the folder named; raise EncoderError when there is none."""
    text = str(name_or_folder)
    shipped = SHIPPED / text
    if text.isidentifier() and (shipped / SPEC).is_file():
        return shipped
    folder = expanded(name_or_folder)
    if (folder / SPEC).is_file():
        return folder
    known = ", ".join(sorted(p.parent.name for p in SHIPPED.glob(f"*/{SPEC}")))
    raise EncoderError(
        f"{text}: no encoder there (no {SPEC}); shipped encoders: {known}; `simsearch train DATA -o DIR` makes one"
    )


def read_spec(folder: Path) -> EncoderSpec:
    """Read `encoder.json`; raise EncoderError when it is damaged, incomplete or of a newer format."""
    path = folder / SPEC
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_SPEC + 1)
        if len(text) > _LONGEST_SPEC:
            raise EncoderError(f"{path}: has more bytes than any encoder description; it is not read")
        data = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{path}: not a readable encoder description ({error})") from error
    return EncoderSpec.from_json(data, source=str(path))


def write_spec(folder: Path, spec: EncoderSpec) -> None:
    """Write `encoder.json`, whole or not at all."""
    with whole_file(folder / SPEC) as half:
        half.write_text(json.dumps(spec.to_json(), indent=1) + "\n", encoding="utf-8")


def checked_file(folder: Path, name: str) -> Path:
    """Return the path of a file in an encoder folder; raise EncoderError when it is missing or absurdly large."""
    path = folder / name
    if not path.is_file():
        raise EncoderError(f"{path} is missing; the encoder folder is incomplete, restore it or train again")
    if path.stat().st_size > MAX_BYTES:
        raise EncoderError(f"{path} has {path.stat().st_size:,} bytes, more than any encoder; it is not read")
    return path


def encoder_fingerprint(folder: Path) -> str:
    """Return the 128-bit xxh3 of graph and weights, 32 hex digits: equal fingerprints give comparable embeddings.

    A graph that holds its weights itself needs no other file to embed.
    """
    digest = xxhash.xxh3_128(checked_file(folder, GRAPH).read_bytes())
    if (folder / WEIGHTS).exists():
        digest.update(checked_file(folder, WEIGHTS).read_bytes())
    return digest.hexdigest()
