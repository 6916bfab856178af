"""Pixels of every kind as a person sees them: 8 bits a channel, RGB or grey, on a ground."""

import numpy as np
from PIL import Image

_BITS_PER_SAMPLE = 0x0102  # of TIFF
_DEEP = 16  # bits
_WHITE = 65_535.0
_OPAQUE = 255
_GLIMPSE = (64, 64)
_FAINT = 6.0  # standard deviation of greys, of 255, below which a picture looks empty


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
    """Scale greys of 9 to 32 bits and floats to 8 bits, from the range that the file names, else from their own.

    A depth below 16 bits that a TIFF names is taken as such, and so are 16 bits where at least a quarter of their range
    is used; sensors of 9 to 14 bits write less. Floats in [0, 1] and [0, 255] are taken as such. Any other range has no
    known black and white, so its own extremes become them.
    """
    values = np.asarray(image)
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    values = values.astype(np.float32)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    black, white = _range(low, high, is_float=image.mode == "F", bits=int(bits))
    scaled = (values - black) * (255 / (white - black)) if white > black else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _range(low: float, high: float, *, is_float: bool, bits: int) -> tuple[float, float]:
    """Return the values of black and white for greys between two extremes."""
    if is_float:
        named = next((white for white in (1.0, 255.0) if low >= 0 and high <= white), None)
    elif bits < _DEEP and low >= 0:
        named = float(2**bits - 1)
    else:
        named = _WHITE if low >= 0 and high <= _WHITE and high - low >= _WHITE / 4 else None
    return (low, high) if named is None else (0.0, named)


def is_see_through(image: Image.Image) -> bool:
    """Tell whether anything in a picture is not opaque."""
    return image.mode in {"LA", "RGBA"} and image.getchannel("A").getextrema() != (_OPAQUE, _OPAQUE)


def on_ground(image: Image.Image) -> Image.Image:
    """Show what is transparent as white, whatever colour hides behind it; as black where nothing is seen on white."""
    if image.mode not in {"LA", "RGBA"}:
        return image
    image = image.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if is_see_through(image) and np.asarray(shown.convert("L").resize(_GLIMPSE)).std() < _FAINT:
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return shown
