"""What speaks against a step of a plan by what the gallery knows: its place, its pair, what is to go along."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamese_search.actions.plan import Plan, Step
from siamese_search.duplicates.companions import is_named_after, is_named_by_stem
from siamese_search.gallery import Gallery
from siamese_search.images.files import lies_in
from siamese_search.images.raw import RAW_KINDS
from siamese_search.results import Action, Answer, Item

_SLACK = 1e-5  # the plan rounds nothing, but two ways to compute one distance differ by less than this
_LINKING = frozenset({Action.HARDLINK, Action.REFLINK})


class Checks:
    """Knows what the gallery knows about the pictures of a plan; `other` is the gallery that holds the keepers.

    `dry_run`: what the plan names has not gone, and is taken for gone.
    """

    def __init__(
        self,
        plan: Plan,
        gallery: Gallery,
        other: Gallery,
        *,
        action: Action,
        protect: Sequence[Path] = (),
        dry_run: bool = False,
    ) -> None:
        self._action = action
        self._foreseen = {step.copy for step in plan.steps} if dry_run else set()
        self._roots = gallery.roots
        self.protected = (*plan.protected, *protect)
        self._threshold = plan.threshold + _SLACK
        self._copies = {item.path: item for item in gallery.items()}
        self._by_stem: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
        for item in self._copies.values():
            if item.format not in RAW_KINDS:  # which belongs to the picture beside it
                self._by_stem[item.path.parent, item.path.stem.lower()].append(item.path)
        self._keepers = self._copies if plan.against is None else {item.path: item for item in other.items()}
        self._relied_on = {step.keep for step in plan.steps}
        self._gallery, self._other = gallery, other
        self._answers = {(pair.first, pair.second): pair.answer for pair in gallery.answers.all()}

    def objection(self, step: Step) -> str | None:
        """Return why a step must not be done, as far as the gallery knows, or None; no file is opened."""
        return self._against_place(step) or self._against_pair(step) or self._against_companions(step)

    def root_of(self, path: Path) -> Path:
        """Return the folder of the gallery that holds a path."""
        return next(root for root in self._roots if lies_in(path, [root]))

    def _against_place(self, step: Step) -> str | None:
        if not lies_in(step.copy, self._roots) or ".." in step.copy.parts:
            return "lies outside the folders of the gallery"
        if lies_in(step.copy, self.protected):
            return "lies in a protected folder"
        if step.copy in self._relied_on:
            return "is to be kept: a step of the plan relies on it"
        return None

    def _against_pair(self, step: Step) -> str | None:
        copy, keep = self._copies.get(step.copy), self._keepers.get(step.keep)
        if copy is None:
            return "is not a picture of the gallery"
        if keep is None:
            return f"its keeper is not a picture of the gallery: {step.keep}"
        if (copy.content_hash, keep.content_hash) != (step.copy_hash, step.keep_hash):
            return "the gallery knows another content for it or its keeper; make a new plan"
        if self._action in _LINKING and step.copy_hash != step.keep_hash:
            return f"only identical files can be made a {self._action}"
        return self._against_likeness(step, copy, keep)

    def _against_likeness(self, step: Step, copy: Item, keep: Item) -> str | None:
        answer = self._answers.get((min(step.copy_hash, step.keep_hash), max(step.copy_hash, step.keep_hash)))
        if answer is Answer.DIFFERENT:
            return f"a person said that it is another picture than: {step.keep}"
        if answer is None and self._distance(copy, keep) > self._threshold:
            return f"is no near-duplicate of its keeper: {step.keep}"
        return None

    def _against_companions(self, step: Step) -> str | None:
        """Return why something must not go along: it has to lie beside the copy, be named after it, and no picture."""
        for companion in step.companions:
            path = companion.path
            if path.parent != step.copy.parent or not is_named_after(path.name, step.copy.name):
                return f"what is to go along does not belong to it: {path}"
            if path in self._copies or path in self._relied_on or lies_in(path, self.protected):
                return f"what is to go along must stay: {path}"
            if is_named_by_stem(path.name, step.copy.name) and (others := self._of_one_stem(step.copy)):
                return f"what is to go along belongs to {others[0].name} as well: {path}"
        return None

    def _of_one_stem(self, picture: Path) -> list[Path]:
        """Return the other pictures with the name of one, but for its extension, that have not gone."""
        others = self._by_stem[picture.parent, picture.stem.lower()]
        return sorted(other for other in others if other not in self._foreseen | {picture} and other.exists())

    def _distance(self, copy: Item, keep: Item) -> float:
        if copy.content_hash == keep.content_hash:
            return 0.0
        first, second = self._gallery.vectors_of([copy.id])[0], self._other.vectors_of([keep.id])[0]
        return float(np.linalg.norm(first - second))
