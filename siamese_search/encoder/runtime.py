"""An encoder at work: ONNX Runtime on the CPU, torch on a GPU, equal answers."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from siamese_search.encoder.embed import embed_pictures
from siamese_search.encoder.folder import (
    GRAPH,
    SPEC,
    WEIGHTS,
    checked_file,
    encoder_fingerprint,
    encoder_folder,
    read_spec,
)
from siamese_search.encoder.shared import SharedBackend
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError, ImageError, OptionError
from siamese_search.images.sources import Source, is_source
from siamese_search.results import CalibrationRow, Skipped, Threshold, ThresholdSource

NEUTRAL_DISTANCE = 0.6  # the threshold of an encoder that was never calibrated


class Backend(Protocol):
    """Something that turns pixels (n, s, s, c) into embeddings (n, dim), fastest `batch` at a time."""

    batch: int

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch."""
        ...


class Encoder:
    """A trained encoder: pictures to embeddings of unit length. Safe to use from several threads at once."""

    def __init__(self, folder: Path, spec: EncoderSpec, backend: Backend) -> None:
        self.folder = folder
        self.spec = spec
        self._backend = backend

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return self.spec.name

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.spec.dim

    @property
    def fingerprint(self) -> str:
        """Hash of inference graph and weights; embeddings are comparable when it is equal."""
        return self.spec.fingerprint

    @property
    def input_size(self) -> int:
        """Edge of the square that pictures are squashed to, in pixels."""
        return self.spec.input_size

    @property
    def batch(self) -> int:
        """How many pictures are best embedded at once where it runs."""
        return self._backend.batch

    @property
    def channels(self) -> Literal[1, 3]:
        """3 for RGB, 1 for grey."""
        return 3 if self.spec.channels == 3 else 1  # noqa: PLR2004

    @property
    def calibration(self) -> tuple[CalibrationRow, ...]:
        """Operating points measured when the encoder was trained, smallest distance first."""
        return self.spec.calibration

    @property
    def threshold(self) -> Threshold:
        """The threshold that the encoder brings along."""
        row = self.spec.threshold
        if row is None:
            return Threshold(distance=NEUTRAL_DISTANCE, source=ThresholdSource.ENCODER)
        return Threshold(
            distance=row.threshold,
            source=ThresholdSource.ENCODER,
            expected_precision=row.precision,
            expected_recall=row.recall,
        )

    def shared(self) -> "Encoder":
        """Return this encoder for many threads that bring a picture each: what waits at a time is embedded together."""
        return Encoder(self.folder, self.spec, SharedBackend(self._backend))

    @property
    def alike(self) -> float | None:
        """The distance up to which pictures are said to look alike; None where that was not measured."""
        return self.spec.alike

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings of unit length: (n, s, s, c) pixels, s = `input_size` -> (n, dim) float32."""
        expected = (self.input_size, self.input_size, self.channels)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != expected:
            raise ValueError(f"expected uint8 pixels of shape (n, {expected}), got {pixels.dtype} {pixels.shape}")
        if len(pixels) == 0:
            return np.empty((0, self.dim), np.float32)
        embeddings = self._backend(pixels)
        if embeddings.shape != (len(pixels), self.dim):
            raise EncoderError(f"{self.folder}: its graph gives {embeddings.shape[1:]} values, not {self.dim}")
        return embeddings

    def embed(self, images: Source | Iterable[Source]) -> NDArray[np.float32]:
        """Return the embedding of a picture, (dim,) float32, or of several, (n, dim), in order.

        A picture is a path, the bytes of a file, an open file, a Pillow image, or an array of uint8, (height, width)
        or with 1, 3 or 4 channels behind them. One that cannot be read raises ImageError.
        """
        sources = [images] if is_source(images) else cast("Iterable[Source]", images)
        vectors = []
        for result in embed_pictures(sources, self):
            if isinstance(result, Skipped):
                raise ImageError(result.path, result.reason)
            vectors.append(result)
        if is_source(images):
            return vectors[0]
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)


class OnnxBackend:
    """The inference graph in ONNX Runtime, one thread a call: callers run as many at once as there are cores."""

    batch = 4  # larger ones fall out of the core's own cache

    def __init__(self, graph: Path, *, threads: int = 1) -> None:
        import onnxruntime  # noqa: PLC0415  (200 ms that --help need not pay)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._graph = graph
        try:
            # Without its fallback it prints nothing and tries nothing twice.
            self._session: Any = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # it raises classes of its own, without a common base
            raise _unusable(graph, error) from error

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch; raises EncoderError when the graph turns out to be none for pictures."""
        try:
            embeddings = np.asarray(self._session.run(None, {self._input: pixels})[0])
        except Exception as error:
            raise _unusable(self._graph, error) from error
        if embeddings.dtype != np.float32 or not np.isfinite(embeddings).all():
            raise EncoderError(f"{self._graph}: not a usable inference graph (its embeddings are no finite numbers)")
        return embeddings


def _unusable(graph: Path, error: Exception) -> EncoderError:
    words = (str(error).splitlines() or [type(error).__name__])[0]
    return EncoderError(f"{graph}: not a usable inference graph ({words})")


class TorchBackend:
    """The trainable network, in torch, for a GPU."""

    batch = 64  # smaller ones leave it waiting

    def __init__(self, folder: Path, device: str) -> None:
        import torch  # noqa: PLC0415  (seconds that only a GPU's owner pays)

        from siamese_search.encoder.network import load_network  # noqa: PLC0415

        self._torch = torch
        self._device = torch.device(device)
        self._network = load_network(folder).eval().to(self._device)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch."""
        with self._torch.inference_mode():
            on_device = self._torch.from_numpy(pixels).to(self._device)
            embeddings: NDArray[np.float32] = self._network(on_device).float().cpu().numpy()
        return embeddings


def device_for(wanted: str) -> str:
    """Return where to compute, "cpu" or "cuda", for `wanted`: "auto" takes a GPU where there is one.

    Without a driver of NVIDIA's, torch is not even loaded. Raises OptionError for "cuda" where torch finds none, or is
    not installed.
    """
    if wanted not in {"auto", "cpu", "cuda"}:
        raise OptionError(f"device {wanted}: give auto, cpu or cuda")
    driver = Path("/proc/driver/nvidia/version").exists() or which("nvidia-smi") is not None
    installed = find_spec("torch") is not None
    if wanted == "cpu" or (wanted == "auto" and not (driver and installed)):
        return "cpu"
    if not installed:
        raise OptionError("device cuda: torch is not installed; pip install torch, or give --device cpu")
    import torch  # noqa: PLC0415  (seconds that only a GPU's owner pays)

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise OptionError("device cuda: torch finds no GPU that it can use here; give --device cpu")
    return "cpu"


def load_encoder(name_or_folder: str | Path = "photo", *, device: str = "cpu", threads: int = 1) -> Encoder:
    """Load a shipped encoder by name, or an encoder folder.

    `device` is "cpu" (ONNX Runtime, `threads` a call), a torch device such as "cuda", or "auto" (see `device_for`).
    Runs no code from the folder. Raises EncoderError when the folder is missing, damaged, too new, or its graph is not
    the one it was saved with.
    """
    folder = encoder_folder(name_or_folder)
    spec = read_spec(folder)
    if encoder_fingerprint(folder) != spec.fingerprint:
        raise EncoderError(
            f"{folder}: {GRAPH} and {WEIGHTS} are not those that {SPEC} describes; restore them or train again"
        )
    if device == "auto":
        device = device_for(device)
    if device == "cpu":
        return Encoder(folder, spec, OnnxBackend(checked_file(folder, GRAPH), threads=threads))
    return Encoder(folder, spec, TorchBackend(folder, device))
