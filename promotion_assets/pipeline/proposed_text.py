"""A proposed policy as text: each guess and each limit with where it comes from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.guessing import Guess
from promotion_assets.gates.contract import GateResult
from promotion_assets.gates.trusted_types import SCIKIT_LEARN

METRIC = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}
LEAST_LATENCY_MS = 50.0
_BREAK = re.compile("[\n\r\x85\u2028\u2029]")
# What YAML takes for the end of a line, or refuses to read at all, also in a comment.
_NO_REMARK = re.compile(
    "[^\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]+"
)


@dataclass(frozen=True)
class Asked:
    """What the caller said; everything else is guessed.

    Attributes:
        folder: where the policy will be; relative addresses start from it.
    """

    folder: Path
    model: str
    data: str
    label: str | None = None
    production: str | None = None
    owner: str = ""
    version: str | None = None


@dataclass
class Measured:
    """What gates found of the version that serves, and why some could not say."""

    results: dict[str, GateResult] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def render_policy(
    asked: Asked,
    guessed: Guess,
    candidate: Candidate,
    measured: Measured,
    extra: list[str],
) -> str:
    """Return the policy as commented YAML."""
    return "\n".join(
        # Values have such characters escaped already; remarks may have them from the data.
        _NO_REMARK.sub(" ", line)
        for line in (
            f"# What must hold before a version of {asked.model} may go to Staging.",
            "# Proposed by `promotion init`: read every line, and correct what was guessed.",
            "version: 1",
            "",
            "models:",
            f"  {_word(asked.model)}:",
            f"    task: {guessed.task}  # guessed: {guessed.label} {guessed.why['task'][3:]}",
            f"    owner: {_word(asked.owner or 'team:unknown')}",
            "    # low, medium or high: how many must approve, and which questions they get.",
            "    risk_class: medium",
            "",
            *_dataset(asked, guessed, extra),
            "",
            *_production(asked),
            "",
            *_groups(guessed),
            "",
            "    first_version:",
            "      accept: absolute",
            "      reason: The first version has no champion to be compared with.",
            "",
            *_gates(guessed, candidate, measured, bool(asked.production)),
            "",
            "    review:",
            "      # Who may approve; never the author. Tokens: `promotion reviewer add NAME`",
            "      reviewers: []",
            "",
        )
    )


def _dataset(asked: Asked, guessed: Guess, extra: list[str]) -> Iterable[str]:
    named = {guessed.label, guessed.id, guessed.time, *(g.column for g in guessed.groups)}
    unused = [c for c in extra if c not in named]
    yield "    # Labelled rows that no candidate was trained on; a copy is kept by its content."
    yield "    dataset:"
    yield f"      uri: {_word(asked.data)}"
    yield f"      label: {_word(guessed.label)}"
    if guessed.task == "binary":
        yield f"      positive: {_word(guessed.positive)}  # the value that counts as 1"
    if guessed.id:
        yield f"      id: {_word(guessed.id)}  # guessed: {guessed.why['id']}"
    if guessed.time:
        yield f"      time: {_word(guessed.time)}"
    if unused:
        # A later version may use one of them, and could not be judged if it were ignored.
        yield "      # Neither input nor group; without the # no version may use them:"
        yield f"      # ignore: [{', '.join(_word(c) for c in unused)}]"


def _production(asked: Asked) -> Iterable[str]:
    yield "    # Rows that production sends now, without labels: for drift and for column types."
    if asked.production:
        yield "    production:"
        yield f"      uri: {_word(asked.production)}"
    else:
        yield "    # production:"
        yield "    #   uri: last_week.parquet"
        yield "    contract: dataset  # column types are taken from the dataset until then"


def _groups(guessed: Guess) -> Iterable[str]:
    yield "    # Groups that no version may serve worse than the champion did."
    if not guessed.groups:
        yield "    # None was found in the data: without one the fairness gate cannot pass."
        yield "    groups: []"
        return
    yield "    groups:"
    for group in guessed.groups:
        yield f"      - column: {_word(group.column)}"
        if group.bands:
            bands = ", ".join(f"{b:g}" for b in group.bands)
            yield f"        bands: [{bands}]  # quartiles, rounded"


def _gates(
    guessed: Guess, candidate: Candidate, measured: Measured, production: bool
) -> Iterable[str]:
    yield "    gates:"
    yield from _accuracy(METRIC[guessed.task], candidate.version, measured)
    yield from _fairness(guessed, candidate.version, measured)
    yield from _latency(candidate.version, measured)
    if production:
        yield from _drift(candidate.version, measured)
    else:
        yield "      # drift: {psi: 0.2}  # needs `production`"
    yield "      schema: {}"
    yield from _artifact(candidate)


def _artifact(candidate: Candidate) -> Iterable[str]:
    asked = candidate.mlmodel.skops_trusted_types if candidate.mlmodel else ()
    unknown = [name for name in asked if name not in SCIKIT_LEARN]
    if not unknown:
        yield "      artifact: {}"
        return
    yield "      artifact:"
    yield f"        # Version {candidate.version} asks for these types. Each is code that runs"
    yield "        # when it is loaded: uncomment those that are your own."
    yield "        trusted_types:"
    yield from (f"          # - {name}" for name in unknown)
    yield "          []"


def _accuracy(metric: str, version: str, measured: Measured) -> Iterable[str]:
    result = measured.results.get("accuracy")
    yield "      accuracy:"
    if metric != "roc_auc":
        yield f"        metric: {metric}"
    if result is None or result.observed is None or result.interval is None:
        yield "        minimum: 0.82  # the default: nothing was measured"
    else:
        low = result.interval.low if result.interval.low is not None else result.observed
        yield (
            f"        minimum: {math.floor(low * 100) / 100:g}  # version {version} reaches "
            f"{result.observed:.3f}, 95 % interval from {low:.3f}, on {result.sample_size} rows"
        )
    yield "        improvement: 0.005  # over the champion, on the same rows; negative allows less"


def _fairness(guessed: Guess, version: str, measured: Measured) -> Iterable[str]:
    if not guessed.groups or guessed.task != "binary":
        yield "      # fairness: {}  # needs `groups`, and a metric that fits the task"
        return
    result = measured.results.get("fairness")
    yield "      fairness:"
    if result is None or result.observed is None:
        yield "        drop_vs_champion: 0.05  # the default: nothing was measured"
        return
    gaps = [m for m in result.measurements if m.name == "gap_to_overall" and m.observed is not None]
    worst = max(gaps, key=lambda m: m.observed or 0.0, default=None)
    yield "        drop_vs_champion: 0.05  # the default: AUC that any group may lose at most"
    if worst is not None and worst.observed is not None:
        limit = max(0.1, math.ceil(worst.observed * 100 + 1) / 100)
        yield (
            f"        first_version_gap: {limit:g}  # version {version}: {worst.subject} is "
            f"{worst.observed:.3f} below all"
        )


def _latency(version: str, measured: Measured) -> Iterable[str]:
    result = measured.results.get("latency")
    yield "      latency:"
    if result is None or result.observed is None:
        yield f"        p95_ms: {LEAST_LATENCY_MS:g}  # the default: nothing was measured"
        return
    limit = max(LEAST_LATENCY_MS, float(math.ceil(result.observed * 1.5)))
    yield (
        f"        p95_ms: {limit:g}  # version {version} takes {result.observed:.1f} ms here, "
        "one row at a time"
    )


def _drift(version: str, measured: Measured) -> Iterable[str]:
    result = measured.results.get("drift")
    yield "      drift:"
    if result is None or result.observed is None:
        why = result.reason if result is not None else "nothing was measured"
        yield f"        psi: 0.2  # the default: {why.splitlines()[0][:120]}"
        return
    yield (
        f"        psi: 0.2  # the default: version {version}'s worst feature is at "
        f"{result.observed:.2f}"
    )


def _word(value: object) -> str:
    """Return a scalar as YAML writes it, on one line."""
    broken = isinstance(value, str) and _BREAK.search(value)
    style = '"' if broken else None
    text = yaml.safe_dump(value, width=math.inf, allow_unicode=True, default_style=style)
    return text.split("\n")[0]
