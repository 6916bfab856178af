"""Thresholds from distances whose truth is known."""

import numpy as np
import pytest

from siamese_search.calibration.metrics import curve
from siamese_search.calibration.table import all_pairs_curve, calibration_table, promised_row
from siamese_search.results import CalibrationRow


def clustered(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors of 300 pictures with two looser copies each, and who they show."""
    rng = np.random.default_rng(seed)
    originals = rng.normal(size=(300, 12))
    vectors = np.concatenate(
        [originals, originals + rng.normal(0, 0.25, (300, 12)), originals + rng.normal(0, 0.5, (300, 12))]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.tile(np.arange(300), 3)


def test_all_pairs_curve_equals_the_slow_one() -> None:
    """The blocked curve counts exactly the pairs that two nested loops count."""
    vectors, identity = clustered()
    fast = all_pairs_curve(vectors, identity, widest=0.8)
    distance, label = [], []
    for i in range(len(vectors)):
        d = np.linalg.norm(vectors[i + 1 :] - vectors[i], axis=1)
        distance.extend(d[d <= 0.8])
        label.extend((identity[i + 1 :] != identity[i])[d <= 0.8])
    slow = curve(np.array(distance), np.array(label, np.int8), all_similar=900)
    assert fast.all_similar == 900
    for threshold in (0.2, 0.4, 0.6, 0.75):
        at = [c.similar[np.searchsorted(c.distance, threshold) - 1] for c in (fast, slow)]
        assert at[0] == at[1]
        at = [c.accepted[np.searchsorted(c.distance, threshold) - 1] for c in (fast, slow)]
        assert at[0] == at[1]


def test_table_keeps_what_it_promises() -> None:
    """Each row's precision and recall are those counted at its threshold, and looser rows find more."""
    vectors, identity = clustered()
    c = all_pairs_curve(vectors, identity)
    table = calibration_table(c)
    assert len(table) >= 4
    for row in table:
        at = int(np.searchsorted(c.distance, row.threshold, side="right")) - 1
        assert row.precision == pytest.approx(c.similar[at] / c.accepted[at])
        assert row.recall == pytest.approx(c.similar[at] / 900)
    assert [r.threshold for r in table] == sorted(r.threshold for r in table)
    assert [r.recall for r in table] == sorted(r.recall for r in table)


def test_promised_row_is_the_loosest_that_is_good_enough() -> None:
    """The threshold in force is the largest distance whose precision is kept; there may be none."""
    rows = tuple(CalibrationRow(threshold=t, precision=p, recall=t) for t, p in ((0.2, 1.0), (0.3, 0.991), (0.4, 0.95)))
    assert promised_row(rows) == rows[1]
    assert promised_row(rows, 0.9) == rows[2]
    assert promised_row(rows[2:]) is None
