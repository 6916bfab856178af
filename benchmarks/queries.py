"""Twenty queries with the five pictures nearest to each, drawn on one sheet: what is of the kind, and what is said.

Classes, and a photo of each, are drawn by lot; right is what lies in the same class folder.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from edits import font
from sets import SEED, Photo

QUERIES, HITS = 20, 5
MIN_PHOTOS = HITS + 1  # of a class, so that all hits could be of it
SIDE, GAP, TEXT = 84, 4, 15
COLUMNS = 2
RIGHT, OTHER, NOTHING = (20, 120, 40), (150, 150, 150), (190, 30, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query, as rows of the photos: its nearest others, their distances, and which are of its class.

    `stranger` is the distance of the nearest photo of another class: all there is once its own class is taken away.
    """

    query: int
    hits: tuple[int, ...]
    distances: tuple[float, ...]
    right: tuple[bool, ...]
    stranger: float


def drawn_queries(photos: Sequence[Photo], *, seed: int = SEED, without: Sequence[str] = ()) -> list[int]:
    """Return the rows of twenty photos of as many classes; `without` names classes that are none."""
    classes = [photo.path.parent for photo in photos]
    sizes = Counter(classes)
    enough = sorted(name for name, size in sizes.items() if size >= MIN_PHOTOS and name.name not in without)
    rng = Random(seed)
    chosen = sorted(rng.sample(enough, min(QUERIES, len(enough))))
    return [rng.choice([row for row, name in enumerate(classes) if name == each]) for each in chosen]


def ask(features: NDArray[np.float32], photos: Sequence[Photo], queries: Sequence[int]) -> list[Asked]:
    """Ask with each query among all other photos; rows (n, d) of unit length belong to the photos in order."""
    asked = []
    for query in queries:
        apart = np.sqrt(np.maximum(0, 2 - 2 * features @ features[query]))
        apart[query] = np.inf
        own = np.array([photo.path.parent == photos[query].path.parent for photo in photos])
        hits = np.argsort(apart)[:HITS].tolist()
        asked.append(
            Asked(
                query=query,
                hits=tuple(hits),
                distances=tuple(apart[hits].tolist()),
                right=tuple(own[hits].tolist()),
                stranger=float(apart[~own].min()),
            )
        )
    return asked


def summary(asked: Sequence[Asked], alike: float) -> str:
    """Say in a sentence or two what was found."""
    right = [sum(each.right) for each in asked]
    within = [right for each in asked for right, far in zip(each.right, each.distances, strict=True) if far <= alike]
    silent = sum(each.distances[0] > alike for each in asked)
    refused = sum(each.stranger > alike for each in asked)
    three = sum(count >= 3 for count in right)
    return (
        f"{len(asked)} queries: of the first five {sum(right)} of {HITS * len(asked)} are of the class; {three} queries"
        f" have three of them, {right.count(0)} none. Of {len(within)} said to look alike {sum(within)} are. Nothing is"
        f" said to be like it for {silent}; with all others of its class taken away, for {refused}."
    )


def draw_queries(asked: Sequence[Asked], photos: Sequence[Photo], out: Path, *, alike: float) -> None:
    """Draw a row a query: green frames are of its class, pale ones lie too far away to be said to look alike."""
    rows = -(-len(asked) // COLUMNS)
    width, height = (HITS + 1) * (SIDE + GAP) + 4 * GAP, SIDE + TEXT + GAP
    page = Image.new("RGB", (COLUMNS * width, rows * height + GAP), "white")
    draw = ImageDraw.Draw(page)
    for place, each in enumerate(asked):
        left, top = place // rows * width + GAP, place % rows * height + GAP
        page.paste(thumbnail(photos[each.query]), (left, top))
        draw.text((left, top + SIDE + 1), photos[each.query].path.parent.name[:12], fill="black", font=font(11))
        hits = zip(each.hits, each.distances, each.right, strict=True)
        for column, (hit, distance, right) in enumerate(hits, start=1):
            x = left + column * (SIDE + GAP) + GAP
            picture = thumbnail(photos[hit])
            said = distance <= alike
            page.paste(
                picture if said else Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.6), (x, top)
            )
            ink = RIGHT if right else OTHER
            draw.rectangle((x, top, x + SIDE - 1, top + SIDE - 1), outline=ink, width=3)
            words = f"{distance:.2f}" + (" nothing" if column == 1 and not said else "")
            draw.text((x, top + SIDE + 1), words, fill="black" if said else NOTHING, font=font(11))
    page.save(out, quality=80)


def pale(picture: Image.Image) -> Image.Image:
    """Return a picture as if behind fog."""
    return Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.6)


def thumbnail(photo: Photo) -> Image.Image:
    """Return a photo as a small square, its sides cut off."""
    with Image.open(photo.path) as image:
        return ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
