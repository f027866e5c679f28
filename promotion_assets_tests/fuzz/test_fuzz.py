"""Every target for a moment: always the same inputs, so that what fails here fails anywhere."""

from __future__ import annotations

import random
import resource
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from promotion_assets_tests.fuzz.contract import SECONDS_PER_INPUT, Fence
from promotion_assets_tests.fuzz.guided import SEED
from promotion_assets_tests.fuzz.mutation import mutated
from promotion_assets_tests.fuzz.targets import NAMES, target

MOST_GROWTH_MIB = 512


@pytest.mark.parametrize("name", NAMES)
def test_any_input_is_taken_or_refused_by_name(name: str, tmp_path: Path) -> None:
    """A valid object, or one of our errors with its three parts, in bounded time and memory."""
    found = target(name)
    rng, examples = random.Random(SEED), found.examples()
    fence, stack = Fence(), ExitStack()
    with stack:
        run = stack.enter_context(found.prepare(tmp_path))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(len(examples) + found.inputs):
            fresh = number >= len(examples)
            data = rng.choice(examples) if fresh else examples[number]
            data = mutated(data, found.form, rng, examples) if fresh else data
            began = time.process_time()
            with fence.around(tmp_path):
                run(data)
            assert time.process_time() - began < SECONDS_PER_INPUT, data[:200]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown / 1024 < MOST_GROWTH_MIB
