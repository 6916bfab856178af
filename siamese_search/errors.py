"""What can go wrong, as one tree.

SimsearchError                 every error a user can cause or meet; the CLI prints it as one line and exits 1
├── ImageError                 a picture that cannot be read: `path`, `reason`
├── FolderError                a folder of pictures that is not there or cannot be listed
├── EncoderError               an encoder folder that is missing, damaged, newer than this version, or of another kind
├── GalleryError               a gallery that is missing, damaged, newer than this version, or busy
│   ├── BusyError              another process is writing to the gallery
│   └── FingerprintError       vectors of one encoder were about to be compared with those of another
├── PlanError                  a plan or journal of actions that is damaged, edited, of another kind, or in use
├── DataError                  training or evaluation data that is missing, empty or contradicts itself
└── OptionError                option values that are well-formed one by one and impossible together
"""

from pathlib import Path


class SimsearchError(Exception):
    """Base of all errors; the message says what happened, to which file, and what to do."""


class ImageError(SimsearchError):
    """A picture that cannot be read."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Keep both arguments when the error crosses a process boundary."""
        return type(self), (self.path, self.reason)


class FolderError(SimsearchError):
    """A folder of pictures that is not there or cannot be listed."""


class EncoderError(SimsearchError):
    """An encoder folder that is missing, damaged, too new, or of another kind."""


class GalleryError(SimsearchError):
    """A gallery that is missing, damaged, too new, or busy."""


class BusyError(GalleryError):
    """Another process is writing to the gallery."""


class FingerprintError(GalleryError):
    """Embeddings of one encoder were about to be compared with those of another."""


class PlanError(SimsearchError):
    """A plan or journal of actions that is damaged, edited, of another kind, or in use."""


class DataError(SimsearchError):
    """Training or evaluation data that is missing, empty or contradicts itself."""


class OptionError(SimsearchError):
    """Option values that are well-formed one by one and impossible together."""
