"""What an evaluation leaves behind is read back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.scores import LatencySample, Probe, Scores, ScoringFailure
from promotion_assets.pipeline import records

shapes = st.one_of(st.tuples(st.integers(1, 50)), st.tuples(st.integers(1, 50), st.integers(2, 5)))
values = st_numpy.arrays(np.float64, shapes, elements=st.floats(0, 1))


@given(values)
@settings(max_examples=30)
def test_scores_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, given_values
) -> None:  # type: ignore[no-untyped-def]
    """Scores are evidence: a bit more or less would change a replayed decision."""
    path = tmp_path_factory.mktemp("scores") / "scores.arrow"
    classes = tuple("abcde"[: given_values.shape[1]]) if given_values.ndim == 2 else ()
    scores = Scores(given_values, "m", "d", classes, 1.5, 7, "unshare")
    records.write_scores(path, scores)
    back = records.read_scores(path)
    assert back is not None
    assert back.values.tobytes() == given_values.tobytes()
    assert back.values.shape == given_values.shape
    assert (back.model_digest, back.dataset_digest, back.classes) == ("m", "d", classes)
    assert (back.seconds, back.peak_memory_bytes, back.isolation) == (1.5, 7, "unshare")


def test_damaged_scores_are_an_integrity_error(tmp_path: Path) -> None:
    """A cut file is told from scores that were never computed."""
    path = tmp_path / "scores.arrow"
    records.write_scores(path, Scores(np.linspace(0, 1, 100), "m", "d"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match="damaged"):
        records.read_scores(path)
    assert records.read_scores(tmp_path / "absent.arrow") is None


def test_latencies_come_back_sample_by_sample(tmp_path: Path) -> None:
    """Single rows and batches stay apart."""
    samples = (
        LatencySample(np.array([1.0, 2.5]), 1, 1, 1, "a cpu", True),
        LatencySample(np.array([9.0]), 100, 4, 2, "a cpu", False),
    )
    records.write_latency(tmp_path / "latency.arrow", samples)
    back = records.read_latency(tmp_path / "latency.arrow")
    assert back is not None
    assert [b.milliseconds.tolist() for b in back] == [[1.0, 2.5], [9.0]]
    assert [(b.rows, b.concurrency, b.threads, b.interleaved) for b in back] == [
        (1, 1, 1, True),
        (100, 4, 2, False),
    ]


def test_probes_come_back_with_their_failures(tmp_path: Path) -> None:
    """A probe that failed says why after it was kept."""
    failure = ScoringFailure(kind="exception", reason="it does not take missing values")
    probes = (
        Probe("perturbed", np.array([3, 1]), np.array([0.2, 0.4])),
        Probe("many", np.array([3, 1]), np.array([[0.2, 0.8], [0.4, 0.6]])),
        Probe("missing:AGE", np.array([3]), None, failure),
    )
    records.write_probes(tmp_path / "probes.arrow", probes)
    back = records.read_probes(tmp_path / "probes.arrow")
    assert back is not None
    assert [b.name for b in back] == [p.name for p in probes]
    assert back[1].values is not None
    assert back[1].values.tolist() == [[0.2, 0.8], [0.4, 0.6]]
    assert back[2].values is None
    assert back[2].failure == failure
