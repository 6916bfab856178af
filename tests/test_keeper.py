"""Keeper rules: an order in which everything has a place, and the reason for the first."""

import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from siamese_search.duplicates.keeper import DEFAULT_RULES, KeeperRules, is_lossless
from siamese_search.duplicates.origin import Origin, Origins
from siamese_search.images.metadata import Metadata
from siamese_search.report.words import reason_words
from siamese_search.results import Item, Rule

PLAIN = Item(
    id=1,
    path=Path("/pictures/b.jpg"),
    size=1000,
    mtime_ns=10**18,
    content_hash="x",
    width=40,
    height=30,
    format="JPEG",
)
MAY = datetime(2024, 5, 1, 10)  # noqa: DTZ001  on the clock of a camera


@pytest.mark.parametrize(
    ("rules", "better", "rule", "words"),
    [
        (KeeperRules(), {"width": 80}, Rule.PIXELS, "most pixels: 80 \N{MULTIPLICATION SIGN} 30, next 40"),
        (KeeperRules(), {"format": "PNG", "size": 500}, Rule.LOSSLESS, "lossless: PNG, next lossy JPEG"),
        (KeeperRules(), {"size": 2000}, Rule.SIZE, "largest file: 2.00 KB, next 1.00 KB"),
        (KeeperRules(), {"path": Path("/pictures/z")}, Rule.SHORTEST_PATH, "shortest path"),
        (KeeperRules(), {"path": Path("/pictures/a.jpg")}, Rule.NAME, "first by name"),
        (KeeperRules(rules=(Rule.OLDEST,)), {"mtime_ns": 9 * 10**17, "width": 1}, Rule.OLDEST, "oldest: 1998-"),
        (KeeperRules(rules=(Rule.NEWEST,)), {"mtime_ns": 11 * 10**17, "width": 1}, Rule.NEWEST, "newest: 2004-"),
        (
            KeeperRules(rules=(Rule.SHORTEST_PATH, Rule.PIXELS)),
            {"path": Path("/p/b.jpg"), "width": 1},
            Rule.SHORTEST_PATH,
            "shortest path",
        ),
        (
            KeeperRules(rules=(Rule.PIXELS,), prefer=(Path("/good"),)),
            {"path": Path("/good/long/name.jpg"), "width": 1},
            Rule.PREFERRED,
            "preferred: in /good",
        ),
        (
            KeeperRules(prefer=(Path("/pictures"),), protect=(Path("/safe"),)),
            {"path": Path("/safe/x.jpg"), "width": 1},
            Rule.PROTECTED,
            "protected: in /safe",
        ),
    ],
)
def test_each_rule_decides(rules: KeeperRules, better: dict[str, object], rule: Rule, words: str) -> None:
    """The better picture comes first, and the reason names the rule and both values."""
    best = replace(PLAIN, id=2, **better)
    for order in ([PLAIN, best], [best, PLAIN]):
        assert rules.rank(order) == [best, PLAIN]
    reason = rules.reason(best, [PLAIN])
    assert reason.rule is rule
    assert reason_words(reason).startswith(words)


@pytest.mark.parametrize(
    ("rule", "better", "worse", "words"),
    [
        (Rule.OLDEST, {"mtime_ns": 10**18}, {"mtime_ns": 10**18 + 61 * 10**9}, "oldest: {:%Y-%m-%d %H:%M}, next"),
        (Rule.OLDEST, {"mtime_ns": 10**18}, {"mtime_ns": 10**18 + 10**9}, "oldest: {:%Y-%m-%d %H:%M:%S}, next"),
        (Rule.OLDEST, {"mtime_ns": 10**18}, {"mtime_ns": 10**18 + 10**7}, "oldest: {:%Y-%m-%d %H:%M:%S}.00, next"),
        (Rule.OLDEST, {"mtime_ns": 10**18}, {"mtime_ns": 10**18 + 1}, "oldest: {:%Y-%m-%d %H:%M:%S}.000000000, next"),
        (Rule.NEWEST, {"mtime_ns": 10**18 + 1}, {"mtime_ns": 10**18}, "newest: {:%Y-%m-%d %H:%M:%S}.000000001, next"),
        (Rule.SIZE, {"size": 312_499}, {"size": 312_498}, "largest file: 312,499 bytes, next 312,498 bytes"),
    ],
)
def test_a_reason_shows_what_differs(rule: Rule, better: dict[str, int], worse: dict[str, int], words: str) -> None:
    """Two values that would look alike are shown in so many digits that they do not."""
    rules = KeeperRules(rules=(rule,))
    reason = reason_words(rules.reason(replace(PLAIN, id=2, **better), [replace(PLAIN, **worse)]))
    assert reason.startswith(words.format(datetime.fromtimestamp(10**9).astimezone()))
    one, other = reason.partition(": ")[2].split(", next ")
    assert one != other


def test_a_lossless_webp_is_told_from_a_lossy_one(tmp_path: Path) -> None:
    """Of two files of one format the reason says which keeps every pixel."""
    image = Image.effect_noise((32, 32), 50).convert("RGB")
    paths = tmp_path / "a.webp", tmp_path / "b.webp"
    for path, lossless in zip(paths, (True, False), strict=True):
        image.save(path, lossless=lossless)
    one, other = (replace(PLAIN, path=path, format="WEBP") for path in paths)
    assert reason_words(KeeperRules().reason(one, [other])) == "lossless: WEBP, next lossy WEBP"


@pytest.mark.parametrize(
    ("one", "other", "rule", "words"),
    [
        (
            Origin(metadata=Metadata(captured=MAY)),
            Origin(metadata=Metadata()),
            Rule.OLDEST,
            "oldest: 2024-05-01 10:00, next without a date of capture",
        ),
        (
            Origin(metadata=Metadata(captured=MAY)),
            Origin(metadata=Metadata(captured=MAY.replace(microsecond=250_000))),
            Rule.OLDEST,
            "oldest: 2024-05-01 10:00:00.00, next 2024-05-01 10:00:00.25",
        ),
        (
            Origin(metadata=Metadata(), derived="edited with GIMP"),
            Origin(metadata=Metadata(), derived="edited with GIMP", named="a copy, by its name"),
            Rule.ORIGINAL_NAME,
            "by its name neither a copy nor an edit, next a copy",
        ),
        (
            Origin(metadata=Metadata(), derived="a copy, by its name", named="a copy, by its name"),
            Origin(metadata=Metadata(), derived="resized or cropped from 9 x 9", is_resized=True),
            Rule.NOT_DERIVED,
            "neither resized nor cropped, next resized or cropped from 9 x 9",
        ),
        (
            Origin(metadata=Metadata(camera="X", captured=MAY), is_cameras=True),
            Origin(metadata=Metadata(camera="X", captured=MAY)),
            Rule.CAMERA,
            "as a camera wrote it: X, 2024-05-01 10:00:00, next in a format that no camera writes",
        ),
    ],
)
def test_a_reason_tells_where_both_come_from(one: Origin, other: Origin, rule: Rule, words: str) -> None:
    """What only one of them has is named as that, and of two that were edited the name tells which is the copy."""
    items = replace(PLAIN, id=2), replace(PLAIN, path=Path("/pictures/b (1).jpg"))
    origins = Known({items[0].path: one, items[1].path: other})
    reason = KeeperRules(rules=(rule,)).reason(items[0], [items[1]], origins=origins)
    assert (reason.rule, reason_words(reason)) == (rule, words)


class Known(Origins):
    """The origins of pictures that lie nowhere."""

    def __init__(self, origins: dict[Path, Origin]) -> None:
        super().__init__()
        self._known = origins


def test_earlier_preferred_folders_win() -> None:
    """The order in which folders are preferred counts; those in none come last."""
    rules = KeeperRules(prefer=(Path("/one"), Path("/two")))
    items = [replace(PLAIN, path=Path(folder, "x.jpg")) for folder in ("/three", "/two", "/one")]
    assert [item.path.parts[1] for item in rules.rank(items)] == ["one", "two", "three"]


def test_every_order_is_total() -> None:
    """Whatever order the pictures come in, they are ranked the same."""
    rng = random.Random(1)
    items = [
        replace(PLAIN, id=n, path=Path(f"/{n}.jpg"), width=rng.choice([1, 2]), size=rng.choice([1, 2]))
        for n in range(30)
    ]
    for rules in (KeeperRules(), KeeperRules(rules=(Rule.NEWEST,)), KeeperRules(rules=tuple(reversed(DEFAULT_RULES)))):
        expected = rules.rank(items)
        assert rules.rank(rng.sample(items, len(items))) == expected


def test_webp_tells_by_its_head_whether_it_is_lossless(tmp_path: Path) -> None:
    """One format, two kinds; a file that is gone counts as lossy."""
    image = Image.effect_noise((32, 32), 50).convert("RGB")
    for name, options in (
        ("a", {"lossless": True}),
        ("b", {"quality": 80}),
        ("c", {"lossless": True, "exif": b"Exif"}),
    ):
        image.save(tmp_path / f"{name}.webp", **options)
    kinds = [is_lossless(replace(PLAIN, path=tmp_path / f"{name}.webp", format="WEBP")) for name in "abcd"]
    assert kinds == [True, False, True, False]
    assert is_lossless(replace(PLAIN, format="PNG"))
    assert not is_lossless(PLAIN)
