"""A map of a gallery: one HTML file, in which thousands of pictures lie beside those that are like them."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import commonpath, relpath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from siamese_search.cores import usable_cores
from siamese_search.errors import ImageError, OptionError
from siamese_search.gallery import Gallery
from siamese_search.images.sandbox import Decoder
from siamese_search.report.html import write_own_page
from siamese_search.report.layout import Layout, Places, lay_out
from siamese_search.results import Item

Progress = Callable[[int, int], None]

MOST = 20_000  # pictures: what a browser opens at once
_SIDE = 16  # cells of a sheet
_QUALITY = 68


def write_map_html(gallery: Gallery, path: Path, *, progress: Progress | None = None) -> Sequence[Item]:
    """Write a map of a gallery's pictures, of `MOST` taken evenly where there are more; return those shown.

    `progress` is called with the pictures drawn so far and their total. The page appears at `path` whole or not at all.
    Raises OptionError for a gallery without pictures, FolderError if the page cannot be written.
    """
    with gallery.snapshot():
        items = gallery.items()
        total = len(items)
        if not total:
            raise OptionError(f"{gallery.location}: no pictures to draw a map of; first: simsearch index FOLDER")
        if total > MOST:
            items = [items[place] for place in np.linspace(0, total - 1, MOST).astype(int)]
        vectors = gallery.vectors_of([item.id for item in items])
    layout = lay_out(vectors)
    write_own_page(
        path,
        "map",
        data=_data(layout, items),
        sheets=_sheets(layout.cells, items, progress),
        shown=len(items),
        total=total,
        regions=len(layout.regions),
    )
    return items


def _data(layout: Layout, items: Sequence[Item]) -> dict[str, Any]:
    """Return what the script needs: the links by cell, and the regions."""
    root = commonpath({str(item.path.parent) for item in items})
    rows, columns = layout.cells.shape
    return {
        "rows": rows,
        "columns": columns,
        "side": _SIDE,
        "root": Path(root).as_uri(),
        "links": ["" if number < 0 else _link(items[number].path, root) for number in layout.cells.ravel().tolist()],
        "regions": [
            {
                "cell": int(np.flatnonzero(layout.cells.ravel() == region.middle)[0]),
                "count": len(region.pictures),
                "column": round(region.column, 2),
                "row": round(region.row, 2),
            }
            for region in layout.regions
        ],
    }


def _link(path: Path, root: str) -> str:
    """Return the address of a file, relative to its root's."""
    return (Path("/") / relpath(path, root)).as_uri().removeprefix("file:///")


def _sheets(cells: Places, items: Sequence[Item], progress: Progress | None) -> Iterator[dict[str, Any]]:
    """Yield squares of the map as pictures, with their places in per cent of the whole."""
    rows, columns = cells.shape
    tile = 64 if len(items) <= 4000 else 48  # noqa: PLR2004
    done, total = 0, int((cells >= 0).sum())
    with Decoder() as decoder, ThreadPoolExecutor(usable_cores()) as pool:
        for top in range(0, rows, _SIDE):
            for left in range(0, columns, _SIDE):
                part = cells[top : top + _SIDE, left : left + _SIDE]
                sheet = Image.new("RGBA", (part.shape[1] * tile, part.shape[0] * tile))
                places = [(row, column) for row, column in np.ndindex(*part.shape) if part[row, column] >= 0]
                paths = [items[int(part[place])].path for place in places]
                tiles = pool.map(lambda path: _tile(path, tile, decoder), paths)
                for (row, column), picture in zip(places, tiles, strict=True):
                    sheet.paste(picture, (column * tile, row * tile))
                done += len(places)
                if progress:
                    progress(done, total)
                yield {
                    "left": f"{100 * left / columns:.4f}%",
                    "top": f"{100 * top / rows:.4f}%",
                    "width": f"{100 * part.shape[1] / columns:.4f}%",
                    "height": f"{100 * part.shape[0] / rows:.4f}%",
                    "source": _data_uri(sheet),
                }


def _tile(path: Path, side: int, decoder: Decoder) -> Image.Image:
    """Return the middle of a picture as a square with a gap around it; a grey one of what cannot be read."""
    inner = side - max(1, side // 32)
    try:
        picture = decoder.thumbnail(path, longest=2 * side).image
    except ImageError:
        return Image.new("RGB", (inner, inner), "#8a8a8a")
    return ImageOps.fit(picture, (inner, inner), Image.Resampling.LANCZOS)


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()
