"""One target in this process, for a time: by coverage where atheris is installed, else at random.

``python -m promotion_assets_tests.fuzz.guided TARGET SECONDS FINDS`` writes its summary as one
line of JSON. A find does not end the run: the input is kept, once for each place that it leads to.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from promotion_assets_tests.fuzz.contract import (
    MEBIBYTES,
    SECONDS_PER_INPUT,
    Fence,
    Run,
    Target,
    where,
)

SEED = 20260302
MARK = "fuzz-summary "
# By the clock, busy as the machine may be.
HANG_SECONDS = 120


@dataclass
class Session:
    """What came of one target so far."""

    target: str
    kept_in: Path
    began: float = 0.0
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mib: int = 0
    finds: dict[str, str] = field(default_factory=dict)

    def run(self, run: Run, data: bytes) -> None:
        """Run one input; keep it if it finds something."""
        # Of the processor: on a busy machine an input may wait for its turn.
        began = time.process_time()
        if not self.inputs:
            self.began = time.monotonic()
        try:
            run(data)
        except Exception as error:
            place = where(error)
            if place not in self.finds:
                self.finds[place] = self._keep(data, "find")
                traceback.print_exc()
        took = time.process_time() - began
        self.inputs += 1
        if took > self.slowest:
            self.slowest = took
            if took > SECONDS_PER_INPUT / 2:
                self.finds[f"an input that takes {took:.1f} s"] = self._keep(data, "slow")

    def is_over(self, seconds: float) -> bool:
        """Whether it has run for so long, from its first input on."""
        return time.monotonic() >= self.began + seconds

    def summary(self) -> str:
        """Return the line that the parent reads."""
        self.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return MARK + json.dumps(asdict(self) | {"kept_in": str(self.kept_in)})

    def _keep(self, data: bytes, what: str) -> str:
        self.kept_in.mkdir(parents=True, exist_ok=True)
        name = f"{self.target}-{what}-{hashlib.sha256(data).hexdigest()[:12]}"
        (self.kept_in / name).write_bytes(data)
        return name


def main(arguments: list[str]) -> None:
    """Run one target; the parent's other half."""
    name, seconds, kept_in = arguments[0], float(arguments[1]), Path(arguments[2])
    sys.dont_write_bytecode = True
    session = Session(name, kept_in)
    scratch = tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-", ignore_cleanup_errors=True)
    stack = ExitStack()
    stack.enter_context(scratch)

    def finish() -> None:
        session.seconds = time.monotonic() - session.began
        print(session.summary(), flush=True)
        stack.close()
        # libFuzzer ends a process in its own way, past Python's.
        os._exit(0)

    run = _by_coverage if find_spec("atheris") else _at_random
    run(session, seconds, Path(scratch.name), stack, finish)


def opened(target: Target, folder: Path, stack: ExitStack) -> Run:
    """Prepare a target behind the fence: nothing is written outside of its folder."""
    fence = Fence()
    inner = stack.enter_context(target.prepare(folder))

    def run(data: bytes) -> None:
        with fence.around(folder):
            inner(data)

    return run


def _at_random(
    session: Session, seconds: float, folder: Path, stack: ExitStack, finish: Callable[[], None]
) -> None:
    from promotion_assets_tests.fuzz.mutation import mutated
    from promotion_assets_tests.fuzz.targets import target as named

    target = named(session.target)
    run = opened(target, folder, stack)
    rng, examples = random.Random(SEED), target.examples()
    for example in examples:
        session.run(run, example)
    while not session.is_over(seconds):
        session.run(run, mutated(rng.choice(examples), target.form, rng, examples))
    finish()


def _by_coverage(
    session: Session, seconds: float, folder: Path, stack: ExitStack, finish: Callable[[], None]
) -> None:
    import atheris

    from promotion_assets_tests.fuzz.mutation import LONGEST, mutated

    with atheris.instrument_imports(include=["promotion_assets"], enable_loader_override=False):
        from promotion_assets_tests.fuzz.targets import target as named

        target = named(session.target)
        run = opened(target, folder, stack)
    corpus = folder.parent / f"{folder.name}-corpus"
    corpus.mkdir()
    stack.callback(lambda: [path.unlink() for path in corpus.iterdir()] and corpus.rmdir())
    examples = target.examples()
    for number, example in enumerate(examples):
        (corpus / f"example-{number}").write_bytes(example)

    def custom(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.25:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, target.form, rng, examples)[:most]

    def one(data: bytes) -> None:
        session.run(run, data)
        if session.is_over(seconds):
            finish()

    arguments = [
        sys.argv[0],
        f"-seed={SEED}",
        f"-timeout={int(HANG_SECONDS)}",
        f"-rss_limit_mb={MEBIBYTES}",
        f"-max_len={LONGEST}",
        "-len_control=0",
        f"-artifact_prefix={session.kept_in}{os.sep}{session.target}-",
        str(corpus),
    ]
    session.kept_in.mkdir(parents=True, exist_ok=True)
    atheris.Setup(arguments, one, custom_mutator=custom)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
