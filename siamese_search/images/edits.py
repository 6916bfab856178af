"""Edits that people, messengers and web sites make to photos: what training makes a similar pair of.

Every edit takes and gives an RGB picture. They work at the network's resolution, where they cost a millisecond at most.
`strength` runs from 0 (barely visible) to 1 (as heavy as people still recognise).
"""

import io
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps


class Other(Protocol):
    """Gives another picture, for what is pasted, blended or tiled."""

    def __call__(self, *, whole: bool = False) -> Image.Image:
        """Give one; `whole` when all of it will be seen, which makes the view a copy of it too."""


Edit = Callable[[Image.Image, Random, float, Other], Image.Image]

_PART = 8
_PLACES = 12  # that are tried
_UNLIKE = 20  # grey levels

WORDS = "when the same photo comes back and smaller again nobody knows why this is so good wait for it".split()


def edited_view(picture: Image.Image, *, size: int, strength: float, rng: Random, other: Other) -> NDArray[np.uint8]:
    """Return one edited view of `picture`, squashed to (size, size, 3).

    What ends up as a part of another picture has little room left: other edits are then fewer and lighter.
    """
    edits = [edit for probability, edit in EDITS if rng.random() < probability * min(1.0, 0.15 + strength)]
    lighter = strength
    if COMPOSITIONS.intersection(edits):
        lighter = 0.4 * strength
        edits = [edit for edit in edits if edit in COMPOSITIONS or rng.random() < 0.5]
    view = cropped(picture, rng, lighter, size)
    for edit in edits:
        view = edit(view, rng, strength if edit in COMPOSITIONS else lighter, other)
    if view.size != (size, size):
        view = view.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(view)


def views_of_one(
    picture: Image.Image, *, size: int, strengths: Sequence[float], rng: Random
) -> list[NDArray[np.uint8]]:
    """Return an edited view for each strength where no other picture is at hand: upside down, it is its own other."""
    return [
        edited_view(picture, size=size, strength=strength, rng=rng, other=lambda **_: picture.rotate(180))
        for strength in strengths
    ]


def exchanged(picture: Image.Image, rng: Random) -> Image.Image | None:
    """Return another picture: this one with another part of it where an eighth of its width and height was, compressed.

    None where all of it looks alike. No copy: the two parts differ by `_UNLIKE` grey levels on average.
    """
    width, height = picture.width // _PART, picture.height // _PART
    if not (width and height):
        return None
    for _ in range(_PLACES):
        (x, y), (left, top) = (
            (rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)) for _ in range(2)
        )
        before = picture.crop((x, y, x + width, y + height))
        part = picture.crop((left, top, left + width, top + height))
        apart = np.asarray(part.convert("L"), np.int16) - np.asarray(before.convert("L"), np.int16)
        if np.abs(apart - apart.mean()).mean() >= _UNLIKE:  # a shade alone is light
            other = picture.copy()
            other.paste(part, (x, y))
            return compressed(other, rng, 0.0, lambda **_: picture)
    return None


def cropped(picture: Image.Image, rng: Random, strength: float, size: int) -> Image.Image:
    """Cut out a rectangle of at least 15 % of the area and squash it to the working size, both in one step.

    The result keeps some of its aspect ratio, as later edits (turning, framing) depend on it.
    """
    w, h = picture.size
    area = 1.0
    if rng.random() < 0.35 + 0.45 * strength:
        area = math.exp(rng.uniform(math.log(1 - 0.85 * strength), 0))
    stretch = math.exp(rng.uniform(-0.25, 0.25) * strength)
    cut_w, cut_h = min(w, w * math.sqrt(area) * stretch), min(h, h * math.sqrt(area) / stretch)
    x, y = rng.uniform(0, w - cut_w), rng.uniform(0, h - cut_h)
    squash = math.sqrt(cut_w / cut_h)
    target = (max(16, round(size * squash)), max(16, round(size / squash)))
    return picture.resize(target, Image.Resampling.BILINEAR, box=(x, y, x + cut_w, y + cut_h), reducing_gap=2.0)


# ---- geometry


def mirror(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Mirror left to right."""
    return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def quarter_turn(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Turn by 90, 180 or 270 degrees."""
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return view.transpose(rng.choice(turns))


def turn(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Turn by any angle, mostly a small one, with or without keeping the corners."""
    widest = rng.choice((8, 15, 45)) * max(strength, 0.3)
    return view.rotate(
        rng.uniform(-widest, widest), Image.Resampling.BILINEAR, expand=rng.random() < 0.5, fillcolor=flat_colour(rng)
    )


def perspective(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Look at the picture from the side, as when a screen is photographed."""
    w, h = view.size
    reach = 0.22 * strength

    def inset(length: int) -> float:
        return rng.uniform(-reach, reach / 2) * length

    corners = (inset(w), inset(h), inset(w), h - inset(h), w - inset(w), h - inset(h), w - inset(w), inset(h))
    return view.transform(
        view.size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR, fillcolor=flat_colour(rng)
    )


# ---- colour


def recolour(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Change brightness, contrast, saturation and hue."""
    reach = 0.15 + 0.45 * strength
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = enhancer(view).enhance(1 + rng.uniform(-reach, reach))
    if rng.random() < 0.5:
        shift = round(rng.uniform(-20, 20) * strength)  # of 256 steps of hue
        hue, saturation, value = view.convert("HSV").split()
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        view = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return view


def gamma(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Bend the tone curve."""
    power = math.exp(rng.uniform(-0.8, 0.8) * strength)
    return view.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


def grey(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Take the colours away."""
    return view.convert("L").convert("RGB")


def filtered(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Change all colours: sepia and the like, inverted, few levels, channels exchanged."""
    kind = rng.choice(("tint", "invert", "poster", "channels"))
    if kind == "tint":
        dark = tuple(rng.randint(0, 60) for _ in range(3))
        light = tuple(rng.randint(180, 255) for _ in range(3))
        return ImageOps.colorize(view.convert("L"), dark, light)
    if kind == "invert":
        return ImageOps.invert(view)
    if kind == "poster":
        return ImageOps.posterize(view, rng.randint(2, 4))
    planes = list(view.split())
    rng.shuffle(planes)
    return Image.merge("RGB", planes)


# ---- things laid over it


def caption(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Write a line or two of large text, as on a meme."""
    view = view.copy()
    draw = ImageDraw.Draw(view)
    for place in rng.sample((0.02, 0.4, 0.8), rng.randint(1, 2)):
        height = max(8, round(view.height * rng.uniform(0.07, 0.08 + 0.08 * strength)))
        text = " ".join(rng.sample(WORDS, rng.randint(2, 4)))
        colours = rng.choice((("white", "black"), ("black", "white"), ("yellow", "black")))
        at = (rng.uniform(0, 0.2) * view.width, place * view.height)
        draw.text(at, text, font=font(height), fill=colours[0], stroke_width=1, stroke_fill=colours[1])
    return view


def stickers(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Cover up to two fifths with flat discs and boxes, some of them half-transparent."""
    layer = Image.new("RGBA", view.size)
    draw = ImageDraw.Draw(layer)
    side = math.sqrt(view.width * view.height)
    for _ in range(rng.randint(1, 1 + round(8 * strength))):
        r = side * rng.uniform(0.05, 0.17)
        x, y = rng.uniform(0, view.width), rng.uniform(0, view.height)
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((x - r, y - r * rng.uniform(0.5, 1), x + r, y + r), fill=(*flat_colour(rng), rng.choice((255, 255, 150))))
    over = view.convert("RGBA")
    over.alpha_composite(layer)
    return over.convert("RGB")


def blended(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Lay another picture over it, faintly."""
    return Image.blend(
        view, other().resize(view.size, Image.Resampling.BILINEAR), rng.uniform(0.1, 0.15 + 0.2 * strength)
    )


# ---- things put around it


def framed(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Add bars on one axis or a frame."""
    wide, high = (round(rng.uniform(0.03, 0.05 + 0.15 * strength) * length) for length in view.size)
    border = rng.choice(((0, high), (wide, 0), (wide, high)))
    return ImageOps.expand(view, (*border, *border), fill=rng.choice(((0, 0, 0), (255, 255, 255), flat_colour(rng))))


def screenshot(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Show it in an application: a header, lines of text, buttons around it."""
    w, h = view.size
    paper, ink = rng.choice((((24, 26, 30), (225, 225, 225)), ((250, 250, 250), (30, 30, 30))))
    screen = Image.new("RGB", (round(w * rng.uniform(1.0, 1.3)), round(h * rng.uniform(1.2, 1.9))), paper)
    draw = ImageDraw.Draw(screen)
    top = rng.randint(0, screen.height - h)
    soft = tuple((a + b) // 2 for a, b in zip(paper, ink, strict=True))
    y = 2
    while y < screen.height:
        draw.rectangle((4, y, rng.uniform(0.3, 0.95) * screen.width, y + max(2, h // 40)), fill=rng.choice((soft, ink)))
        y += rng.randint(h // 14 + 3, h // 6 + 4)
    draw.rectangle((0, top - 3, screen.width, top + h + 3), fill=paper)
    screen.paste(view, (rng.randint(0, screen.width - w), top))
    return screen


def pasted(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Paste it small onto another picture."""
    host = other().resize(view.size, Image.Resampling.BILINEAR)
    scale = math.exp(rng.uniform(math.log(0.9 - 0.5 * strength), math.log(0.95)))
    w, h = max(8, round(view.width * scale)), max(8, round(view.height * scale))
    at = (rng.randint(0, host.width - w), rng.randint(0, host.height - h))
    host.paste(view.resize((w, h), Image.Resampling.BILINEAR, reducing_gap=2.0), at)
    return host


def collage(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Tile it with one or three others."""
    w, h = view.size
    across, down = rng.choice(((2, 1), (1, 2), (2, 2), (2, 2)))
    cell = (w // across, h // down)
    sheet = Image.new("RGB", (cell[0] * across, cell[1] * down))
    own = rng.randrange(across * down)
    for place in range(across * down):
        tile = view if place == own else other(whole=True)
        at = ((place % across) * cell[0], (place // across) * cell[1])
        sheet.paste(tile.resize(cell, Image.Resampling.BILINEAR, reducing_gap=2.0), at)
    return sheet


# ---- loss of detail


def softened(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Blur or sharpen."""
    if rng.random() < 0.25:
        return view.filter(ImageFilter.UnsharpMask(2, round(100 + 200 * strength), 2))
    return view.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.5 + 2 * strength) * view.width / 160))


def noise(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Add grain."""
    grain = np.random.default_rng(rng.getrandbits(32)).normal(
        0, 4 + 26 * strength * rng.random(), (*view.size[::-1], 3)
    )
    return Image.fromarray((np.asarray(view, np.float32) + grain).clip(0, 255).astype(np.uint8))


def thumbnail(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Shrink to a thumbnail; the detail is gone when it is enlarged again."""
    longest = rng.uniform(100 - 68 * strength, 128)
    scale = min(1.0, longest / max(view.size))
    small = (max(8, round(view.width * scale)), max(8, round(view.height * scale)))
    return view.resize(small, Image.Resampling.BILINEAR, reducing_gap=2.0)


def compressed(view: Image.Image, rng: Random, strength: float, other: Other) -> Image.Image:
    """Store as JPEG, from good quality down to 5."""
    worst = 70 - 65 * strength if min(view.size) > 80 else 40
    quality = round(worst + (90 - worst) * rng.random() ** 1.5)
    seen = view.size
    if rng.random() < 0.5:  # at twice the size, as photos are stored: the blocks are finer than the network's pixels
        view = view.resize((2 * view.width, 2 * view.height), Image.Resampling.BILINEAR)
    memory = io.BytesIO()
    view.save(memory, "JPEG", quality=quality, subsampling=rng.choice((0, 2)))
    return Image.open(memory).convert("RGB").resize(seen, Image.Resampling.BILINEAR, reducing_gap=2.0)


# Probability at full strength, in the order in which a picture meets them.
EDITS: tuple[tuple[float, Edit], ...] = (
    (0.30, mirror),
    (0.22, quarter_turn),
    (0.12, perspective),
    (0.55, recolour),
    (0.12, gamma),
    (0.15, grey),
    (0.12, filtered),
    (0.05, blended),
    (0.20, stickers),
    (0.18, caption),
    (0.20, turn),
    (0.10, framed),
    (0.08, screenshot),
    (0.14, pasted),
    (0.14, collage),
    (0.20, softened),
    (0.08, noise),
    (0.22, thumbnail),
    (0.45, compressed),
)
COMPOSITIONS = {pasted, collage}


def flat_colour(rng: Random) -> tuple[int, int, int]:
    """Return black, white or any colour."""
    any_colour = (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))
    return rng.choice(((0, 0, 0), (255, 255, 255), any_colour))


_FONTS: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}


def font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font at a height in pixels."""
    if height not in _FONTS:
        _FONTS[height] = ImageFont.load_default(size=height)
    return _FONTS[height]
