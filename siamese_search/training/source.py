"""From what a user names on the command line to a data set."""

from pathlib import Path

from siamese_search.errors import OptionError
from siamese_search.training.data import Dataset, load_folder, load_pairs
from siamese_search.training.digits import holds_mnist, load_digits, load_mnist
from siamese_search.training.selection import of_classes, parse_classes, with_pairs


def load_dataset(
    data: str, *, labels: str | None = None, classes: str | None = None, test_list: Path | None = None
) -> Dataset:
    """Read `mnist`, `digits`, a folder with the files of MNIST, or any folder of pictures.

    `labels` is "folders", "none" or a CSV of pairs; without it, digits have classes and other pictures none. `classes`
    picks some of the classes, "0-4"; `test_list` names the test part of a folder. Raises DataError when there is too
    little, or what is named does not exist.
    """
    listed = Path(labels) if labels not in (None, "folders", "none") else None
    folder = Path(data)
    if test_list and (listed or data in ("digits", "mnist") or holds_mnist(folder)):
        raise OptionError(f"--test-list {test_list}: for folders of pictures; {data} has its own test part")
    if data == "digits":
        dataset = load_digits()
    elif data == "mnist" or holds_mnist(folder):
        dataset = load_mnist() if data == "mnist" else load_mnist(folder)
    elif listed:
        return load_pairs(folder, listed)
    else:
        dataset = load_folder(folder, labels=labels or "none", test_list=test_list)
    if listed:
        dataset = with_pairs(dataset, listed)
    return of_classes(dataset, parse_classes(classes)) if classes else dataset
