"""A sheet of sample photos under the heavy edits, with the distance of each copy: what the encoder finds and misses."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from edits import HEAVY, JPEG_QUALITY, JPEG_QUALITY_OF, font
from sets import SEED
from siamese_search import load_encoder

SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "ihc.png")
ROWS = 4  # the first of them are edited; all serve as hosts
SIDE, GAP, TEXT = 150, 6, 22
FOUND, MISSED = (20, 120, 40), (190, 30, 30)


def draw_sheet(out: Path, *, encoder: str = "photo") -> None:
    """Draw a row a photo, a column an edit; red are the copies beyond the threshold that the encoder brings along."""
    chosen = load_encoder(encoder)
    samples = [sample(name) for name in SAMPLES]
    width, height = (SIDE + GAP) * (len(HEAVY) + 1) + GAP, (SIDE + TEXT + GAP) * ROWS + TEXT + GAP
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(("original", *HEAVY)):
        draw.text((GAP + column * (SIDE + GAP), GAP // 2), name, fill="black", font=font(15))
    for row, original in enumerate(samples[:ROWS]):
        others = samples[:row] + samples[row + 1 :]
        pictures = [original, *(edited(name, original, others, row) for name in HEAVY)]
        pixels = [np.asarray(each.resize((chosen.input_size,) * 2, Image.Resampling.BICUBIC)) for each in pictures]
        vectors = chosen.embed_pixels(np.stack(pixels))
        distances = np.linalg.norm(vectors - vectors[0], axis=1)
        for column, (each, distance) in enumerate(zip(pictures, distances.tolist(), strict=True)):
            x, y = GAP + column * (SIDE + GAP), TEXT + row * (SIDE + TEXT + GAP)
            page.paste(each.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
            if column:
                ink, word = (FOUND, "found") if distance <= chosen.threshold.distance else (MISSED, "missed")
                draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=ink, width=3)
                draw.text((x, y + SIDE + 2), f"{distance:.3f} {word}", fill=ink, font=font(15))
    page.save(out, quality=85)


def sample(name: str) -> Image.Image:
    """Return a photo that lies in scikit-image's own wheel, at most 512 pixels long."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the sample photos are scikit-image's: pip install 'siamese-search[demo]'")
    with Image.open(Path(spec.submodule_search_locations[0], "data", name)) as image:
        image.thumbnail((512, 512))
        return image.convert("RGB")


def edited(name: str, original: Image.Image, others: list[Image.Image], row: int) -> Image.Image:
    """Return a copy as it comes out of its file."""
    copy = HEAVY[name](original, Random(f"{SEED}/{row}/{name}"), lambda k: others[k])
    file = BytesIO()
    copy.save(file, "JPEG", quality=JPEG_QUALITY_OF.get(name, JPEG_QUALITY))
    return Image.open(file).convert("RGB")
