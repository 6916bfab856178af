"""Handwritten digits: MNIST from the files that people have of it, and the small set that ships with scikit-learn.

MNIST is read from `mnist.npz`, from the four IDX files (plain or .gz), or from class folders `train/0` ... `test/9`.
What is read from the first two is held against the checksums of the original files.
"""

import gzip
import hashlib
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_search.errors import DataError
from siamese_search.images.decode import picture_extensions
from siamese_search.images.sandbox import Decoder
from siamese_search.training.data import SPLIT_SEED, ArrayPictures, Dataset, Part
from siamese_search.training.selection import Chosen

MNIST = Path("data/mnist")
NPZ = "mnist.npz"
VALIDATION = 5000  # of MNIST's 60,000 training pictures
EDGE = 28

# The original's four files, by what they hold, and the MD5 of each as an uncompressed IDX file.
IDX_FILES = {
    "x_train": ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    "y_train": ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    "x_test": ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    "y_test": ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
}
CLASS_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing")}

HELP = (
    f"Put {NPZ} (https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz) into it, or the four files "
    f"{', '.join(file for file, _ in IDX_FILES.values())} (plain or .gz, from "
    "https://ossci-datasets.s3.amazonaws.com/mnist/), or name the folder that has them"
)

Arrays = dict[str, NDArray[np.uint8]]


def load_mnist(folder: Path = MNIST) -> Dataset:
    """Read MNIST: its 10,000 test pictures are the test part, 5,000 of the 60,000 others the validation part.

    Raises DataError when the files are missing (saying where to get them), damaged, or not MNIST.
    """
    if (folder / NPZ).is_file():
        arrays = read_npz(folder / NPZ)
    elif idx := idx_paths(folder):
        arrays = {name: read_idx(path) for name, path in idx.items()}
    elif split := class_folders(folder):
        arrays = read_class_folders(split)
        return in_parts("mnist", arrays, validation=min(VALIDATION, len(arrays["x_train"]) // 10))
    else:
        raise DataError(f"{folder}: no MNIST there. {HELP}")
    verify(arrays, folder)
    return in_parts("mnist", arrays, validation=VALIDATION)


def holds_mnist(folder: Path) -> bool:
    """Tell whether a folder has the archive or the four IDX files."""
    return (folder / NPZ).is_file() or bool(idx_paths(folder))


def load_digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8 x 8 pixels (Alpaydin & Kaynak, 1998).

    1,097 are for training, 200 for validation, 500 for the test.
    """
    try:
        from sklearn.datasets import load_digits as load_bunch  # noqa: PLC0415
    except ImportError as error:
        raise DataError("the digits come with scikit-learn: pip install 'siamese-search[train]'") from error
    bunch = load_bunch()
    ink = (bunch.images * (255 / 16)).round().astype(np.uint8)  # 16 is the darkest
    order = np.random.default_rng(SPLIT_SEED).permutation(len(ink))
    ink, shown = ink[order], bunch.target[order].astype(np.uint8)
    arrays = {"x_train": ink[500:], "y_train": shown[500:], "x_test": ink[:500], "y_test": shown[:500]}
    return in_parts("digits", arrays, validation=200)


def in_parts(name: str, arrays: Arrays, *, validation: int) -> Dataset:
    """Split the training arrays at random into training and validation; the test arrays stay as they are."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(arrays["x_train"]))
    held_out, rest = order[:validation], order[validation:]

    def part(part_name: str, side: str, chosen: NDArray[np.int64]) -> Part:
        pictures = Chosen(ArrayPictures(arrays[f"x_{side}"], prefix=side), chosen)
        return Part(name=part_name, pictures=pictures, identity=arrays[f"y_{side}"][chosen].astype(np.int64))

    return Dataset(
        name=name, labels="folders",
        train=part("train", "train", rest),
        validation=part("validation", "train", held_out),
        test=part("test", "test", np.arange(len(arrays["x_test"]))),
    )  # fmt: skip


# ---- the files


def read_npz(path: Path) -> Arrays:
    """Read the arrays `x_train`, `y_train`, `x_test`, `y_test` of a .npz file."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in IDX_FILES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable MNIST archive ({error}); fetch it again") from error
    for name, array in arrays.items():
        if array.dtype != np.uint8 or array.ndim != (3 if name.startswith("x") else 1):
            raise DataError(f"{path}: {name} holds {array.dtype} {array.shape}, not bytes of digits; fetch it again")
    return arrays


def idx_paths(folder: Path) -> dict[str, Path]:
    """Return where the four IDX files are, plain or .gz; nothing when one is missing."""
    found = {}
    for name, (file, _) in IDX_FILES.items():
        for path in (folder / file, folder / f"{file}.gz", folder / file.replace("-idx", ".idx")):
            if path.is_file():
                found[name] = path
                break
    return found if len(found) == len(IDX_FILES) else {}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: two zeros, type 8, the number of axes, their lengths big-endian, then the values."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again") from error
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0  # noqa: PLR2004  (the magic number)
    header = 4 + 4 * axes
    if not axes or len(content) < header:
        raise DataError(f"{path}: not an IDX file of bytes; fetch it again")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) - header != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path}: {len(content) - header:,} values, its header promises {shape}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def as_idx(array: NDArray[np.uint8]) -> bytes:
    """Return the IDX file of an array, as the original's authors wrote it."""
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def verify(arrays: Arrays, folder: Path) -> None:
    """Raise DataError unless the arrays are MNIST's, byte for byte."""
    for name, (file, expected) in IDX_FILES.items():
        checksum = hashlib.md5(as_idx(arrays[name]), usedforsecurity=False).hexdigest()
        if checksum != expected:
            raise DataError(
                f"{folder}: {name} is not MNIST's (MD5 {checksum}, {file} has {expected}); the file is damaged or of "
                "another data set. For your own pictures, name a folder of class folders instead of mnist"
            )


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the training and the test pictures; nothing when one is missing."""
    found = {}
    for side, names in CLASS_FOLDERS.items():
        for name in names:
            if (folder / name / "0").is_dir():
                found[side] = folder / name
    return found if len(found) == len(CLASS_FOLDERS) else {}


def read_class_folders(split: dict[str, Path]) -> Arrays:
    """Decode the pictures in the folders 0 to 9 of the training and the test folder."""
    arrays: Arrays = {}
    with Decoder() as decoder:
        for side, folder in split.items():
            ink, shown = [], []
            for digit in range(10):
                paths = sorted(p for p in (folder / str(digit)).glob("*") if p.suffix.lower() in picture_extensions())
                if not paths:
                    raise DataError(f"{folder / str(digit)}: no pictures of the digit {digit}")
                ink += [decoder.square(path, size=EDGE, channels=1).pixels[:, :, 0] for path in paths]
                shown += [digit] * len(paths)
            arrays |= {f"x_{side}": np.stack(ink), f"y_{side}": np.array(shown, np.uint8)}
    return arrays
