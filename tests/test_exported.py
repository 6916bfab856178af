"""The public surface: what `import siamese_search` promises."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest

import siamese_search as ss
from siamese_search import errors, results


def test_every_public_name_loads() -> None:
    """Each name in `__all__` is there and is what its module defines."""
    for name in ss.__all__:
        assert getattr(ss, name).__name__ == name


def types_in(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation names, however deep."""
    if get_origin(annotation) in {Union, UnionType} or get_args(annotation):
        for part in (get_origin(annotation), *get_args(annotation)):
            yield from types_in(part)
    elif inspect.isclass(annotation):
        yield annotation


def result_of(function: Any) -> Any:
    """Return what a function is annotated to return; its arguments may name what only type checkers load."""
    annotation = function.__annotations__.get("return")
    return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation  # noqa: S307


def returned_by(value: Any) -> Iterator[Any]:
    """Yield what a public function, or the methods, properties and fields of a public class, give back."""
    if inspect.isfunction(value):
        yield result_of(value)
        return
    for name in vars(value):
        member = inspect.getattr_static(value, name)
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield result_of(inspect.unwrap(function))
    for field in getattr(value, "__dataclass_fields__", {}).values():
        yield field.type


@pytest.mark.parametrize("name", [name for name in ss.__all__ if not name.endswith("Error")])
def test_what_is_returned_is_public(name: str) -> None:
    """Every type of ours that a public function, method, property or field gives is a public name itself."""
    for annotation in returned_by(getattr(ss, name)):
        for kind in types_in(annotation):
            if kind.__module__.startswith("siamese_search"):
                assert kind.__name__ in ss.__all__, f"{name} gives a {kind.__name__}"


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
