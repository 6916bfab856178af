"""Two pictures compared in detail: copies are confirmed, what only looks alike is not."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from siamese_search.details import Comparison, Verdict, compare, features

Picture = Image.Image
Sample = Callable[[str], Picture]


def compared(first: Picture, second: Picture) -> Comparison:
    """Compare two pictures."""
    return compare(*(features(np.asarray(picture.convert("RGB"))) for picture in (first, second)))


def jpeg(picture: Picture, quality: int) -> Picture:
    """Return a picture as a JPEG shows it."""
    data = BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def pasted(picture: Picture, host: Picture) -> Picture:
    """Return a host with the picture in it, at a third of its width."""
    out = host.resize((512, 512))
    out.paste(picture.resize((200, round(200 * picture.height / picture.width))), (260, 240))
    return out


def page(words: str, *, number: int) -> Picture:
    """Return a page of a book: its head, its rules and its number are those of every other page."""
    out = Image.new("L", (595, 842), "white")
    draw = ImageDraw.Draw(out)
    draw.text((60, 50), f"CHAPTER {number}", fill=0, font=ImageFont.load_default(14))
    draw.line((60, 75, 535, 75), fill=0)
    for place, line in enumerate(words.split("|")):
        draw.text((60, 100 + 22 * place), line, fill=0, font=ImageFont.load_default(12))
    draw.line((60, 790, 535, 790), fill=0)
    draw.text((290, 800), str(number), fill=0, font=ImageFont.load_default(10))
    return out


def form(*entries: str) -> Picture:
    """Return a form with some entries filled in."""
    out = Image.new("RGB", (600, 800), "white")
    draw = ImageDraw.Draw(out)
    draw.text((40, 30), "Application for a library card", fill="black", font=ImageFont.load_default(28))
    for place, name in enumerate(("Family name", "Given name", "Street and number", "Town", "Telephone")):
        top = 110 + 120 * place
        draw.text((40, top), name, fill="black", font=ImageFont.load_default(18))
        draw.rectangle((40, top + 30, 560, top + 80), outline="black", width=2)
        if place < len(entries):
            draw.text((55, top + 40), entries[place], fill="#202080", font=ImageFont.load_default(24))
    return out


def icon(colour: str) -> Picture:
    """Return an icon drawn in one colour."""
    out = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(out)
    for place in range(5):
        draw.rounded_rectangle((20 + 22 * place, 30 + 40 * place, 120 + 26 * place, 58 + 40 * place), 8, fill=colour)
        draw.ellipse((180 - 30 * place, 20 + 44 * place, 210 - 26 * place, 52 + 44 * place), outline=colour, width=5)
    return out


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "re-encoded": lambda picture: jpeg(picture, 12),
    "resized": lambda picture: picture.resize((picture.width // 3, picture.height // 3)),
    "turned": lambda picture: picture.rotate(33, expand=True),
    "turned by a quarter": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "mirrored": ImageOps.mirror,
    "inverted": ImageOps.invert,
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
    "brighter": lambda picture: picture.point([min(255, round(1.25 * value)) for value in range(256)] * 3),
    "cropped to a fifth": lambda picture: picture.crop(
        (picture.width // 4, picture.height // 4, picture.width * 7 // 10, picture.height * 7 // 10)
    ),
    "framed": lambda picture: ImageOps.expand(picture, border=picture.width // 6, fill="black"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png"])
def test_copies_are_confirmed(sample: Sample, name: str, edit: str) -> None:
    """What was done to the whole of a picture leaves it the same one, whichever is looked at first."""
    picture = sample(name)
    copy = EDITS[edit](picture)
    for found in (compared(picture, copy), compared(copy, picture)):
        assert found.verdict is Verdict.CONFIRMED, found
        assert found.agreement > 0.6
        assert found.mirrored is (edit == "mirrored")
        assert found.inverted is (edit == "inverted")


def test_a_part_covers_a_part(sample: Sample) -> None:
    """How much of the first picture the second one shows is told, whichever is the part."""
    whole = sample("astronaut.png")
    part = whole.crop((40, 40, 168, 168))
    assert compared(whole, part).covers == pytest.approx(0.25, abs=0.06)
    assert compared(part, whole).covers == pytest.approx(1.0, abs=0.1)


def test_a_picture_within_another_is_found(sample: Sample) -> None:
    """Pasted into another photo it is confirmed where it lies; the host is a stranger to it elsewhere."""
    collage = pasted(sample("astronaut.png"), sample("coffee.png"))
    assert compared(sample("astronaut.png"), collage).verdict is Verdict.CONFIRMED
    assert compared(sample("chelsea.png"), collage).verdict is Verdict.ALIKE


def test_different_photos_are_not_confirmed(sample: Sample) -> None:
    """No two of the sample photos are one picture."""
    names = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg", "coins.png")
    pictures = [sample(name) for name in names]
    for place, one in enumerate(pictures):
        for other in pictures[place + 1 :]:
            assert compared(one, other).verdict in {Verdict.ALIKE, Verdict.UNCHECKED}


def test_a_caption_is_told_with_its_place(sample: Sample) -> None:
    """A part that differs makes it altered, and the box lies there, in either picture."""
    picture = sample("astronaut.png").resize((480, 480))
    captioned = picture.copy()
    draw = ImageDraw.Draw(captioned)
    draw.rectangle((60, 380, 420, 450), fill="white")
    draw.text((80, 395), "Wish you were here", fill="black", font=ImageFont.load_default(36))
    for found in (compared(picture, captioned), compared(captioned, picture)):
        assert found.verdict is Verdict.ALTERED
        left, top, right, bottom = found.differences[0]
        assert top > 0.7
        assert bottom < 1.0
        assert 0.05 < left < right < 0.95


def test_pages_of_one_book_are_not_confirmed() -> None:
    """Whatever they share: nearly empty ones with another title, and full ones with another text."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu  "))
    full = ["|".join("".join(rng.choice(letters, 60)) for _ in range(30)) for _ in range(2)]
    for one, other in (("Algebra", "Matrices"), ("Graphics", "Integration"), tuple(full)):
        assert compared(page(one, number=14), page(other, number=18)).verdict is not Verdict.CONFIRMED
        assert compared(page(one, number=14), page(other, number=14)).verdict is not Verdict.CONFIRMED
        scanned = jpeg(page(one, number=14).convert("RGB").rotate(1, fillcolor="white"), 60)
        assert compared(page(one, number=14), scanned).verdict in {Verdict.CONFIRMED, Verdict.ALTERED}
        again = jpeg(page(one, number=14).convert("RGB").resize((400, 566)), 70)
        assert compared(page(one, number=14), again).verdict is Verdict.CONFIRMED


def test_forms_filled_in_otherwise_are_altered() -> None:
    """One template with other entries is one picture altered, at the entries; the same entries are confirmed."""
    one, other = form("Miller", "Anna", "High Street 4"), form("Schmidt", "Otto", "Hafenweg 12", "Kiel")
    found = compared(one, other)
    assert found.verdict is Verdict.ALTERED
    assert len(found.differences) >= 3
    assert compared(one, jpeg(one, 40)).verdict is Verdict.CONFIRMED


def test_icons_of_another_colour_are_not_confirmed() -> None:
    """One shape drawn in another hue is another icon; a smaller one of the same hue is a copy."""
    assert compared(icon("#c01020"), icon("#1040c0")).verdict is not Verdict.CONFIRMED
    assert compared(icon("#c01020"), icon("#c01020").resize((150, 150))).verdict is Verdict.CONFIRMED


def ramp(width: int, height: int, *, turned: bool = False) -> Picture:
    """Return a smooth gradient, which has no corners."""
    across = np.linspace(20, 230, width)[None, :] * np.ones((height, 1))
    values = across.T if turned else across
    return Image.fromarray(np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2))


def test_pictures_without_corners_are_compared_as_they_are() -> None:
    """A gradient is the same when scaled, not when turned; what is blank says nothing."""
    assert compared(ramp(300, 300), ramp(120, 120)).verdict is Verdict.CONFIRMED
    assert compared(ramp(300, 300), ramp(300, 300, turned=True)).verdict is Verdict.UNCHECKED
    blank = Image.new("RGB", (200, 200), "white")
    assert compared(blank, blank).verdict is Verdict.UNCHECKED


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 2), (31, 700)])
def test_odd_shapes_never_fail(shape: tuple[int, int]) -> None:
    """Pictures of any shape are compared with themselves and with a photo's worth of noise."""
    rng = np.random.default_rng(1)
    odd: NDArray[np.uint8] = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    noise: NDArray[np.uint8] = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert compare(features(odd), features(noise)).verdict is not Verdict.CONFIRMED
    compare(features(odd), features(odd))


def test_equal_input_gives_equal_answers(sample: Sample) -> None:
    """Nothing is left to chance."""
    picture = sample("rocket.jpg")
    copy = picture.rotate(17, expand=True)
    assert compared(picture, copy) == compared(picture, copy)
