"""Paired AUC difference with an interval, and the AUC of every group, on a million rows."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.measuring import Line, best, cost, growth, ratio, seconds
from promotion_assets.statistics.roc import auc_by_group, auc_difference

ROWS, GROUPS, RESAMPLES, TRIED = 1_000_000, 10, 1000, 3


def results() -> list[Line]:
    """Measure against scikit-learn; results are compared first."""
    rng = np.random.default_rng(0)
    labels = (rng.random(ROWS) < 0.22).astype(np.int64)
    first = labels * 0.9 + rng.normal(size=ROWS)
    second = labels * 0.8 + rng.normal(size=ROWS)
    codes = rng.integers(0, GROUPS, ROWS)
    one = best(lambda: roc_auc_score(labels, first))
    exact = best(lambda: auc_difference(labels, first, second))
    binned = best(lambda: auc_difference(labels, first, second, bins=65_536))
    assert abs(exact.result.first - one.result) < 1e-12
    assert abs(binned.result.difference - exact.result.difference) < 1e-5
    assert abs(binned.result.std_error - exact.result.std_error) < 1e-6

    def resampled() -> list[float]:
        draws = np.random.default_rng(1)
        picked = [draws.integers(0, ROWS, ROWS) for _ in range(TRIED)]
        return [
            roc_auc_score(labels[i], first[i]) - roc_auc_score(labels[i], second[i]) for i in picked
        ]

    naive = best(resampled, 1)
    spread = 6 * exact.result.std_error
    assert all(abs(d - exact.result.difference) < spread for d in naive.result)
    job = "paired AUC difference with a 95 % interval, 1M rows"
    tenth = slice(0, ROWS // 10)
    small = best(lambda: auc_difference(labels[tenth], first[tenth], second[tenth]))
    scale = RESAMPLES / TRIED
    found = [
        cost(job, exact, "one roc_auc_score", one, 1),
        cost(f"{job}, binned", binned, "one roc_auc_score", one, 0.3),
        ratio(job, exact, "1,000-resample bootstrap", naive, 2000, scale),
        ratio(f"{job}, binned", binned, "1,000-resample bootstrap", naive, 2000, scale),
        growth(job, small, exact),
        *seconds(job, exact),
    ]
    return found + _groups(labels, first, codes)


def _groups(labels: np.ndarray, scores: np.ndarray, codes: np.ndarray) -> list[Line]:
    def loop() -> list[float]:
        return [roc_auc_score(labels[codes == g], scores[codes == g]) for g in range(GROUPS)]

    peer = best(loop, 3)
    exact = best(lambda: auc_by_group(labels, scores, codes, GROUPS))
    binned = best(lambda: auc_by_group(labels, scores, codes, GROUPS, bins=4096))
    assert np.allclose([e.value for e in exact.result], peer.result, atol=1e-12)
    assert np.allclose([e.value for e in binned.result], peer.result, atol=1e-4)
    job = "AUC of every group, 1M rows, 10 groups"
    return [
        ratio(job, exact, "a scikit-learn loop", peer, 2),
        ratio(f"{job}, binned", binned, "a scikit-learn loop", peer, 20),
    ]


if __name__ == "__main__":
    for line in results():
        print(line)
