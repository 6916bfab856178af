"""What the embedding benchmark sets beside `simsearch index`, each in a process of its own, possibly of another Python.

    python embedders.py decode|model|plain|sscd-distilled LIST

LIST names the pictures, a path a line. Prints the seconds of CPU, and on the clock, that the work itself took, without
the loading of libraries and networks.
"""
# ruff: noqa: PLC0415  (each loads its own library, which others need not have)

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from systems import BATCH, CORES, SYSTEMS, Paths, squashed

Work = Callable[[], object]
_PLAIN_BATCH, _PLAIN_SIDE = 64, 224


def decode(paths: Paths) -> Work:
    """Decode with Pillow to the size that the photo encoder takes, a thread a core: one half of the floor."""
    from siamese_search.encoder import load_encoder

    side = load_encoder("photo").input_size

    def work() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(lambda path: squashed(path, side), paths):
                pass

    return work


def model(paths: Paths) -> Work:
    """Run the photo encoder's network over as many pictures, a thread a core: the other half."""
    from siamese_search.encoder import load_encoder

    encoder = load_encoder("photo")
    pixels = np.stack([squashed(path, encoder.input_size) for path in paths[: encoder.batch]])
    encoder.embed_pixels(pixels)

    def work() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(lambda _: encoder.embed_pixels(pixels), range(len(paths) // len(pixels))):
                pass

    return work


def plain(paths: Paths) -> Work:
    """Embed the plain way: Pillow, then EfficientNet-Lite0 in torch as it comes, 64 pictures of 224 pixels at once."""
    import torch
    from PIL import Image

    from siamese_search.encoder.network import EfficientNetLite

    network = EfficientNetLite().eval()  # what its weights are makes no difference to the time

    def pixels(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((_PLAIN_SIDE, _PLAIN_SIDE), Image.Resampling.BICUBIC))

    def work() -> None:
        for start in range(0, len(paths), _PLAIN_BATCH):
            batch = np.stack([pixels(path) for path in paths[start : start + _PLAIN_BATCH]])
            inputs = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() - 127) / 128
            with torch.inference_mode():
                torch.nn.functional.normalize(network(inputs)[-1].mean((2, 3)))

    return work


def sscd(paths: Paths) -> Work:
    """Embed with the fastest learned system of the near-duplicate benchmark, a process a core."""
    return lambda: SYSTEMS["sscd-distilled"].embed(paths, Path(), "")


EMBEDDERS: dict[str, Callable[[Paths], Work]] = {
    "decode": decode, "model": model, "plain": plain, "sscd-distilled": sscd,
}  # fmt: skip


def main() -> None:
    """Do one kind of work."""
    name, listed = sys.argv[1:]
    paths = [Path(line) for line in Path(listed).read_text(encoding="utf-8").splitlines()]
    work = EMBEDDERS[name](paths[: len(paths) // BATCH * BATCH])
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    json.dump({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}, sys.stdout)


if __name__ == "__main__":
    main()
