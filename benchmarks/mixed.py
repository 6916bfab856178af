"""Everything that is no photo: pages of manuals, and twenty families of drawn pictures that have much in common.

    mixed.py OUT PHOTOS [--pdf FILE ...] [--seed 3] [--each 12] [--pages 60]

All pictures of a set are different; those of one family share a template: a letterhead, a form, an app, an axis, a
shape. `OUT/images` holds them, `OUT/manifest.csv` names each one's family. Photos are needed for memes, cards and
bursts; PDF files give pages by `pdftoppm` (poppler-utils). Two seeds share no template.
"""
# ruff: noqa: SIM905  (a sentence is text)

import argparse
import csv
import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from colorsys import hsv_to_rgb
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from edits import colour, cut, font
from sets import ENDINGS

Picture = Image.Image
Draw = Callable[[Random, "Chances", Sequence[Path]], Picture]  # the template's chances, the picture's own, photos

WORDS = (
    "the of invoice total amount date due item price unit tax number order ship address city street contract party "
    "clause shall agree term pay bank account client service goods delivery return warranty law court sign witness "
    "page annex table figure result method data model sample value mean error rate"
).split()
CODE = "def return for in if else while import self None True yield assert raise len range open read write".split()


class Chances(Random):
    """The chances of one picture, and its number among those of its template: what must differ can."""

    number = 0


PAPER, INK = (255, 255, 255), (20, 20, 20)


def words(rng: Random, count: int) -> str:
    """Return some words."""
    return " ".join(rng.choice(WORDS) for _ in range(count))


def lines(draw: ImageDraw.ImageDraw, rng: Random, box: tuple[int, int, int, int], size: int, count: int) -> None:
    """Write lines of text from the upper edge of a box down."""
    x, y, width, _ = box
    for line in range(count):
        text = words(rng, max(2, width // (size * 4)))
        draw.text((x, y + line * round(size * 1.6)), text[: width * 2 // size], font=font(size), fill=INK)


def sheet(width: int, height: int, paper: tuple[int, int, int] = PAPER) -> tuple[Picture, ImageDraw.ImageDraw]:
    """Return an empty picture and the pen to draw on it."""
    picture = Image.new("RGB", (width, height), paper)
    return picture, ImageDraw.Draw(picture)


# ---- paper


def letter(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One letterhead, another text."""
    picture, draw = sheet(827, 1169)
    top = template.randint(40, 90)
    draw.rectangle((60, top, 767, top + 60), fill=colour(template))
    draw.text((80, top + 12), words(template, 3).title(), font=font(30), fill="white")
    lines(draw, own, (80, 200, 640, 900), 16, own.randint(10, 30))
    draw.text((80, 1110), words(template, 8), font=font(13), fill=(90, 90, 90))
    return picture


def receipt(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One shop, other items and sums."""
    picture, draw = sheet(420, 900, (250, 250, 250))
    draw.text((90, 30), words(template, 2).upper(), font=font(28), fill=INK)
    draw.text((70, 70), words(template, 4), font=font(15), fill=INK)
    for row in range(own.randint(8, 17)):
        draw.text((30, 120 + row * 36), words(own, 2), font=font(20), fill=INK)
        draw.text((320, 120 + row * 36), f"{own.random() * 50:.2f}", font=font(20), fill=INK)
    draw.text((30, 790), f"TOTAL {own.random() * 300:.2f}", font=font(28), fill=INK)
    draw.text((30, 850), f"2024-0{own.randint(1, 9)}-{own.randint(10, 28)}", font=font(20), fill=INK)
    return picture


def form(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One form, other entries in all of its fields."""
    return _filled_form(template, own, own)


def form_one_field(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One form with the same entries but in one of its fields."""
    return _filled_form(template, template, own)


def _filled_form(template: Random, entries: Random, last: Random) -> Picture:
    picture, draw = sheet(827, 1169)
    draw.text((200, 40), f"{words(template, 2)} form".upper(), font=font(32), fill=INK)
    for row in range(10):
        y = 140 + row * 95
        draw.text((60, y), words(template, 1).title(), font=font(20), fill=INK)
        draw.rectangle((220, y - 10, 760, y + 40), outline=INK, width=2)
        written = last if row == 6 else entries
        draw.text((235, y), words(written, written.randint(1, 4)), font=font(24), fill=(40, 40, 90))
    return picture


def book(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Pages of one book: running head, two levels of text, a number."""
    picture, draw = sheet(827, 1169, (252, 250, 246))
    draw.text((90, 40), words(template, 4), font=font(14), fill=INK)
    lines(draw, own, (90, 90, 640, 1000), 16, 38)
    draw.text((400, 1110), str(own.randint(10, 400)), font=font(16), fill=INK)
    return picture


def spreadsheet(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One table, three of its cells hold other numbers."""
    picture, draw = sheet(1000, 640)
    other = {(own.randrange(18), own.randrange(1, 8)) for _ in range(3)}
    for row in range(18):
        for column in range(8):
            x, y = 10 + column * 122, 10 + row * 34
            draw.rectangle((x, y, x + 122, y + 34), outline=(200, 200, 200))
            usual = words(template, 1) if column == 0 else f"{template.random() * 1000:.2f}"
            text = f"{own.random() * 1000:.2f}" if (row, column) in other else usual
            draw.text((x + 8, y + 7), text, font=font(16), fill=INK)
    return picture


def blank(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """An empty page with its number."""
    picture, draw = sheet(827, 1169)
    draw.text((400, 1110), str(own.randint(1, 999)), font=font(18), fill=INK)
    return picture


def scan(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """An empty page, scanned: paper and noise, and a shadow at one edge."""
    noise = Image.effect_noise((620, 877), own.uniform(4, 10)).convert("RGB")
    return Image.blend(Image.new("RGB", noise.size, (245, 243, 238)), noise, 0.1)


def slide(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Slides of one talk."""
    picture, draw = sheet(960, 540)
    dark, light = colour(template), colour(template)
    draw.rectangle((0, 0, 960, 80), fill=dark)
    draw.rectangle((0, 510, 960, 540), fill=light)
    draw.text((40, 515), words(template, 5), font=font(14), fill=INK)
    draw.text((40, 22), words(own, 3).title(), font=font(34), fill="white")
    for point in range(own.randint(3, 6)):
        draw.ellipse((60, 130 + point * 60, 72, 142 + point * 60), fill=dark)
        draw.text((90, 122 + point * 60), words(own, own.randint(3, 6)), font=font(24), fill=INK)
    return picture


# ---- screens


def chat(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Screens of one messenger."""
    picture, draw = sheet(540, 1170, (236, 229, 221))
    head, mine = colour(template), colour(template)
    draw.rectangle((0, 0, 540, 90), fill=head)
    draw.ellipse((20, 18, 74, 72), fill=mine)
    draw.text((90, 30), own.choice(["Anna", "Ben", "Mum", "Group"]), font=font(26), fill="white")
    y = 110
    while y < 1040:
        height, x = own.choice([50, 80, 110]), own.choice([20, 200])
        draw.rounded_rectangle((x, y, x + 320, y + height), 12, fill=mine if x > 20 else PAPER)
        lines(draw, own, (x + 14, y + 8, 280, height), 18, height // 34)
        y += height + 16
    draw.rectangle((0, 1090, 540, 1170), fill=PAPER)
    draw.text((30, 1115), "Write a message", font=font(22), fill=(150, 150, 150))
    return picture


def code(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Screens of one editor."""
    picture, draw = sheet(1280, 720, (30, 30, 34))
    draw.rectangle((0, 0, 220, 720), fill=(40, 40, 46))
    for row in range(18):
        draw.text((20, 20 + row * 26), f"{words(template, 1)}.py", font=font(15), fill=(180, 180, 180))
    tints = [colour(template) for _ in range(4)]
    for row in range(28):
        draw.text((235, 14 + row * 25), str(row + 1), font=font(14), fill=(110, 110, 110))
        x = 280 + 30 * own.randint(0, 3)
        for _ in range(own.randint(0, 6)):
            word = own.choice(CODE + WORDS)
            draw.text((x, 14 + row * 25), word, font=font(16), fill=own.choice(tints))
            x += len(word) * 10 + 10
    return picture


def app(template: Random, own: Chances, photos: Sequence[Path]) -> Picture:
    """Screens of one shop: the same bars, other goods."""
    picture, draw = sheet(1280, 800, (246, 246, 248))
    draw.rectangle((0, 0, 1280, 64), fill=colour(template))
    draw.text((30, 16), words(template, 2).title(), font=font(28), fill="white")
    for row in range(12):
        draw.text((30, 100 + row * 50), words(template, 2), font=font(18), fill=INK)
    for place in range(6):
        x, y = 280 + place % 3 * 330, 90 + place // 3 * 350
        draw.rectangle((x, y, x + 300, y + 320), fill=PAPER, outline=(220, 220, 220))
        picture.paste(photo(own, photos, 260, 200), (x + 20, y + 20))
        draw.text((x + 20, y + 235), words(own, 3), font=font(18), fill=INK)
        draw.text((x + 20, y + 270), f"{own.random() * 90:.2f} EUR", font=font(22), fill=INK)
    return picture


def scrolled(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One long page, scrolled to other places under the same bar."""
    height, shown = 3200, 900
    page, draw = sheet(720, height)
    for block in range(16):
        draw.text((40, block * 200 + 10), words(template, 3).title(), font=font(26), fill=INK)
        lines(draw, template, (40, block * 200 + 50, 600, 150), 18, 4)
    top = own.randint(0, height - shown)
    picture = page.crop((0, top, 720, top + shown))
    bar = ImageDraw.Draw(picture)
    bar.rectangle((0, 0, 720, 60), fill=colour(template))
    bar.text((20, 14), words(template, 2), font=font(24), fill="white")
    return picture


# ---- drawings


def plot(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Line charts with one pair of axes."""
    picture, draw = sheet(640, 480)
    draw.line([(60, 20), (60, 430), (620, 430)], fill="black", width=2)
    draw.text((240, 450), words(template, 3), font=font(16), fill=INK)
    for tick in range(6):
        draw.text((20, 420 - tick * 75), str(tick * 20), font=font(14), fill="black")
        draw.line([(60, 430 - tick * 75), (620, 430 - tick * 75)], fill=(225, 225, 225))
    tints = [colour(template) for _ in range(2)]
    for tint in tints:
        y, points = own.randint(100, 350), []
        for x in range(60, 620, 8):
            y = min(425, max(25, y + own.randint(-22, 22)))
            points.append((x, y))
        draw.line(points, fill=tint, width=3)
    return picture


def bars(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Bar charts of the same things in other years."""
    picture, draw = sheet(640, 480)
    draw.text((200, 12), words(template, 3).title(), font=font(20), fill=INK)
    tint = colour(template)
    for bar in range(8):
        x, height = 60 + bar * 70, own.randint(20, 340)
        draw.rectangle((x, 420 - height, x + 46, 420), fill=tint)
        draw.text((x, 430), words(template, 1)[:6], font=font(14), fill=INK)
    return picture


def qr(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Codes of 33 x 33 modules with their three finders."""
    side = 33
    modules = Image.new("1", (side, side), 1)
    for y in range(side):
        for x in range(side):
            modules.putpixel((x, y), own.randrange(2))
    draw = ImageDraw.Draw(modules)
    for x, y in ((0, 0), (side - 7, 0), (0, side - 7)):
        draw.rectangle((x - 1, y - 1, x + 7, y + 7), fill=1)
        draw.rectangle((x, y, x + 6, y + 6), outline=0)
        draw.rectangle((x + 2, y + 2, x + 4, y + 4), fill=0)
    picture = Image.new("1", (400, 400), 1)
    picture.paste(modules.resize((330, 330), Image.Resampling.NEAREST), (35, 35))
    return picture.convert("RGB")


def icon(template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One shape in other colours."""
    picture, draw = sheet(256, 256)
    tint = _hue(template, own)
    draw.rounded_rectangle((20, 20, 236, 236), template.randint(10, 80), fill=tint)
    points = [(template.randint(50, 206), template.randint(50, 206)) for _ in range(6)]
    draw.polygon(points, fill="white")
    draw.ellipse((template.randint(60, 90), 60, 150, 150), outline="white", width=10)
    return picture


def _hue(template: Random, own: Chances) -> tuple[int, int, int]:
    """Return the colour of this picture: of one template's first ten pictures no two look alike."""
    red, green, blue = hsv_to_rgb((template.random() + own.number / 10) % 1, 0.7, (0.9, 0.6)[own.number % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def logo(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Other shapes in one style, as a logo with alpha looks on white."""
    picture, draw = sheet(300, 300)
    tint = own.choice([(0, 0, 0), (30, 60, 160), (200, 30, 40)])
    for _ in range(own.randint(1, 3)):
        x, y, r = own.randint(80, 220), own.randint(80, 220), own.randint(30, 75)
        shape = own.choice([draw.ellipse, draw.rectangle])
        shape((x - r, y - r, x + r, y + r), fill=tint if own.random() < 0.7 else PAPER, outline=tint, width=8)
    if own.random() < 0.5:
        draw.text((60, 250), words(own, 2).upper(), font=font(24), fill=tint)
    return picture


def wallpaper(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Black, with one small shape in the middle."""
    picture, draw = sheet(1920, 1080, (8, 8, 10))
    tint = tuple(own.randint(80, 255) for _ in range(3))
    size = own.randint(60, 90)
    box = (960 - size, 540 - size, 960 + size, 540 + size)
    kind = own.randrange(4)
    if kind == 0:
        draw.ellipse(box, fill=tint)
    elif kind == 1:
        draw.regular_polygon((960, 540, size), own.randint(3, 6), fill=tint)
    elif kind == 2:
        draw.text((820, 510), words(own, 2), font=font(48), fill=tint)
    else:
        draw.rectangle(box, outline=tint, width=14)
    return picture


def gradient(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """Nothing but one colour that runs into another."""
    ramp = Image.linear_gradient("L").resize((800, 500)).rotate(own.choice([0, 90, 180, 270]))
    ends = Image.new("RGB", (800, 500), colour(own)), Image.new("RGB", (800, 500), colour(own))
    return Image.composite(*ends, ramp.resize((800, 500)))


def solid(_template: Random, own: Chances, _photos: Sequence[Path]) -> Picture:
    """One colour."""
    return sheet(600, 400, colour(own))[0]


# ---- with photos in them


def photo(rng: Random, photos: Sequence[Path], width: int, height: int) -> Picture:
    """Return one of the photos in this size, cut rather than squashed."""
    with Image.open(rng.choice(photos)) as image:
        picture = image.convert("RGB")
    scale = max(width / picture.width, height / picture.height)
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC).crop((0, 0, width, height))


def meme(template: Random, own: Chances, photos: Sequence[Path]) -> Picture:
    """One photo under other words."""
    picture = photo(template, photos, 500, 450)
    draw = ImageDraw.Draw(picture)
    for y in (15, 390):
        text = words(own, 3).upper()
        draw.text((30, y), text, font=font(34), fill="white", stroke_width=3, stroke_fill="black")
    return picture


def card(template: Random, own: Chances, photos: Sequence[Path]) -> Picture:
    """Cards of one club: other faces, other names."""
    picture, draw = sheet(640, 400, (235, 240, 246))
    draw.rectangle((0, 0, 640, 70), fill=colour(template))
    draw.text((24, 18), words(template, 3).title(), font=font(28), fill="white")
    picture.paste(photo(own, photos, 180, 230), (24, 110))
    for row in range(5):
        draw.text((240, 110 + row * 48), words(template, 1).title(), font=font(16), fill=(110, 110, 110))
        draw.text((370, 106 + row * 48), words(own, 2).title(), font=font(22), fill=INK)
    return picture


def recoloured(template: Random, own: Chances, photos: Sequence[Path]) -> Picture:
    """One article in other colours, as a shop shows it."""
    picture = photo(template, photos, 400, 400)
    hue, saturation, value = picture.convert("HSV").split()
    shift = own.number * 25
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    saturation = saturation.point([min(255, 60 + level) for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def burst(template: Random, own: Chances, photos: Sequence[Path]) -> Picture:
    """Frames of one scene by a hand that moves a little, while something goes through the scene."""
    scene = photo(template, photos, 640, 480)
    subject = photo(template, photos, 130, 170).filter(ImageFilter.GaussianBlur(0.7))
    mask = Image.new("L", subject.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, 129, 169), fill=255)
    scene.paste(subject, (own.randint(20, 480), own.randint(120, 290)), mask)
    turned = scene.rotate(own.uniform(-1, 1), Image.Resampling.BICUBIC)
    frame = cut(cut(turned, 0.94), own.uniform(0.96, 1), own)
    noise = Image.effect_noise(frame.size, 12).convert("RGB")
    return ImageEnhance.Brightness(Image.blend(frame, noise, 0.06)).enhance(own.uniform(0.96, 1.04))


FAMILIES: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        letter, receipt, form, form_one_field, book, spreadsheet, blank, scan, slide, chat, code, app, scrolled, plot,
        bars, qr, icon, logo, wallpaper, gradient, solid, meme, card, recoloured, burst,
    )
}  # fmt: skip


def drawn(photos: Sequence[Path], *, seed: int, each: int, templates: int = 2) -> Iterator[tuple[str, str, Picture]]:
    """Yield name, family and picture: of every family some templates, and of each template so many pictures."""
    for family, draw in FAMILIES.items():
        for template in range(templates):
            for number in range(each):
                name = f"{family}_{template}_{number:03}"
                own = Chances(f"{seed}/{name}")
                own.number = number
                yield name, f"{family}_{template}", draw(Random(f"{seed}/{family}/{template}"), own, photos)


def pages(pdfs: Sequence[Path], count: int) -> Iterator[tuple[str, str, Picture]]:
    """Yield name, family and picture of as many pages of each file, from the ninth on, 100 dots an inch."""
    for pdf in pdfs:
        title = pdf.name.split(".")[0]
        with tempfile.TemporaryDirectory() as scratch:
            plain = Path(scratch) / "a.pdf"
            plain.write_bytes(gzip.decompress(pdf.read_bytes()) if pdf.suffix == ".gz" else pdf.read_bytes())
            command = ["pdftoppm", "-r", "100", "-f", "9", "-l", str(8 + count), "-png", str(plain), f"{scratch}/p"]
            subprocess.run(command, check=True, capture_output=True)
            for page in sorted(Path(scratch).glob("p*.png")):
                with Image.open(page) as image:
                    yield f"page_{title}_{page.stem.split('-')[-1]}", f"page_{title}", image.convert("RGB")


def make_mixed(out: Path, photos: Sequence[Path], pdfs: Sequence[Path], *, seed: int, each: int, count: int) -> None:
    """Write a set: `images/` and `manifest.csv` (file, family)."""
    images = out / "images"
    shutil.rmtree(out, ignore_errors=True)
    images.mkdir(parents=True)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "family"])
        for source in (drawn(photos, seed=seed, each=each), pages(pdfs, count)):
            for name, family, picture in source:
                picture.save(images / f"{name}.png", compress_level=3)
                rows.writerow([f"{name}.png", family])


def main() -> None:
    """Make a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pdf", type=Path, action="append", default=[])
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--pages", type=int, default=60)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in ENDINGS)
    make_mixed(options.out, photos, options.pdf, seed=options.seed, each=options.each, count=options.pages)


if __name__ == "__main__":
    main()
