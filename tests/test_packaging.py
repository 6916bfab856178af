"""What the package asks for and what it leaves alone: versions, torch, the settings of the host."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from test_layers import PACKAGE, imports, modules

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra if "[" not in line)]
ALL = [line.partition(";")[0] for line in WANTED]  # wherever they are wanted


def lines(name: str) -> list[str]:
    """Return the requirements in a file."""
    return [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def run_python(code: str, *, cwd: Path, torch: bool = True) -> str:
    """Run a program that has the package, and torch unless told otherwise; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code if torch else WITHOUT_TORCH + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- versions


def test_lower_bounds_are_those_that_were_tried() -> None:
    """`constraints-lowest.txt` holds each dependency at its lower bound, and no other."""
    bounds = dict(line.split(">=") for line in ALL)
    lowest = dict(line.split("==") for line in lines("constraints-lowest.txt"))
    assert lowest.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert re.fullmatch(re.escape(bound) + r"(\.0)*", lowest[name]), name


def test_the_versions_of_the_tests_are_pinned() -> None:
    """`constraints.txt` holds each dependency, so that a run of today can be repeated."""
    assert {line.split("==")[0] for line in lines("constraints.txt")} == {line.split(">=")[0] for line in ALL}


def test_every_import_is_asked_for() -> None:
    """A library that a module imports is a dependency or in an extra, under the name that it is installed by."""
    names = {"PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image", "cv2": "opencv-python-headless"}
    known = {line.split(">=")[0].replace("-", "_") for line in ALL} | {"siamese_search", "markupsafe", "_typeshed"}
    for module in modules():
        for name in imports(module):
            top = name.partition(".")[0]
            installed = names.get(top, {"faiss": "faiss_cpu"}.get(top, top)).replace("-", "_")
            assert top in sys.stdlib_module_names or installed in known, f"{module}: {name}"


# -- without torch


def test_the_install_without_torch_has_everything_else() -> None:
    """`requirements-search.txt` is the list of dependencies less torch."""
    assert lines("requirements-search.txt") == [line for line in PROJECT["dependencies"] if "torch" not in line]


def test_search_works_where_torch_is_not_installed(photos: Path, tmp_path: Path) -> None:
    """Index, query, dedupe, calibrate, verify and evaluate never ask for it; training says that it is missing."""
    code = f"""
from siamese_search.cli.app import run
photos, gallery = {str(photos)!r}, ["--index", "gallery", "--quiet"]
assert run(["index", photos, *gallery]) == 0
assert run(["query", photos + "/coffee.png", "--index", "gallery", "--json"]) == 0
assert run(["dedupe", *gallery]) == 0
assert run(["calibrate", *gallery]) == 0
assert run(["verify", *gallery]) == 0
assert run(["evaluate", "photo", "digits", "--seeds", "1", "--quiet"]) == 0
assert run(["train", photos, "-o", "encoder"]) == 1
"""
    run_python(code, cwd=tmp_path, torch=False)


# -- the host's settings

STATE = """
import faiss, json, locale, logging, matplotlib, numpy, os, resource, signal, sys, threading, torch, warnings
from PIL import Image, ImageFile

def state():
    return {
        "faiss threads": faiss.omp_get_max_threads(),
        "torch": [torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
                  str(torch.get_default_dtype()), torch.are_deterministic_algorithms_enabled(), torch.initial_seed()],
        "Pillow": [Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK],
        "Pillow's formats": sorted(Image.registered_extensions().items()),
        "numpy": str(numpy.geterr()),
        "matplotlib": str(dict.__getitem__(matplotlib.rcParams, "backend")),
        "warnings": [str(entry) for entry in warnings.filters],
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "environment": dict(os.environ),
        "logging": [str(logging.root.handlers), logging.root.level],
        "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.unraisablehook)],
        "limits": [resource.getrlimit(getattr(resource, n)) for n in sorted(dir(resource)) if n.startswith("RLIMIT_")],
        "folder": [os.getcwd(), sys.path],
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": threading.active_count(),
    }
"""


def test_import_changes_nothing_of_the_host(tmp_path: Path) -> None:
    """Loading every module leaves threads, limits, warnings, signals and environment as the host chose them."""
    package = "siamese_search"
    own = [f"{package}.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}" for path in modules()]
    others = {name for path in modules() for name in imports(path) if not name.startswith(package)}
    code = f"""
from contextlib import suppress
from importlib import import_module
# What other libraries do when they are loaded is done before.
for name in {sorted(others)!r}:
    with suppress(ImportError):
        import_module(name)
    with suppress(ImportError):
        import_module(name.rpartition(".")[0] or name)
faiss.omp_set_num_threads(2)
torch.set_num_threads(2)
Image.MAX_IMAGE_PIXELS = 123_456_789
before = state()
for name in {sorted(name for name in own if not name.endswith("__main__"))!r}:
    import_module(name)
after = state()
print(json.dumps({{name: [value, after[name]] for name, value in before.items() if value != after[name]}}))
"""
    assert json.loads(run_python(STATE + code, cwd=tmp_path)) == {}


def test_a_search_leaves_the_threads_of_the_host(photos: Path, tmp_path: Path) -> None:
    """FAISS computes in one thread for a search, and in as many as before for the host."""
    code = f"""
import faiss
import siamese_search as ss
faiss.omp_set_num_threads(2)
gallery = ss.Gallery("gallery", encoder=ss.load_encoder("photo"))
gallery.sync([{str(photos)!r}])
gallery.search({str(photos / "coffee.png")!r}, k=3)
assert faiss.omp_get_max_threads() == 2
"""
    run_python(code, cwd=tmp_path)
