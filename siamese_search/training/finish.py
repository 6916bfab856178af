"""After the last step: score the three parts, calibrate, save the encoder folder with the figures that justify it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_search.calibration.metrics import (
    accuracy_at,
    best_threshold,
    contrastive_cost,
    curve,
    recall_at_precision,
)
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR
from siamese_search.calibration.table import (
    all_pairs_curve,
    calibration_table,
    distinct_quantiles,
    promised_row,
)
from siamese_search.encoder.export import save_encoder
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.training.config import TrainConfig
from siamese_search.training.data import Dataset, Part
from siamese_search.training.kept import keep_views, steady
from siamese_search.training.loop import embed_part
from siamese_search.training.run import Run, spec_of
from siamese_search.training.scores import PartResult, pair_distances, pairs_of, scored_part
from siamese_search.training.selection import sample, write_part_pairs
from siamese_search.version import __version__

MAX_CLUSTERED = 20_000  # training pictures whose embeddings are clustered
MIN_IN_CLUSTER = 16  # of them for each centre, on average
ALIKE_PRECISION = 0.6  # folders are narrower than likeness: a sunset among coasts counts as wrong
MAX_SHOWN = 4000  # training pictures that the final report looks at


def finish(run: Run, dataset: Dataset, folder: Path, *, name: str, on_stage: Callable[[str], None]) -> dict[str, Any]:
    """Write the finished encoder into `folder`; return the content of its `metrics.json`.

    The pair threshold is the one of highest accuracy on the validation pairs; the test part is looked at here only.
    """
    spec = finished_spec(dataset, run.config)
    if run.config.steadied:
        on_stage("steadying what differs among copies")
        steady(run.average, keep_views(run.average, dataset, run.config, folder / "run"), run.config.steadied)
    network = with_negatives(run, spec, dataset, on_stage)
    results = []
    for part in (dataset.train, dataset.validation, dataset.test):
        on_stage(f"scoring the {part.name} part")
        shown = sample(part, MAX_SHOWN) if part is dataset.train else part
        results.append(part_result(network, run.config, shown, dataset.labels))
    _, validation, test = results
    threshold = best_threshold(validation.distance, validation.pairs.label)
    metrics = {
        "data": dataset.name,
        "labels": dataset.labels,
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "pair_threshold": threshold,
        "margin": run.config.margin,
        "parts": {r.part.name: part_metrics(r, threshold, run.config.margin) for r in results},
        "history": run.history,
    }
    on_stage("calibrating")
    spec = replace(spec, name=name, provenance=provenance(run, dataset))
    spec = calibrated(spec, validation, test, dataset.labels)
    if spec.subject:
        spec = replace(spec, alike=measured_alike(dataset, validation, test))
    on_stage("writing the encoder")
    save_encoder(network, spec, folder)
    if dataset.labels == "folders":
        write_part_pairs(folder / "pairs.csv", results)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    on_stage("drawing the figures")
    write_report(results, metrics, spec, folder)
    return metrics


def with_negatives(run: Run, spec: EncoderSpec, dataset: Dataset, on_stage: Callable[[str], None]) -> EncoderNetwork:
    """Return the averaged network, subtracting the centres of the training pictures' embeddings where asked to."""
    if not spec.negatives:
        return run.average
    from sklearn.cluster import KMeans  # noqa: PLC0415  (a second)

    on_stage("finding the negatives to subtract")
    part = sample(dataset.train, MAX_CLUSTERED)
    embeddings = embed_part(run.average, part, size=run.config.input_size)[:, : spec.dim - spec.subject]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    clusters = KMeans(spec.negatives, n_init=1, random_state=run.config.seed).fit(embeddings)
    network = EncoderNetwork(spec).to(next(run.average.parameters()).device)
    centres = torch.from_numpy(clusters.cluster_centers_.astype(np.float32))
    network.load_state_dict({**run.average.state_dict(), "subtraction.centres": centres})
    return network


def finished_spec(dataset: Dataset, config: TrainConfig) -> EncoderSpec:
    """Return the description of the trained encoder, with as many negatives as stand for enough pictures each."""
    limit = min(len(dataset.train), MAX_CLUSTERED) // MIN_IN_CLUSTER
    negatives = min(config.negatives, limit)
    return replace(spec_of(dataset, config), negatives=negatives, negatives_temperature=config.negatives_temperature)


def write_report(results: list[PartResult], metrics: dict[str, Any], spec: EncoderSpec, folder: Path) -> None:
    """Draw the figures and the page that shows them."""
    from siamese_search.training.figures import write_figures  # noqa: PLC0415  (matplotlib takes a second)
    from siamese_search.training.page import write_page  # noqa: PLC0415

    write_figures(results, metrics["history"], metrics["pair_threshold"], folder / "figures")
    write_page(metrics, spec, folder)


def part_result(network: EncoderNetwork, config: TrainConfig, part: Part, labels: str) -> PartResult:
    """Embed a part and measure its pairs."""
    scored = scored_part(part, labels)
    embeddings = embed_part(network, scored, size=config.input_size)
    pairs = pairs_of(scored)
    return PartResult(part=scored, embeddings=embeddings, pairs=pairs, distance=pair_distances(embeddings, pairs))


def part_metrics(result: PartResult, threshold: float, margin: float) -> dict[str, float]:
    """Return the contrastive loss and the accuracy at the threshold on one part's pairs."""
    label = result.pairs.label
    return {
        "pictures": len(result.part),
        "pairs": len(label),
        "loss": contrastive_cost(result.distance, label, margin=margin),
        "accuracy": accuracy_at(threshold, result.distance, label),
    }


def calibrated(spec: EncoderSpec, validation: PartResult, test: PartResult, labels: str) -> EncoderSpec:
    """Return the description with thresholds and what to expect of them.

    Without labels, validation and test pictures with their edited views stand for a gallery with copies in it; with
    classes, all pairs of the validation part; with labelled pairs, those of the validation part.
    """
    if labels == "pairs" or validation.part.identity is None or test.part.identity is None:
        table = calibration_table(curve(validation.distance, validation.pairs.label))
        return replace(spec, calibration=table, threshold=promised_row(table))
    embeddings, identity = validation.embeddings, validation.part.identity
    if labels == "none":
        embeddings = np.concatenate([embeddings, test.embeddings])
        identity = np.concatenate([identity, test.part.identity + identity.max() + 1])
    table = calibration_table(all_pairs_curve(embeddings, identity))
    # The first of its identity is a picture itself, the later ones are its edited views.
    first = np.unique(identity, return_index=True)[1] if labels == "none" else np.arange(min(len(identity), MAX_SHOWN))
    distinct = distinct_quantiles(embeddings[first], identity[first])
    return replace(spec, calibration=table, threshold=promised_row(table), distinct=distinct)


def measured_alike(dataset: Dataset, validation: PartResult, test: PartResult) -> float | None:
    """Return within which distance unedited pictures that were not trained on are of one folder, or None."""
    if dataset.labels != "none":
        return None
    parts = ((dataset.validation, validation), (dataset.test, test))
    folders = [str(Path(part.pictures.name(i)).parent) for part, _ in parts for i in range(len(part))]
    embeddings = np.concatenate([result.embeddings[: len(part)] for part, result in parts])
    return alike_limit(embeddings, np.unique(folders, return_inverse=True)[1])


def alike_limit(
    embeddings: NDArray[np.float32], kind: NDArray[np.int64], *, precision: float = ALIKE_PRECISION, nearest: int = 5
) -> float | None:
    """Return the largest distance within which enough of each picture's `nearest` others are of its kind.

    `embeddings` (n, dim), `kind` (n,). None where there is but one kind, or never so many.
    """
    if len(np.unique(kind)) < 2 or len(kind) <= nearest:  # noqa: PLR2004
        return None
    nearness = embeddings @ embeddings.T
    np.fill_diagonal(nearness, -np.inf)
    hits = np.argsort(-nearness, axis=1)[:, :nearest]
    squared = np.clip(2 - 2 * np.take_along_axis(nearness, hits, axis=1), 0, None).ravel()
    found = curve(np.sqrt(squared), np.where(kind[hits] == kind[:, None], SIMILAR, DISSIMILAR).ravel().astype(np.int8))
    recall, distance = recall_at_precision(found, precision)
    return float(distance) if recall else None


def provenance(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return how the encoder came to be."""
    return {
        "simsearch": __version__,
        "data": dataset.name,
        "labels": dataset.labels,
        "pictures": {part.name: len(part) for part in (dataset.train, dataset.validation, dataset.test)},
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "options": asdict(run.config),
    }
