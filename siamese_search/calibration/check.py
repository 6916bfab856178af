"""What details are worth in one gallery: pairs of which it is known what they are, made from its own pictures.

An edited copy of a picture is the same. A picture of which a part was exchanged for another part of it is another one,
however much it looks like a copy: it differs in less than the next page of a book, the next form or frame do. How many
of the first are found and how many of the second are mistaken for copies is counted, not guessed from pairs that nobody
knows.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from siamese_search.cores import usable_cores
from siamese_search.details import LONGEST, Verdict, compare, features, one_thread
from siamese_search.encoder import Encoder
from siamese_search.errors import ImageError
from siamese_search.images.edits import edited_view, exchanged
from siamese_search.images.sandbox import Decoder
from siamese_search.results import DetailCheck, Item

PICTURES = 20  # at most, and
_ONE_OF = 50  # so that it costs a fraction of the first index, but
_AT_LEAST = 5
CHANGES = 2  # of each
TRIED = 5  # times as many are tried, when some cannot be read
STRENGTHS = (0.0, 0.3, 0.6)  # of everyday edits
CONFIDENCE = 0.95


def check_details(
    encoder: Encoder, items: Sequence[Item], reach: float, *, seed: int = 0, wanted: int | None = None
) -> DetailCheck | None:
    """Try the details on edited and on changed copies of some pictures; None where none can be read.

    A copy is found when it lies within `reach` of its original and the details say so. Unless it is said, how many are
    `wanted` goes by how many there are.
    """
    wanted = wanted or min(PICTURES, max(_AT_LEAST, len(items) // _ONE_OF))
    rng = Random(seed)  # noqa: S311  (edits, not secrets)
    tried = iter([(item, rng.randrange(2**32)) for item in rng.sample(items, min(len(items), TRIED * wanted))])
    known: list[_Known] = []
    with Decoder() as decoder, one_thread(), ThreadPoolExecutor(usable_cores()) as pool:
        while len(known) < wanted and (some := [*islice(tried, wanted - len(known))]):
            found = pool.map(lambda one: _known(encoder, one[0].path, Random(one[1]), decoder), some)  # noqa: S311
            known.extend(filter(None, found))
    if not known:
        return None
    copies = [each.copy for each in known if each.distance <= reach]
    changes = [verdict for each in known for verdict in each.changed]
    mistaken = changes.count(Verdict.CONFIRMED)
    return DetailCheck(
        edited=len(known),
        confirmed=copies.count(Verdict.CONFIRMED),
        altered=copies.count(Verdict.ALTERED),
        changed=len(changes),
        mistaken=mistaken,
        mistaken_at_most=upper_bound(mistaken, len(changes)),
    )


def upper_bound(count: int, among: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the share that, were it any larger, so few would hardly be met (Clopper and Pearson, 1934)."""
    if count >= among:
        return 1.0
    low, high = count / among, 1.0
    for _ in range(50):
        share = (low + high) / 2
        chance = sum(math.comb(among, k) * share**k * (1 - share) ** (among - k) for k in range(count + 1))
        low, high = (share, high) if chance > 1 - confidence else (low, share)
    return high


@dataclass(frozen=True, slots=True)
class _Known:
    """What the details say of an edited copy, `distance` from its original, and of changed ones."""

    distance: float
    copy: Verdict
    changed: tuple[Verdict, ...]


def _known(encoder: Encoder, path: Path, rng: Random, decoder: Decoder) -> _Known | None:
    """Try one picture; None for one that cannot be read, or is more than one: such are compared file by file."""
    try:
        picture = decoder.thumbnail(path, longest=LONGEST)
        square = decoder.square(path, size=encoder.input_size, channels=encoder.channels)
    except ImageError:
        return None
    if not picture.is_whole:
        return None
    image, original = picture.image, features(picture.pixels)
    # Where an edit asks for another picture, this one has to do, upside down.
    view = edited_view(
        image, size=LONGEST, strength=rng.choice(STRENGTHS), rng=rng, other=lambda **_: image.rotate(180)
    )
    small = decoder.square(view, size=encoder.input_size, channels=encoder.channels)
    vectors = encoder.embed_pixels(np.stack([square.pixels, small.pixels]))
    changes = filter(None, (exchanged(image, rng) for _ in range(CHANGES)))
    return _Known(
        distance=float(np.linalg.norm(vectors[0] - vectors[1])),
        copy=compare(original, features(view)).verdict,
        changed=tuple(compare(original, features(np.asarray(change))).verdict for change in changes),
    )
