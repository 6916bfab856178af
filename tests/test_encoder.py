"""The encoder: architecture, folder, inference on the CPU, and the photo encoder that ships."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from siamese_search.encoder import Encoder, device_for, load_encoder
from siamese_search.encoder.export import save_encoder
from siamese_search.encoder.folder import encoder_fingerprint, read_spec, write_spec
from siamese_search.encoder.network import (
    LITE2_STAGES,
    EfficientNetLite,
    EncoderNetwork,
    GeM,
    NegativeEmbeddingSubtraction,
    SameConv2d,
    load_network,
)
from siamese_search.encoder.runtime import TorchBackend
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError, ImageError, OptionError
from siamese_search.training.imagenet import load_imagenet_weights

PHOTO = EncoderSpec(
    name="p", architecture="efficientnet-lite0", input_size=64, channels=3, mean=127.0, std=128.0, dim=32
)
GREY = EncoderSpec(name="g", architecture="small-grey", input_size=16, channels=1, mean=33.0, std=78.0, dim=8)


@pytest.fixture(scope="module")
def grey_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder folder of the small grey network, untrained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("grey")
    save_encoder(EncoderNetwork(GREY), GREY, folder)
    return folder


@pytest.fixture
def copied(grey_folder: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be damaged."""
    return Path(shutil.copytree(grey_folder, tmp_path / "encoder"))


def test_imagenet_weights_fit_every_layer() -> None:
    """The packages' weights fill the whole backbone, of the encoder and of its larger teacher."""
    load_imagenet_weights(EfficientNetLite(LITE2_STAGES), variant=2)
    backbone = EfficientNetLite()
    before = backbone.state_dict()["blocks.3.1.conv_dw.weight"].clone()
    load_imagenet_weights(backbone)
    assert not torch.equal(before, backbone.state_dict()["blocks.3.1.conv_dw.weight"])
    maps = backbone.eval()(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(40, 8, 8), (112, 4, 4), (1280, 2, 2)]


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1)])
def test_same_padding_puts_the_odd_pixel_right_and_below(size: int, kernel: int, stride: int) -> None:
    """The convolution equals a valid one over a picture padded by hand as TensorFlow pads."""
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel, stride, bias=False)
    x = torch.randn(1, 2, size, size)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    padded = torch.nn.functional.pad(x, (total // 2, total - total // 2) * 2)
    by_hand = torch.nn.functional.conv2d(padded, conv.weight, stride=stride)
    torch.testing.assert_close(conv(x), by_hand)


def test_generalised_mean_runs_from_mean_to_maximum() -> None:
    """GeM with p = 1 is the mean, with a large p nearly the maximum, as its formula says."""
    x = torch.rand(2, 3, 4, 4) + 0.1
    torch.testing.assert_close(GeM(p=1.0)(x), x.mean((2, 3)))
    torch.testing.assert_close(GeM(p=3.0)(x), (x**3).mean((2, 3)) ** (1 / 3))
    torch.testing.assert_close(GeM(p=200.0)(x), x.amax((2, 3)), rtol=0.02, atol=0)


TWO_PARTS = replace(PHOTO, negatives=5, negatives_temperature=0.05, subject=12, subject_weight=0.3)


@pytest.mark.parametrize("spec", [replace(PHOTO, negatives=5), TWO_PARTS, GREY], ids=["photo", "two-parts", "grey"])
def test_graph_and_network_give_the_same_embeddings(spec: EncoderSpec, tmp_path: Path) -> None:
    """ONNX Runtime and torch agree on saved weights, for one picture and for several, and lengths are 1."""
    torch.manual_seed(1)
    untrained = EncoderNetwork(spec)
    if spec.negatives:
        untrained.subtraction.centres.copy_(torch.randn(untrained.subtraction.centres.shape) / spec.dim**0.5)
    save_encoder(untrained, spec, tmp_path)
    encoder, network = load_encoder(tmp_path), load_network(tmp_path).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (5, spec.input_size, spec.input_size, spec.channels), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    embedded = encoder.embed_pixels(pixels)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(embedded, expected, atol=1e-4)
    np.testing.assert_allclose(encoder.embed_pixels(pixels[2:3]), embedded[2:3], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert encoder.embed_pixels(pixels[:0]).shape == (0, spec.dim)


def test_two_parts_share_the_squared_distance_by_weight() -> None:
    """The squared distance is that of which picture it is and of what it shows, in the shares of `subject_weight`."""
    torch.manual_seed(2)
    network = EncoderNetwork(TWO_PARTS).eval()
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        embeddings = network(pixels)
        copy, subject = network.parts(network.features(pixels))
    assert subject is not None
    assert (copy.shape[1], subject.shape[1], embeddings.shape[1]) == (20, 12, 32)

    def squared(parts: torch.Tensor) -> float:
        return float((parts[0] - parts[1]).square().sum())

    assert squared(embeddings) == pytest.approx(0.7 * squared(copy) + 0.3 * squared(subject), rel=1e-4)


def test_torch_answers_as_onnx_does(grey_folder: Path) -> None:
    """What computes on a GPU gives the embeddings of the graph, here on the CPU; both say how much to give at once."""
    encoder, backend = load_encoder(grey_folder), TorchBackend(grey_folder, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)
    on_torch = Encoder(grey_folder, encoder.spec, backend)
    np.testing.assert_allclose(on_torch.embed_pixels(pixels), encoder.embed_pixels(pixels), atol=1e-4)
    assert on_torch.batch > encoder.batch >= 1


def test_a_device_is_chosen_or_refused() -> None:
    """Automatically a GPU where torch finds one; asked for, one that is not there is an error, as is another word."""
    assert device_for("cpu") == "cpu"
    with pytest.raises(OptionError, match="give auto, cpu or cuda"):
        device_for("tpu")
    if torch.cuda.is_available():
        assert device_for("auto") == device_for("cuda") == "cuda"
        return
    assert device_for("auto") == "cpu"
    with pytest.raises(OptionError, match="no GPU"):
        device_for("cuda")


def test_a_saved_encoder_names_no_path(grey_folder: Path) -> None:
    """Nothing in an encoder folder tells where it was made."""
    for path in grey_folder.iterdir():
        assert b"siamese_search/encoder" not in path.read_bytes(), path
        assert b"site-packages" not in path.read_bytes(), path


def test_files_are_embedded_in_order(grey_folder: Path, tmp_path: Path) -> None:
    """`embed` gives one row a file; a file that cannot be read is named."""
    encoder = load_encoder(grey_folder)
    for shade in (0, 90, 250):
        Image.linear_gradient("L").point([min(255, level // 2 + shade // 2) for level in range(256)]).save(
            tmp_path / f"{shade}.png"
        )
    files = [tmp_path / "250.png", tmp_path / "0.png", tmp_path / "90.png"]
    together = encoder.embed(files)
    for row, file in zip(together, files, strict=True):
        np.testing.assert_allclose(encoder.embed([file])[0], row, atol=1e-5)
    with pytest.raises(ImageError, match=r"none\.png"):
        encoder.embed([*files, tmp_path / "none.png"])


def test_wrong_pixels_are_refused(grey_folder: Path) -> None:
    """Pixels of another size, depth or type are a programmer's mistake, told with the shape expected."""
    encoder = load_encoder(grey_folder)
    with pytest.raises(ValueError, match=r"16, 16, 1"):
        encoder.embed_pixels(np.zeros((1, 8, 8, 1), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        encoder.embed_pixels(np.zeros((1, 16, 16, 1), np.float32))


def test_description_survives_the_file(grey_folder: Path) -> None:
    """What was saved is what is read, the fingerprint included."""
    encoder = load_encoder(grey_folder)
    assert encoder.spec == replace(GREY, fingerprint=encoder.fingerprint)
    assert len(encoder.fingerprint) == 32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"format": None}, "no format number"),
        ({"colour": 1}, "unknown entries colour"),
        ({"dim": 10**9}, "dim is 1000000000"),
        ({"input_size": "big"}, "input_size is 'big'"),
        ({"channels": 4}, "channels is 4"),
        ({"std": 0}, "std above 0"),
        ({"subject": 7}, "leaves fewer than 2 of 8"),
        ({"subject_weight": 1.0}, "subject_weight is 1.0"),
        ({"negatives_temperature": 0}, "negatives_temperature"),
        ({"name": None}, "must be text"),
        ({"calibration": [{"threshold": 1}]}, "incomplete"),
    ],
)
def test_description_is_checked(copied: Path, change: dict[str, object], words: str) -> None:
    """A newer, unknown, incomplete or absurd description is refused by name before anything is built from it."""
    path = copied / "encoder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(EncoderError, match=words):
        load_encoder(copied)


def test_description_of_the_first_format_is_read(copied: Path) -> None:
    """A folder that was written when an embedding had one part is used as it is."""
    path = copied / "encoder.json"
    added = ("subject", "subject_weight", "negatives_temperature", "alike")
    values = {key: value for key, value in json.loads(path.read_text()).items() if key not in added}
    path.write_text(json.dumps({**values, "format": 1}))
    spec = load_encoder(copied).spec
    assert (spec.subject, spec.alike, spec.dim) == (0, None, GREY.dim)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
def test_foreign_graph_or_weights_are_refused(copied: Path, name: str) -> None:
    """A graph, or weights, that are not those described are not used."""
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / name).write_bytes(data)
    with pytest.raises(EncoderError, match=r"not those that encoder\.json describes"):
        load_encoder(copied)


@pytest.mark.parametrize("elsewhere", ["../weights.safetensors", "/etc/hostname", "weights.safetensors"])
def test_graph_reads_nothing_but_its_weights(copied: Path, elsewhere: str) -> None:
    """A forged graph that asks for bytes outside the encoder's folder, or beyond a file's end, is refused."""
    onnx = pytest.importorskip("onnx")
    (copied.parent / "weights.safetensors").write_bytes((copied / "weights.safetensors").read_bytes())
    graph = onnx.load(copied / "model.onnx", load_external_data=False)
    (weight, *_) = (w for w in graph.graph.initializer if w.data_location == onnx.TensorProto.EXTERNAL)
    forged = {"location": elsewhere, "offset": "8" if elsewhere.startswith("..") else str(1 << 40)}
    for entry in weight.external_data:
        entry.value = forged.get(entry.key, entry.value)
    (copied / "model.onnx").write_bytes(graph.SerializeToString())
    write_spec(copied, replace(read_spec(copied), fingerprint=encoder_fingerprint(copied)))
    with pytest.raises(EncoderError, match="not a usable inference graph"):
        load_encoder(copied)


def test_weights_are_stored_once(grey_folder: Path) -> None:
    """The graph holds no kernel of its own: it reads those in the weights, of half precision."""
    assert (grey_folder / "model.onnx").stat().st_size < 40_000
    kernels = sum(p.numel() for p in load_network(grey_folder).parameters() if p.ndim > 1)
    assert 2 * kernels < (grey_folder / "weights.safetensors").stat().st_size < 2.1 * kernels + 20_000


def test_subtraction_parts_look_alikes_and_keeps_lengths() -> None:
    """Two embeddings near one centre move apart, others stay nearly where they are, and all keep length 1."""
    torch.manual_seed(0)
    subtraction = NegativeEmbeddingSubtraction(3, 64)
    centre, a, b, far = torch.nn.functional.normalize(torch.randn(4, 64), dim=1)
    subtraction.centres.copy_(torch.stack([centre, *torch.nn.functional.normalize(torch.randn(2, 64), dim=1)]))
    given = torch.nn.functional.normalize(torch.stack([centre + 0.5 * a, centre + 0.5 * b, far]), dim=1)
    taken = subtraction(given)
    torch.testing.assert_close(taken.norm(dim=1), torch.ones(3))
    assert taken[0] @ taken[1] < 0.5 * given[0] @ given[1]
    assert taken[2] @ given[2] > 0.8


@pytest.mark.parametrize("name", ["encoder.json", "model.onnx", "weights.safetensors"])
def test_missing_file_is_named(copied: Path, name: str) -> None:
    """A folder that lacks a file is refused, and the message says what is missing."""
    (copied / name).unlink()
    with pytest.raises(EncoderError, match=name):
        load_encoder(copied)


def test_weights_of_another_network_are_refused(copied: Path) -> None:
    """Weights that do not fit the architecture are refused; so is a pickle, which is never read."""
    torch.save({"a": torch.zeros(2)}, copied / "weights.safetensors")
    with pytest.raises(EncoderError, match="do not fit"):
        load_network(copied)


def test_unknown_names_list_the_known() -> None:
    """A misspelt encoder is answered with the names there are."""
    with pytest.raises(EncoderError, match=r"shipped encoders: .*photo"):
        load_encoder("fotos")


def test_shipped_encoder_knows_copies(encoder: Encoder, sample: Callable[[str], Image.Image]) -> None:
    """The photo encoder is calibrated, and an edited copy of a photo lies nearer to it than any other photo."""
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "ihc.png")
    photos = [sample(name) for name in names]
    edits = (
        lambda im: im,
        lambda im: im.crop((im.width // 8, im.height // 8, im.width * 7 // 8, im.height * 7 // 8)),
        ImageOps.mirror,
        lambda im: im.resize((im.width // 3, im.height // 3)),
        lambda im: im.convert("L").convert("RGB"),
    )

    def embed(pictures: list[Image.Image]) -> np.ndarray:
        size = (encoder.input_size, encoder.input_size)
        return encoder.embed_pixels(np.stack([np.asarray(p.resize(size)) for p in pictures]))

    originals = embed(photos)
    for edit in edits:
        nearest = np.argmax(embed([edit(photo) for photo in photos]) @ originals.T, axis=1)
        assert nearest.tolist() == list(range(len(names)))
    assert encoder.threshold.expected_precision is not None
    assert encoder.threshold.expected_precision >= 0.99
    distances = [row.threshold for row in encoder.calibration]
    assert distances == sorted(distances)
