"""Pictures looked at again at their full size: the digits of an invoice count, and the time in a still scene."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from siamese_search.details import FINEST, LONGEST, Comparison, Verdict, compare, features, look_closer

Picture = Image.Image
Sample = Callable[[str], Picture]

WORDS = "items delivered to the address named above and to be paid within thirty days of this date without discount"


def invoice(total: str) -> Picture:
    """Return an invoice at 140 dots an inch, in ordinary type."""
    out = Image.new("RGB", (1131, 1600), "white")
    draw = ImageDraw.Draw(out)
    draw.text((110, 110), "Lawson and Sons", fill="black", font=ImageFont.load_default(42))
    for line in range(40):
        draw.text((110, 260 + line * 26), f"{line} {WORDS[line:]}"[:90], fill="black", font=ImageFont.load_default(18))
    draw.text((110, 1340), "Total to be paid", fill="black", font=ImageFont.load_default(18))
    draw.text((900, 1340), total, fill="black", font=ImageFont.load_default(18))
    return out


def within(picture: Picture, longest: int) -> np.ndarray:
    """Return the pixels of a picture, at most so long."""
    out = picture.convert("RGB")
    out.thumbnail((longest, longest))
    return np.asarray(out)


def looked_at(first: Picture, second: Picture) -> Comparison:
    """Compare two pictures small, then at their full size."""
    found = compare(features(within(first, LONGEST)), features(within(second, LONGEST)))
    return look_closer(within(first, FINEST), within(second, FINEST), found)


def jpeg(picture: Picture, quality: int) -> Picture:
    """Return a picture as a JPEG shows it."""
    data = BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "as it is": lambda picture: picture,
    "compressed": lambda picture: jpeg(picture, 30),
    "smaller": lambda picture: jpeg(picture.resize((880, 1245)), 80),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1.5)),
    "cropped": lambda picture: picture.crop((30, 40, 1131, 1580)),
    "turned": lambda picture: picture.rotate(2, Image.Resampling.BICUBIC, fillcolor="white"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_invoice_with_another_total_is_altered(edit: str) -> None:
    """One number in small type tells two invoices apart, whatever was done to one; a copy is confirmed all the same."""
    worn = EDITS[edit]
    assert looked_at(invoice("418.20"), worn(invoice("418.20"))).verdict is Verdict.CONFIRMED
    found = looked_at(invoice("418.20"), worn(invoice("953.75")))
    assert found.verdict is Verdict.ALTERED
    left, top, right, bottom = found.differences[0]
    assert 0.78 < left < right < 0.87
    assert 0.82 < top < bottom < 0.86


def test_equal_pages_are_equal() -> None:
    """A page with a few black letters among many grey ones does not differ from itself."""
    out = invoice("1").point([150 + level * 105 // 255 for level in range(256)] * 3)
    ImageDraw.Draw(out).text((500, 60), "No. 7", fill="black", font=ImageFont.load_default(18))
    assert looked_at(out, out).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize("quality", [95, 40])
def test_another_date_in_a_photo_is_seen(sample: Sample, quality: int) -> None:
    """A still scene with another time of day written into it is another frame, though no digit is large."""

    def dated(text: str) -> Picture:
        out = sample("coffee.png").resize((1280, 854))
        font = ImageFont.load_default(36)
        ImageDraw.Draw(out).text((30, 780), text, fill="white", font=font, stroke_width=2, stroke_fill="black")
        return out

    first = dated("2024-03-11 08:17:05")
    assert looked_at(first, jpeg(first, quality)).verdict is Verdict.CONFIRMED
    assert looked_at(first, jpeg(dated("2024-03-14 19:42:36"), quality)).verdict is Verdict.ALTERED


def test_a_pale_time_in_a_photo_is_seen(sample: Sample) -> None:
    """Light type on a light scene, as cameras on walls write it, is too faint at 512 pixels, and seen at full size."""
    scene = Image.blend(sample("rocket.jpg").resize((1280, 854)), Image.new("RGB", (1280, 854), "white"), 0.5)

    def dated(text: str) -> Picture:
        out = scene.copy()
        ImageDraw.Draw(out).rectangle((20, 20, 330, 60), fill="#d8d8d8")
        ImageDraw.Draw(out).text((30, 24), text, fill="white", font=ImageFont.load_default(24))
        return out

    first, other = dated("2024-03-01 08:14:22"), dated("2024-03-01 21:57:03")
    small = [features(within(picture, LONGEST)) for picture in (first, other)]
    assert compare(*small).verdict is Verdict.CONFIRMED
    assert looked_at(first, other).verdict is Verdict.ALTERED
    assert looked_at(first, jpeg(first, 80)).verdict is Verdict.CONFIRMED


def test_nothing_but_the_confirmed_is_looked_at() -> None:
    """What was not confirmed stays what it was, whatever the pixels."""
    none = np.zeros((700, 700, 3), np.uint8)
    found = Comparison(Verdict.ALIKE, drawn=True)
    assert look_closer(none, none, found) is found
