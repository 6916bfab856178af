"""Which picture of a group is worth keeping: rules in order, and the reason in the end."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from siamese_search.duplicates.origin import SCREENSHOT, Origin, Origins
from siamese_search.errors import OptionError
from siamese_search.images.files import lies_in, resolve_folders
from siamese_search.results import KEEP_RULES, Item, Reason, Rule

# What decides after the rules that were asked for, so that every order is total. Originals come first, and of equals.
DEFAULT_RULES = tuple(rule for rule in KEEP_RULES if rule is not Rule.NEWEST)

_LOSSLESS = frozenset({"BMP", "DIB", "GIF", "ICO", "PCX", "PNG", "PPM", "QOI", "SGI", "SUN", "TGA", "TIFF", "XBM"})
_CAMERAS_HEIF = frozenset({"HEIC", "HEIF"})
_DRAWN = 0.1  # bytes a pixel of a palette's picture: a drawing; photos take more, and lost their colours to it
_OVERHEAD = 2048  # bytes of a palette and what else comes before the pixels
_PNG_PALETTE = 3
_WEBP_HEAD = 4096  # bytes; in an extended WebP the picture comes after colour profile and animation header

_Key = int | str | tuple[int | str, ...]
_Value = int | str
_Picture = tuple[Item, Origin]


class _Criterion(NamedTuple):
    """A rule, what sorts the better picture first, and what to show of two that it tells apart: words or a number.

    Whatever the rule tells apart, the two values do too: a reason with two equal ones is none.
    """

    rule: Rule
    key: Callable[[Item, Origin], _Key]
    values: Callable[[_Picture, _Picture], tuple[_Value, _Value]]


def _each(value: Callable[[Item, Origin], _Value]) -> Callable[[_Picture, _Picture], tuple[_Value, _Value]]:
    """Return what shows the same of either picture."""
    return lambda first, second: (value(*first), value(*second))


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
            raise OptionError(
                f"{unknown[0] or 'an empty name'}: no such rule for what to keep; there are {', '.join(KEEP_RULES)}"
            )
        return cls(
            rules=tuple(Rule(name) for name in names),
            prefer=tuple(folder for given in prefer for folder in resolve_folders([given])),
            protect=resolve_folders(protect),
        )

    def protects(self, path: Path) -> bool:
        """Tell whether a file must never be acted on."""
        return lies_in(path, self.protect)

    def order(self, origins: Origins) -> Callable[[Item], tuple[_Key, ...]]:
        """Return the key that sorts pictures, the one most worth keeping first."""
        keys = [criterion.key for criterion in self._criteria()]
        return lambda item: tuple(key(item, origins.of(item)) for key in keys)

    def standing(self, origins: Origins) -> Callable[[Item], tuple[_Key, ...]]:
        """Return the key of the rules that come before the question which picture is the source of the others."""
        criteria = self._criteria()
        rules = [criterion.rule for criterion in criteria]
        keys = [criterion.key for criterion in criteria[: rules.index(Rule.SOURCE)]]
        return lambda item: tuple(key(item, origins.of(item)) for key in keys)

    def rank(self, items: Iterable[Item], *, origins: Origins | None = None) -> list[Item]:
        """Return the pictures, the one most worth keeping first."""
        return sorted(items, key=self.order(origins or Origins()))

    def reason(
        self,
        keeper: Item,
        copies: Iterable[Item],
        *,
        origins: Origins | None = None,
        source: Callable[[Item], tuple[str, str]] | None = None,
    ) -> Reason:
        """Say in what a keeper beats the best of its copies.

        Where that one is ranked above it, `source` says why the keeper is the source of the others all the same.
        """
        origins = origins or Origins()
        runner_up = self.rank(copies, origins=origins)[0]
        order = self.order(origins)
        if source and order(runner_up) < order(keeper):
            one, other = source(runner_up)
            return Reason(rule=Rule.SOURCE, keeper=one, runner_up=other)
        both = (keeper, origins.of(keeper)), (runner_up, origins.of(runner_up))
        for criterion in self._criteria():
            first, second = (criterion.key(*each) for each in both)
            if first != second:
                kept, next_best = criterion.values(*both)
                return Reason(rule=criterion.rule, keeper=kept, runner_up=next_best)
        return Reason(rule=Rule.NAME, keeper=str(keeper.path), runner_up=str(runner_up.path))

    def _criteria(self) -> list[_Criterion]:
        chosen = dict.fromkeys((*self.rules, *DEFAULT_RULES))
        return [
            _Criterion(
                Rule.PROTECTED,
                lambda item, _: not self.protects(item.path),
                _each(lambda item, _: _home(item, self.protect)),
            ),
            _Criterion(
                Rule.PREFERRED,
                lambda item, _: _place(item, self.prefer),
                _each(lambda item, _: _home(item, self.prefer)),
            ),
            *(_CRITERIA[rule] for rule in chosen),
            _Criterion(Rule.NAME, lambda item, _: str(item.path), _each(lambda item, _: str(item.path))),
        ]


def is_lossless(item: Item) -> bool:
    """Tell whether the format of a picture keeps every pixel; of WebP the file's head says which of two it is.

    TIFF counts as lossless, although it can hold a JPEG; HEIC, AVIF and JPEG 2000 count as lossy. So do GIF and PNG
    with a palette, unless they take so few bytes that they are drawings: a photo has more than 256 colours.
    """
    if item.format == "GIF" or (item.format == "PNG" and _has_palette(item.path)):
        return item.size - _OVERHEAD < _DRAWN * item.width * item.height
    if item.format == "WEBP":
        with suppress(OSError), item.path.open("rb") as file:
            return b"VP8L" in file.read(_WEBP_HEAD)
    return item.format in _LOSSLESS


def _has_palette(png: Path) -> bool:
    with suppress(OSError), png.open("rb") as file:
        return file.read(26)[25:] == bytes([_PNG_PALETTE])
    return False


def _by_format(item: Item, origin: Origin) -> int:
    """Return 0 for a camera's HEIF, whose JPEG is made of it and larger, and 1 for all else."""
    return 0 if item.format in _CAMERAS_HEIF and origin.metadata.camera else 1


def _format(item: Item, origin: Origin) -> str:
    if is_lossless(item):
        return f"lossless {item.format}"
    return item.format if _by_format(item, origin) else f"a camera's {item.format}"


def _place(item: Item, folders: Sequence[Path]) -> int:
    return next((at for at, folder in enumerate(folders) if lies_in(item.path, [folder])), len(folders))


def _home(item: Item, folders: Sequence[Path]) -> str:
    place = _place(item, folders)
    return str(folders[place]) if place < len(folders) else str(item.path.parent)


def _age(item: Item, origin: Origin) -> tuple[int, ...]:
    captured = origin.metadata.captured_ns
    return (1, _file_time(item)) if captured is None else (0, captured, _file_time(item))


def _ages(first: _Picture, second: _Picture) -> tuple[_Value, _Value]:
    """Return the times of capture where they differ, those of the files where they do not, or what only one has."""
    captured = [origin.metadata.captured_ns for _, origin in (first, second)]
    if captured[0] == captured[1]:
        return _file_time(first[0]), _file_time(second[0])
    one, other = ("without a date of capture" if moment is None else moment for moment in captured)
    return one, other


def _derivation(_: Item, origin: Origin) -> str:
    if origin.named == SCREENSHOT:
        return SCREENSHOT
    return origin.derived if origin.is_resized else "neither resized nor cropped"


def _file_time(item: Item) -> int:
    """Return when a file was written; a gallery does not trust that of one that had just been when it was indexed."""
    with suppress(OSError):
        return item.mtime_ns or item.path.stat().st_mtime_ns
    return item.mtime_ns


_CRITERIA = {
    criterion.rule: criterion
    for criterion in (
        # Told of a family by its details, not of a picture alone.
        _Criterion(Rule.SOURCE, lambda _, __: 0, _each(lambda _, __: "")),
        _Criterion(Rule.CAMERA, lambda _, origin: not origin.is_cameras, _each(lambda _, origin: origin.words)),
        _Criterion(
            Rule.COMPANIONS,
            lambda _, origin: not origin.companions,
            _each(lambda _, origin: ", ".join(path.name for path in origin.companions) or "none"),
        ),
        _Criterion(
            Rule.NOT_DERIVED,
            lambda _, origin: origin.is_resized or origin.named == SCREENSHOT,
            _each(_derivation),
        ),
        _Criterion(
            Rule.METADATA,
            lambda _, origin: (-len(origin.metadata.details), -len(origin.metadata.entries)),
            _each(lambda _, origin: ", ".join(origin.metadata.details) or "nothing"),
        ),
        _Criterion(
            Rule.PIXELS,
            lambda item, _: -item.width * item.height,
            _each(lambda item, _: f"{item.width} \N{MULTIPLICATION SIGN} {item.height}"),
        ),
        _Criterion(
            Rule.ORIGINAL_NAME,
            lambda _, origin: bool(origin.named),
            _each(lambda _, origin: origin.named.removesuffix(", by its name") or "neither a copy nor an edit"),
        ),
        _Criterion(Rule.DEPTH, lambda _, origin: -origin.metadata.bits, _each(lambda _, origin: origin.metadata.bits)),
        _Criterion(
            Rule.LOSSLESS,
            lambda item, _: not is_lossless(item),
            _each(lambda item, _: item.format if is_lossless(item) else f"lossy {item.format}"),
        ),
        _Criterion(Rule.FORMAT, _by_format, _each(_format)),
        _Criterion(Rule.SIZE, lambda item, _: -item.size, _each(lambda item, _: item.size)),
        _Criterion(Rule.OLDEST, _age, _ages),
        _Criterion(Rule.NEWEST, lambda item, _: -_file_time(item), _each(lambda item, _: _file_time(item))),
        _Criterion(Rule.SHORTEST_PATH, lambda item, _: len(str(item.path)), _each(lambda item, _: len(str(item.path)))),
    )
}
