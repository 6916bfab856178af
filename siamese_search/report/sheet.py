"""Contact sheets: one PNG that shows a query with its hits, or a keeper with its copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from siamese_search.atomic import output_file
from siamese_search.errors import ImageError
from siamese_search.escapes import printable
from siamese_search.images.sandbox import Decoder
from siamese_search.report.words import copies_words, hit_words
from siamese_search.results import DuplicateGroup, QueryResult

_TILE = 240  # pixels, the side of the square a picture is fitted into
_GAP = 24
_TEXT = 48  # two lines under a picture
_COLUMNS = 5
_LARGE, _SMALL = 15, 13

_PAPER, _WELL, _INK, _SOFT, _ACCENT, _LINE = "#fafaf8", "#f1f0ed", "#1d1d1f", "#6a6a6f", "#0f766e", "#e5e3de"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One picture of a sheet, the first line under it, and whether it counts as a near-duplicate."""

    path: Path
    title: str
    marked: bool


def write_query_sheet(result: QueryResult, path: Path, *, copies: bool = False) -> None:
    """Write a PNG: the query on the left, its hits on the right with what they are; those that are the same, framed.

    With `copies`, those too. A picture that cannot be read leaves its place empty and says why. Raises FolderError if
    the PNG cannot be written.
    """
    hits = [
        _Tile(
            path=hit.path,
            title="  ".join(filter(None, (f"{hit.distance:.3f}", hit_words(hit), "" if copies else copies_words(hit)))),
            marked=hit.duplicate,
        )
        for hit in result.files(copies=copies)
    ]
    with output_file(path) as half:
        _draw(_Tile(path=Path(result.query), title="query", marked=False), hits).save(
            half, "PNG", pnginfo=_written_by()
        )


def write_group_sheet(group: DuplicateGroup, path: Path) -> None:
    """Write a PNG: the keeper on the left, its copies with distance and relation on the right.

    Otherwise as `write_query_sheet`.
    """
    copies = [
        _Tile(path=copy.path, title=f"{copy.distance:.3f}  {copy.relation.value}", marked=True) for copy in group.copies
    ]
    with output_file(path) as half:
        _draw(_Tile(path=group.keep, title="keep", marked=False), copies).save(half, "PNG", pnginfo=_written_by())


def _written_by() -> PngInfo:
    """Return what tells a sheet from pictures, which none may replace."""
    info = PngInfo()
    info.add_text("Software", "simsearch")
    return info


def _draw(first: _Tile, others: Sequence[_Tile]) -> Image.Image:
    columns = min(max(len(others), 1), _COLUMNS)
    rows = max(-(-len(others) // columns), 1)
    step, drop = _TILE + _GAP, _TILE + _TEXT + _GAP
    left = 2 * _GAP + step  # where the other pictures start, beyond the dividing line
    sheet = Image.new("RGB", (left + columns * step, _GAP + rows * drop), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.line((_GAP + step, _GAP, _GAP + step, sheet.height - _GAP), fill=_LINE)
    with Decoder() as decoder:
        _draw_tile(sheet, draw, first, (_GAP, _GAP), decoder)
        for at, tile in enumerate(others):
            row, column = divmod(at, columns)
            _draw_tile(sheet, draw, tile, (left + column * step, _GAP + row * drop), decoder)
    return sheet


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: _Tile, corner: tuple[int, int], decoder: Decoder
) -> None:
    x, y = corner
    draw.rounded_rectangle((x, y, x + _TILE - 1, y + _TILE - 1), radius=8, fill=_WELL)
    try:
        picture = decoder.thumbnail(tile.path, longest=_TILE).image
        sheet.paste(picture, (x + (_TILE - picture.width) // 2, y + (_TILE - picture.height) // 2))
    except ImageError as error:
        middle = (x + _TILE / 2, y + _TILE / 2)
        draw.text(middle, _fitting(draw, error.reason, _SMALL), fill=_SOFT, font=_font(_SMALL), anchor="mm")
    if tile.marked:
        draw.rounded_rectangle((x - 4, y - 4, x + _TILE + 3, y + _TILE + 3), radius=10, outline=_ACCENT, width=3)
    draw.text(
        (x, y + _TILE + 9),
        _fitting(draw, tile.title, _LARGE),
        fill=_ACCENT if tile.marked else _INK,
        font=_font(_LARGE),
    )
    name = _fitting(draw, printable(tile.path.name), _SMALL)
    draw.text((x, y + _TILE + 29), name, fill=_SOFT, font=_font(_SMALL))


def _fitting(draw: ImageDraw.ImageDraw, text: str, size: int) -> str:
    """Shorten a text in its middle until it is no wider than a tile: both ends of a file name matter."""
    text = " ".join(text.split())
    short, keep = text, len(text)
    while draw.textlength(short, font=_font(size)) > _TILE:
        keep -= 1
        short = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return short


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
