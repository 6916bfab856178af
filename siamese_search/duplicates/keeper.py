"""Which picture of a group is worth keeping: rules in order, and the reason in the end."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from siamese_search.errors import OptionError
from siamese_search.images.files import lies_in, resolve_folders
from siamese_search.results import KEEP_RULES, Item, Reason, Rule

# What decides after the rules that were asked for, so that every order is total.
DEFAULT_RULES = (Rule.PIXELS, Rule.LOSSLESS, Rule.SIZE, Rule.SHORTEST_PATH)

_LOSSLESS = frozenset({"BMP", "DIB", "GIF", "ICO", "PCX", "PNG", "PPM", "QOI", "SGI", "SUN", "TGA", "TIFF", "XBM"})
_WEBP_HEAD = 4096  # bytes; in an extended WebP the picture comes after colour profile and animation header

_Key = int | str
_Criterion = tuple[Rule, Callable[[Item], _Key], Callable[[Item], _Key]]
"""A rule, the number or text that sorts the better picture first, and the value to show for a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperRules:
    """What to keep: pictures in `protect`, then in `prefer` (earlier folders first), then by `rules` in order.

    Ties are broken by DEFAULT_RULES and in the end by the path. Folders are absolute real paths.
    """

    rules: tuple[Rule, ...] = ()
    prefer: tuple[Path, ...] = ()
    protect: tuple[Path, ...] = ()

    @classmethod
    def named(
        cls,
        keep: Iterable[str] = (),
        *,
        prefer: Sequence[str | Path] = (),
        protect: Sequence[str | Path] = (),
    ) -> "KeeperRules":
        """Return rules as people name them: "pixels" or "oldest,size", and folders as they are called.

        Raises OptionError for a rule that there is not, FolderError for a folder that is not there.
        """
        names = [name for value in keep for name in value.split(",")]
        unknown = [name for name in names if name not in KEEP_RULES]
        if unknown:
            raise OptionError(f"{unknown[0]}: no such rule for what to keep; there are {', '.join(KEEP_RULES)}")
        return cls(
            rules=tuple(Rule(name) for name in names),
            prefer=tuple(folder for given in prefer for folder in resolve_folders([given])),
            protect=resolve_folders(protect),
        )

    def protects(self, path: Path) -> bool:
        """Tell whether a file must never be acted on."""
        return lies_in(path, self.protect)

    def order(self) -> Callable[[Item], tuple[_Key, ...]]:
        """Return the key that sorts pictures, the one most worth keeping first."""
        keys = [key for _, key, _ in self._criteria()]
        return lambda item: tuple(key(item) for key in keys)

    def rank(self, items: Iterable[Item]) -> list[Item]:
        """Return the pictures, the one most worth keeping first."""
        return sorted(items, key=self.order())

    def reason(self, keeper: Item, copies: Iterable[Item]) -> Reason:
        """Say in what a keeper, ranked above its copies, beats the best of them."""
        runner_up = self.rank(copies)[0]
        for rule, key, value in self._criteria():
            if key(keeper) != key(runner_up):
                return Reason(rule=rule, keeper=value(keeper), runner_up=value(runner_up))
        return Reason(rule=Rule.NAME, keeper=str(keeper.path), runner_up=str(runner_up.path))

    def _criteria(self) -> list[_Criterion]:
        chosen = dict.fromkeys((*self.rules, *DEFAULT_RULES))
        return [
            (Rule.PROTECTED, lambda item: not self.protects(item.path), lambda item: _home(item, self.protect)),
            (Rule.PREFERRED, lambda item: _place(item, self.prefer), lambda item: _home(item, self.prefer)),
            *(_CRITERIA[rule] for rule in chosen),
            (Rule.NAME, lambda item: str(item.path), lambda item: str(item.path)),
        ]


def is_lossless(item: Item) -> bool:
    """Tell whether the format of a picture keeps every pixel; of WebP the file's head says which of two it is.

    TIFF counts as lossless, although it can hold a JPEG; HEIC, AVIF and JPEG 2000 count as lossy.
    """
    if item.format == "WEBP":
        with suppress(OSError), item.path.open("rb") as file:
            return b"VP8L" in file.read(_WEBP_HEAD)
    return item.format in _LOSSLESS


def _place(item: Item, folders: Sequence[Path]) -> int:
    return next((at for at, folder in enumerate(folders) if lies_in(item.path, [folder])), len(folders))


def _home(item: Item, folders: Sequence[Path]) -> str:
    place = _place(item, folders)
    return str(folders[place]) if place < len(folders) else str(item.path.parent)


_CRITERIA: dict[Rule, _Criterion] = {
    Rule.PIXELS: (
        Rule.PIXELS,
        lambda item: -item.width * item.height,
        lambda item: f"{item.width} \N{MULTIPLICATION SIGN} {item.height}",
    ),
    Rule.LOSSLESS: (Rule.LOSSLESS, lambda item: not is_lossless(item), lambda item: item.format),
    Rule.SIZE: (Rule.SIZE, lambda item: -item.size, lambda item: item.size),
    Rule.OLDEST: (Rule.OLDEST, lambda item: item.mtime_ns, lambda item: item.mtime_ns),
    Rule.NEWEST: (Rule.NEWEST, lambda item: -item.mtime_ns, lambda item: item.mtime_ns),
    Rule.SHORTEST_PATH: (Rule.SHORTEST_PATH, lambda item: len(str(item.path)), lambda item: len(str(item.path))),
}
