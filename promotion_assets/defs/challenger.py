"""The challenger in Dagster: which version is right more often, on outcomes that have matured."""

from collections.abc import Iterator, Mapping

import dagster as dg

from promotion_assets.adapters.plots import as_markdown, intervals
from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.metadata import (
    Materialized,
    Metadata,
    check_metadata,
    gate_metadata,
    table,
)
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, failure
from promotion_assets.errors import EvidenceMissing, PromotionError
from promotion_assets.gates.contract import Outcome
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.pipeline.challenger_reporting import make_challenger_report
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.rollout.challenger import ChallengerReport

RECOMMENDED, FAIR = "recommended", "shares_as_planned"


def challenger_report(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that is a version's challenger report."""
    key = names.key("challenger_report")

    @dg.multi_asset(
        name=names.step("challenger_report"),
        specs=[
            asset_spec(
                names,
                policy,
                "challenger_report",
                "Units that the version and the champion answered while it rolls out, and what "
                "became of them: only those old enough that everybody's outcome would be known. "
                "The interval holds at every look.",
                deps=["rollout"],
                kinds={"python"},
                partitions=names.partitions,
            )
        ],
        check_specs=[
            check_spec(
                RECOMMENDED,
                key,
                "Do matured outcomes recommend the version?",
                partitions=names.partitions,
            ),
            check_spec(
                FAIR,
                key,
                "Did each arm get the units that were planned for it?",
                partitions=names.partitions,
            ),
        ],
        partitions_def=names.partitions,
    )
    def _challenger_report(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        workspace = platform.workspace
        segment = _segment_of(workspace.ledger.state(names.model).rolling, context.partition_key)
        events = event_log(workspace)
        try:
            report = make_challenger_report(workspace, events, names.model, segment)
        except EvidenceMissing as error:
            yield from _absent(key, error)
            return
        except PromotionError as error:
            raise failure(error) from None
        finally:
            events.close()
        yield dg.MaterializeResult(asset_key=key, metadata=_shown(report))
        yield from _checks(key, report)

    return _challenger_report


def _checks(key: dg.AssetKey, report: ChallengerReport) -> Iterator[dg.AssetCheckResult]:
    failed = report.result.outcome is Outcome.FAILED
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name=RECOMMENDED,
        passed=report.result.outcome is Outcome.PASSED,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=report.result.reason,
        metadata=check_metadata(report.result),
    )
    ratio = next(m for m in report.result.measurements if m.name == "sample_ratio")
    broken = ratio.outcome is Outcome.ERROR
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name=FAIR,
        passed=ratio.outcome is Outcome.PASSED,
        severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
        description=ratio.reason,
        metadata={"p": ratio.observed, "units": ratio.sample_size or 0},
    )


def _absent(
    key: dg.AssetKey, error: EvidenceMissing
) -> Iterator[Materialized | dg.AssetCheckResult]:
    """A version that is not rolling out has nothing to compare, and no check passes by that."""
    yield dg.MaterializeResult(asset_key=key, metadata={"nothing to compare": error.problem})
    for name in (RECOMMENDED, FAIR):
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=error.problem,
        )


def _segment_of(rolling: Mapping[str, str], version: str) -> str:
    return next((s for s, v in rolling.items() if v == version), DEFAULT_SEGMENT)


def _shown(report: ChallengerReport) -> Metadata:
    pictures = {}
    if report.effect.observed is not None and report.effect.interval is not None:
        drawn = intervals(
            [report.effect.model_copy(update={"subject": "candidate less champion"})],
            title=f"{report.metric} per unit, matured outcomes; below 0 the candidate is better",
            limit=report.effect.limit,
            limit_label="margin",
        )
        pictures["effect"] = as_markdown(drawn, "difference of the arms with its interval")
    shown = gate_metadata(report.result, pictures)
    shown["recommendation"] = report.recommendation
    shown["arms"] = table([arm.model_dump() for arm in report.arms])
    for name, value in (
        ("smallest effect that shows now", report.detectable_now),
        ("smallest effect that shows once all are matured", report.detectable_later),
        ("power left, planned effect", report.power_planned),
        ("power left, effect as seen", report.power_trend),
    ):
        if value is not None:
            shown[name] = value
    shown["outcomes of units that are not matured, not used"] = report.immature
    return shown
