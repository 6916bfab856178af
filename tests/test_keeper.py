"""Keeper rules: an order in which everything has a place, and the reason for the first."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from siamese_search.duplicates.keeper import DEFAULT_RULES, KeeperRules, is_lossless
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


@pytest.mark.parametrize(
    ("rules", "better", "rule", "words"),
    [
        (KeeperRules(), {"width": 80}, Rule.PIXELS, "most pixels: 80 \N{MULTIPLICATION SIGN} 30, next 40"),
        (KeeperRules(), {"format": "PNG", "size": 500}, Rule.LOSSLESS, "lossless: PNG, next JPEG"),
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
