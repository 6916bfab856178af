"""Which of two pictures is the poorer one: a file that is larger, or lossless, may hold less."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from siamese_search.details import Quality, poorer, quality
from siamese_search.duplicates.find import find_duplicates
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery

Picture = Image.Image
Sample = Callable[[str], Picture]


def measured(picture: Picture) -> Quality:
    """Measure a picture at its own size."""
    return quality(np.asarray(picture.convert("RGB")), own_size=True)


def jpeg(picture: Picture, level: int) -> Picture:
    """Return a picture as a JPEG shows it."""
    data = BytesIO()
    picture.save(data, "JPEG", quality=level)
    return Image.open(data).convert("RGB")


WORSE: dict[str, Callable[[Picture], Picture]] = {
    "a palette of 64": lambda picture: picture.quantize(64),
    "three bits a channel": lambda picture: picture.point(lambda level: level & 0xE0),
    "compressed to the blocks": lambda picture: jpeg(picture, 8),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1.2)),
    "enlarged": lambda picture: picture.resize((picture.width * 4 // 3, picture.height * 4 // 3)),
}


@pytest.mark.parametrize("worse", WORSE)
@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg"])
def test_what_was_lost_is_seen(sample: Sample, name: str, worse: str) -> None:
    """A picture is richer than what was made poorer, whichever comes first."""
    picture = sample(name).convert("RGB")
    one, other = measured(picture), measured(WORSE[worse](picture))
    assert (poorer(one, other), poorer(other, one)) == (2, 1)


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "rocket.jpg"])
def test_ordinary_copies_are_as_good(sample: Sample, name: str) -> None:
    """Compressed, smaller, darker, paler: which one was first cannot be seen from that."""
    picture = sample(name).convert("RGB")
    for copy in (
        jpeg(picture, 80),
        picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS),
        ImageEnhance.Brightness(picture).enhance(0.7),
        ImageEnhance.Contrast(picture).enhance(0.7),
    ):
        assert poorer(measured(picture), measured(copy)) == 0


def test_light_parts_that_are_all_white_are_lost() -> None:
    """Of clouds, a brighter picture shows less; a darker one of it brings nothing back."""
    rows = np.arange(300)[:, None] + 20 * np.sin(np.arange(400) / 9)
    clouds = Image.fromarray((200 + 40 * np.sin(rows / 11)).clip(0, 255).astype(np.uint8)).convert("RGB")
    bright = ImageEnhance.Brightness(clouds).enhance(1.4)
    assert poorer(measured(clouds), measured(bright)) == 2
    assert poorer(measured(ImageEnhance.Brightness(bright).enhance(0.7)), measured(bright)) == 0


def test_drawings_need_few_colours() -> None:
    """A drawing of two colours is no poorer than what a compression made of it."""
    drawing = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(drawing).ellipse((40, 30, 260, 170), fill="#2040c0")
    assert poorer(measured(drawing), measured(jpeg(drawing, 70))) == 0


def test_the_poorer_one_never_stays_alone(sample: Sample, encoder: Encoder, tmp_path: Path) -> None:
    """Larger, lossless or with more pixels: what was made of a picture does not take its place."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")
    for name, (how, worse) in zip(names, WORSE.items(), strict=True):
        sample(name).save(folder / f"{how}, before.jpg", quality=92)
        worse(sample(name)).save(folder / f"{how}, after.png")
    with Gallery(tmp_path / "gallery", encoder=encoder) as gallery:
        gallery.sync([folder])
        report = find_duplicates(gallery)
    assert {group.keep.name for group in report} == {f"{how}, before.jpg" for how in WORSE}
