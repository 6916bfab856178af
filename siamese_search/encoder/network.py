"""The Siamese network: one encoder, called twice. Backbone, pooling, projection, unit length.

`EfficientNetLite` follows Tan & Le, "EfficientNet" (2019), in its Lite variant (no squeeze-and-excitation, ReLU6); its
layers carry timm's names, so weights are interchangeable with timm's `tf_efficientnet_lite0` and `_lite2`.
"""

from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from siamese_search.encoder.folder import WEIGHTS, checked_file, encoder_folder, read_spec
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError

# kind of block, repeats, kernel, stride, expansion, channels out
LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

LITE2_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
Stages = tuple[tuple[int, int, int, int, int], ...]


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": at stride 2 the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pad_h = max((-(-x.shape[-2] // stride) - 1) * stride + kernel - x.shape[-2], 0)
        pad_w = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        if pad_h % 2 == 0 and pad_w % 2 == 0:  # even padding is the convolution's own, and faster
            return F.conv2d(x, self.weight, self.bias, self.stride, (pad_h // 2, pad_w // 2), 1, self.groups)
        x = F.pad(x, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch normalisation with EfficientNet's constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class DepthwiseSeparable(nn.Module):
    """Depthwise then pointwise convolution: the first stage, which does not expand."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(channels, channels, kernel, stride, groups=channels, bias=False)
        self.bn1 = batch_norm(channels)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = batch_norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out, h / stride, w / stride)."""
        x = F.relu6(self.bn1(self.conv_dw(x)))
        return cast("Tensor", self.bn2(self.conv_pw(x)))


class InvertedResidual(nn.Module):
    """Expand, convolve depthwise, project back (Sandler et al., "MobileNetV2", 2018)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.conv_pw = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn1 = batch_norm(wide)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn2 = batch_norm(wide)
        self.conv_pwl = nn.Conv2d(wide, out, 1, bias=False)
        self.bn3 = batch_norm(out)
        self.has_skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out, h / stride, w / stride)."""
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else cast("Tensor", y)


class EfficientNetLite(nn.Module):
    """The convolutional part of an EfficientNet-Lite, of Lite0 by default, its feature maps at three depths the output.

    Their channels are those of the third and the fifth of `stages`, and 1280.
    """

    depths = (40, 112, 1280)  # of Lite0: channels at strides 8, 16 and 32

    def __init__(self, stages: Stages = LITE0_STAGES) -> None:
        super().__init__()
        self.stages = stages
        self.conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self.bn1 = batch_norm(32)
        built: list[nn.Module] = []
        channels = 32
        for repeats, kernel, stride, expansion, out in stages:
            blocks: list[nn.Module] = []
            for i in range(repeats):
                step = stride if i == 0 else 1
                if expansion == 1:
                    blocks.append(DepthwiseSeparable(channels, out, kernel, step))
                else:
                    blocks.append(InvertedResidual(channels, out, kernel, step, expansion))
                channels = out
            built.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*built)
        self.conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self.bn2 = batch_norm(1280)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(n, 3, s, s) -> for Lite0 (n, 40, s/8, s/8), (n, 112, s/16, s/16), (n, 1280, s/32, s/32)."""
        x = F.relu6(self.bn1(self.conv_stem(x)))
        maps = []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in (2, 4):
                maps.append(x)
        return *maps, F.relu6(self.bn2(self.conv_head(x)))


class GeM(nn.Module):
    """Generalised-mean pooling, `mean(x^p)^(1/p)` with a learned p (Radenovic et al., 2018); p = 1 is the mean."""

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w), values >= 0 -> (n, c)."""
        return x.clamp(min=self.eps).pow(self.p).mean((2, 3)).pow(1 / self.p)


def mean_and_deviation(x: Tensor) -> Tensor:
    """Pool a signed feature map: (n, c, h, w) -> (n, 2c)."""
    mean = x.mean((2, 3))
    centred = x - mean[:, :, None, None]
    return torch.cat([mean, (centred.square().mean((2, 3)) + 1e-6).sqrt()], dim=1)


class PhotoTrunk(nn.Module):
    """EfficientNet-Lite0 pooled at three depths: the last says what is shown, the earlier ones which picture it was."""

    features = 2 * EfficientNetLite.depths[0] + 2 * EfficientNetLite.depths[1] + EfficientNetLite.depths[2]

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite()
        self.pool = GeM()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, features)."""
        early, middle, last = self.backbone(x)
        return torch.cat([mean_and_deviation(early), mean_and_deviation(middle), self.pool(last)], dim=1)


class GreyTrunk(nn.Module):
    """Six convolutions for small grey pictures: digits, glyphs, stamps of 8 to 64 pixels."""

    features = 128

    def __init__(self) -> None:
        super().__init__()

        def conv(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            )

        self.backbone = nn.Sequential(
            conv(1, 32, kernel=5, stride=2), conv(32, 48),
            conv(48, 96, stride=2), conv(96, 96), conv(96, 96),
            conv(96, 128, stride=2),
        )  # fmt: skip
        self.pool = GeM()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, s, s), s >= 8 -> (n, features)."""
        # Half the digits of bfloat16 do for learning; the embeddings of a finished encoder are made in full.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.training and computes_bfloat16(x.device)):
            maps = self.backbone(x)
        return cast("Tensor", self.pool(maps.float()))


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 itself, and so faster than float32."""
    if device.type == "cpu":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older versions
        return bool(known.get("avx512_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


class PlainGreyTrunk(nn.Module):
    """The two convolutions of a classic Siamese MNIST example, for pictures of 28 pixels: the baseline.

    Batch normalisation, 4 and 16 filters of 5x5 with tanh and average pooling, batch normalisation of the flat map.
    """

    features = 256

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 4, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(4, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.BatchNorm1d(self.features),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) -> (n, features)."""
        return cast("Tensor", self.backbone(x))


TRUNKS: dict[str, type[PhotoTrunk | GreyTrunk | PlainGreyTrunk]] = {
    "efficientnet-lite0": PhotoTrunk,
    "small-grey": GreyTrunk,
    "plain-grey": PlainGreyTrunk,
}


class NegativeEmbeddingSubtraction(nn.Module):
    """Takes from an embedding what it shares with many others, so that look-alikes move apart and copies stay.

    Yokoo, "Contrastive learning with large memory bank and negative embedding subtraction for accurate copy detection"
    (2021), with the centres of clusters in place of all training pictures, and a softmax in place of the nearest ten.
    """

    strength = 0.6

    def __init__(self, count: int, dim: int, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("centres", torch.zeros(count, dim))

    def forward(self, embeddings: Tensor) -> Tensor:
        """(n, dim) of unit length -> the same."""
        centres = cast("Tensor", self.centres)
        nearness = (embeddings @ centres.T / self.temperature).softmax(dim=1)
        return F.normalize(embeddings - self.strength * nearness @ centres, dim=1)


class SubjectHead(nn.Module):
    """Features to the numbers that tell what a picture shows: a linear layer, and beside it one with a hidden layer.

    Features of different depths differ in scale by orders of magnitude, so they are brought to one scale first.
    """

    hidden = 256

    def __init__(self, features: int, subject: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(features, affine=False)
        self.linear = nn.Linear(features, subject)
        self.bent = nn.Sequential(nn.Linear(features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, subject))

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) -> (n, subject), of any length."""
        scaled = self.scale(features)
        return cast("Tensor", self.linear(scaled) + self.bent(scaled))


class EncoderNetwork(nn.Module):
    """A trainable encoder: picture -> embedding of unit length. The twins of the Siamese network are this, twice.

    The embedding joins two parts, each of unit length: which picture it is, and, where `spec.subject` numbers are kept
    for it, what it shows. See `EncoderSpec`.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        if spec.architecture not in TRUNKS:
            raise EncoderError(f"{spec.name}: unknown architecture {spec.architecture!r}; known: {', '.join(TRUNKS)}")
        self.mean, self.std = spec.mean, spec.std
        self.trunk = TRUNKS[spec.architecture]()
        copy = spec.dim - spec.subject
        self.projection = nn.Linear(self.trunk.features, copy)
        self.subtraction: nn.Module = nn.Identity()
        if spec.negatives:
            self.subtraction = NegativeEmbeddingSubtraction(spec.negatives, copy, spec.negatives_temperature)
        self.subject = SubjectHead(self.trunk.features, spec.subject) if spec.subject else None
        self.shares = ((1 - spec.subject_weight) ** 0.5, spec.subject_weight**0.5)  # of the lengths of the parts

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, s, s, c) pixels in [0, 255], any dtype -> (n, dim) of unit length."""
        return self.joined(*self.parts(self.features(pixels)))

    def features(self, pixels: Tensor) -> Tensor:
        """Return what both parts are made of: (n, s, s, c) pixels in [0, 255], any dtype -> (n, features)."""
        x = (pixels.permute(0, 3, 1, 2).to(self.projection.weight.dtype) - self.mean) / self.std
        if not torch.compiler.is_exporting():
            x = x.contiguous(memory_format=torch.channels_last)
        return cast("Tensor", self.trunk(x))

    def parts(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return which pictures they are, and what they show where that is known, each of unit length."""
        copy = cast("Tensor", self.subtraction(F.normalize(self.projection(features), dim=1)))
        return copy, None if self.subject is None else F.normalize(self.subject(features), dim=1)

    def joined(self, copy: Tensor, subject: Tensor | None) -> Tensor:
        """Return the embeddings (n, dim), of unit length, that two parts make."""
        if subject is None:
            return copy
        return torch.cat([self.shares[0] * copy, self.shares[1] * subject], dim=1)


def load_network(name_or_folder: str | Path) -> EncoderNetwork:
    """Load the trainable network of a shipped encoder or an encoder folder; raise EncoderError when it does not fit."""
    folder = encoder_folder(name_or_folder)
    network = EncoderNetwork(read_spec(folder))
    path = checked_file(folder, WEIGHTS)
    try:
        state = load_file(path)
        network.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise EncoderError(f"{path}: its weights do not fit the architecture ({str(error).splitlines()[0]})") from error
    return network
