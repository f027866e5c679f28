"""Four metrics of ten groups on a million rows, and 1,000 resamples of them."""

from __future__ import annotations

import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score

from benchmarks.aequitas_peer import measured
from benchmarks.measuring import Line, Timed, best, cost, ratio, seconds
from promotion_assets.statistics.groups import confusion_by_group, rate_values
from promotion_assets.statistics.resampling import resample

ROWS, GROUPS = 1_000_000, 10
METRICS = {
    "selection_rate": selection_rate,
    "tpr": true_positive_rate,
    "fpr": false_positive_rate,
    "accuracy": accuracy_score,
}


def results() -> list[Line]:
    """Measure against fairlearn; results are compared first."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, ROWS)
    predictions = np.where(rng.random(ROWS) < 0.7, labels, 1 - labels)
    codes = rng.integers(0, GROUPS, ROWS)

    def frame() -> MetricFrame:
        return MetricFrame(
            metrics=METRICS, y_true=labels, y_pred=predictions, sensitive_features=codes
        )

    def ours() -> dict[str, np.ndarray]:
        table = confusion_by_group(labels, predictions, codes, GROUPS)
        return {name: rate_values(table, name) for name in METRICS}

    peer, counted = best(frame, 1), best(ours)
    for name in METRICS:
        assert np.allclose(peer.result.by_group[name].to_numpy(), counted.result[name]), name
    table = confusion_by_group(labels, predictions, codes, GROUPS)
    resampled = best(lambda: resample(table, rng=np.random.default_rng(1)))
    assert resampled.result.shape == (1000, GROUPS, 2, 2)
    job = "4 metrics x 10 groups, 1M rows"
    return [
        ratio(job, counted, "fairlearn MetricFrame", peer, 2000),
        *_aequitas(job, counted),
        cost(
            "1,000 resamples of 4 metrics x 10 groups", resampled, "the point estimates", counted, 4
        ),
        *seconds(job, counted),
    ]


def _aequitas(job: str, ours: Timed) -> list[Line]:
    found = measured(ROWS, GROUPS)
    if found is None:
        return []
    took, rates = found
    for name, values in rates.items():
        assert np.allclose(values, ours.result[name]), f"{name} differs from aequitas'"
    return [ratio(job, ours, "aequitas", Timed(took, 0.0, None), 20)]


if __name__ == "__main__":
    for line in results():
        print(line)
