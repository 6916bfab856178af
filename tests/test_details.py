"""Two pictures compared in detail: copies are confirmed, what only looks alike is not."""

import pickle
from collections.abc import Callable
from io import BytesIO
from itertools import combinations_with_replacement

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from siamese_search.details import Comparison, Verdict, compare, features, one_thread

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


def arrow() -> Picture:
    """Return an arrow that points to the right."""
    out = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(out)
    draw.polygon(((150, 40), (230, 128), (150, 216), (150, 160), (30, 160), (30, 96), (150, 96)), fill="black")
    return out


def test_what_was_put_around_a_picture_is_told_from_its_scene(sample: Sample) -> None:
    """A picture on a screen ends at a seam; a crop ends nowhere in the whole that it was cut from."""
    photo = sample("coffee.png")
    screen = Image.new("RGB", (photo.width + 60, photo.height + 240), "#101418")
    screen.paste(photo, (30, 120))
    ImageDraw.Draw(screen).text((40, 30), "Photos    12:45", fill="white", font=ImageFont.load_default(24))
    assert (compared(photo, screen).added, compared(screen, photo).added) == (2, 1)
    crop = photo.crop((30, 20, photo.width - 40, photo.height - 30))
    assert (compared(photo, crop).added, compared(crop, photo).added) == (0, 0)


@pytest.mark.parametrize("turn", [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90])
def test_where_a_sign_points_counts(turn: Image.Transpose) -> None:
    """An arrow to the left or down is no copy of one to the right; one that was compressed is."""
    assert compared(arrow(), arrow().transpose(turn)).verdict is not Verdict.CONFIRMED
    assert compared(arrow(), jpeg(arrow(), 70)).verdict is Verdict.CONFIRMED


def test_rows_of_equal_bars_are_one_picture() -> None:
    """Where every corner looks like every other, a copy is still a copy."""
    bars = Image.new("RGB", (256, 256), "white")
    for place in range(6):
        ImageDraw.Draw(bars).rectangle((30, 30 + 36 * place, 226, 48 + 36 * place), fill="black")
    assert compared(bars, jpeg(bars, 60)).verdict is Verdict.CONFIRMED


def test_cloth_of_another_colour_is_not_confirmed() -> None:
    """One weave dyed otherwise has no hue that turns, and is another cloth; a darker picture of it is a copy."""
    rng = np.random.default_rng(3)
    weave = cv2.GaussianBlur(rng.normal(0, 1, (300, 400)), (0, 0), 2)
    shade = np.clip(0.75 + 1.2 * weave, 0.3, 1.0)[:, :, None]
    red, green, dark = (
        Image.fromarray((shade * np.array(colour)).astype(np.uint8))
        for colour in ((200, 60, 50), (70, 150, 60), (160, 48, 40))
    )
    assert compared(red, green).verdict is not Verdict.CONFIRMED
    assert compared(red, dark).verdict is Verdict.CONFIRMED


def test_a_line_that_somebody_marked_is_seen() -> None:
    """A page with a line in yellow is altered against the clean one; compressed it is a copy."""
    clean = page(
        "the party of the first part hereby agrees|that all goods delivered remain|property of the seller", number=4
    )
    marked = np.array(clean.convert("RGB"))
    marked[118:138, 55:420] = np.minimum(marked[118:138, 55:420], (255, 250, 120))
    yellow = Image.fromarray(marked)
    assert compared(clean, yellow).verdict is Verdict.ALTERED
    assert compared(yellow, jpeg(yellow, 60)).verdict is Verdict.CONFIRMED


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


def night(*stars: tuple[int, int]) -> Picture:
    """Return a sky with some stars, and the noise of a long exposure."""
    sky = np.full((400, 600, 3), (12, 13, 20), np.float32)
    for place in stars:
        cv2.circle(sky, place, 1, (220.0, 220.0, 210.0), -1)
    noise = np.random.default_rng(5).normal(0, 2, sky.shape)
    return Image.fromarray((cv2.GaussianBlur(sky, (0, 0), 0.8) + noise).clip(0, 255).astype(np.uint8))


def test_each_star_counts() -> None:
    """A compressed picture of some stars is a copy; one with another star, or with one less, is none."""
    stars = ((60, 80), (150, 300), (240, 120), (333, 222), (420, 90), (510, 340))
    assert compared(night(*stars), jpeg(night(*stars), 70)).verdict is Verdict.CONFIRMED
    for others in ((*stars[:-1], (500, 200)), stars[1:]):
        assert compared(night(*stars), night(*others)).verdict is not Verdict.CONFIRMED


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


def table(*, cell: str = "418.20") -> Picture:
    """Return a table of forty cells, of which one holds what is asked for."""
    out = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(out)
    for place in range(40):
        left, top = 10 + 124 * (place % 5), 10 + 57 * (place // 5)
        draw.rectangle((left, top, left + 124, top + 57), outline="#c0c0c0")
        text = cell if place == 23 else f"{(place * 7919) % 997}.{place:02}"
        draw.text((left + 20, top + 18), text, fill="black", font=ImageFont.load_default(20))
    return out


def chart(seed: int) -> Picture:
    """Return a line chart: its axes and its title are those of every other chart."""
    rng = np.random.default_rng(seed)
    out = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(out)
    draw.line([(60, 20), (60, 430), (620, 430)], fill="black", width=2)
    draw.text((220, 446), "rate of return", fill="black", font=ImageFont.load_default(18))
    heights = np.clip(220 + np.cumsum(rng.integers(-22, 23, 70)), 30, 420)
    draw.line([(60 + 8 * place, int(height)) for place, height in enumerate(heights)], fill="#1f77b4", width=3)
    return out


def code(seed: int) -> Picture:
    """Return something like a QR code: its three finders are those of every other one."""
    modules = np.random.default_rng(seed).integers(0, 2, (33, 33)).astype(np.uint8) * 255
    for top, left in ((0, 0), (0, 26), (26, 0)):
        modules[max(0, top - 1) : top + 8, max(0, left - 1) : left + 8] = 255
        modules[top : top + 7, left : left + 7] = 0
        modules[top + 1 : top + 6, left + 1 : left + 6] = 255
        modules[top + 2 : top + 5, left + 2 : left + 5] = 0
    return ImageOps.expand(Image.fromarray(modules).resize((330, 330), Image.Resampling.NEAREST), 35, fill=255)


def captioned(picture: Picture, words: str) -> Picture:
    """Return a picture with words over it."""
    out = picture.resize((480, 480))
    ImageDraw.Draw(out).text(
        (30, 400), words, fill="white", font=ImageFont.load_default(40), stroke_width=3, stroke_fill="black"
    )
    return out


def test_one_number_in_a_table_is_enough() -> None:
    """A table whose one cell differs is altered, there; compressed it is confirmed."""
    found = compared(table(), table(cell="977.35"))
    assert found.verdict is Verdict.ALTERED
    left, top, right, bottom = found.differences[0]
    assert 0.55 < left < right < 0.8
    assert 0.45 < top < bottom < 0.65
    assert compared(table(), jpeg(table(), 60)).verdict is Verdict.CONFIRMED


def test_what_shares_a_template_is_not_confirmed(sample: Sample) -> None:
    """Charts with one pair of axes, codes with the same finders, one photo under other words."""
    photo = sample("chelsea.png")
    pairs = (
        (chart(1), chart(2)),
        (code(1), code(2)),
        (captioned(photo, "not this again"), captioned(photo, "monday morning")),
    )
    for one, other in pairs:
        for shown in (other, jpeg(other, 50), other.resize((other.width // 2, other.height // 2))):
            assert compared(one, shown).verdict is not Verdict.CONFIRMED
        assert compared(one, jpeg(one, 50)).verdict is Verdict.CONFIRMED


def test_thumbnails_of_pages_are_not_confirmed() -> None:
    """What tells one form from another cannot be seen at 64 pixels."""
    one, other = form("Miller", "Anna"), form("Miller", "Hans")
    for first, second in ((one, one), (one, other), (other, one)):
        small = second.resize((48, 64))
        assert compared(first, small).verdict is not Verdict.CONFIRMED
        assert compared(first.resize((48, 64)), small).verdict is not Verdict.CONFIRMED


@pytest.mark.parametrize("turn", [0, 5])
def test_blank_pages_are_unchecked(turn: int) -> None:
    """A page with nothing but its number says too little, and so do the corners of one that was turned."""
    pages = []
    for number in ("", "3", "83"):
        out = Image.new("L", (595, 842), 255)
        ImageDraw.Draw(out).text((290, 800), number, fill=0, font=ImageFont.load_default(12))
        pages.append(out.rotate(turn, fillcolor=0))
    for one, other in combinations_with_replacement(pages, 2):
        assert compared(one, other).verdict is Verdict.UNCHECKED


def test_a_thumbnail_of_a_photo_is_found(sample: Sample) -> None:
    """At 64 pixels, too; whether as a copy or as one that differs depends on how much is left."""
    for name in ("astronaut.png", "chelsea.png", "coffee.png"):
        picture = sample(name)
        small = picture.copy()
        small.thumbnail((64, 64))
        assert compared(picture, jpeg(small, 60)).verdict in {Verdict.CONFIRMED, Verdict.ALTERED}


def test_a_screen_seen_from_the_side_is_found(sample: Sample) -> None:
    """Perspective is more than an affine map."""
    picture = sample("astronaut.png").resize((512, 512))
    coefficients = (1.25, 0.2, -60, 0.05, 1.3, -40, 0.0002, 0.0005)
    seen = picture.transform(picture.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    assert compared(picture, seen).verdict in {Verdict.CONFIRMED, Verdict.ALTERED}
    assert compared(picture, seen).agreement > 0.85


def test_two_parts_of_one_picture_are_not_one(sample: Sample) -> None:
    """Each shows what the other lacks, so neither may stand for the other."""
    picture = sample("astronaut.png").resize((512, 512))
    left, right = picture.crop((0, 0, 340, 512)), picture.crop((170, 0, 512, 512))
    assert compared(left, right).verdict is Verdict.ALIKE
    assert compared(picture, left).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 30, 90, 180, -60])
def test_the_transform_is_told(sample: Sample, turn: int, *, mirrored: bool) -> None:
    """It takes places of the second picture to the first, and says how far the second is turned, clockwise."""
    picture = sample("astronaut.png").resize((400, 300))
    other = (ImageOps.mirror(picture) if mirrored else picture).rotate(-turn, Image.Resampling.BICUBIC, expand=True)
    found = compared(picture, other)
    assert found.verdict is Verdict.CONFIRMED
    assert found.mirrored is mirrored
    assert abs((found.turned - turn + 180) % 360 - 180) < 1
    middle = np.array(found.transform) @ (0.5, 0.5, 1)
    assert middle[:2] / middle[2] == pytest.approx((0.5, 0.5), abs=0.01)
    assert found.covers > 0.95


def test_differences_lie_in_both_pictures(sample: Sample) -> None:
    """In a mirrored copy with a sticker, the sticker is on the other side."""
    picture = sample("astronaut.png").resize((480, 480))
    other = ImageOps.mirror(picture)
    ImageDraw.Draw(other).ellipse((40, 60, 130, 150), fill="#d02040", outline="white", width=8)
    found = compared(picture, other)
    assert found.verdict is Verdict.ALTERED
    assert found.mirrored
    (first_left, *_), (second_left, *_) = found.differences[0], found.differences_in_second[0]
    assert first_left > 0.65
    assert second_left < 0.15


def test_a_spot_as_bright_as_its_surroundings_is_seen(sample: Sample) -> None:
    """A red disc in a blue sky that a grey picture would not show, in a copy that is turned and cut."""
    picture = sample("rocket.jpg").resize((640, 427))
    other = picture.rotate(8, Image.Resampling.BICUBIC).crop((70, 53, 570, 373))
    assert compared(picture, other).verdict is Verdict.CONFIRMED
    ImageDraw.Draw(other).ellipse((60, 60, 130, 130), fill="red")
    found = compared(picture, other)
    assert found.verdict is Verdict.ALTERED
    (left, top, right, bottom) = found.differences_in_second[0]
    assert (left, top, right, bottom) == pytest.approx((0.12, 0.19, 0.26, 0.41), abs=0.03)


def test_which_is_first_does_not_matter(sample: Sample) -> None:
    """The verdicts are the same the other way round."""
    photo = sample("coffee.png")
    pictures = [photo, photo.rotate(20, expand=True), captioned(photo, "coffee"), chart(1), table(), code(1)]
    found = [features(np.asarray(picture.convert("RGB"))) for picture in pictures]
    for one, other in combinations_with_replacement(found, 2):
        assert compare(one, other).verdict is compare(other, one).verdict


def test_the_host_keeps_its_threads(sample: Sample) -> None:
    """Nothing that OpenCV is set to changes, and its threads change nothing."""
    picture = sample("rocket.jpg")
    before = cv2.getNumThreads()
    found = compared(picture, picture.rotate(8))
    assert cv2.getNumThreads() == before
    with one_thread():
        assert compared(picture, picture.rotate(8)) == found
    assert cv2.getNumThreads() == before


def test_features_are_small_and_travel(sample: Sample) -> None:
    """They can be held by thousands, sent to another process, and do not hold on to the pixels."""
    found = features(np.asarray(sample("chelsea.png")))
    assert found.nbytes < 200_000
    again = pickle.loads(pickle.dumps(found))  # noqa: S301  our own
    assert compare(found, again).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 4), (0, 8, 3)])
def test_other_pixels_are_refused(shape: tuple[int, ...]) -> None:
    """Features are those of RGB pixels, and of nothing else."""
    with pytest.raises(ValueError, match="uint8 pixels"):
        features(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="uint8 pixels"):
        features(np.zeros((8, 8, 3), np.float32))  # type: ignore[arg-type]


def test_views_of_pixels_will_do(sample: Sample) -> None:
    """Pixels need not lie in one piece."""
    pixels = np.asarray(sample("chelsea.png"))
    assert compare(features(pixels[:, ::-1][:, ::-1]), features(pixels)).verdict is Verdict.CONFIRMED
    assert compare(features(pixels[::2, ::2]), features(pixels)).verdict is Verdict.CONFIRMED
