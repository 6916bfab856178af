"""Paths as people write them."""

from pathlib import Path

from siamese_search.errors import FolderError


def expanded(path: str | Path) -> Path:
    """Return a path with a leading `~` or `~user` expanded; raises FolderError where that user has no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FolderError(f"{path}: no home folder is known for that user; check the name") from None
