"""Where the gallery is when nobody says."""

from pathlib import Path

import pytest

from conftest import Run
from siamese_search import Gallery, gallery_location
from siamese_search.errors import FolderError, OptionError


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given comes first, then SIMSEARCH_INDEX, then indexes/default where it is, then the user's own data."""
    monkeypatch.chdir(tmp_path)
    home = gallery_location()
    assert Path(home).is_absolute()
    assert Path(home).parts[-2:] == ("simsearch", "default")
    assert not Path(home).exists()  # looking makes nothing
    (tmp_path / "indexes" / "default").mkdir(parents=True)
    assert gallery_location() == Path("indexes/default")
    monkeypatch.setenv("SIMSEARCH_INDEX", "~/pictures")
    assert gallery_location() == Path.home() / "pictures"
    assert Gallery().location == str(Path.home() / "pictures")
    assert gallery_location("other") == Path("other")
    assert gallery_location(tmp_path) == tmp_path
    monkeypatch.setenv("SIMSEARCH_INDEX", "")
    assert gallery_location() == Path("indexes/default")


def test_an_address_stays_as_it_is() -> None:
    """The two slashes of a server's address are not taken for those of a folder."""
    assert gallery_location("milvus://host:19530/pictures") == "milvus://host:19530/pictures"


def test_places_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all, and the home of nobody, are named; a variable that is not set in a script is no folder."""
    with pytest.raises(OptionError, match="--index is empty"):
        gallery_location("")
    with pytest.raises(FolderError, match="~nosuchuser"):
        gallery_location("~nosuchuser/gallery")
    monkeypatch.setenv("SIMSEARCH_INDEX", "~nosuchuser")
    with pytest.raises(FolderError, match="~nosuchuser"):
        gallery_location()


def test_one_gallery_from_anywhere(
    run_process: Run, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an option, what is indexed in one folder is found from another, and the gallery is named."""
    monkeypatch.delenv("SIMSEARCH_INDEX")
    indexed = run_process("index", photos)
    assert indexed.returncode == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    about = run_process("info", cwd=elsewhere).stdout
    place = str(gallery_location())
    assert indexed.stdout.startswith(f"{place}: 9 images")
    assert place in about.splitlines()[0]
    assert not any(elsewhere.iterdir())
