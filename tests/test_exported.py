"""The public surface: what `import siamese_search` promises."""

import inspect
import subprocess
import sys

import siamese_search as ss
from siamese_search import errors, results


def test_every_public_name_loads() -> None:
    """Each name in `__all__` is there and is what its module defines."""
    for name in ss.__all__:
        assert getattr(ss, name).__name__ == name


def test_every_error_is_public() -> None:
    """No error of the tree is missing from the public names."""
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree <= set(ss.__all__)


def test_results_are_frozen() -> None:
    """Every result type refuses to be changed."""
    for value in vars(results).values():
        if inspect.isclass(value) and value.__module__ == results.__name__ and hasattr(value, "__dataclass_fields__"):
            assert value.__dataclass_params__.frozen, value


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import siamese_search` alone loads neither numpy nor anything slower."""
    heavy = "numpy torch faiss onnxruntime PIL typer rich"
    code = f"import sys, siamese_search; print([m for m in {heavy.split()!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
