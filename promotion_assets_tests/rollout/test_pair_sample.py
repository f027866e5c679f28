"""The sample of pairs: the same however the stream was cut, and everything up to its size."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.rollout.pair_sample import PairSample
from promotion_assets_tests.rollout.shadows import shadow_frame


def stream(n: int) -> pd.DataFrame:
    """So many pairs, whose score is their number."""
    return shadow_frame(np.arange(n, dtype=np.float64), np.arange(n, dtype=np.float64))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 40),
    st.lists(st.integers(0, 60), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_sample_is_one_whatever_the_batches(n, size, cuts, random) -> None:  # type: ignore[no-untyped-def]
    """Cut anywhere, in any order, added or merged, the same pairs are kept, by their ids alone."""
    frame = stream(n)
    whole = PairSample.empty(size).add(pa.Table.from_pandas(frame))
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [frame.iloc[a:b] for a, b in itertools.pairwise(edges)]
    random.shuffle(parts)
    added = merged = PairSample.empty(size)
    for part in parts:
        table = pa.Table.from_pandas(part)
        added = added.add(table)
        merged = PairSample.empty(size).add(table).merge(merged)
    for other in (added, merged):
        assert other.table.equals(whole.table)
        assert (other.seen, len(other)) == (n, min(n, size))


def test_up_to_its_size_it_is_everything() -> None:
    """A sample with room holds every pair that was seen."""
    sample = PairSample.empty(100).add(pa.Table.from_pandas(stream(80)))
    assert sorted(sample.values("production_score")) == list(range(80))


def test_no_part_of_the_stream_is_preferred() -> None:
    """Of 20,000 pairs the mean place of 2,000 kept ones is in the middle, within four errors."""
    sample = PairSample.empty(2000).add(pa.Table.from_pandas(stream(20_000)))
    places = sample.values("production_score") / 20_000
    assert abs(places.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
