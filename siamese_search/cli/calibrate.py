"""`simsearch calibrate`: the threshold of one gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from siamese_search.gallery import Gallery
    from siamese_search.results import Calibration

app = typer.Typer()


@app.command(epilog="Example: simsearch calibrate --precision 0.999")
def calibrate(
    precision: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=0.9999,
            metavar="P",
            help="The share of true copies among the pairs reported; otherwise 0.99, no farther than copies lie.",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="Pairs that a person judged: first,second,label, 0 the same picture, 1 another one."
        ),
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the gallery's threshold for a precision.

    The gallery calibrates itself by its own pictures; pairs judged in `simsearch review` or given here correct that.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from siamese_search.calibration.table import PROMISED  # noqa: PLC0415
    from siamese_search.cli.output import print_json  # noqa: PLC0415
    from siamese_search.gallery import Gallery  # noqa: PLC0415

    with Gallery(index) as gallery:
        if pairs:
            _store(gallery, pairs)
        before = gallery.threshold
        calibration = gallery.calibrate(precision=precision)
    if json:
        print_json({**asdict(calibration), "before": asdict(before)})
    elif not quiet:
        _print(calibration, before.distance, precision or PROMISED)


def _store(gallery: "Gallery", path: Path) -> None:
    """Keep the labels of a CSV as if they had been given in `simsearch review`; paths are relative to the CSV."""
    from siamese_search.calibration.pairs import read_pairs  # noqa: PLC0415
    from siamese_search.errors import DataError  # noqa: PLC0415

    names, pairs = read_pairs(path)
    by_path = {str(item.path): item.id for item in gallery.items()}
    ids = []
    for name in names:
        place = str((path.parent / name).resolve())
        if place not in by_path:
            raise DataError(f"{path}: {place} is not in the gallery {gallery.location}; index its folder first")
        ids.append(by_path[place])
    for first, second, label in zip(pairs.first, pairs.second, pairs.label, strict=True):
        gallery.answers.set(ids[first], ids[second], int(label))


def _print(calibration: "Calibration", before: float, precision: float) -> None:
    from siamese_search.cli.output import print_text  # noqa: PLC0415

    limit = calibration.threshold
    print_text(f"threshold {limit.distance:.3f} (it was {before:.3f}), for {calibration.images:,} images")
    print_text(
        f"expected precision {limit.expected_precision:.3f}, about {calibration.false_pairs:.1f} false pairs; "
        f"it finds {limit.expected_recall:.0%} of everyday edits"
    )
    if limit.expected_precision is not None and limit.expected_precision < precision:
        print_text(f"no threshold keeps precision {precision:g} here: pictures that differ are too much alike")
    if calibration.likeness < 0.95:  # noqa: PLR2004  (a difference worth a word)
        print_text(f"the pictures are look-alikes: unrelated ones lie {1 - calibration.likeness:.0%} nearer than usual")
    if calibration.answers:
        print_text(
            f"{calibration.answers} judged pairs multiply the expected false pairs by {calibration.correction:.2f} "
            f"(90 % interval {calibration.correction_low:.2f} to {calibration.correction_high:.2f})"
        )
    print_text("\nthreshold  precision  finds")
    for row in calibration.table:
        print_text(f"{row.threshold:9.3f}  {row.precision:9.3f}  {row.recall:5.0%}")
