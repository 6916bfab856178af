"""Edits of small grey pictures, a whole batch at a time."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def jittered(pixels: Tensor, *, strength: float, seed: int) -> Tensor:
    """Turn, scale, shear, shift and bend small grey pictures: (n, s, s, 1) uint8 -> the same, float32.

    At strength 1: up to 15 degrees, 15 % in scale, 0.2 in shear, 10 % in shift, and an elastic field with a deviation
    of 4 % of the edge (Simard et al., "Best practices for convolutional neural networks", 2003). Left and right stay.
    """
    n, size = pixels.shape[:2]
    generator = torch.Generator().manual_seed(seed & 0x7FFFFFFF)

    def spread(reach: float, *shape: int) -> Tensor:
        return (torch.rand(n, *shape, generator=generator) * 2 - 1) * reach * strength

    angle, shear = spread(math.radians(15)), spread(0.2)
    scale_x, scale_y = torch.exp(spread(0.15)), torch.exp(spread(0.15))
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn_and_scale = torch.stack([cos * scale_x, (shear - sin) * scale_y, sin * scale_x, cos * scale_y], 1).view(
        n, 2, 2
    )
    matrix = torch.cat([turn_and_scale, spread(0.2, 2, 1)], dim=2)  # shifts in units of half an edge
    grid = functional.affine_grid(matrix, [n, 1, size, size], align_corners=False)
    coarse = torch.randn(n, 2, 5, 5, generator=generator) * 0.08 * strength
    bend = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    bent = grid + bend.permute(0, 2, 3, 1)
    ink = pixels.permute(0, 3, 1, 2).float()
    return functional.grid_sample(ink, bent, align_corners=False).permute(0, 2, 3, 1)
