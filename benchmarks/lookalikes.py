"""What must never be called a copy: 49 families of pictures that share all but a part, compared in detail.

    lookalikes.py PHOTOS [--each 8] [--seed 1] [--family NAME ...] [--keep DIR]

Of each family some pictures are drawn that differ where a person looks: another number on one invoice, another minute
on one clock, another pin on one map. All pairs are compared, as they are and with an everyday edit of one of the two.
Any pair that is confirmed is a false copy; `--keep` writes those. And how many copies of themselves are confirmed.
"""
# ruff: noqa: ARG001, D103, SIM905  (families share one signature, their names say what they are; a sentence is text)

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from edits import font
from mixed import INK, PAPER, lines, photo, sheet, words
from sets import ENDINGS
from siamese_search.details import FINEST, LONGEST, Features, Verdict, compare, features, look_closer

Picture = Image.Image
Family = Callable[[Random, Random, int, Sequence[Path]], Picture]  # template's chances, own, number, photos


# ---- papers


def invoice(template: Random, own: Random, number: int, photos: Sequence[Path], *, points: int = 10) -> Picture:
    """One invoice at 300 dots an inch, another amount: one number in ordinary type."""
    size = round(points * 300 / 72)
    picture, draw = sheet(2480, 3508)
    draw.text((250, 250), words(template, 2).title(), font=font(90), fill=INK)
    lines(draw, template, (250, 500, 1500, 500), size, 8)
    for row in range(14):
        y = 1300 + row * 90
        draw.text((250, y), words(template, 4), font=font(size), fill=INK)
        draw.text((2000, y), f"{template.randint(100, 999)}.{template.randint(10, 99)}", font=font(size), fill=INK)
    draw.text((250, 2700), "Total", font=font(size), fill=INK)
    draw.text((2000, 2700), f"{113 + 97 * number}.{10 + 11 * number % 90}", font=font(size), fill=INK)
    lines(draw, template, (250, 2900, 1500, 500), size, 5)
    return picture


def invoice_small(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    return invoice(template, own, number, photos, points=8)


def one_digit(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A page at 100 dots an inch in which one digit of one number differs."""
    picture, draw = sheet(827, 1169)
    lines(draw, template, (80, 90, 640, 900), 16, 36)
    draw.text((80, 760), f"Account 4471 09{number % 10} 22", font=font(16), fill=INK)
    lines(draw, template, (80, 800, 640, 900), 16, 10)
    return picture


def certificate(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One certificate for several people."""
    picture, draw = sheet(1400, 1000, (250, 246, 232))
    for inset in (30, 42, 50):
        draw.rectangle((inset, inset, 1400 - inset, 1000 - inset), outline=(150, 120, 50), width=4)
    draw.text((380, 160), "CERTIFICATE", font=font(90), fill=(120, 90, 30))
    draw.text((520, 320), "is awarded to", font=font(36), fill=INK)
    draw.text((420, 420), NAMES[number % len(NAMES)], font=font(64), fill=INK)
    lines(draw, template, (300, 580, 800, 200), 28, 4)
    draw.text((200, 860), "12 May 2024", font=font(30), fill=INK)
    return picture


def boarding_pass(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One flight, another seat."""
    picture, draw = sheet(1000, 400)
    draw.rectangle((0, 0, 1000, 70), fill=(20, 60, 140))
    draw.text((30, 15), "BOARDING PASS", font=font(34), fill="white")
    for column, (name, value) in enumerate(
        [("FROM", "BER"), ("TO", "LIS"), ("GATE", "B14"), ("SEAT", f"{10 + number}{'ABCDEF'[number % 6]}")]
    ):
        draw.text((40 + column * 170, 110), name, font=font(20), fill=(110, 110, 110))
        draw.text((40 + column * 170, 140), value, font=font(44), fill=INK)
    draw.text((40, 240), "MILLER / ANNA", font=font(36), fill=INK)
    _bars(draw, template, (740, 120, 950, 340))
    return picture


def ticket_code(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One ticket, another code on it."""
    picture, draw = sheet(700, 1000)
    draw.rectangle((0, 0, 700, 120), fill=(180, 30, 60))
    draw.text((40, 30), "Summer Concert", font=font(50), fill="white")
    lines(draw, template, (60, 170, 560, 300), 24, 6)
    _matrix(draw, own, (200, 480, 500, 780), 29)
    draw.text((150, 850), "Admit one. Row F", font=font(34), fill=INK)
    return picture


def barcode(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Bar codes of other articles."""
    picture, draw = sheet(600, 320)
    _bars(draw, own, (40, 30, 560, 240))
    draw.text((150, 255), str(own.randrange(10**11, 10**12)), font=font(36), fill=INK)
    return picture


def label(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A parcel's label: one sender, other receivers and codes."""
    picture, draw = sheet(800, 1200)
    draw.rectangle((20, 20, 780, 1180), outline=INK, width=5)
    lines(draw, template, (50, 50, 600, 150), 24, 4)
    draw.line((20, 260, 780, 260), fill=INK, width=5)
    draw.text((60, 300), NAMES[number % len(NAMES)], font=font(40), fill=INK)
    lines(draw, own, (60, 360, 600, 200), 32, 3)
    _bars(draw, own, (80, 700, 720, 1000))
    return picture


def qr_code(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Codes of one size; only some modules differ from code to code."""
    picture, draw = sheet(480, 480)
    _matrix(draw, own, (40, 40, 440, 440), 25)
    return picture


def qr_similar(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Codes of numbers that follow each other: a tenth of the modules differ."""
    picture, draw = sheet(480, 480)
    _matrix(draw, template, (40, 40, 440, 440), 25, other=own)
    return picture


def music(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Sheets of music with other notes under one head."""
    return _music(template, own, other_bars=range(36))


def music_one_bar(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One sheet of music, one bar of which differs."""
    return _music(template, own, other_bars=(number * 5 % 36,))


def crossword(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One grid, filled in otherwise."""
    picture, draw = sheet(760, 760)
    for row in range(15):
        for column in range(15):
            x, y = 20 + column * 48, 20 + row * 48
            black = template.random() < 0.2
            draw.rectangle((x, y, x + 48, y + 48), outline=INK, fill=INK if black else PAPER)
            if not black:
                draw.text((x + 14, y + 8), own.choice("ABCDEFGHIKLMNOPRSTU"), font=font(28), fill=(40, 40, 120))
    return picture


def sudoku(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One grid, three of its digits differ."""
    picture, draw = sheet(740, 740)
    other = {own.randrange(81) for _ in range(3)}
    for cell in range(81):
        x, y = 10 + cell % 9 * 80, 10 + cell // 9 * 80
        draw.rectangle((x, y, x + 80, y + 80), outline=INK, width=2)
        digit = template.randint(1, 9)
        if cell in other:
            digit = digit % 9 + 1
        draw.text((x + 26, y + 16), str(digit), font=font(44), fill=INK)
    return picture


def calendar(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Months of one calendar."""
    picture, draw = sheet(900, 700)
    draw.text((300, 20), MONTHS[number % 12], font=font(54), fill=(170, 30, 30))
    start, days = number * 3 % 7, (31, 28, 31, 30)[number % 4]
    for cell in range(42):
        x, y = 20 + cell % 7 * 123, 110 + cell // 7 * 96
        draw.rectangle((x, y, x + 123, y + 96), outline=(160, 160, 160))
        if start <= cell < start + days:
            draw.text((x + 10, y + 8), str(cell - start + 1), font=font(30), fill=INK)
    return picture


def calendar_marked(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One month, another day marked."""
    picture = calendar(template, own, 4, photos)
    draw = ImageDraw.Draw(picture)
    x, y = 20 + (number + 1) % 7 * 123, 110 + (1 + number % 4) * 96
    draw.ellipse((x + 4, y + 4, x + 60, y + 50), outline=(200, 20, 20), width=4)
    return picture


def handwritten(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A printed form with another signature."""
    picture, draw = sheet(827, 1169)
    lines(draw, template, (80, 90, 640, 800), 16, 30)
    draw.line((420, 1010, 760, 1010), fill=INK, width=2)
    draw.line(
        [(430 + step * 8, 980 + own.randint(-28, 24)) for step in range(36)], fill=(30, 30, 120), width=3, joint="curve"
    )
    return picture


# ---- screens and slides


def slide_next(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A slide that is built up: one point more each time."""
    picture, draw = sheet(1280, 720)
    draw.rectangle((0, 0, 1280, 100), fill=(30, 50, 90))
    draw.text((50, 25), words(template, 4).title(), font=font(44), fill="white")
    for point in range(8):
        text = words(template, 5)
        if point <= number:
            draw.text((90, 150 + point * 66), f"- {text}", font=font(30), fill=INK)
    return picture


def slide_number(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Slides of one template with a photo and a short title that differs."""
    picture, draw = sheet(1280, 720, (245, 245, 250))
    picture.paste(photo(template, photos, 700, 500), (540, 150))
    draw.text((50, 40), words(own, 2).title(), font=font(60), fill=(30, 50, 90))
    lines(draw, own, (50, 200, 420, 400), 26, 6)
    return picture


def dialog(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A message box of one desktop, another text in it."""
    picture = photo(template, photos, 1280, 720)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((380, 240, 900, 470), fill=(240, 240, 240), outline=(90, 90, 90))
    draw.rectangle((380, 240, 900, 280), fill=(40, 90, 170))
    draw.text((395, 246), "Error", font=font(24), fill="white")
    draw.text((420, 320), words(own, 4), font=font(26), fill=INK)
    draw.text((420, 360), words(own, 3), font=font(26), fill=INK)
    return picture


def dark_chat(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Screens of one messenger in the dark."""
    picture, draw = sheet(540, 1170, (17, 20, 24))
    draw.rectangle((0, 0, 540, 90), fill=(32, 40, 48))
    draw.text((90, 30), "Family", font=font(28), fill=(230, 230, 230))
    y = 110
    for _ in range(11):
        mine = own.random() < 0.5
        x = 150 if mine else 20
        draw.rounded_rectangle((x, y, x + 360, y + 76), 12, fill=(0, 92, 75) if mine else (32, 44, 51))
        draw.text((x + 14, y + 8), words(own, 4)[:26], font=font(22), fill=(225, 225, 225))
        draw.text((x + 14, y + 38), words(own, 3)[:26], font=font(22), fill=(225, 225, 225))
        y += 92
    return picture


def chat_one_message(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One conversation, one of its messages differs."""
    picture, draw = sheet(1080, 2340, (236, 229, 221))
    draw.rectangle((0, 0, 1080, 180), fill=(7, 94, 84))
    draw.text((180, 60), "Anna", font=font(56), fill="white")
    for row in range(12):
        x, y = (300, 40)[row % 2], 220 + row * 165
        draw.rounded_rectangle((x, y, x + 720, y + 140), 24, fill=PAPER)
        for line in range(2):
            who = own if row == 7 and line == 1 else template
            draw.text((x + 28, y + 14 + line * 56), words(who, 4)[:28], font=font(42), fill=INK)
    return picture


def clock_screen(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A telephone's lock screen at other times."""
    picture = photo(template, photos, 540, 1170)
    draw = ImageDraw.Draw(picture)
    text = f"{10 + number * 7 % 14}:{(number * 17 + 3) % 60:02}"
    draw.text((130, 180), text, font=font(110), fill="white", stroke_width=1, stroke_fill=(60, 60, 60))
    return picture


def scoreboard(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One moment of a game, another score in the corner."""
    picture = photo(template, photos, 960, 540)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((40, 30, 330, 76), fill=(20, 20, 60))
    draw.text((52, 36), f"RED {number % 5} - {number // 5} BLU", font=font(32), fill="white")
    return picture


def timestamp(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A still scene under another time of day, with the noise of its own."""
    picture = photo(template, photos, 1280, 720)
    noise = np.random.default_rng(number).normal(0, 4, (720, 1280, 3))
    picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    text = f"2024-03-{11 + number:02} 0{number % 9}:{17 * number % 60:02}:{41 * number % 60:02}"
    ImageDraw.Draw(picture).text((30, 660), text, font=font(36), fill="white", stroke_width=2, stroke_fill="black")
    return picture


def timestamp_small(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """The same, small, of a camera with a large sensor: orange digits in a corner."""
    picture = photo(template, photos, 1600, 1200)
    ImageDraw.Draw(picture).text(
        (1280, 1130), f"'98 {1 + number} {10 + 3 * number}", font=font(56), fill=(255, 140, 30)
    )
    return picture


def terminal(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A terminal whose last lines differ."""
    picture, draw = sheet(1000, 640, (12, 12, 14))
    for row in range(26):
        who = own if row > 21 else template
        draw.text((12, 8 + row * 24), "$ " + words(who, 8), font=font(17), fill=(200, 220, 200))
    return picture


# ---- drawings


def clock_face(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One clock at other times."""
    picture, draw = sheet(500, 500)
    draw.ellipse((20, 20, 480, 480), outline=INK, width=10)
    for hour in range(12):
        x, y = _at(hour / 12, 195)
        draw.text((x - 14, y - 18), str(hour or 12), font=font(32), fill=INK)
    for share, length, width in ((number / 8 + 0.03, 110, 12), (number * 3 / 8 + 0.01, 170, 7)):
        draw.line((250, 250, *_at(share, length)), fill=INK, width=width)
    return picture


def chess(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One board, one piece stands elsewhere."""
    picture, draw = sheet(640, 640)
    for square in range(64):
        x, y = square % 8 * 80, square // 8 * 80
        dark = (square % 8 + square // 8) % 2
        draw.rectangle((x, y, x + 80, y + 80), fill=(181, 136, 99) if dark else (240, 217, 181))
    places = template.sample(range(64), 24)
    moved = number % 24
    free = [square for square in range(64) if square not in places]
    for piece, square in enumerate(places):
        at = own.choice(free) if piece == moved else square
        x, y = at % 8 * 80, at // 8 * 80
        draw.ellipse((x + 20, y + 14, x + 60, y + 66), fill=INK if piece % 2 else PAPER, outline=INK, width=3)
        draw.text((x + 30, y + 24), "KQRBNP"[piece % 6], font=font(28), fill=PAPER if piece % 2 else INK)
    return picture


def pie(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Pies of other portions."""
    picture, draw = sheet(500, 420)
    at = 0.0
    for part in range(4):
        portion = own.uniform(40, 120) if part < 3 else 360 - at
        tint = ((200, 60, 60), (60, 130, 200), (240, 190, 60), (90, 170, 90))[part]
        draw.pieslice((60, 40, 360, 340), at, at + portion, fill=tint)
        at += portion
        draw.rectangle((400, 100 + part * 50, 424, 124 + part * 50), fill=tint)
    return picture


def curve(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One pair of axes and one curve, another second curve."""
    picture, draw = sheet(640, 480)
    draw.line([(60, 20), (60, 430), (620, 430)], fill="black", width=2)
    for tick in range(6):
        draw.text((20, 420 - tick * 75), str(tick * 20), font=font(14), fill="black")
    for who, tint in ((template, (200, 40, 40)), (own, (40, 90, 200))):
        phase, high = who.uniform(0, 6), who.uniform(60, 160)
        draw.line(
            [(x, 230 + high * math.sin(x / 70 + phase)) for x in range(60, 620, 4)], fill=tint, width=2, joint="curve"
        )
    return picture


def scatter(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Points in one frame."""
    picture, draw = sheet(640, 480)
    draw.rectangle((60, 20, 620, 430), outline="black", width=2)
    for _ in range(150):
        x, y = 340 + own.gauss(0, 90), 225 + own.gauss(0, 70)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(40, 90, 200))
    return picture


def heatmap(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Matrices of other values on one scale."""
    values = np.random.default_rng(number).random((12, 12))
    tile = np.stack([255 * values, 255 * (1 - abs(values - 0.5) * 2), 255 * (1 - values)], axis=2).astype(np.uint8)
    picture, _ = sheet(560, 520)
    picture.paste(Image.fromarray(tile).resize((480, 480), Image.Resampling.NEAREST), (20, 20))
    return picture


def map_pins(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One map, the pin elsewhere."""
    picture = _map(template)
    draw = ImageDraw.Draw(picture)
    x, y = 80 + number * 83 % 640, 90 + number * 131 % 420
    draw.ellipse((x - 14, y - 40, x + 14, y - 12), fill=(220, 40, 40))
    draw.polygon([(x - 12, y - 22), (x + 12, y - 22), (x, y)], fill=(220, 40, 40))
    return picture


def map_route(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One map, another route."""
    picture = _map(template)
    points = [(own.randint(60, 740), own.randint(60, 540)) for _ in range(4)]
    ImageDraw.Draw(picture).line(points, fill=(60, 90, 230), width=8, joint="curve")
    return picture


def flag(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Three stripes of other colours."""
    picture, draw = sheet(600, 400)
    tints = ((0, 60, 160), (255, 255, 255), (210, 20, 40), (0, 140, 70), (255, 200, 0), (20, 20, 20))
    for stripe in range(3):
        tint = tints[(number * (stripe + 1) + stripe * 2) % 6]
        draw.rectangle((stripe * 200, 0, stripe * 200 + 200, 400), fill=tint)
    return picture


def sign(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Road signs with other limits."""
    picture, draw = sheet(400, 400)
    draw.ellipse((20, 20, 380, 380), fill=PAPER, outline=(200, 20, 30), width=40)
    draw.text((115, 125), f"{10 * (number + 2)}", font=font(140), fill=INK)
    return picture


def emoji(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One face, another mouth."""
    picture, draw = sheet(300, 300)
    draw.ellipse((20, 20, 280, 280), fill=(255, 210, 60), outline=(160, 120, 20), width=5)
    for x in (100, 180):
        draw.ellipse((x, 100, x + 24, 136), fill=INK)
    box = (90, 150 + number * 4, 210, 230 - number * 3)
    draw.arc(box, (0, 180, 20, 200)[number % 4], (180, 360, 160, 340)[number % 4], fill=INK, width=6 + number)
    return picture


def sprite(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One drawing in other colours, all of one lightness."""
    hue = number * 32
    picture = Image.new("HSV", (256, 256), (0, 0, 255))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((20, 60, 236, 220), 16, fill=(hue, 170, 200))
    draw.rounded_rectangle((20, 40, 120, 100), 16, fill=(hue, 190, 160))
    draw.rectangle((40, 110, 216, 130), fill=(hue, 110, 230))
    return picture.convert("RGB")


def playing_card(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Cards of one suit."""
    picture, draw = sheet(360, 540)
    draw.rounded_rectangle((5, 5, 355, 535), 24, outline=INK, width=3)
    draw.text((20, 20), str(number + 2), font=font(54), fill=(200, 20, 30))
    draw.text((300, 460), str(number + 2), font=font(54), fill=(200, 20, 30))
    for pip in range(number + 2):
        x, y = 120 + pip % 2 * 120, 100 + pip // 2 * 76
        draw.regular_polygon((x, y, 26), 4, rotation=45, fill=(200, 20, 30))
    return picture


def meter(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A photo of a meter with another reading."""
    picture = photo(template, photos, 800, 600)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((180, 240, 620, 340), fill=(25, 25, 28))
    for place, digit in enumerate(f"{40213 + number * 37:06}"):
        draw.text((200 + place * 70, 255), digit, font=font(64), fill=(235, 235, 235))
    return picture.filter(ImageFilter.GaussianBlur(1))


def plate(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One car with another plate."""
    picture = photo(template, photos, 1280, 853)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((540, 600, 760, 652), fill=(245, 245, 245), outline=INK, width=2)
    draw.text(
        (556, 604), f"B-{'KLMNPRST'[number % 8]}{'XYZ'[number % 3]} {1000 + number * 311}", font=font(36), fill=INK
    )
    return picture


# ---- photos in which something moved


def moved(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """One still scene; something of a twelfth of its width stands elsewhere, and the light is the same."""
    return _moved(template, number, photos, side=90)


def moved_small(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """The same with something half as large."""
    return _moved(template, number, photos, side=45)


def face(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Portraits taken one after another: eyes open, shut; mouth open, shut; nothing else moves."""
    picture = photo(template, photos, 1000, 1000)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((300, 220, 700, 760), fill=(224, 178, 150))
    for x in (400, 560):
        if number % 2:
            draw.line((x, 420, x + 60, 420), fill=(70, 40, 30), width=8)
        else:
            draw.ellipse((x, 400, x + 60, 440), fill="white", outline=(70, 40, 30), width=5)
            draw.ellipse((x + 20, 408, x + 42, 432), fill=INK)
    draw.ellipse((440, 600, 560, 612 + 14 * (number // 2)), fill=(150, 50, 50))
    return picture.filter(ImageFilter.GaussianBlur(1.5))


def texture_crops(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Parts of one photo that do not overlap."""
    picture = photo(template, photos, 1200, 600)
    x, y = number % 4 * 300, number // 4 % 2 * 300
    return picture.crop((x, y, x + 300, y + 300))


def noise_field(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Grain of one kind."""
    noise = Image.effect_noise((400, 300), 60).convert("RGB")
    return noise.filter(ImageFilter.GaussianBlur(2))


def checks(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """A pattern of squares of other colours."""
    values = np.random.default_rng(number).integers(0, 4, (12, 16))
    tints = np.array([(200, 60, 60), (60, 130, 200), (240, 190, 60), (90, 170, 90)], np.uint8)
    return Image.fromarray(tints[values]).resize((640, 480), Image.Resampling.NEAREST)


def scan_slice(template: Random, own: Random, number: int, photos: Sequence[Path]) -> Picture:
    """Neighbouring slices of one body, dark around."""
    y, x = np.mgrid[0:400, 0:400] / 200 - 1
    body = np.where(x**2 + 1.5 * y**2 < 0.6, 90.0, 5.0)
    for organ in range(5):
        cx, cy = template.uniform(-0.4, 0.4), template.uniform(-0.4, 0.4)
        radius = 0.09 + 0.03 * math.sin(number * 0.8 + organ)
        body = np.where((x - cx) ** 2 + (y - cy) ** 2 < radius**2, 120 + 22 * organ, body)
    body += np.random.default_rng(number).normal(0, 5, body.shape)
    return Image.fromarray(body.clip(0, 255).astype(np.uint8)).convert("RGB")


# ---- parts

NAMES = "Anna Miller,Ben Carter,Carla Diaz,Dmitri Orlov,Emma Larsen,Farid Haddad,Grace Okafor,Hugo Martin".split(",")
MONTHS = "January February March April May June July August September October November December".split()


def _bars(draw: ImageDraw.ImageDraw, rng: Random, box: tuple[int, int, int, int]) -> None:
    x, top, right, bottom = box
    while x < right:
        width = rng.choice((3, 3, 6, 9))
        draw.rectangle((x, top, min(right, x + width - 1), bottom), fill=INK)
        x += width + rng.choice((3, 3, 6, 9))


def _matrix(
    draw: ImageDraw.ImageDraw, rng: Random, box: tuple[int, int, int, int], side: int, *, other: Random | None = None
) -> None:
    """Draw a square code; with an `other` generator a tenth of the modules is that one's."""
    step = (box[2] - box[0]) / side
    for y in range(side):
        for x in range(side):
            value = rng.random() < 0.5
            if other and other.random() < 0.1:
                value = not value
            finder = (x < 8 or x >= side - 8) and (y < 8 or y >= side - 8) and not (x >= side - 8 and y >= side - 8)
            if value and not finder:
                left, top = box[0] + x * step, box[1] + y * step
                draw.rectangle((left, top, left + step - 0.5, top + step - 0.5), fill=INK)
    for x, y in ((0, 0), (side - 7, 0), (0, side - 7)):
        left, top = box[0] + x * step, box[1] + y * step
        draw.rectangle((left, top, left + 7 * step, top + 7 * step), fill=INK)
        draw.rectangle((left + step, top + step, left + 6 * step, top + 6 * step), fill=PAPER)
        draw.rectangle((left + 2 * step, top + 2 * step, left + 5 * step, top + 5 * step), fill=INK)


def _music(template: Random, own: Random, *, other_bars: Sequence[int]) -> Picture:
    picture, draw = sheet(900, 1200)
    draw.text((330, 30), "Sonata in G", font=font(40), fill=INK)
    for bar in range(36):
        left, top = 50 + bar % 4 * 200, 130 + bar // 4 * 115
        for line in range(5):
            draw.line((left, top + line * 10, left + 200, top + line * 10), fill=INK)
        draw.line((left + 200, top, left + 200, top + 40), fill=INK, width=2)
        for note in range(4):
            high = template.randint(-1, 9)
            if bar in other_bars:
                high = own.randint(-1, 9)
            x, y = left + 20 + note * 45, top + high * 5
            draw.ellipse((x, y - 5, x + 13, y + 5), fill=INK)
            draw.line((x + 13, y, x + 13, y - 32), fill=INK, width=2)
    return picture


def _map(rng: Random) -> Picture:
    picture, draw = sheet(800, 600, (242, 239, 233))
    draw.polygon([(0, 600), (0, 420), (260, 480), (420, 600)], fill=(170, 211, 223))
    for _ in range(5):
        x, y = rng.randint(0, 700), rng.randint(0, 500)
        draw.rectangle((x, y, x + rng.randint(40, 140), y + rng.randint(40, 110)), fill=(200, 230, 190))
    for _ in range(22):
        line = [(rng.randint(-50, 850), rng.randint(-50, 650)) for _ in range(3)]
        draw.line(line, fill=(255, 255, 255), width=rng.choice((6, 10)))
        draw.line(line, fill=(200, 190, 180), width=1)
    for _ in range(12):
        draw.text((rng.randint(0, 720), rng.randint(0, 580)), words(rng, 1).title(), font=font(15), fill=(90, 90, 90))
    return picture


def _moved(template: Random, number: int, photos: Sequence[Path], *, side: int) -> Picture:
    scene = photo(template, photos, 1080, 720)
    thing = photo(template, photos, side, side)
    mask = Image.new("L", thing.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    scene.paste(thing, (80 + number * 211 % 880, 70 + number * 137 % 560), mask.filter(ImageFilter.GaussianBlur(2)))
    return scene


def _at(share: float, length: float) -> tuple[float, float]:
    return 250 + length * math.sin(2 * math.pi * share), 250 - length * math.cos(2 * math.pi * share)


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        invoice, invoice_small, one_digit, certificate, boarding_pass, ticket_code, barcode, label, qr_code, qr_similar,
        music, music_one_bar, crossword, sudoku, calendar, calendar_marked, handwritten, slide_next, slide_number,
        dialog, dark_chat, chat_one_message, clock_screen, scoreboard, timestamp, timestamp_small, terminal,
        clock_face, chess, pie, curve, scatter, heatmap, map_pins, map_route, flag, sign, emoji, sprite, playing_card,
        meter, plate, moved, moved_small, face, texture_crops, noise_field, checks, scan_slice,
    )
}  # fmt: skip


# ---- comparing


def _jpeg(picture: Picture, quality: int) -> Picture:
    from io import BytesIO  # noqa: PLC0415

    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


WEAR: dict[str, Callable[[Picture], Picture]] = {
    "as it is": lambda picture: picture,
    "jpeg 40": lambda picture: _jpeg(picture, 40),
    "half": lambda picture: _jpeg(picture.resize((picture.width // 2, picture.height // 2)), 85),
    "paler": lambda picture: ImageEnhance.Contrast(ImageEnhance.Brightness(picture).enhance(1.15)).enhance(0.7),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 500)),
    "cropped": lambda picture: picture.crop(
        (picture.width // 25, picture.height // 25, picture.width, picture.height * 49 // 50)
    ),
    "turned": lambda picture: picture.rotate(3, Image.Resampling.BICUBIC, fillcolor=picture.getpixel((0, 0))),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "jpeg 10": lambda picture: _jpeg(picture, 10),
}
COLOURED = {"flag", "sprite", "checks", "heatmap"}  # without their colours they may be one


class Seen:
    """What details see of a picture."""

    def __init__(self, picture: Picture) -> None:
        self.fine = self._within(picture.convert("RGB"), FINEST)
        self.features: Features = features(np.asarray(self._within(self.fine, LONGEST)))

    def verdict(self, other: "Seen") -> Verdict:
        """Compare with another one."""
        found = compare(self.features, other.features)
        return look_closer(np.asarray(self.fine), np.asarray(other.fine), found).verdict

    @staticmethod
    def _within(picture: Picture, longest: int) -> Picture:
        if max(picture.size) <= longest:
            return picture
        smaller = picture.copy()
        smaller.thumbnail((longest, longest), Image.Resampling.BILINEAR)
        return smaller


def main() -> None:
    """Draw the families, compare all pairs, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family", action="append")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in ENDINGS)
    totals: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for name in options.family or FAMILIES:
        verdicts: Counter[Verdict] = Counter()
        false: Counter[str] = Counter()
        pictures = [
            FAMILIES[name](Random(f"{options.seed}/{name}"), Random(f"{options.seed}/{name}/{n}"), n, photos)
            for n in range(options.each)
        ]
        plain = [Seen(picture) for picture in pictures]
        for wear, worn in WEAR.items():
            if wear == "grey" and name in COLOURED:
                continue
            others = plain if wear == "as it is" else [Seen(worn(picture)) for picture in pictures]
            for one, two in combinations(range(options.each), 2):
                verdict = plain[one].verdict(others[two])
                verdicts[verdict] += 1
                if verdict is Verdict.CONFIRMED:
                    false[wear] += 1
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        pictures[one].save(options.keep / f"{name}_{one}_{two}_a.png")
                        worn(pictures[two]).save(options.keep / f"{name}_{one}_{two}_b_{wear.replace(' ', '')}.png")
            own = [a.verdict(b) for a, b in zip(plain, others, strict=True)]
            totals[wear] += len(own)
            copies[wear] += own.count(Verdict.CONFIRMED)
            lost.update({} if wear == "as it is" else {f"{name}, {wear}": len(own) - own.count(Verdict.CONFIRMED)})
        row = " ".join(f"{verdict} {verdicts[verdict]:4}" for verdict in Verdict)
        print(f"{name:18} {row}  {dict(false) if false else ''}", flush=True)
    print("\ncopies confirmed: " + ", ".join(f"{wear} {copies[wear]} of {totals[wear]}" for wear in WEAR))
    print(f"most lost: {dict(lost.most_common(20))}")


if __name__ == "__main__":
    main()
