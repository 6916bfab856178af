"""Who may import whom, and what must stay unloaded for the command line to start fast."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import siamese_search

PACKAGE = Path(siamese_search.__file__).parent
# A module imports from rows above its own, and within its own package; never sideways.
LAYERS = (
    {"errors", "escapes", "version", "cores", "faiss_threads", "memory", "vectors"},
    {"paths", "tables"},
    {"results", "atomic"},
    {"images"},
    {"details"},
    {"encoder"},
    {"calibration"},
    {"gallery"},
    {"duplicates"},
    {"report"},
    {"actions", "demo", "training"},
    {"web"},
    {"cli"},
)
# The parts of the package that may load each heavy library.
OWNERS = {
    "cv2": {"details/"},
    "faiss": {"details/", "faiss_threads.py", "gallery/local/"},
    "onnxruntime": {"encoder/runtime.py"},
    "torch": {"encoder/network.py", "encoder/export.py", "encoder/runtime.py", "training/"},
    "PIL": {"images/", "training/", "report/", "demo.py"},
    "matplotlib": {"training/", "report/"},
    "sqlite3": {"gallery/local/"},
    "pyarrow": {"gallery/parquet.py"},
    "pymilvus": {"gallery/milvus/server.py"},
    "typer": {"cli/"},
}


def modules() -> list[Path]:
    """Return every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Yield the full names that a module imports, anywhere in it or only when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def layer(part: str) -> int:
    """Return the row of a part of the package."""
    rows = [row for row, parts in enumerate(LAYERS) if part in parts]
    assert rows, f"{part} is new: give it a row in LAYERS"
    return rows[0]


def part_of(name: str) -> str:
    """Return the part of the package that a full module name, or a path in the package, belongs to."""
    return name.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    """Lower parts know nothing of higher ones, nor parts of a row of each other."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    for name in imports(path):
        if name.startswith("siamese_search.") and part_of(name) != own:
            assert layer(part_of(name)) < layer(own), f"imports {name}"


def test_the_map_of_the_house() -> None:
    """Every room has its place; `pytest tests/test_layers.py -k map -rP` prints who imports whom, and what is long."""
    arrows = rooms()
    assert sorted(room for row in LAYERS for room in row) == sorted(arrows)
    lines = [f"{room:12} {', '.join(sorted(arrows[room])) or '-'}" for row in reversed(LAYERS) for room in sorted(row)]
    lines.append(f"{len(arrows)} rooms, {len(LAYERS)} layers, {sum(map(len, arrows.values()))} imports between rooms")
    lines += [f"longest {kind}: {name}, {length} lines" for kind, (length, name) in longest().items()]
    sys.stdout.write("\n".join(lines) + "\n")


def longest() -> dict[str, tuple[int, str]]:
    """Return the length in lines, and the name, of the longest module, class and function."""
    found: dict[str, list[tuple[int, str]]] = {"module": [], "class": [], "function": []}
    for path in modules():
        text, place = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()
        found["module"].append((len(text.splitlines()), place))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                found[kind].append(((node.end_lineno or node.lineno) - node.lineno + 1, f"{place}: {node.name}"))
    return {kind: max(entries) for kind, entries in found.items()}


def rooms() -> dict[str, set[str]]:
    """Return for each room, a folder or a module at the top, the rooms that it imports."""
    arrows: dict[str, set[str]] = {}
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in {"__init__", "__main__"}:
            continue
        used = {part_of(name) for name in imports(path) if name.startswith("siamese_search.")}
        arrows.setdefault(room, set()).update(used - {room})
    return arrows


@pytest.mark.parametrize("library", OWNERS)
def test_heavy_libraries_have_owners(library: str) -> None:
    """Each is imported only where it belongs."""
    users = {
        str(path.relative_to(PACKAGE).as_posix())
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert all(user.startswith(tuple(OWNERS[library])) for user in users), users


def test_matplotlib_is_loaded_where_a_plot_is_drawn() -> None:
    """Nobody imports it with the module."""
    for path in modules():
        assert not any(name.split(".")[0] == "matplotlib" for name in imports(path, top_only=True)), path


def test_libraries_do_not_print_or_exit() -> None:
    """Only the command line talks to the terminal and ends the process."""
    for path in modules():
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert not names & {"print", "exit", "quit"}, path
        assert "sys.exit" not in {ast.unparse(node.func) for node in calls}, path


def test_pictures_are_decoded_by_the_decoder_alone() -> None:
    """Outside `images` nobody calls what decodes in the process that asks, but for pictures of our own making."""
    decoding = {
        "images.decode.load_picture",
        "images.decode.open_image",
        "images.metadata.read_metadata",
        "images.ordinary.decode_here",
    }
    for path in modules():
        if path.parent == PACKAGE / "images" or path == PACKAGE / "demo.py":
            continue
        assert not decoding & {name.removeprefix("siamese_search.") for name in imports(path)}, path
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert "Image.open" not in {ast.unparse(node.func) for node in calls}, path


def loaded_by(folder: Path, *arguments: str | Path) -> set[str]:
    """Run a command in a fresh process and return the top-level modules it loaded."""
    code = (
        "import json, sys\n"
        f"sys.argv = ['simsearch', *{[str(argument) for argument in arguments]!r}]\n"
        "from siamese_search.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit as exit:\n    assert not exit.code\n"
        "finally:\n    print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        text=True,
        timeout=60,
    )
    return set(json.loads(finished.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "command", [(), ("index",), ("verify",), ("query",), ("dedupe",), ("info",), ("train",), ("demo",), ("serve",)]
)
def test_help_loads_nothing_heavy(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Asking for help costs Python and typer."""
    heavy = {"torch", "numpy", "faiss", "onnxruntime", "PIL", "matplotlib", "jinja2", "sklearn", "skimage", "onnx"}
    assert not loaded_by(tmp_path, *command, "--help") & heavy


def test_everyday_commands_never_load_torch(tmp_path: Path, photos: Path) -> None:
    """Indexing, searching, deduplicating and describing run without torch, matplotlib and scikit-learn."""
    for arguments in (("index", photos), ("query", photos / "rocket.png"), ("dedupe", "--threshold", "0.3"), ("info",)):
        loaded = loaded_by(tmp_path, *arguments)
        assert not loaded & {"torch", "matplotlib", "sklearn", "scipy", "onnx", "skimage"}, arguments
        assert "numpy" in loaded


def test_deduplicating_needs_no_encoder(tmp_path: Path, photos: Path) -> None:
    """The embeddings are in the gallery: ONNX Runtime stays unloaded."""
    loaded_by(tmp_path, "index", photos)
    assert "onnxruntime" not in loaded_by(tmp_path, "dedupe", "--threshold", "0.3")
