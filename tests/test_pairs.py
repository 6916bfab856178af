"""Drawing, dealing out, reading and writing of pairs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR, Pairs, read_pairs, write_pairs
from siamese_search.errors import DataError
from siamese_search.training.pairs import balanced_pairs, connected_parts


@given(st.lists(st.integers(0, 4), min_size=3, max_size=40), st.integers(0, 5))
def test_balanced_pairs_are_true(identity: list[int], seed: int) -> None:
    """Labels tell the truth, no picture is its own partner, and each has one pair of each kind that it can have."""
    shown = np.array(identity, np.int64)
    counts = {i: identity.count(i) for i in identity}
    can_be_similar = [i for i, c in enumerate(identity) if counts[c] > 1]
    can_be_dissimilar = [i for i, c in enumerate(identity) if counts[c] < len(identity)]
    if not can_be_similar or not can_be_dissimilar:
        with pytest.raises(DataError, match=r"no (similar|dissimilar) pair"):
            balanced_pairs(shown, seed=seed)
        return
    pairs = balanced_pairs(shown, seed=seed)
    assert (pairs.first != pairs.second).all()
    assert ((shown[pairs.first] == shown[pairs.second]) == (pairs.label == SIMILAR)).all()
    assert pairs.first[pairs.label == SIMILAR].tolist() == can_be_similar
    assert pairs.first[pairs.label == DISSIMILAR].tolist() == can_be_dissimilar


def test_balanced_pairs_count_as_in_the_reference() -> None:
    """Two pairs for each picture: 10,000 pictures of ten classes give 20,000 pairs, half of them similar."""
    pairs = balanced_pairs(np.arange(10_000) % 10)
    assert len(pairs) == 20_000
    assert int(np.sum(pairs.label == SIMILAR)) == 10_000


def test_a_seed_decides_the_pairs() -> None:
    """The same seed draws the same pairs, another seed others."""
    shown = np.arange(60) % 6
    first, again, other = balanced_pairs(shown), balanced_pairs(shown), balanced_pairs(shown, seed=1)
    assert first.second.tolist() == again.second.tolist()
    assert first.second.tolist() != other.second.tolist()


def test_partners_are_drawn_evenly() -> None:
    """Every picture of the other classes is as likely a partner as any other, also of unequal classes."""
    shown = np.array([0, 0, 1, 2, 2, 2])
    drawn = np.concatenate(
        [
            p.second[(p.first == 0) & (p.label == DISSIMILAR)]
            for p in (balanced_pairs(shown, seed=s) for s in range(2000))
        ]
    )
    share = np.bincount(drawn, minlength=6) / len(drawn)
    assert share.tolist() == pytest.approx([0, 0, 0.25, 0.25, 0.25, 0.25], abs=0.04)


def test_parts_share_no_picture() -> None:
    """Pictures that are tied by pairs stay together."""
    rng = np.random.default_rng(0)
    # 40 clusters of four pictures with two similar and two dissimilar pairs each
    first = np.concatenate([[4 * c, 4 * c + 1, 4 * c + 2, 4 * c] for c in range(40)])
    second = np.concatenate([[4 * c + 1, 4 * c + 2, 4 * c + 3, 4 * c + 3] for c in range(40)])
    pairs = Pairs(first=first, second=second, label=np.tile(np.array([0, 1, 0, 1], np.int8), 40))
    pairs = pairs.take(rng.permutation(len(pairs)))
    parts = connected_parts(pairs, 160, shares=(0.8, 0.1, 0.1))
    members = [set(p.first.tolist()) | set(p.second.tolist()) for p in parts]
    assert sum(len(p) for p in parts) == len(pairs)
    assert not members[0] & members[1]
    assert not (members[0] | members[1]) & members[2]
    assert [len(p) for p in parts] == [128, 16, 16]


def test_pairs_in_one_cluster_cannot_be_split() -> None:
    """The message says why and what to do."""
    chain = Pairs(first=np.arange(9), second=np.arange(1, 10), label=np.array([0, 1, 0, 1, 0, 1, 0, 1, 0], np.int8))
    with pytest.raises(DataError, match="add pairs between other pictures"):
        connected_parts(chain, 10, shares=(0.8, 0.1, 0.1))


def test_pairs_survive_a_file(tmp_path: Path) -> None:
    """What was written is read back, whatever the names hold."""
    names = ["a, b.png", 'say "cheese".jpg', "ü/ñ.png"]
    pairs = Pairs(first=np.array([0, 2]), second=np.array([1, 0]), label=np.array([0, 1], np.int8))
    write_pairs(tmp_path / "pairs.csv", pairs, names)
    found, again = read_pairs(tmp_path / "pairs.csv")
    assert found == sorted(names)
    assert [(found[a], found[b], int(y)) for a, b, y in zip(again.first, again.second, again.label, strict=True)] == [
        (names[0], names[1], 0),
        (names[2], names[0], 1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first,second,label\na,b,2\n", "line 2: label is '2', expected same or different"),
        ("first,second,label\na,b,0\n,b,1\n", "line 3: a picture is missing"),
        ("first,second\na,b\n", "expected a CSV with the columns first, second, label"),
        ("first,second,label\n", "at least one pair"),
        ("", "at least one pair"),
    ],
)
def test_bad_pair_files(tmp_path: Path, text: str, message: str) -> None:
    """One line that names the file, and the line in it."""
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def test_missing_pair_file(tmp_path: Path) -> None:
    """Named, in one line."""
    with pytest.raises(DataError, match="cannot be read as a CSV of pairs"):
        read_pairs(tmp_path / "none.csv")
