"""What is compared with what: galleries that overlap, equal pictures and answers, held against all pairs one by one."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memory_store import MemoryStore
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder.embed import Embedded
from siamese_search.gallery import Gallery
from siamese_search.gallery.settings import EncoderIdentity
from siamese_search.gallery.store import AnswerRow
from siamese_search.results import Answer, DedupeReport, ImageFile, Threshold, ThresholdSource

DIM = 8
STEP = 0.1  # radians between neighbouring places
NEAR = 0.25  # so two places are near when they are at most two steps apart
PLACES = st.integers(0, 9)
Answers = dict[tuple[int, int], int]


@dataclass(frozen=True)
class Picture:
    """A file at a place on the circle; two at one place have one embedding, with one content also the same bytes."""

    name: str
    place: int
    content: int

    @property
    def path(self) -> Path:
        """Return where it would lie; its first letter says in whose folder."""
        return Path("/nowhere", self.name[0], self.name)

    @property
    def hash(self) -> str:
        """Return its content hash."""
        return f"{self.place:02}{self.content:02}".ljust(32, "0")


def gallery_of(pictures: list[Picture], answers: Answers, roots: set[str]) -> Gallery:
    """Make a gallery in memory."""
    store = MemoryStore()
    identity = EncoderIdentity(name="points", location="points", fingerprint="f" * 32, dim=DIM)
    threshold = Threshold(distance=NEAR, source=ThresholdSource.ENCODER)
    store.create({"encoder": asdict(identity), "threshold": asdict(threshold)})
    for root in roots:
        store.add_root(Path("/nowhere", root))
    for number, picture in enumerate(pictures):
        vector = np.zeros(DIM, np.float32)
        vector[:2] = np.cos(STEP * picture.place), np.sin(STEP * picture.place)
        file = ImageFile(path=picture.path, size=1000 + number, mtime_ns=1)
        embedded = Embedded(
            path=picture.path, vector=vector, content_hash=picture.hash, width=1, height=1, format="JPEG"
        )
        store.add(file, embedded)
    for (first, second), label in answers.items():
        answer = (Answer.SAME, Answer.DIFFERENT)[label]
        store.set_answer(AnswerRow(*sorted((pictures[first].hash, pictures[second].hash)), answer, 1.0))
    return Gallery(store)


@st.composite
def folders(draw: st.DrawFn) -> tuple[list[Picture], Answers]:
    """Draw pictures of three folders, m of one gallery, b of both, t of the other, and what a person said of some."""
    count = draw(st.integers(0, 10))
    pictures = [
        Picture(f"{draw(st.sampled_from('mbt'))}{number}", draw(PLACES), draw(st.integers(0, 1)))
        for number in range(count)
    ]
    answers: Answers = {}
    for _ in range(draw(st.integers(0, 3)) if count > 1 else 0):
        first, second = draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
        if pictures[first].hash != pictures[second].hash:
            answers[first, second] = draw(st.integers(0, 1))
    return pictures, answers


def check(report: DedupeReport, pictures: list[Picture], answers: Answers) -> dict[str, str]:
    """Check what every report promises; return the keeper of each copy."""
    by_path = {picture.path: picture for picture in pictures}
    said = {frozenset((pictures[a].hash, pictures[b].hash)): label for (a, b), label in answers.items()}
    keeper_of: dict[str, str] = {}
    members: list[Path] = []
    for group in report.groups:
        names = [group.keep, *(copy.path for copy in group.copies)]
        members += names
        for copy in group.copies:
            keeper_of[copy.path.name] = group.keep.name
            pair = frozenset((by_path[group.keep].hash, by_path[copy.path].hash))
            assert copy.distance <= NEAR or said.get(pair) == 0
            assert copy.reviewed == (said.get(pair) == 0)
        for one in names:
            for other in names:
                assert said.get(frozenset((by_path[one].hash, by_path[other].hash))) != 1
    assert len(members) == len(set(members))
    return keeper_of


def near(one: Picture, other: Picture) -> bool:
    """Tell whether two pictures lie within the threshold."""
    return abs(one.place - other.place) * STEP < NEAR


@given(drawn=folders())
def test_one_gallery(drawn: tuple[list[Picture], Answers]) -> None:
    """Whatever is near a keeper is in a group, as long as nobody said anything."""
    pictures, answers = drawn
    keeper_of = check(find_duplicates(gallery_of(pictures, answers, {"m", "b", "t"}), details=False), pictures, answers)
    if not answers:
        grouped = {*keeper_of, *keeper_of.values()}
        for one in pictures:
            for other in pictures:
                if one != other and near(one, other):
                    assert grouped & {one.name, other.name}


@given(drawn=folders())
def test_galleries_that_overlap(drawn: tuple[list[Picture], Answers]) -> None:
    """Copies are of the one gallery, keepers of the other; what is in both is kept; nobody's own copy is left out."""
    pictures, _ = drawn
    mine = gallery_of([each for each in pictures if each.name[0] in "mb"], {}, {"m", "b"})
    other = gallery_of([each for each in pictures if each.name[0] in "bt"], {}, {"b", "t"})
    report = find_duplicates(mine, against=other, details=False)
    keeper_of = check(report, pictures, {})
    assert report.images == sum(each.name[0] in "mb" for each in pictures)
    everything_is_shared = not any(each.name[0] == "m" for each in pictures)
    for copy, keeper in keeper_of.items():
        assert keeper[0] in "bt"
        assert copy[0] == "m" or everything_is_shared
    for each in pictures:
        if each.name[0] == "m":
            assert (each.name in keeper_of) == any(near(each, kept) for kept in pictures if kept.name[0] in "bt")


@given(drawn=folders())
def test_a_folder_against_its_gallery(drawn: tuple[list[Picture], Answers]) -> None:
    """Each picture of the folder that is near one outside is a copy, and nothing outside is; answers are respected."""
    pictures, answers = drawn
    if not any(each.name[0] == "b" for each in pictures):
        return
    gallery = gallery_of(pictures, answers, {"m", "b", "t"})
    report = find_duplicates(gallery, against=gallery, folders=[Path("/nowhere/b")], details=False)
    keeper_of = check(report, pictures, answers)
    assert all(copy[0] == "b" for copy in keeper_of)
    for each in pictures:
        if each.name[0] == "b" and not answers:
            outside = any(near(each, kept) for kept in pictures if kept.name[0] != "b")
            assert not outside or each.name in keeper_of


@given(drawn=folders())
def test_a_gallery_against_itself_finds_what_it_finds_alone(drawn: tuple[list[Picture], Answers]) -> None:
    """The same keepers with the same copies; of equal pictures, which alone stay together, each goes its own way."""
    pictures, answers = drawn
    gallery = gallery_of(pictures, answers, {"m", "b", "t"})
    alone, against = (find_duplicates(gallery, against=other, details=False) for other in (None, gallery))
    keeper_of = check(against, pictures, answers)
    if len({picture.place for picture in pictures}) == len(pictures):
        assert keeper_of == check(alone, pictures, answers)
