"""The report of a trained encoder as one HTML file: figures embedded, no network, light and dark."""

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from siamese_search.atomic import whole_file
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.version import __version__

PAGE = "report.html"
# File name without suffix, heading, what to look for. A figure that was not drawn is left out.
FIGURES = (
    ("curves", "Learning", "Accuracy and contrastive loss of the averaged weights while training went on."),
    (
        "distances",
        "Distances of test pairs",
        "Similar pairs belong left of the threshold, dissimilar ones right of it.",
    ),
    ("roc", "Similar pairs found, dissimilar ones let in", "Each point is a threshold; the dot is the one in use."),
    ("map", "The embedding space", "Test pictures, flattened: what the encoder holds for similar lies together."),
    ("mistakes", "The worst mistakes", "Test pairs furthest on the wrong side of the threshold."),
    ("pairs-train", "Training pairs", "With the distance that the encoder gives them; wrong ones in red."),
    ("pairs-validation", "Validation pairs", "The threshold is the best one for all pairs of this part."),
    ("pairs-test", "Test pairs", "Never seen, neither by the weights nor by the threshold."),
)
PARTS = ("train", "validation", "test")


def write_page(metrics: dict[str, Any], spec: EncoderSpec, folder: Path) -> None:
    """Write `report.html` into the encoder folder, from its metrics and its figures; it appears whole or not at all."""
    environment = Environment(
        loader=PackageLoader("siamese_search.training", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"count": "{:,}".format, "share": "{:.2%}".format, "loss": "{:.5f}".format}
    text = environment.get_template("report.html.j2").render(
        title=spec.name,
        metrics=metrics,
        parts=[(name, metrics["parts"][name]) for name in PARTS if name in metrics["parts"]],
        spec=spec,
        options=spec.provenance.get("options", {}),
        figures=[
            {"name": name, "title": title, "note": note, "source": embedded(folder / "figures" / f"{name}.png")}
            for name, title, note in FIGURES
            if (folder / "figures" / f"{name}.png").is_file()
        ],
        style=Markup(house_style()),  # noqa: S704  (our own style sheet)
        version=__version__,
    )
    with whole_file(folder / PAGE) as half:
        half.write_text(text, encoding="utf-8")


def embedded(path: Path) -> str:
    """Return a PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def house_style() -> str:
    """Return the style sheet that all reports share."""
    return (files("siamese_search") / "report" / "templates" / "page.css").read_text(encoding="utf-8")
