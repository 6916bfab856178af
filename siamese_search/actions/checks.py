"""What speaks against a step of a plan: its place, its pair, the files as they are on disk at this moment."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamese_search.actions import disk
from siamese_search.actions.plan import Plan, Step
from siamese_search.gallery import Gallery
from siamese_search.images.files import hash_file, lies_in
from siamese_search.results import Action, Item

_SLACK = 1e-5  # the plan rounds nothing, but two ways to compute one distance differ by less than this
_LINKING = frozenset({Action.HARDLINK, Action.REFLINK})


class Checks:
    """Knows what the gallery knows about the pictures of a plan; `other` is the gallery that holds the keepers."""

    def __init__(
        self, plan: Plan, gallery: Gallery, other: Gallery, *, action: Action, protect: Sequence[Path] = ()
    ) -> None:
        self._action = action
        self._roots = gallery.roots
        self._protected = (*plan.protected, *protect)
        self._threshold = plan.threshold + _SLACK
        self._copies = {item.path: item for item in gallery.items()}
        self._keepers = self._copies if plan.against is None else {item.path: item for item in other.items()}
        self._relied_on = {step.keep for step in plan.steps}
        self._gallery, self._other = gallery, other
        self._answers = {(pair.first, pair.second): pair.label for pair in gallery.answers.all()}

    def objection(self, step: Step) -> str | None:
        """Return why a step must not be done, or None. The whole of both files is read."""
        return (
            self._against_place(step)
            or self._against_pair(step)
            or self._against_files(step)
            or _against_content(step.keep, step.keep_hash, f"its keeper {step.keep} ")
            or _against_content(step.copy, step.copy_hash, "")
        )

    def _against_place(self, step: Step) -> str | None:
        if not lies_in(step.copy, self._roots) or ".." in step.copy.parts:
            return "lies outside the folders of the gallery"
        if lies_in(step.copy, self._protected):
            return "lies in a protected folder"
        if step.copy in self._relied_on:
            return "is to be kept: a step of the plan relies on it"
        return None

    def _against_pair(self, step: Step) -> str | None:
        copy, keep = self._copies.get(step.copy), self._keepers.get(step.keep)
        if copy is None:
            return "is not a picture of the gallery"
        if keep is None:
            return f"its keeper {step.keep} is not a picture of the gallery"
        if (copy.content_hash, keep.content_hash) != (step.copy_hash, step.keep_hash):
            return "the gallery knows another content for it or its keeper; make a new plan"
        answer = self._answers.get((min(step.copy_hash, step.keep_hash), max(step.copy_hash, step.keep_hash)))
        if answer == 1:
            return f"a person said that it is not the picture {step.keep}"
        if answer is None and self._distance(copy, keep) > self._threshold:
            return f"is no near-duplicate of its keeper {step.keep}"
        return None

    def _against_files(self, step: Step) -> str | None:
        if lies_behind_link(step.copy):
            return "is or lies behind a symbolic link"
        copy, keep = disk.regular_file(step.copy), disk.regular_file(step.keep)
        if copy is None:
            return "is gone or no regular file"
        if keep is None:
            return f"its keeper {step.keep} is gone, no regular file, or behind a symbolic link"
        if (copy.st_dev, copy.st_ino) == (keep.st_dev, keep.st_ino):
            return "is the same file on disk as its keeper: nothing to gain"
        return self._against_linking(step, same_disk=copy.st_dev == keep.st_dev)

    def _against_linking(self, step: Step, *, same_disk: bool) -> str | None:
        if self._action not in _LINKING:
            return None
        if step.copy_hash != step.keep_hash:
            return f"only identical files can be made a {self._action}"
        return None if same_disk else "lies on another disk than its keeper"

    def _distance(self, copy: Item, keep: Item) -> float:
        if copy.content_hash == keep.content_hash:
            return 0.0
        first, second = self._gallery.vectors_of([copy.id])[0], self._other.vectors_of([keep.id])[0]
        return float(np.linalg.norm(first - second))


def lies_behind_link(path: Path) -> bool:
    """Tell whether a path is a symbolic link or leads through one."""
    return os.path.realpath(path) != str(path)


def _against_content(path: Path, content_hash: str, name: str) -> str | None:
    try:
        changed = hash_file(path) != content_hash
    except OSError as error:
        return f"{name}cannot be read: {error.strerror}"
    return f"{name}has changed since the plan was made" if changed else None
