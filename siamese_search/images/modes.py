"""Pixels of every kind as a person sees them: 8 bits a channel, RGB or grey, on white."""

import numpy as np
from PIL import Image


def plain_mode(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to L, LA, RGB or RGBA, at full size and with as few copies as it takes."""
    if image.mode[0] in "IF":
        return _from_deep_grey(image)
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        return image.convert("RGBA")
    if image.mode in {"L", "LA", "RGB", "RGBA"}:
        return image
    if image.mode in {"PA", "La", "RGBa"}:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float greys to 8 bits.

    16 bits keep their upper byte. Floats in [0, 1] and [0, 255] are taken as such; any other range has no known black
    and white, so its own extremes become them.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and image.mode == "I" and high <= 65535:  # noqa: PLR2004  how Pillow hands over 16-bit PGM
        scaled = values / 257
    elif low >= 0 and high <= 1:
        scaled = values * 255
    elif low >= 0 and high <= 255:  # noqa: PLR2004
        scaled = values
    else:
        scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def on_white(image: Image.Image) -> Image.Image:
    """Show what is transparent as white, whatever colour hides behind it."""
    if image.mode not in {"LA", "RGBA"}:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
