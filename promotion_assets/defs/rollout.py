"""The rollout in Dagster: one asset a version, a check a guardrail, and the sensor that ticks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from promotion_assets.adapters.plots import as_markdown
from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.metadata import Materialized, Metadata, as_text, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.rollout_pictures import rollout_pictures
from promotion_assets.pipeline.rollout_story import RolloutStory, stories
from promotion_assets.pipeline.rollouts import Ticked, tick
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.rollout.findings import PRECEDENCE, Finding, Verdict

# The check of each guardrail, and the question that it puts.
CHECKS: Mapping[str, tuple[str, str]] = {
    "errors": ("errors", "Does the candidate answer, as often as the champion?"),
    "latency": ("latency", "Does it answer as fast as the champion did?"),
    "decision_rate": ("decision rate", "Does it decide positively as often as the champion?"),
    "sample_ratio": ("sample ratio", "Did each arm get the units that were planned for it?"),
    "drops": ("drops", "Was what happened counted?"),
}


def rollout(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that shows a version's rollout."""
    key = names.key("rollout")

    @dg.multi_asset(
        name=names.step("rollout"),
        specs=[
            asset_spec(
                names,
                policy,
                "rollout",
                "How traffic moves to the version: its share over time, what each guardrail says, "
                "the next step and why it waits. The sensor `rollouts` moves it; materialising "
                "this asset only shows it.",
                deps=["production"],
                kinds={"sqlite"},
                partitions=names.partitions,
            )
        ],
        check_specs=[
            check_spec(name, key, question, partitions=names.partitions)
            for name, (_, question) in CHECKS.items()
        ],
        partitions_def=names.partitions,
    )
    def _rollout(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        workspace = platform.workspace
        with spoken():
            found = stories(workspace, event_log(workspace), names.model, context.partition_key)
        yield dg.MaterializeResult(asset_key=key, metadata=_shown(found, workspace))
        for name, (guardrail, _) in CHECKS.items():
            yield _checked(key, name, guardrail, found)

    return _rollout


def rollouts_sensor(
    models: Sequence[Names], jobs: Mapping[str, Any], *, interval_seconds: int = 30
) -> dg.SensorDefinition:
    """Return the sensor that ticks every rollout, and has it shown when something has happened.

    When Dagster is down shares stay as they are; servers protect themselves meanwhile.
    """
    by_model = {names.model: names for names in models}

    @dg.sensor(
        name="rollouts",
        jobs=list(jobs.values()),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at every rollout, moves it on, holds it, or takes it back.",
    )
    def _rollouts(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        requests: list[dg.RunRequest] = []
        said: list[str] = []
        with platform.opened() as workspace:
            for model, names in by_model.items():
                try:
                    ticked = _tick_all(workspace, names)
                except Unreachable as error:
                    # One model's registry or data that is away does not stop the others.
                    said.append(f"{model}: shares stay as they are: {error}")
                    continue
                except PromotionError as error:
                    said.append(f"{model}: {error}")
                    continue
                said += [f"{model}: {each.sentence()}" for each in ticked]
                requests += [_request(workspace, model, each, jobs[model]) for each in ticked]
        context.log.info("; ".join(said) or "nothing is rolling out")
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else ("; ".join(said) or "nothing is rolling out")[:1000],
            # A version may have come into Production by command, past this instance.
            dynamic_partitions_requests=[
                by_model[model].partitions.build_add_request([version])
                for model, version in _versions(requests)
            ],
        )

    return _rollouts


def _tick_all(workspace: Workspace, names: Names) -> list[Ticked]:
    rolling = workspace.ledger.state(names.model).rolling
    events = event_log(workspace)
    try:
        return [tick(workspace, events, names.model, segment) for segment in rolling]
    finally:
        events.close()


def _request(workspace: Workspace, model: str, ticked: Ticked, job: Any) -> dg.RunRequest:
    """Ask for the picture after each thing that happened, and once an hour between."""
    assert ticked.look.plan is not None
    version, now = ticked.look.plan.version, workspace.clock()
    about = f"rollout:{model}:{version}:{ticked.look.segment}"
    done = f"{ticked.look.state.sequence}" if ticked.done else f"{now:%Y-%m-%dT%H}"
    return dg.RunRequest(
        run_key=f"{about}:{done}",
        job_name=job.name,
        partition_key=version,
        tags={
            "promotion/model": model[:255],
            "promotion/version": version,
            "promotion/reason": "a rollout moved" if ticked.done else "a rollout is under way",
        },
    )


def _versions(requests: Sequence[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(r.tags["promotion/model"], r.partition_key) for r in requests if r.partition_key]


def _shown(found: Sequence[RolloutStory], workspace: Workspace) -> Metadata:
    if not found:
        return {"next": dg.MetadataValue.md("This version has not been rolled out.")}
    shown: Metadata = {}
    for story in found:
        of = "" if len(found) == 1 else f" ({story.segment})"
        shown[f"next{of}"] = dg.MetadataValue.md(as_text(story.next_step()))
        for name, picture in rollout_pictures(story, workspace.clock()).items():
            drawn = as_markdown(picture.png, picture.description)
            shown[f"picture/{name}{of}"] = dg.MetadataValue.md(drawn)
        shown[f"guardrails{of}"] = table([_guardrail(finding) for finding in story.findings])
        shown[f"steps{of}"] = table([_step(step) for step in story.steps])
        shown[f"share{of}"] = story.steps[-1].share_to / 100 if story.steps else 0.0
        shown[f"false alarms{of}"] = (
            "a candidate as good as the champion is ever taken back with a chance of at most "
            f"{story.policy.family_rate:.3g}"
        )
    return shown


def _guardrail(finding: Finding) -> dict[str, str]:
    return {
        "guardrail": finding.guardrail,
        "says": finding.verdict.value,
        "e-value": "" if finding.e_value is None else f"{finding.e_value:.3g}",
        "limit": "" if finding.limit is None else f"{finding.limit:.3g}",
        "n": f"{finding.n:,}",
        "because": finding.reason,
    }


def _step(step: RolloutStepped) -> dict[str, str]:
    return {
        "at": step.at.isoformat(timespec="seconds"),
        "what": step.action,
        "share": f"{step.share_to / 100:g} %",
        "by": step.actor,
        "because": step.reason,
    }


def _checked(
    key: dg.AssetKey, name: str, guardrail: str, found: Sequence[RolloutStory]
) -> dg.AssetCheckResult:
    """Absence does not pass: what was not looked at is not known to be well."""
    findings = [f for story in found for f in story.findings if f.guardrail == guardrail]
    finding = min(findings, key=lambda f: PRECEDENCE.index(f.verdict), default=None)
    if finding is None:
        began = any(story.findings for story in found)
        said = "the policy has switched it off" if began else "nothing was counted yet"
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=began,
            severity=dg.AssetCheckSeverity.WARN,
            description=said,
        )
    shown: Metadata = {"verdict": finding.verdict.value, "n": finding.n}
    for what, number in (("observed", finding.observed), ("e_value", finding.e_value)):
        if number is not None:
            shown[what] = number
    bad = finding.verdict is Verdict.FAIL
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=finding.verdict is Verdict.SUCCESS,
        severity=dg.AssetCheckSeverity.ERROR if bad else dg.AssetCheckSeverity.WARN,
        description=finding.reason,
        metadata=shown,
    )
