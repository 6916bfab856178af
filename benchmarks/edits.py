"""The edits of the benchmark: twenty that people make every day, ten heavy ones, and the seven turns of a picture.

Each takes and gives an RGB picture at its full size, draws its chances from the generator it is handed, and calls
`host(k)` for the k-th of other photos to lay it on. The order in which an edit draws is part of what it is: another
order would make other sets.
"""
# ruff: noqa: ARG001, SIM905  (edits share one signature; a sentence is text)

import math
from collections.abc import Callable
from functools import partial
from random import Random

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
from PIL.Image import Resampling, Transpose

Picture = Image.Image
Host = Callable[[int], Picture]
Edit = Callable[[Picture, Random, Host], Picture]

WORDS = "when you find the same photo again but it is smaller now and nobody knows why".split()
JPEG_QUALITY = 90
JPEG_QUALITY_OF = {"jpeg_q30": 30, "combo": 50, "tiny_64px": 60, "jpeg_q5": 5, "heavy_combo": 25}


# ---- parts that several edits use


def cut(picture: Picture, side: float, rng: Random | None = None) -> Picture:
    """Keep this share of each edge, from the middle, or from a random place when there is a generator."""
    width, height = max(1, round(picture.width * side)), max(1, round(picture.height * side))
    if rng is None:
        x, y = (picture.width - width) // 2, (picture.height - height) // 2
    else:
        x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return picture.crop((x, y, x + width, y + height))


def scaled(picture: Picture, wide: float, high: float, resampling: Resampling = Resampling.LANCZOS) -> Picture:
    """Resize each edge by its factor, to one pixel at least."""
    size = max(1, round(picture.width * wide)), max(1, round(picture.height * high))
    return picture.resize(size, resampling)


def jittered(picture: Picture, rng: Random) -> Picture:
    """Change brightness and contrast by up to 30 %, saturation by up to 40 %, and hue by 6 to 12 of its 256 steps."""
    picture = ImageEnhance.Brightness(picture).enhance(1 + rng.uniform(-0.3, 0.3))
    picture = ImageEnhance.Contrast(picture).enhance(1 + rng.uniform(-0.3, 0.3))
    picture = ImageEnhance.Color(picture).enhance(1 + rng.uniform(-0.4, 0.4))
    shift = rng.choice([-1, 1]) * rng.randint(6, 12)
    hue, saturation, value = picture.convert("HSV").split()
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own typeface at a size."""
    return ImageFont.load_default(size=pixels)


def colour(rng: Random) -> tuple[int, int, int]:
    """Draw a colour."""
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


# ---- everyday edits


def jpeg_q30(picture: Picture, rng: Random, host: Host) -> Picture:
    """Compress: the quality is in `JPEG_QUALITY_OF`."""
    return picture


def resize_50(picture: Picture, rng: Random, host: Host) -> Picture:
    """Halve both edges."""
    return picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Resampling.LANCZOS)


def crop_center80(picture: Picture, rng: Random, host: Host) -> Picture:
    """Keep the middle 80 % of each edge."""
    return cut(picture, 0.8)


def crop_area50(picture: Picture, rng: Random, host: Host) -> Picture:
    """Keep half of the area, anywhere."""
    return cut(picture, math.sqrt(0.5), rng)


def hflip(picture: Picture, rng: Random, host: Host) -> Picture:
    """Mirror left to right."""
    return picture.transpose(Transpose.FLIP_LEFT_RIGHT)


def rotate_5(picture: Picture, rng: Random, host: Host) -> Picture:
    """Turn by five degrees, corners cut off."""
    return picture.rotate(rng.choice([-5, 5]), Resampling.BICUBIC)


def rotate_90(picture: Picture, rng: Random, host: Host) -> Picture:
    """Turn by a quarter, either way."""
    return picture.transpose(rng.choice([Transpose.ROTATE_90, Transpose.ROTATE_270]))


def grayscale(picture: Picture, rng: Random, host: Host) -> Picture:
    """Take the colours away."""
    return picture.convert("L").convert("RGB")


def bright_up40(picture: Picture, rng: Random, host: Host) -> Picture:
    """Brighten by 40 %."""
    return ImageEnhance.Brightness(picture).enhance(1.4)


def bright_down40(picture: Picture, rng: Random, host: Host) -> Picture:
    """Darken by 40 %."""
    return ImageEnhance.Brightness(picture).enhance(0.6)


def contrast(picture: Picture, rng: Random, host: Host) -> Picture:
    """Halve the contrast, or raise it by 60 %."""
    return ImageEnhance.Contrast(picture).enhance(rng.choice([0.5, 1.6]))


def gamma(picture: Picture, rng: Random, host: Host) -> Picture:
    """Bend the tone curve by a power of a half or of two."""
    power = rng.choice([0.5, 2.0])
    return picture.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


def blur_r2(picture: Picture, rng: Random, host: Host) -> Picture:
    """Blur by two pixels."""
    return picture.filter(ImageFilter.GaussianBlur(2))


def text_overlay(picture: Picture, rng: Random, host: Host) -> Picture:
    """Write a caption at the top and one at the bottom, as on a meme: white, edged in black, a ninth of the height."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    pixels = max(12, picture.height // 9)
    for place in (0.02, 0.86):
        text, letters = " ".join(rng.sample(WORDS, 4)), font(pixels)
        width = draw.textlength(text, font=letters)
        if width > picture.width * 0.96:
            letters = font(max(8, int(pixels * picture.width * 0.96 / width)))
            width = draw.textlength(text, font=letters)
        draw.text(
            ((picture.width - width) / 2, picture.height * place),
            text,
            font=letters,
            fill="white",
            stroke_width=max(1, pixels // 14),
            stroke_fill="black",
        )
    return picture


def letterbox(picture: Picture, rng: Random, host: Host) -> Picture:
    """Add bars on one axis (15 % a side) or a frame on all four (10 % a side), black or white."""
    fill = rng.choice([(0, 0, 0), (255, 255, 255)])
    width, height = picture.size
    bars = [(0, round(0.15 * height)), (round(0.15 * width), 0), (round(0.1 * width), round(0.1 * height))]
    wide, high = rng.choice(bars)
    return ImageOps.expand(picture, (wide, high, wide, high), fill=fill)


def screenshot(picture: Picture, rng: Random, host: Host) -> Picture:
    """Show it on a telephone: a header, caption lines, buttons; the picture takes about half of the screen."""
    width, height = picture.size
    wide, high = round(width * 1.12), round(height * rng.uniform(1.5, 1.8))
    dark = rng.random() < 0.5
    paper, ink = ((24, 26, 30), (225, 225, 225)) if dark else ((250, 250, 250), (30, 30, 30))
    screen = Image.new("RGB", (wide, high), paper)
    draw = ImageDraw.Draw(screen)
    top, margin = rng.randint(round(0.12 * high), round(0.2 * high)), wide // 20
    draw.ellipse((margin, top // 3, margin + top // 2, top // 3 + top // 2), fill=(90, 130, 200))
    name = f"some_user_{rng.randint(10, 99)}"
    draw.text((2 * margin + top // 2, top // 2.4), name, font=font(max(10, wide // 22)), fill=ink)
    screen.paste(picture, ((wide - width) // 2, top))
    between = tuple((a + b) // 2 for a, b in zip(paper, ink, strict=True))
    y = top + height + margin
    for _ in range(3):
        draw.rectangle((margin, y, margin + rng.uniform(0.5, 0.85) * wide, y + max(3, high // 70)), fill=between)
        y += max(8, high // 28)
    return screen


def watermark(picture: Picture, rng: Random, host: Host) -> Picture:
    """Lay a half-transparent logo, a quarter of the shorter edge wide, in a corner or on the middle."""
    width, height = picture.size
    side = max(16, min(width, height) // 4)
    logo = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(logo)
    draw.ellipse((0, 0, side - 1, side - 1), fill=(*colour(rng), 170))
    draw.text((side * 0.2, side * 0.3), "LOGO", font=font(max(8, side // 4)), fill=(255, 255, 255, 230))
    right, low = width - side - 8, height - side - 8
    x, y = rng.choice([(8, 8), (right, 8), (8, low), (right, low), ((width - side) // 2, (height - side) // 2)])
    marked = picture.convert("RGBA")
    marked.alpha_composite(logo, (max(0, x), max(0, y)))
    return marked.convert("RGB")


def aspect_08(picture: Picture, rng: Random, host: Host) -> Picture:
    """Squash one edge to 80 %."""
    return scaled(picture, 0.8, 1) if rng.random() < 0.5 else scaled(picture, 1, 0.8)


def color_jitter(picture: Picture, rng: Random, host: Host) -> Picture:
    """Change brightness, contrast, saturation and hue."""
    return jittered(picture, rng)


def combo(picture: Picture, rng: Random, host: Host) -> Picture:
    """Crop to 70 % of the area, change the colours, compress."""
    return jittered(cut(picture, math.sqrt(0.7), rng), rng)


# ---- heavy edits


def crop_area20(picture: Picture, rng: Random, host: Host) -> Picture:
    """Keep a fifth of the area, anywhere."""
    return cut(picture, math.sqrt(0.2), rng)


def tiny_64px(picture: Picture, rng: Random, host: Host) -> Picture:
    """Make a thumbnail of it, 64 pixels long, and compress that."""
    scale = 64 / max(picture.size)
    return scaled(picture, scale, scale, Resampling.BILINEAR)


def jpeg_q5(picture: Picture, rng: Random, host: Host) -> Picture:
    """Compress until blocks are seen: the quality is in `JPEG_QUALITY_OF`."""
    return picture


def rotate_30(picture: Picture, rng: Random, host: Host) -> Picture:
    """Turn by 30 degrees, corners kept, black around."""
    return picture.rotate(rng.choice([-30, 30]), Resampling.BICUBIC, expand=True)


def sepia_invert(picture: Picture, rng: Random, host: Host) -> Picture:
    """Turn into a negative, or into sepia."""
    if rng.random() < 0.5:
        return ImageOps.invert(picture)
    return ImageOps.colorize(picture.convert("L"), "#301010", "#ffe8c0")


def perspective(picture: Picture, rng: Random, host: Host) -> Picture:
    """Look at it from the side, as when a screen is photographed."""
    width, height = picture.size

    def beyond(length: int) -> float:
        return rng.uniform(0.05, 0.22) * length

    corners = (
        *(-beyond(width), -beyond(height)),
        *(-beyond(width), height + beyond(height)),
        *(width + beyond(width), height + beyond(height)),
        *(width + beyond(width), -beyond(height)),
    )
    return picture.transform((width, height), Image.Transform.QUAD, corners, Resampling.BICUBIC)


def pasted_small(picture: Picture, rng: Random, host: Host) -> Picture:
    """Lay it, at a fifth of the area, on another photo: the other is the larger part."""
    under = host(0).resize(picture.size, Resampling.BICUBIC)
    small = scaled(picture, math.sqrt(0.2), math.sqrt(0.2))
    x, y = rng.randint(0, picture.width - small.width), rng.randint(0, picture.height - small.height)
    under.paste(small, (x, y))
    return under


def collage_2x2(picture: Picture, rng: Random, host: Host) -> Picture:
    """Put it beside three other photos, two by two."""
    width, height = picture.size
    sheet = Image.new("RGB", (2 * width, 2 * height))
    own = rng.randrange(4)
    for place in range(4):
        tile = picture if place == own else host(place).resize((width, height), Resampling.BICUBIC)
        sheet.paste(tile, ((place % 2) * width, (place // 2) * height))
    return sheet.resize((width, height), Resampling.LANCZOS)


def stickers(picture: Picture, rng: Random, host: Host) -> Picture:
    """Cover about 40 % with discs and boxes."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for number in range(9):
        r = math.sqrt(width * height) * rng.uniform(0.09, 0.16)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape((x - r, y - r, x + r, y + r), fill=colour(rng))
    return picture


def heavy_combo(picture: Picture, rng: Random, host: Host) -> Picture:
    """Crop to 45 %, mirror, change the colours, write a caption, turn by up to 12 degrees, compress."""
    mirrored = cut(picture, math.sqrt(0.45), rng).transpose(Transpose.FLIP_LEFT_RIGHT)
    captioned = text_overlay(jittered(mirrored, rng), rng, host)
    return captioned.rotate(rng.uniform(-12, 12), Resampling.BICUBIC)


# ---- turns


def turned(how: Transpose, picture: Picture, rng: Random, host: Host) -> Picture:
    """Turn or mirror, and do no more."""
    return picture.transpose(how)


EVERYDAY: dict[str, Edit] = {
    edit.__name__: edit
    for edit in (
        jpeg_q30, resize_50, crop_center80, crop_area50, hflip, rotate_5, rotate_90, grayscale, bright_up40,
        bright_down40, contrast, gamma, blur_r2, text_overlay, letterbox, screenshot, watermark, aspect_08,
        color_jitter, combo,
    )
}  # fmt: skip
HEAVY: dict[str, Edit] = {
    edit.__name__: edit
    for edit in (
        crop_area20, tiny_64px, jpeg_q5, rotate_30, sepia_invert, perspective, pasted_small, collage_2x2, stickers,
        heavy_combo,
    )
}  # fmt: skip
TURNS: dict[str, Edit] = {how.name.lower(): partial(turned, how) for how in Transpose}
