"""What a run compares: which pictures of which gallery, and what people said about them.

Pictures are known by their position in one list: first those that are looked through, then those of the other gallery.
A file that is in both has one position. Of pictures with the same embedding one stands for all, and is compared.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from siamese_search.errors import FolderError, GalleryError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.gallery.join import Embeddings, Ids
from siamese_search.gallery.locations import Location
from siamese_search.images.files import folder_trouble, lies_in
from siamese_search.paths import expanded
from siamese_search.results import Answer, Item, Skipped

Positions = NDArray[np.int64]

Answers = dict[tuple[str, str], Answer]
"""What people said of two content hashes, the lesser first."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a user asked to look through: everything, or what lies in `places`; groups with a picture of `singles`.

    `absent` are the gallery's folders that are away: what is known of their pictures neither keeps nor goes.
    """

    places: tuple[Path, ...] | None
    singles: frozenset[Path]
    absent: tuple[Skipped, ...] = ()

    def holds(self, path: Path) -> bool:
        """Tell whether a file was named, by itself or by a folder."""
        return path in self.singles or (self.places is not None and lies_in(path, self.places))


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Pictures of one gallery that are compared: their embeddings, their ids, ascending, and the position of each."""

    embeddings: Embeddings
    ids: Ids
    positions: Positions

    def positions_of(self, ids: Ids) -> Positions:
        """Return the positions of some of the ids."""
        return self.positions[np.searchsorted(self.ids, ids)]

    def vectors(self, positions: Positions) -> NDArray[np.float32]:
        """Return the vectors `(n, dim)` of pictures that no other stands for."""
        order = np.argsort(self.positions)
        ids = self.ids[order[np.searchsorted(self.positions, positions, sorter=order)]]
        return self.embeddings.vectors(np.searchsorted(self.embeddings.ids, ids))

    def equals(self) -> dict[int, list[int]]:
        """Return for each position that stands for others theirs."""
        equals: defaultdict[int, list[int]] = defaultdict(list)
        others, ones = (self.positions_of(self.embeddings.equals[:, column]).tolist() for column in (0, 1))
        for other, one in zip(others, ones, strict=True):
            equals[one].append(other)
        return dict(equals)


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The pictures to compare: those of `looked_through` with each other, or with those of `other`.

    `ids` holds the id of each position; the first `own` positions are those of the gallery looked through, and `shared`
    those of them that are in the other gallery too. `equals` tells for whom a position stands. `same` and `apart` are
    the pairs of positions, the lesser first, that a person called the same picture and different ones. `images` is the
    number of pictures looked through.
    """

    looked_through: Side
    other: Side | None
    ids: Ids
    own: int
    shared: frozenset[int]
    equals: Mapping[int, Sequence[int]]
    images: int
    answers: Answers
    same: frozenset[tuple[int, int]]
    apart: frozenset[tuple[int, int]]

    def precedence(self, position: int) -> int:
        """Return 0 for what is kept whatever the rules say, the other gallery's, then 1 for what is in both."""
        if self.other is None or position >= self.own:
            return 0
        return 1 if position in self.shared else 2


def read_named(gallery: Gallery, folders: Sequence[str | Path] | None) -> Named:
    """Tell folders from single pictures: a picture is compared with the folders named beside it, or with everything.

    Raises FolderError for a picture that is not indexed.
    """
    if folders is None:
        return Named(None, frozenset())
    singles = {path: expanded(path).resolve() for path in folders if expanded(path).is_file()}
    known = {item.path for item in gallery.items()} if singles else set()
    for given, path in singles.items():
        if path not in known:
            raise FolderError(
                f"{given}: not indexed; find its like with: simsearch query {given} --index {gallery.location}"
            )
    places = tuple(expanded(folder).resolve() for folder in folders if folder not in singles)
    return Named(places or None, frozenset(singles.values()))


def without_absent(named: Named, gallery: Gallery) -> Named:
    """Leave out the gallery's folders that are away: their pictures can be neither looked at nor acted on.

    Raises FolderError where nothing is left of what was named.
    """
    troubles = {root: trouble for root in gallery.roots if (trouble := folder_trouble(root))}
    if not troubles:
        return named
    paths = [item.path for item in gallery.items()]
    holding = [root for root in gallery.roots if any(lies_in(path, [root]) for path in paths)]
    away = [root for root in holding if root in troubles]
    wanted = holding if named.places is None else named.places
    present = tuple(place for place in wanted if not lies_in(place, away))
    if away and wanted and not present:
        raise FolderError(
            f"{away[0]}: {troubles[away[0]]}; connect its drive, or if it has another name now:"
            f" simsearch relocate {away[0]} NEW-NAME"
        )
    absent = tuple(Skipped(path=root, reason=f"{troubles[root]}; its pictures are left out") for root in away)
    return replace(named, places=present, absent=absent) if away else named


def read_scope(gallery: Gallery, named: Named, *, against: Gallery | None = None) -> Scope:
    """Read what is to be compared, inside a snapshot of the galleries.

    With `against` pictures are compared with those of the other gallery, which are kept. What is in both is of the
    other gallery too, unless it was named, or nothing would be left to look through: then it is both.

    Raises FingerprintError when two encoders made the galleries.
    """
    if against is not None:  # an empty one counts too
        gallery.check_comparable(against)
    answers = _read_answers(gallery, against)
    # A million items take long to read, so they are only when what is compared depends on them.
    wanted = bool(answers) or (against is not None and _overlap(gallery, against))
    mine = gallery.items(named.places) if wanted or named.places is not None else None
    theirs = against.items() if wanted and against is not None else None
    shared = _shared(mine, theirs, named) if mine is not None and theirs is not None else {}
    images = len(gallery) if mine is None else len(mine)
    if mine is not None and theirs is not None:  # what is kept is not looked through
        kept = {item.path for item in theirs if item.id not in shared}
        mine = [item for item in mine if item.path not in kept]
    kinds = {content: kind for kind, content in enumerate({hash_ for both in answers for hash_ in both}, 1)}
    one = _side(gallery, mine, kinds, alone=frozenset(shared.values()))
    other = None if against is None else _other_side(against, theirs, kinds, one, shared)
    equals = one.equals() | ({} if other is None else other.equals())
    answered = _with_answers(((one, mine), (other, theirs)), kinds, equals)
    return Scope(
        looked_through=one,
        other=other,
        ids=_ids(one, other),
        own=len(one.ids),
        shared=frozenset(one.positions_of(np.array([*shared.values()], np.int64)).tolist()),
        equals=equals,
        images=images,
        answers=answers,
        same=_answered(answers, answered, Answer.SAME),
        apart=_answered(answers, answered, Answer.DIFFERENT),
    )


def read_items(
    scope: Scope, positions: Sequence[int], gallery: Gallery, *, against: Gallery | None = None
) -> dict[int, Item]:
    """Return the pictures at some positions, inside the snapshot in which the scope was read."""
    places = np.array(positions, np.int64)
    items: dict[int, Item] = {}
    for side, owner in ((places[places < scope.own], gallery), (places[places >= scope.own], against)):
        if owner is not None:
            ids = scope.ids[side].tolist()
            found = owner.items_by_id(ids)
            items |= {position: found[id_] for position, id_ in zip(side.tolist(), ids, strict=True)}
    return items


@contextmanager
def opened_galleries(
    index: Location | None,
    *,
    against: Location | None = None,
    folders: Sequence[str | Path] = (),
    to_act: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Gallery, Gallery | None]]:
    """Open the gallery to look through and the one to compare it with.

    With `against`, folders that are not in the gallery get one for the time being, and `progress` is called with the
    pictures embedded and the total. What is found so cannot be acted on: then `to_act` raises OptionError.
    """
    with ExitStack() as stack:
        gallery = stack.enter_context(Gallery(index))
        if against is None:
            yield gallery, None
            return
        other = stack.enter_context(Gallery(against))
        places = [expanded(folder).resolve() for folder in folders]
        if not _are_indexed(places, gallery):
            if to_act:
                raise OptionError(f"a plan needs its pictures indexed; first: simsearch index {places[0]}")
            passing = Path(stack.enter_context(TemporaryDirectory(prefix="simsearch-")))
            gallery = stack.enter_context(Gallery(passing, encoder=other.encoder))
            gallery.sync(places, calibrate=False, progress=progress)
        yield gallery, other


def _are_indexed(places: Sequence[Path], gallery: Gallery) -> bool:
    try:
        roots = gallery.roots
    except GalleryError:  # there is none, and none is needed for folders that are named
        if not places:
            raise
        return False
    return all(lies_in(place, roots) for place in places)


def _read_answers(gallery: Gallery, against: Gallery | None) -> Answers:
    return {
        (pair.first, pair.second): pair.answer
        for asked in (against, gallery)  # on the same pair the gallery's own answer counts
        for pair in (() if asked is None else asked.answers.all())
    }


def _overlap(one: Gallery, other: Gallery) -> bool:
    """Tell whether a file may be in both galleries."""
    return any(lies_in(root, other.roots) for root in one.roots) or any(
        lies_in(root, one.roots) for root in other.roots
    )


def _shared(mine: Sequence[Item], theirs: Sequence[Item], named: Named) -> dict[int, int]:
    """Return the files of both galleries that are looked through all the same: the other's id, and the own one."""
    own = {item.path: item.id for item in mine}
    both = [item for item in theirs if item.path in own]
    if len(both) < len(mine) or named.singles:
        both = [item for item in both if named.holds(item.path)]
    return {item.id: own[item.path] for item in both}


def _side(gallery: Gallery, items: Sequence[Item] | None, kinds: Mapping[str, int], *, alone: frozenset[int]) -> Side:
    """Gather some pictures, or all, at positions from 0 on.

    A content that an answer is about stands for no other, and neither does a picture that is `alone`.
    """
    if items is None:
        embeddings = gallery.embeddings()
    else:
        kind_of = {item.id: kinds[item.content_hash] for item in items if item.content_hash in kinds}
        kind_of |= {id_: kind for kind, id_ in enumerate(sorted(alone), len(kinds) + 1)}
        embeddings = gallery.embeddings(only=np.array([item.id for item in items], np.int64), kinds=kind_of)
    ids = np.sort(np.concatenate([embeddings.ids, embeddings.equals[:, 0]]))
    return Side(embeddings, ids, np.arange(len(ids)))


def _other_side(
    gallery: Gallery, items: Sequence[Item] | None, kinds: Mapping[str, int], one: Side, shared: Mapping[int, int]
) -> Side:
    """Gather the other gallery's pictures, at positions behind those of one side, or at those of the same file."""
    side = _side(gallery, items, kinds, alone=frozenset(shared))
    are_new = ~np.isin(side.ids, np.array([*shared], np.int64))
    positions = len(one.ids) - 1 + np.cumsum(are_new)
    positions[~are_new] = one.positions_of(np.array([shared[id_] for id_ in side.ids[~are_new].tolist()], np.int64))
    return Side(side.embeddings, side.ids, positions)


def _ids(one: Side, other: Side | None) -> Ids:
    return one.ids if other is None else np.concatenate([one.ids, other.ids[other.positions >= len(one.ids)]])


def _with_answers(
    sides: Sequence[tuple[Side | None, Sequence[Item] | None]],
    kinds: Mapping[str, int],
    equals: Mapping[int, Sequence[int]],
) -> dict[str, set[int]]:
    """Return for each content that an answer is about the positions of those that stand for all pictures with it."""
    stands = {position: one for one, others in equals.items() for position in others}
    answered: defaultdict[str, set[int]] = defaultdict(set)
    for side, items in sides:
        of_kind = [item for item in items or () if item.content_hash in kinds]
        if side is not None and of_kind:
            positions = side.positions_of(np.array([item.id for item in of_kind], np.int64)).tolist()
            for item, position in zip(of_kind, positions, strict=True):
                answered[item.content_hash].add(stands.get(position, position))
    return answered


def _answered(answers: Answers, answered: Mapping[str, set[int]], wanted: Answer) -> frozenset[tuple[int, int]]:
    return frozenset(
        (min(first, second), max(first, second))
        for (one, other), said in answers.items()
        if said is wanted
        for first, second in product(answered.get(one, ()), answered.get(other, ()))
    )
