"""The pages in docs/: what they point at is there."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob(".github/*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file of the project."""
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_tests_that_hold_a_promise_exist(page: Path) -> None:
    """A page that names a test names one that is there."""
    file = ""
    for name in re.findall(r"`(?:tests/)?((?:test_\w+\.py)?::\w+|test_\w+\.py)`", page.read_text(encoding="utf-8")):
        path, _, test = name.partition("::")
        file = path or file
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^def {test}\(", text, flags=re.MULTILINE), name


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or np.__version__ < "2", reason="signatures print in other ways in other versions"
)
def test_the_page_of_the_api_is_up_to_date() -> None:
    """docs/api.md is what `make docs` would write now."""
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec
    assert spec.loader
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == make_api.page(), "run: make docs"


def test_promises_name_their_tests() -> None:
    """The page of guarantees has a test for each of its promises."""
    rows = re.findall(r"^\| .+ \|$", (ROOT / "docs/guarantees.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sum("::test_" in row for row in rows) > 20
