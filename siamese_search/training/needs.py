"""What a run needs beside its data, looked for before anything that takes long."""

from importlib.util import find_spec
from pathlib import Path

from siamese_search.errors import DataError, OptionError

# By the name that is imported, the name that is installed.
TRAINING = {
    "torch": "torch",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
}
FIGURES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}


def require(purpose: str, packages: dict[str, str]) -> None:
    """Raise OptionError with all packages of the training extra that are missing; nothing is loaded to find out."""
    missing = [name for module, name in packages.items() if find_spec(module) is None]
    if missing:
        raise OptionError(f"{purpose} needs {', '.join(missing)}: pip install 'siamese-search[train]'")


def read_test_list(path: Path) -> frozenset[str]:
    """Return the pictures that a file names, one a line; raise DataError when it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"test list {path}: cannot be read ({reason})") from error
    return frozenset(line.strip() for line in lines)
