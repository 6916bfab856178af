"""MNIST from every form it comes in, and scikit-learn's digits."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from siamese_search.calibration.pairs import SIMILAR, UNKNOWN
from siamese_search.errors import DataError, OptionError
from siamese_search.training import digits
from siamese_search.training.batches import Batches
from siamese_search.training.config import load_recipe
from siamese_search.training.digits import IDX_FILES, as_idx, load_digits, load_mnist, read_idx
from siamese_search.training.losses import targets_of
from siamese_search.training.pairs import balanced_pairs
from siamese_search.training.scores import PartResult
from siamese_search.training.selection import of_classes, parse_classes, with_pairs, write_part_pairs
from siamese_search.training.source import load_dataset

Arrays = dict[str, NDArray[np.uint8]]


@pytest.fixture
def arrays() -> Arrays:
    """Scikit-learn's digits in MNIST's shape: 28 pixels, 500 to train, 100 to test."""
    dataset = load_digits()
    return {
        name: np.stack([part.pictures.pixels(i, 28)[:, :, 0] for i in range(count)])
        if name.startswith("x")
        else part.identity[:count].astype(np.uint8)
        for name, part, count in (
            ("x_train", dataset.train, 500),
            ("y_train", dataset.train, 500),
            ("x_test", dataset.test, 100),
            ("y_test", dataset.test, 100),
        )
        if part.identity is not None
    }


@pytest.fixture
def as_mnist(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """Let these arrays pass for MNIST: only the expected checksums are theirs."""
    theirs = {
        name: (file, hashlib.md5(as_idx(arrays[name]), usedforsecurity=False).hexdigest())
        for name, (file, _) in IDX_FILES.items()
    }
    monkeypatch.setattr(digits, "IDX_FILES", theirs)
    return arrays


def write_npz(folder: Path, arrays: Arrays) -> None:
    """Write what people call mnist.npz."""
    np.savez(folder / "mnist.npz", **arrays)  # type: ignore[arg-type]


def write_idx(folder: Path, arrays: Arrays) -> None:
    """Write the four plain files."""
    for name, (file, _) in IDX_FILES.items():
        (folder / file).write_bytes(as_idx(arrays[name]))


def write_gz(folder: Path, arrays: Arrays) -> None:
    """Write the four packed files."""
    for name, (file, _) in IDX_FILES.items():
        (folder / f"{file}.gz").write_bytes(gzip.compress(as_idx(arrays[name])))


def write_folders(folder: Path, arrays: Arrays) -> None:
    """Write a PNG for each digit, in `training/7` and `testing/7`."""
    for side, name in (("train", "training"), ("test", "testing")):
        for number, (ink, shown) in enumerate(zip(arrays[f"x_{side}"], arrays[f"y_{side}"], strict=True)):
            path = folder / name / str(shown) / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ink).save(path)


@pytest.mark.parametrize("write", [write_npz, write_idx, write_gz, write_folders])
def test_every_form_holds_the_same(
    tmp_path: Path, as_mnist: Arrays, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, Arrays], None]
) -> None:
    """The test part is the test arrays, the others share the training arrays without a common picture."""
    monkeypatch.setattr(digits, "VALIDATION", 50)
    write(tmp_path, as_mnist)
    dataset = load_mnist(tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (450, 50, 100)
    assert (dataset.name, dataset.labels, dataset.channels) == ("mnist", "folders", 1)
    for side, parts in (("train", (dataset.train, dataset.validation)), ("test", (dataset.test,))):
        found = [
            (part.pictures.pixels(i, 28).tobytes(), int(shown))
            for part in parts
            if part.identity is not None
            for i, shown in enumerate(part.identity)
        ]
        expected = zip((x.tobytes() for x in as_mnist[f"x_{side}"]), as_mnist[f"y_{side}"].tolist(), strict=True)
        assert sorted(found) == sorted(expected)


def test_names_are_places_in_the_original(tmp_path: Path, as_mnist: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """`train/17` is the picture 17 of the training file, whichever part it fell into."""
    monkeypatch.setattr(digits, "VALIDATION", 50)
    write_idx(tmp_path, as_mnist)
    dataset = load_mnist(tmp_path)
    for part in (dataset.train, dataset.validation, dataset.test):
        side, number = part.pictures.name(3).split("/")
        assert (part.pictures.pixels(3, 28)[:, :, 0] == as_mnist[f"x_{side}"][int(number)]).all()


def test_another_data_set_is_refused(tmp_path: Path, arrays: Arrays) -> None:
    """The right shapes and names are not enough: the bytes must be MNIST's."""
    write_npz(tmp_path, arrays)
    with pytest.raises(DataError, match=r"x_train is not MNIST's .*damaged or of another data set"):
        load_mnist(tmp_path)


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    """One line with the folder, the files and an address."""
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path / "mnist")
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(tmp_path / "mnist"), "mnist.npz", "train-images-idx3-ubyte", "https://"):
        assert word in message


def test_three_of_four_files_are_missing_files(tmp_path: Path, as_mnist: Arrays) -> None:
    """Nothing is guessed from an incomplete set."""
    write_idx(tmp_path, as_mnist)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no MNIST there"):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a-idx3-ubyte", b"", "not an IDX file"),
        ("a-idx3-ubyte", b"GIF89a" * 9, "not an IDX file"),
        ("a-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x01", "not an IDX file"),
        ("a-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x05abc", "its header promises"),
        ("a-idx1-ubyte", b"\0\0\x08\x01\xff\xff\xff\xffabc", "its header promises"),
        ("a-idx1-ubyte.gz", b"\0\0\x08\x01\0\0\0\x03abc", "cannot be read"),
        ("a-idx1-ubyte.gz", gzip.compress(b"\0\0\x08\x01\0\0\0\x03abc", mtime=0)[:-6], "cannot be read"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """One line that names the file and says what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "fetch it again" in str(caught.value)


def test_damaged_archive(tmp_path: Path) -> None:
    """A truncated or pickled .npz is refused without running anything."""
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="not a readable MNIST archive"):
        load_mnist(tmp_path)
    np.savez(tmp_path / "mnist.npz", x_train=np.array([{}], object))
    with pytest.raises(DataError, match="not a readable MNIST archive"):
        load_mnist(tmp_path)


def test_digits_are_the_same_every_time() -> None:
    """Their split depends on the seed alone, and no picture is in two parts."""
    first, again = load_digits(), load_digits()
    assert [len(p) for p in (first.train, first.validation, first.test)] == [1097, 200, 500]
    names = [p.pictures.name(i) for p in (first.train, first.validation, first.test) for i in range(len(p))]
    assert len(set(names)) == 1797
    assert first.train.pictures.pixels(5, 8).tolist() == again.train.pictures.pixels(5, 8).tolist()
    assert first.train.pictures.pixels(5, 8).max() > 200


def test_parse_classes() -> None:
    """Numbers and ranges, in any order; anything else is named."""
    assert parse_classes("0-4") == (0, 1, 2, 3, 4)
    assert parse_classes("7, 1,3-4") == (1, 3, 4, 7)
    for text in ("", "a", "1-", "-3", "5-2"):
        with pytest.raises(OptionError, match="--classes"):
            parse_classes(text)


def test_of_classes_keeps_only_these() -> None:
    """In all three parts, with their pictures."""
    whole = load_digits()
    some = of_classes(whole, (0, 3))
    for part, all_of_it in ((some.train, whole.train), (some.validation, whole.validation), (some.test, whole.test)):
        assert part.identity is not None
        assert all_of_it.identity is not None
        assert set(part.identity.tolist()) == {0, 3}
        assert len(part) == int(np.isin(all_of_it.identity, (0, 3)).sum())
        place = int(np.flatnonzero(np.isin(all_of_it.identity, (0, 3)))[7])
        assert (part.pictures.pixels(7, 8) == all_of_it.pictures.pixels(place, 8)).all()
    with pytest.raises(DataError, match="fewer than two of the classes 11, 12"):
        of_classes(whole, (11, 12))


def test_pairs_of_digits_can_be_given_back(tmp_path: Path) -> None:
    """Saved pairs of all parts become the pairs of the same pictures."""
    whole = load_digits()
    results = []
    for part in (whole.train, whole.validation, whole.test):
        assert part.identity is not None
        pairs = balanced_pairs(part.identity)
        distance = np.zeros(len(pairs), np.float32)
        results.append(PartResult(part=part, embeddings=np.zeros((0, 2), np.float32), pairs=pairs, distance=distance))
    path = tmp_path / "all.csv"
    write_part_pairs(path, results)
    listed = load_dataset("digits", labels=str(path))
    assert listed.labels == "pairs"
    for part, result in zip((listed.train, listed.validation, listed.test), results, strict=True):
        assert part.identity is None
        assert part.pairs is not None
        assert part.pairs.first.tolist() == result.pairs.first.tolist()
        assert part.pairs.second.tolist() == result.pairs.second.tolist()
        assert part.pairs.label.tolist() == result.pairs.label.tolist()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{train},{test},0", "a pair must lie within one part"),
        ("{train},train/9999,0", "no picture 'train/9999'"),
        ("{test},{test},0", "no pair of pictures to train on"),
    ],
)
def test_pairs_that_cannot_be_used(tmp_path: Path, row: str, message: str) -> None:
    """Each is refused with the reason."""
    whole, path = load_digits(), tmp_path / "pairs.csv"
    names = {"train": whole.train.pictures.name(0), "test": whole.test.pictures.name(0)}
    path.write_text(f"first,second,label\n{row.format(**names)}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        with_pairs(whole, path)


def test_random_pairs_are_each_used_once_an_epoch() -> None:
    """Two pairs for each picture, in batches whose other pairs are unknown, then again in another order."""
    dataset = load_digits()
    config = replace(load_recipe("mnist-reference"), batch=32, input_size=8)
    batches = Batches(dataset, config)
    per_epoch = 2 * len(dataset.train) // 16
    epochs = []
    for epoch in range(2):
        seen = []
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            chosen, targets, _ = batches.choose(step)
            known = (targets != UNKNOWN) & (targets == targets.T)
            first, second = np.arange(16), np.arange(16, 32)
            assert known[first, second].all()
            seen += list(
                zip(chosen[first].tolist(), chosen[second].tolist(), targets[first, second].tolist(), strict=True)
            )
        assert len(set(seen)) == len(seen)
        assert sum(label == SIMILAR for *_, label in seen) == pytest.approx(len(seen) / 2, abs=8)
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    identity = dataset.train.identity
    assert identity is not None
    for first_picture, second_picture, label in epochs[0]:
        assert (identity[first_picture] == identity[second_picture]) == (label == SIMILAR)


def test_batches_as_they_come() -> None:
    """With `per_class` 0 an epoch shows each picture once, and all pairs of a batch have labels."""
    dataset = load_digits()
    batches = Batches(dataset, replace(load_recipe("digits"), batch=100))
    chosen = [batches.choose(step) for step in range(10)]
    assert len(set(np.concatenate([c for c, _, _ in chosen]).tolist())) == 1000
    for _, targets, identity in chosen:
        shown = torch.from_numpy(identity)
        assert torch.equal(targets, targets_of(shown, shown))


@pytest.mark.shared
def test_real_mnist(shared: Path) -> None:
    """The real archive passes its checksums and has its well-known first digit."""
    dataset = load_mnist(shared / "data" / "mnist")
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [55_000, 5_000, 10_000]
    assert dataset.test.identity is not None
    assert dataset.test.identity[:5].tolist() == [7, 2, 1, 0, 4]
