"""`simsearch calibrate`: the threshold of one gallery."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siamese_search.cli.options import IndexOption, JsonOption, QuietOption, open_gallery
from siamese_search.cli.output import print_json, print_text

if TYPE_CHECKING:
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
            help="The share of true copies among what is within the threshold, on photos.  [default: 0.99, or more]",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Answers of a person: first,second,label, which is same or different."),
    ] = None,
    index: IndexOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the gallery's threshold for a precision, and how far details reach.

    Within the threshold pictures count as copies where distance alone decides (--no-details); within the reach, which
    is never less, details are compared, and decide. The gallery calibrates itself by its own pictures; answers given
    in `simsearch review` or here correct that.
    """
    from siamese_search.calibration.table import PROMISED  # noqa: PLC0415
    from siamese_search.report.data import calibrate_json  # noqa: PLC0415

    with open_gallery(index) as gallery:
        if pairs:
            gallery.answers.read(pairs)
        before = gallery.threshold
        calibration = gallery.calibrate(precision=precision)
    if json:
        print_json(calibrate_json(calibration, before))
    elif not quiet:
        _print(gallery.location, calibration, before.distance, precision or PROMISED)


def _print(location: str, calibration: "Calibration", before: float, precision: float) -> None:
    from siamese_search.report.words import counted, promise_sentence, share_words  # noqa: PLC0415

    limit = calibration.threshold
    reach = max(calibration.reach, limit.distance)
    print_text(
        f"{location}: threshold {limit.distance:.3f} (it was {before:.3f}), reach {reach:.3f},"
        f" for {counted(calibration.images, 'image')}"
    )
    print_text("threshold: within it, pictures count as copies where distance alone decides (--no-details)")
    if limit.expected_precision is not None and limit.expected_recall is not None:
        print_text(
            f"  on photos: precision {share_words(limit.expected_precision)}, about {calibration.false_pairs:.1f} false"
            f" pairs; it finds {share_words(limit.expected_recall)} of everyday edits"
        )
    if limit.expected_precision is not None and limit.expected_precision < precision:
        print_text(f"  no threshold keeps precision {precision:g} here: pictures that differ are too much alike")
    print_text("reach: within it, details are compared, and decide")
    if promise := promise_sentence(calibration.details):
        print_text(f"  {promise}")
    if calibration.likeness < 0.95:  # noqa: PLR2004  (a difference worth a word)
        print_text(f"the pictures are look-alikes: unrelated ones lie {1 - calibration.likeness:.0%} nearer than usual")
    if calibration.answers:
        multiply = "multiplies" if calibration.answers == 1 else "multiply"
        print_text(
            f"{counted(calibration.answers, 'answer')} {multiply} the expected false pairs by"
            f" {calibration.correction:.2f} (90 % interval {calibration.correction_low:.2f} to"
            f" {calibration.correction_high:.2f})"
        )
    print_text("", "by distance alone, on photos", "threshold  precision  finds")
    for row in calibration.table:
        # Rounded down: no share that was estimated is all.
        precise, found = math.floor(1000 * row.precision) / 1000, math.floor(100 * row.recall)
        print_text(f"{row.threshold:9.3f}  {min(precise, 0.999):9.3f}  {min(found, 99):4}%")
