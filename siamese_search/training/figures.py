"""The pictures of a training report, drawn with matplotlib into PNG files.

| file | shows |
|---|---|
| `pairs-train.png`, `pairs-validation.png`, `pairs-test.png` | labelled pairs with their predicted distance |
| `curves.png` | accuracy and loss over the steps, training and validation |
| `distances.png` | how far similar and dissimilar test pairs lie apart, with the threshold |
| `roc.png` | similar test pairs found against dissimilar ones let in |
| `map.png` | the embedding space of the test part, flattened by t-SNE |
| `mistakes.png` | the test pairs that are most wrong |
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siamese_search.calibration.metrics import curve, roc
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR
from siamese_search.training.scores import PartResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEAL, GREY, RED, INK = "#0f766e", "#9a9893", "#b91c1c", "#1d1d1f"
MAX_MAPPED = 1500  # pictures on the map: t-SNE takes seconds for these
MAX_CLASSES = 20  # that can be told apart by colour
PAIRS_SHOWN = 24
PIXELS_PER_PICTURE = 112


def write_figures(
    results: Sequence[PartResult], history: Sequence[dict[str, float]], threshold: float, folder: Path
) -> None:
    """Draw all figures into `folder`; the last of `results` is the test part, `threshold` decides what is similar."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        shown = spread_of_pairs(result, PAIRS_SHOWN)
        save(pair_grid(result, shown, threshold), folder / f"pairs-{result.part.name}.png")
    test = results[-1]
    if len(history) > 1:
        save(curves(history), folder / "curves.png")
    save(distance_histogram(test, threshold), folder / "distances.png")
    save(roc_plot(test, threshold), folder / "roc.png")
    save(embedding_map(test), folder / "map.png")
    save(pair_grid(test, worst_mistakes(test, threshold, PAIRS_SHOWN), threshold), folder / "mistakes.png")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG that says nothing about when and by what it was drawn."""
    figure.savefig(path, dpi=120, metadata={"Software": None})


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of some inches, drawn without a window and without touching matplotlib's settings."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes a second)

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(axes: "Axes", *, x: str, y: str) -> "Axes":
    """Label the axes and take the box around them away."""
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


# ---- pairs as pictures


def spread_of_pairs(result: PartResult, count: int) -> NDArray[np.int64]:
    """Return the positions of the first similar and the first dissimilar pairs, in turn, in random but fixed order."""
    rng = np.random.default_rng(0)
    sides = [rng.permutation(np.flatnonzero(result.pairs.label == label)) for label in (SIMILAR, DISSIMILAR)]
    half = min(count // 2, *(len(side) for side in sides))
    return np.stack([side[:half] for side in sides], axis=1).ravel()


def worst_mistakes(result: PartResult, threshold: float, count: int) -> NDArray[np.int64]:
    """Return the positions of the pairs on the wrong side of the threshold, the furthest first."""
    wrong_by = np.where(result.pairs.label == SIMILAR, result.distance - threshold, threshold - result.distance)
    # A distance equal to the threshold counts as similar.
    wrong = (result.distance <= threshold) != (result.pairs.label == SIMILAR)
    order = np.argsort(-wrong_by, kind="stable")
    worst: NDArray[np.int64] = order[wrong[order]][:count]
    return worst


def pair_grid(result: PartResult, chosen: NDArray[np.int64], threshold: float) -> "Figure":
    """Draw pairs side by side, each with its label and predicted distance; wrong ones in red."""
    columns = 4
    rows = max(1, -(-len(chosen) // columns))
    figure = new_figure(10.5, 0.3 + 1.55 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for place in axes:
        place.set_axis_off()
    if not len(chosen):
        axes[0].text(0, 0.5, "no pair is on the wrong side", fontsize=11, color=GREY)
    for place, position in zip(axes, chosen.tolist(), strict=False):
        first, second = int(result.pairs.first[position]), int(result.pairs.second[position])
        similar, distance = result.pairs.label[position] == SIMILAR, float(result.distance[position])
        right = (distance <= threshold) == similar
        place.imshow(side_by_side(result, first, second), cmap="gray", vmin=0, vmax=255)
        place.set_title(
            f"{'similar' if similar else 'dissimilar'}, distance {distance:.2f}",
            fontsize=8.5,
            color=TEAL if right else RED,
        )
    return figure


def side_by_side(result: PartResult, first: int, second: int) -> NDArray[np.uint8]:
    """Return two pictures beside each other, with a white gap: (s, 2s + gap, 3)."""
    from PIL import Image  # noqa: PLC0415

    size, gap = PIXELS_PER_PICTURE, PIXELS_PER_PICTURE // 14
    sheet = Image.new("RGB", (2 * size + gap, size), "white")
    for place, index in enumerate((first, second)):
        picture = result.part.pictures.picture(index).convert("RGB")
        # Tiny pictures keep their pixels visible.
        how = Image.Resampling.NEAREST if max(picture.size) < size // 2 else Image.Resampling.BICUBIC
        sheet.paste(picture.resize((size, size), how), (place * (size + gap), 0))
    return np.asarray(sheet)


# ---- curves


def curves(history: Sequence[dict[str, float]]) -> "Figure":
    """Draw accuracy and contrastive loss over the steps, on training and validation pairs."""
    figure = new_figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    if len(history) > 3:  # noqa: PLR2004
        history = history[1:]  # the untrained network would flatten all that follows
    steps = [row["step"] for row in history]
    for axes, what in ((left, "accuracy"), (right, "loss")):
        plain(axes, x="step", y="accuracy of pairs" if what == "accuracy" else "contrastive loss")
        axes.plot(steps, [row[what] for row in history], color=TEAL, label="validation")
        if f"training_{what}" in history[0]:
            axes.plot(steps, [row[f"training_{what}"] for row in history], color=GREY, label="training")
        axes.legend(frameon=False, loc="lower right" if what == "accuracy" else "upper right")
    if min(row["loss"] for row in history) > 0:
        right.set_yscale("log")
    return figure


def distance_histogram(result: PartResult, threshold: float) -> "Figure":
    """Draw how many similar and dissimilar pairs lie at each distance; the heights are logarithmic."""
    figure = new_figure(6, 3.4)
    axes = plain(figure.subplots(), x="distance of the twins' embeddings", y="pairs")
    bins = np.linspace(0, max(1.5, float(result.distance.max())), 80).tolist()
    for label, name, colour in ((SIMILAR, "similar", TEAL), (DISSIMILAR, "dissimilar", GREY)):
        axes.hist(result.distance[result.pairs.label == label], bins=bins, color=colour, alpha=0.75, label=name)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="upper right")
    return figure


def roc_plot(result: PartResult, threshold: float) -> "Figure":
    """Draw the share of similar pairs accepted over the share of dissimilar pairs accepted; the latter logarithmic."""
    figure = new_figure(4.6, 3.8)
    axes = plain(figure.subplots(), x="dissimilar pairs accepted", y="similar pairs accepted")
    c = curve(result.distance, result.pairs.label)
    false, true = roc(c)
    axes.step(false, true, where="post", color=TEAL)
    at = int(np.searchsorted(c.distance, threshold, side="right"))
    axes.plot(false[at], true[at], "o", color=INK, markersize=5, label=f"threshold {threshold:.3f}")
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set(xlim=(0, 1), ylim=(min(0.9, float(true[at]) - 0.05), 1.001))
    axes.legend(frameon=False, loc="lower right")
    return figure


def embedding_map(result: PartResult) -> "Figure":
    """Draw the embeddings of a part in the plane, near ones near each other; classes in colours where they are few."""
    figure = new_figure(6.4, 5.6)
    axes = figure.subplots()
    axes.set_axis_off()
    chosen = np.linspace(0, len(result.part) - 1, min(len(result.part), MAX_MAPPED)).astype(np.int64)
    place = in_the_plane(result.embeddings[chosen])
    identity = None if result.part.identity is None else result.part.identity[chosen]
    classes = [] if identity is None else np.unique(identity).tolist()
    if identity is None or len(classes) > MAX_CLASSES:
        axes.scatter(place[:, 0], place[:, 1], s=6, color=TEAL, linewidths=0)
        return figure
    for number, shown in enumerate(classes):
        members = place[identity == shown]
        axes.scatter(members[:, 0], members[:, 1], s=6, color=class_colour(number), linewidths=0)
        x, y = np.median(members, axis=0)
        axes.text(x, y, str(shown), fontsize=13, weight="bold", ha="center", va="center", color=INK)
    return figure


def class_colour(number: int) -> Any:
    """Return one of twenty colours."""
    from matplotlib import colormaps  # noqa: PLC0415

    return colormaps["tab20"]((2 * number) % 20 + number // 10)


def in_the_plane(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a place in the plane for each embedding: (n, dim) -> (n, 2), by t-SNE, or principal axes when too few."""
    centred = embeddings - embeddings.mean(axis=0)
    if len(embeddings) < 50:  # noqa: PLR2004  (t-SNE has nothing to work with)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        flat = centred @ axes[:2].T
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1]))).astype(np.float64)
    from sklearn.manifold import TSNE  # noqa: PLC0415  (takes seconds to load)

    flat = TSNE(init="pca", perplexity=min(30, len(embeddings) / 4), max_iter=500, random_state=0).fit_transform(
        centred
    )
    return np.asarray(flat, np.float64)
