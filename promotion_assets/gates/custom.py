"""Custom: do the team's own business rules hold?

A rule is either an expression over measured figures, overall or in every group of an attribute::

    custom:
      rules:
        - name: approvals
          rule: rejection_rate >= 0.60
          each: education
        - name: no loss of catches
          rule: tpr - champion_tpr >= -0.02

or a function of the evidence in the team's own code (``function: package.module:name``) that
returns one or more :class:`~promotion_assets.gates.contract.Measurement`. Figures are those of
:class:`~promotion_assets.gates.quantities.Quantities`. For a gate with settings of its own write a
gate instead; see the guide.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.expressions import BadExpression, Bound, Expression, parse
from promotion_assets.gates.limits import DecideOn, judged
from promotion_assets.gates.quantities import CHAMPION, Quantities, known_names
from promotion_assets.gates.scored import Answers, answers
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown
from promotion_assets.policy.model import ModelPolicy, Task
from promotion_assets.statistics.estimates import Estimate

NAME = "custom"
FIRST_VERSION = "first version: there is no champion to compare with"


class Rule(BaseModel):
    """One business rule.

    Attributes:
        name: how it is called in results.
        rule: an expression; see ``expressions.parse``.
        each: a protected attribute: the rule must hold in every group of it.
        min_rows: a group with fewer rows is inconclusive, and does not count.
        function: import path of a function of the evidence, instead of ``rule``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    rule: str | None = None
    each: str | None = None
    min_rows: int = Field(default=100, ge=1)
    function: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Rule:
        if (self.rule is None) == (self.function is None):
            raise ValueError(f"rule {self.name!r} needs either `rule` or `function`")
        if self.rule is not None:
            try:
                parse(self.rule)
            except BadExpression as error:
                raise ValueError(f"rule {self.name!r}: {error}") from None
        if self.function is not None and (self.each or ":" not in self.function):
            raise ValueError(
                f"function of rule {self.name!r} looks like package.module:name, without `each`"
            )
        return self


class CustomSettings(GateSettings):
    """Settings of the custom gate.

    Attributes:
        rules: the rules; all must hold.
        threshold: probability from which a row is predicted positive (binary).
        decide_on: for a rule that compares one share or mean with a number: its point, or the
            end of its interval that is nearer to the limit.
    """

    rules: tuple[Rule, ...] = Field(min_length=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    decide_on: Literal["point", "bound"] = "point"

    @model_validator(mode="after")
    def _names_differ(self) -> CustomSettings:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("rules have the same name twice")
        return self

    def contradictions(self, policy: ModelPolicy) -> tuple[str, ...]:
        """Return what in ``policy`` does not fit these settings."""
        found, labels = [], [group.label for group in policy.groups]
        for rule in self.rules:
            if rule.each is not None and rule.each not in labels:
                known = ", ".join(labels) or "none"
                found.append(f"rules: {rule.name!r} speaks of {rule.each!r}; groups are {known}")
            if rule.rule is not None:
                found += _unknown_figures(rule, policy.task)
        return tuple(found)


def evaluate(evidence: Evidence, settings: CustomSettings) -> GateResult:
    """Check every rule."""
    given = answers(NAME, evidence)
    measurements: list[Measurement] = []
    for rule in settings.rules:
        if rule.function is not None:
            measurements += _called(rule, evidence)
        else:
            measurements += _ruled(rule, given, evidence, settings)
    # A rule of which nothing could be judged has not held.
    for rule in settings.rules:
        mine = [m for m in measurements if m.name == rule.name]
        if all(m.outcome is None and m.reason != FIRST_VERSION for m in mine):
            measurements.append(_unjudged(rule, mine))
    return conclude(
        NAME, measurements, passed_reason=f"all {len(settings.rules)} business rules hold"
    )


def _ruled(
    rule: Rule, given: Answers, evidence: Evidence, settings: CustomSettings
) -> Iterator[Measurement]:
    assert rule.rule is not None
    expression = parse(rule.rule)
    for subject, rows in _subjects(rule, given, evidence):
        count = int(np.count_nonzero(rows))
        if rule.each is not None and count < rule.min_rows:
            yield Measurement(
                name=rule.name,
                subject=subject,
                sample_size=count,
                needed_sample_size=rule.min_rows,
                reason=f"{subject} has {count} rows, too few to judge",
            )
            continue
        figures = Quantities(given, evidence.policy.task, settings.threshold, rows)
        yield _checked(rule, expression, subject, figures, evidence, settings, count)


def _subjects(
    rule: Rule, given: Answers, evidence: Evidence
) -> Iterator[tuple[str, np.typing.NDArray[np.bool_]]]:
    if rule.each is None:
        yield "overall", np.ones(given.rows, dtype=np.bool_)
        return
    names = given.dataset.groups.get(rule.each)
    if names is None:
        raise NotJudged(
            naming(NAME, evidence),
            f"rule {rule.name!r} speaks of {rule.each!r}, which the dataset has no groups of",
            "correct `each`, or add the attribute to groups in the policy",
        )
    for name in sorted({str(name) for name in names}):
        yield f"{rule.each}={name}", names.astype(str) == name


def _checked(
    rule: Rule,
    expression: Expression,
    subject: str,
    figures: Quantities,
    evidence: Evidence,
    settings: CustomSettings,
    rows: int,
) -> Measurement:
    bound = expression.bound()
    try:
        if bound is not None and bound.name is not None:
            figure = figures.figure(bound.name)
            if isinstance(figure, Estimate):
                return _held(rule, expression, bound, figure, subject, settings)

        def _value(name: str) -> float:
            figure = figures.figure(name)
            return figure.value if isinstance(figure, Estimate) else figure

        holds = expression.holds(_value)
        observed = expression.left(_value) if bound is not None else None
    except KeyError as error:
        return _without(rule, subject, rows, str(error.args[0]), evidence)
    except ValueError as error:
        return _undefined(rule, subject, rows, str(error))
    said = f"{subject}: " if subject != "overall" else ""
    seen = f", it is {shown(observed)}" if observed is not None else ""
    return Measurement(
        name=rule.name,
        subject=subject,
        observed=observed,
        limit=bound.limit if bound else None,
        direction=bound.direction if bound else "min",
        sample_size=rows,
        outcome=Outcome.PASSED if holds else Outcome.FAILED,
        reason=""
        if holds
        else f"{said}rule {rule.name!r} does not hold ({expression.source}){seen}. "
        "Next: ask the rule's owner",
    )


def _held(
    rule: Rule,
    expression: Expression,
    bound: Bound,
    figure: Estimate,
    subject: str,
    settings: CustomSettings,
) -> Measurement:
    decide_on: DecideOn = settings.decide_on
    said = f"{subject}: " if subject != "overall" else ""
    held = judged(
        figure,
        name=rule.name,
        subject=subject,
        limit=bound.limit,
        direction=bound.direction,
        decide_on=decide_on,
        called=f"{said}rule {rule.name!r}: {bound.left}",
        next_step="ask the rule's owner",
    )
    # < and > leave the limit itself out.
    strict = held.outcome is Outcome.PASSED and not expression.holds(lambda _: figure.value)
    if strict:
        reason = f"{said}rule {rule.name!r} does not hold ({expression.source})"
        return held.model_copy(update={"outcome": Outcome.FAILED, "reason": reason})
    return held


def _without(rule: Rule, subject: str, rows: int, problem: str, evidence: Evidence) -> Measurement:
    name = problem.split(":")[0]
    first = evidence.champion is None and name.startswith(CHAMPION)
    if first and evidence.policy.first_version is not None:
        return Measurement(
            name=rule.name,
            subject=subject,
            sample_size=rows,
            reason=FIRST_VERSION,
            # Only what can be judged without a champion stands in for the comparison.
            outcome=None,
        )
    return Measurement(
        name=rule.name,
        subject=subject,
        sample_size=rows,
        outcome=Outcome.INCONCLUSIVE if first else Outcome.ERROR,
        reason=f"rule {rule.name!r} speaks of {name}, which is not there"
        + (": there is no champion" if first else ""),
    )


def _undefined(rule: Rule, subject: str, rows: int, problem: str) -> Measurement:
    return Measurement(
        name=rule.name,
        subject=subject,
        sample_size=rows,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"{subject}: rule {rule.name!r} cannot be judged: {problem}",
    )


def _called(rule: Rule, evidence: Evidence) -> Iterator[Measurement]:
    assert rule.function is not None
    module, _, name = rule.function.partition(":")
    found = getattr(importlib.import_module(module), name)(evidence)
    several: Iterable[object] = [found] if isinstance(found, Measurement) else found
    for measurement in several:
        if not isinstance(measurement, Measurement):
            kind = type(measurement).__name__
            raise TypeError(f"{rule.function} returned {kind} where a Measurement is meant")
        yield measurement.model_copy(update={"name": rule.name})


def _unjudged(rule: Rule, mine: list[Measurement]) -> Measurement:
    why = mine[0].reason if mine else "it looked at nothing"
    return Measurement(
        name=rule.name,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"rule {rule.name!r} was not judged at all: {why}",
    )


def _unknown_figures(rule: Rule, task: Task) -> list[str]:
    from sklearn.metrics import get_scorer_names

    assert rule.rule is not None
    known = {*known_names(task), *get_scorer_names()}
    found = []
    for name in parse(rule.rule).names():
        if name.removeprefix(CHAMPION) not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see the guide"
            found.append(f"rules: {rule.name!r} speaks of {name!r}, which is no figure: {hint}")
    return found


GATE = Gate(
    name=NAME,
    question="Do the team's own business rules hold?",
    settings=CustomSettings,
    evaluate=evaluate,
)
