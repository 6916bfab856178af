"""Standard streams in any state: one line, an exit code, never a traceback."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Run


@pytest.fixture
def shell(tmp_path: Path, run: Run, photos: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a line of a shell in `tmp_path`, where `simsearch` is a function, and the nine photos are indexed."""
    assert run("index", photos).returncode == 0

    def run_line(line: str) -> subprocess.CompletedProcess[str]:
        function = f'simsearch() {{ "{sys.executable}" -m siamese_search "$@"; }}'
        command = ["bash", "-c", f"{function}\n{line}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    return run_line


Shell = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes find the package that is tested."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.mark.parametrize("command", ["info", "dedupe --json", "--help", "query photos/rocket.png --csv"])
@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_what_cannot_be_printed_is_an_error(shell: Shell, command: str, where: str) -> None:
    """A closed or full standard output costs one line and exit code 1."""
    if where == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    finished = shell(f"simsearch {command} {where}")
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("simsearch: ")


def test_who_prints_nothing_needs_no_output(shell: Shell) -> None:
    """With --quiet and a closed output the work is done."""
    finished = shell("simsearch index photos --quiet >&-")
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/null"])
def test_without_an_error_stream_answers_come(shell: Shell, where: str) -> None:
    """A closed standard error changes no answer and no exit code."""
    finished = shell(f"simsearch query photos/rocket.png -k 1 --include-self {where}")
    assert (finished.returncode, finished.stdout.split("\t")[0]) == (0, "1")
    assert shell(f"simsearch query missing.jpg {where}").returncode == 1
    assert shell(f"simsearch nonsense {where}").returncode == 2


def test_a_closed_input_is_an_empty_one(shell: Shell) -> None:
    """IMAGE - without a standard input is named."""
    finished = shell("simsearch query - <&-")
    assert (finished.returncode, finished.stdout, finished.stderr) == (1, "", "simsearch: -: the file is empty\n")


def test_a_reader_that_leaves_is_no_trouble(shell: Shell) -> None:
    """`simsearch ... | head` says nothing on the error stream."""
    finished = shell("simsearch dedupe --threshold 2 | true; exit 0")
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_working_directory_that_is_gone(shell: Shell) -> None:
    """What needs none works; what does says so in one line."""
    start = 'I="$PWD/indexes/default"; P="$PWD/photos"; mkdir gone; cd gone; rmdir ../gone; '
    assert shell(f'{start} simsearch info --index "$I"').returncode == 0
    assert shell(f'{start} simsearch index "$P" --index "$I" --quiet').returncode == 0
    for command in ("index .", 'index "$P" --index here', "dedupe . --index indexes", "query here.jpg"):
        finished = shell(f"{start} simsearch {command}")
        assert (finished.returncode, finished.stdout, len(finished.stderr.splitlines())) == (1, "", 1), command


@pytest.mark.parametrize("most", [8, 12, 16])
def test_few_files_may_be_open(run_process: Run, run: Run, photos: Path, most: int) -> None:
    """Too few descriptors are enough, or told in a line of our own; never by a traceback."""
    assert run("index", photos).returncode == 0

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    for command in (("query", photos / "rocket.png"), ("index", photos), ("dedupe", "--threshold", "0.3")):
        finished = run_process(*command, preexec_fn=limit)
        assert finished.returncode in {0, 1}, finished.stderr
        assert all(line.startswith("simsearch: ") for line in finished.stderr.splitlines()), finished.stderr
        assert "damaged" not in finished.stderr
        assert finished.stderr or not finished.returncode


@pytest.mark.parametrize(
    "command",
    [
        ("index", "~nosuchuser"),
        ("info", "--index", "~nosuchuser/gallery"),
        ("dedupe", "~nosuchuser"),
        ("dedupe", "--prefer", "~nosuchuser"),
        ("remove", "~nosuchuser"),
        ("relocate", "~nosuchuser", "photos"),
        ("index", "photos", "--encoder", "~nosuchuser/encoder"),
    ],
)
def test_a_home_that_is_not_known(run: Run, photos: Path, command: tuple[str, ...]) -> None:
    """`~name` of nobody is named in one line."""
    assert run("index", photos).returncode == 0
    finished = run(*command)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "no home folder is known for that user" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
