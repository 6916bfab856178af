"""The encoder in eight bits: its convolutions with whole numbers, everything else as it was.

The pixels are normalised, and the embedding is projected and brought to unit length, in floating point.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from siamese_search import load_encoder
from siamese_search.encoder.folder import GRAPH, WEIGHTS, encoder_fingerprint, write_spec
from siamese_search.images.sandbox import Decoder

BATCH = 8


class Batches(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Pictures that show how large the numbers inside the network get."""

    def __init__(self, paths: Sequence[Path], size: int, name: str) -> None:
        self.name = name
        self.batches = self._batches(paths, size)

    @staticmethod
    def _batches(paths: Sequence[Path], size: int) -> Iterator[NDArray[np.uint8]]:
        with Decoder() as decoder:
            for start in range(0, len(paths), BATCH):
                yield np.stack([decoder.square(path, size=size).pixels for path in paths[start : start + BATCH]])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch; None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def write_int8(encoder: str, photos: Sequence[Path], out: Path) -> None:
    """Write an encoder folder whose graph computes its convolutions with eight-bit weights and activations.

    `photos` (some hundred, none that is tested with) tell the range of the activations.
    """
    source = load_encoder(encoder)
    out.mkdir(parents=True, exist_ok=True)
    for file in source.folder.iterdir():
        if file.is_file() and file.name != WEIGHTS:  # the graph will hold its own
            shutil.copyfile(file, out / file.name)
    with tempfile.TemporaryDirectory() as temporary:
        whole, plain = Path(temporary, "whole.onnx"), Path(temporary, "plain.onnx")
        onnx.save(onnx.load(source.folder / GRAPH), whole)  # with the weights, which it else reads from their file
        # Folds the casts of the half-precision weights, so that there are weights to quantise.
        quant_pre_process(str(whole), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(out / GRAPH),
            Batches(photos, source.input_size, "pixels"),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    write_spec(out, replace(source.spec, name=f"{source.name}-int8", fingerprint=encoder_fingerprint(out)))
