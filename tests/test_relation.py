"""What a copy is to its keeper, and what its edit looks like."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from siamese_search.duplicates.relation import glimpse, looks, relation
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Edit, Item, Relation

Load = Callable[[str], Image.Image]
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """Give a decoder."""
    with Decoder() as decoder:
        yield decoder


def item(path: Path) -> Item:
    """Return a file as the gallery would know it."""
    with Image.open(path) as image:
        return Item(
            id=0,
            path=path,
            size=path.stat().st_size,
            mtime_ns=0,
            content_hash=str(hash(path.read_bytes())),
            width=image.width,
            height=image.height,
            format=image.format or "",
        )


def captioned(image: Image.Image) -> Image.Image:
    """Draw a bar over the lower edge."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, image.height * 7 // 8, image.width, image.height), fill="black")
    return image


def framed(image: Image.Image) -> Image.Image:
    """Put a picture on a larger ground."""
    return ImageOps.expand(image, border=image.width // 6, fill="#d8c8b8")


def cropped(image: Image.Image) -> Image.Image:
    """Cut the edges off."""
    width, height = image.size
    return image.crop((width // 8, height // 6, width * 7 // 8, height))


EDITS: list[tuple[Callable[[Image.Image], Image.Image], tuple[Edit, ...]]] = [
    (lambda image: image, (Edit.RE_ENCODED,)),
    (lambda image: image.resize((image.width // 2, image.height // 2)), (Edit.RESIZED,)),
    (ImageOps.mirror, (Edit.MIRRORED,)),
    (lambda image: image.transpose(Image.Transpose.ROTATE_90), (Edit.ROTATED,)),
    (lambda image: ImageOps.mirror(image).resize((90, 60)), (Edit.MIRRORED, Edit.RESIZED)),
    (lambda image: ImageEnhance.Brightness(image).enhance(0.7), (Edit.RECOLOURED,)),
    (captioned, (Edit.DRAWN_OVER,)),
    (cropped, (Edit.CROPPED,)),
    (framed, (Edit.FRAMED,)),
]


@pytest.mark.parametrize(("change", "expected"), EDITS, ids=["+".join(expected) for _, expected in EDITS])
def test_plain_edits_are_recognised(
    change: Callable[[Image.Image], Image.Image],
    expected: tuple[Edit, ...],
    sample: Load,
    tmp_path: Path,
    decoder: Decoder,
) -> None:
    """Every plain edit of a real photo, saved as JPEG, looks like what it is."""
    for name in PHOTOS:
        original, copy = tmp_path / "original.png", tmp_path / "copy.jpg"
        sample(name).save(original)
        change(sample(name)).save(copy, quality=80)
        assert looks(item(original), item(copy), glimpse(original, decoder), glimpse(copy, decoder)) == expected, name


def test_what_fits_nothing_is_not_guessed(sample: Load, tmp_path: Path, decoder: Decoder) -> None:
    """Different photos, an empty picture and a file that is gone give no words at all."""
    paths = []
    for name in PHOTOS:
        paths.append(tmp_path / f"{name}.png")
        sample(name).save(paths[-1])
    for first in paths:
        for second in paths:
            if first != second:
                assert looks(item(first), item(second), glimpse(first, decoder), glimpse(second, decoder)) == ()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "flat.png")
    flat = tmp_path / "flat.png"
    assert looks(item(flat), item(flat), glimpse(flat, decoder), glimpse(flat, decoder)) == ()
    assert glimpse(tmp_path / "gone.png", decoder) is None
    assert looks(item(paths[0]), item(flat), glimpse(paths[0], decoder), None) == ()


def test_relations_are_told_by_content(sample: Load, tmp_path: Path, decoder: Decoder) -> None:
    """Same bytes, same pixels in other bytes, and near; pixels are not read for distant or unequal pictures."""
    image = sample("coffee.png")
    for name in ("a.png", "b.bmp", "c.jpg"):
        image.save(tmp_path / name)
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    keeper = item(tmp_path / "a.png")
    kinds = [relation(keeper, item(tmp_path / name), 0.0, decoder) for name in ("d.png", "b.bmp", "c.jpg")]
    assert kinds == [Relation.IDENTICAL, Relation.SAME_PIXELS, Relation.NEAR]
    assert relation(keeper, item(tmp_path / "b.bmp"), 0.5, decoder) is Relation.NEAR
