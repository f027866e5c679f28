"""The shadow in Dagster: a report a version, its checks, and what makes it now and then."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from promotion_assets.adapters.plots import as_markdown
from promotion_assets.defs.checks import PASSED, check_spec
from promotion_assets.defs.metadata import Materialized, Metadata, check_metadata, gate_metadata
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.gates.contract import Measurement, Outcome
from promotion_assets.gates.verdict import worst
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, ShadowReported
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.shadow_pictures import shadow_pictures
from promotion_assets.pipeline.shadow_reporting import keep_report, make_report, running_shadows
from promotion_assets.pipeline.shadowing import keep_shadows
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.rollout.shadow_report import ShadowReport

# Check by check: the numbers that it looks at, and the question that it puts.
CHECKS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "saw_enough": (("pairs", "hours", "drops"), "Did it see enough requests, for long enough?"),
    "answers": (("errors",), "Does it answer what it is asked?"),
    "decides_alike": (("disagreement", "shift"), "How differently does it decide?"),
    "groups_alike": (("group_shift",), "Does any group fare differently under it?"),
    "scores_alike": (("psi",), "Are its scores distributed as the champion's?"),
    "fast_enough": (("latency_change",), "How much slower is it?"),
}


def shadow_report(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that is a version's shadow report."""
    key = names.key("shadow_report")

    @dg.multi_asset(
        name=names.step("shadow_report"),
        specs=[
            asset_spec(
                names,
                policy,
                "shadow_report",
                "How the version answers copies of live requests beside the champion: decisions "
                "in total and by group, scores, errors, times, and labels that have matured. "
                "A report that says something new is recorded and signed.",
                deps=["staging"],
                kinds={"python"},
                partitions=names.partitions,
            )
        ],
        check_specs=[
            check_spec(PASSED, key, "May reviewers be asked?", partitions=names.partitions),
            *(
                check_spec(name, key, question, partitions=names.partitions)
                for name, (_, question) in CHECKS.items()
            ),
        ],
        partitions_def=names.partitions,
    )
    def _shadow_report(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        workspace, version = platform.workspace, context.partition_key
        with spoken():
            found = _made(workspace, names.model, version)
        yield dg.MaterializeResult(asset_key=key, metadata=_shown(found, policy, workspace))
        yield _passed(key, [report for report, _ in found])
        measured = [m for report, _ in found for m in report.result.measurements]
        for name, (numbers, _) in CHECKS.items():
            yield _checked(key, name, [m for m in measured if m.name in numbers])

    return _shadow_report


def shadows_sensor(
    models: Sequence[Names], jobs: Mapping[str, Any], *, interval_seconds: int = 60
) -> dg.SensorDefinition:
    """Return the sensor that begins and ends shadows, and has their reports made.

    A report is asked for once in every ``report_hours``: its run key names the hour.
    """
    by_model = {names.model: names for names in models}

    @dg.sensor(
        name="shadows",
        jobs=list(jobs.values()),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Begins and ends shadows as stages change; has their reports made.",
    )
    def _shadows(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        requests: list[dg.RunRequest] = []
        said: list[str] = []
        partitions: dict[str, list[str]] = {}
        with platform.opened() as workspace:
            for model in by_model:
                try:
                    changed = keep_shadows(workspace, model)
                    if changed:
                        workspace.checkpointer.publish()
                    said += [f"{model}: {what}" for what in changed]
                    versions = sorted({v for _, v in running_shadows(workspace, model)})
                except Unreachable as error:
                    return dg.SkipReason(str(error))
                except PromotionError as error:
                    said.append(f"{model}: {error}")
                    continue
                asked = [_request(workspace, model, v, jobs[model]) for v in versions]
                requests += asked
                if asked:
                    partitions[model] = versions
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else ("; ".join(said) or "no shadow runs")[:1000],
            dynamic_partitions_requests=[
                by_model[model].partitions.build_add_request(versions)
                for model, versions in partitions.items()
            ],
        )

    return _shadows


def _request(workspace: Workspace, model: str, version: str, job: Any) -> dg.RunRequest:
    slot = _slot(workspace.clock(), workspace.policy_of(model).shadow.report_hours)
    return dg.RunRequest(
        run_key=f"shadow:{model}:{version}:{slot}",
        job_name=job.name,
        partition_key=version,
        tags={"promotion/version": version, "promotion/reason": "a shadow runs"},
    )


def _slot(now: datetime, hours: float) -> int:
    return int(now.timestamp() // (hours * 3600))


Made = tuple[ShadowReport, ShadowReported | None]
"""A report, and the entry that it became, if it said something new."""


def _made(workspace: Workspace, model: str, version: str) -> list[Made]:
    """Make and keep the report in every segment whose shadow the version is, or was."""
    running = [segment for segment, v in running_shadows(workspace, model) if v == version]
    events = event_log(workspace)
    try:
        reports = [
            make_report(workspace, events, model, version, segment)
            for segment in running or [DEFAULT_SEGMENT]
        ]
    finally:
        events.close()
    return [(report, keep_report(workspace, report)) for report in reports]


def _shown(found: Sequence[Made], policy: ModelPolicy, workspace: Workspace) -> Metadata:
    shown: Metadata = {}
    for report, recorded in found:
        of = "" if len(found) == 1 else f" ({report.segment})"
        one = _of_report(report, recorded, policy, workspace)
        shown |= {f"{name}{of}": value for name, value in one.items()}
    return shown


def _of_report(
    report: ShadowReport,
    recorded: ShadowReported | None,
    policy: ModelPolicy,
    workspace: Workspace,
) -> Metadata:
    pictures = {
        name: as_markdown(p.png, p.description)
        for name, p in shadow_pictures(report, policy).items()
    }
    shown = gate_metadata(report.result, pictures)
    shown["pairs"] = report.pairs
    shown["against champion"] = report.champion
    if report.first and report.last:
        shown["seen"] = (
            f"{report.first.isoformat(timespec='minutes')} to "
            f"{report.last.isoformat(timespec='minutes')}"
        )
    standing = workspace.ledger.state(report.model).shadows.get((report.segment, report.version))
    shown["ledger"] = (
        f"recorded just now as {recorded.report_digest[:12]}"
        if recorded
        else f"nothing new since {standing.report_digest[:12]} ({standing.outcome})"
        if standing
        else "nothing recorded yet: no verdict so far"
    )
    return shown


def _passed(key: dg.AssetKey, reports: Sequence[ShadowReport]) -> dg.AssetCheckResult:
    """One segment that has not passed is enough not to."""
    outcome = worst(report.result.outcome for report in reports)
    deciding = next(report for report in reports if report.result.outcome is outcome)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=PASSED,
        passed=all(report.passed for report in reports),
        severity=_severity(outcome),
        description=deciding.result.reason,
        metadata=check_metadata(deciding.result),
    )


def _checked(key: dg.AssetKey, name: str, found: Sequence[Measurement]) -> dg.AssetCheckResult:
    """Absence does not pass: what was not measured is not known to be well."""
    outcome = worst(m.outcome for m in found)
    deciding = [m for m in found if m.outcome is outcome]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=outcome is Outcome.PASSED,
        severity=_severity(outcome),
        description=deciding[0].reason if outcome and deciding else "nothing was held to a limit",
        metadata={
            f"{m.name} {m.subject}": m.observed for m in found[:20] if m.observed is not None
        },
    )


def _severity(outcome: Outcome | None) -> dg.AssetCheckSeverity:
    """What is not settled yet is a warning; what is shown to be wrong is an error."""
    failed = outcome in (Outcome.FAILED, Outcome.ERROR)
    return dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN
