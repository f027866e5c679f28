"""The end of an evaluation: the decision, its record in the ledger, and the move to Staging."""

from collections.abc import Iterator

import dagster as dg

from promotion_assets.adapters.tracing import run_ended, traced
from promotion_assets.decision.decide import Decision
from promotion_assets.defs.checks import ALL_GATES_PASSED, check_spec
from promotion_assets.defs.metadata import SIGNS, Materialized, Metadata, as_text, table
from promotion_assets.defs.names import REQUEST_TAG, Names, gate_asset
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.lifecycle.record import same_decision, same_question
from promotion_assets.pipeline.pages import review_page
from promotion_assets.pipeline.promoting import record_decision, to_staging
from promotion_assets.pipeline.review_outlook import review_outlook
from promotion_assets.pipeline.review_requests import keep_requests
from promotion_assets.policy.model import ModelPolicy

TRACE_TAG = "promotion/trace"


def decision(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that holds the verdict on one version."""
    key = names.key("decision")

    @dg.multi_asset(
        name=names.step("decision"),
        specs=[
            asset_spec(
                names,
                policy,
                "decision",
                "The verdict on the version from all gate results, with everything it was "
                "judged by pinned by digest.",
                deps=[gate_asset(gate) for gate in policy.gates],
                kinds={"python"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _decision(context: dg.AssetExecutionContext, platform: Platform) -> Materialized:
        with spoken(), platform.traced():
            made = platform.evaluator(names.model).decide(context.partition_key)
        return dg.MaterializeResult(asset_key=key, metadata=decision_metadata(made))

    return _decision


def audit_record(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that is the decision's entry in the ledger."""
    key = names.key("audit_record")

    @dg.multi_asset(
        name=names.step("audit_record"),
        specs=[
            asset_spec(
                names,
                policy,
                "audit_record",
                "The decision's entry in the append-only ledger, signed and chained to the entry "
                "before. It is written whether the version was approved or rejected.",
                deps=["decision"],
                kinds={"sqlite"},
                partitions=names.partitions,
            )
        ],
        check_specs=[
            check_spec(
                ALL_GATES_PASSED,
                key,
                "Every required gate let the version through. Blocks the way to Staging.",
                partitions=names.partitions,
                blocking=True,
            )
        ],
        partitions_def=names.partitions,
    )
    def _audit_record(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        evaluator = platform.evaluator(names.model)
        with spoken(), platform.traced():
            made = evaluator.decision(context.partition_key)
            stands = same_question if REQUEST_TAG in context.run.tags else same_decision
            entry = record_decision(evaluator, made, stands=stands)
            held = entry.event
            assert isinstance(held, EvaluationFinished)
        _end_trace(context, entry.sequence, held)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "ledger_entry": entry.sequence,
                "entry_hash": entry.hash,
                "decision_digest": held.decision_digest,
                "verdict": dg.MetadataValue.md(_verdict(held.verdict, held.reason)),
            },
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=ALL_GATES_PASSED,
            passed=held.verdict == "approved",
            description=held.reason,
            metadata={"reason": held.reason, "deciding_gates": ", ".join(held.deciding_gates)},
        )

    return _audit_record


def staging(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that moves an approved version to Staging."""
    key = names.key("staging")

    @dg.multi_asset(
        name=names.step("staging"),
        specs=[
            asset_spec(
                names,
                policy,
                "staging",
                "The version in Staging. Decision and digests are read from the ledger again "
                "before it moves, so that materialising this asset alone opens no way around.",
                deps=["audit_record"],
                kinds={"mlflow"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _staging(context: dg.AssetExecutionContext, platform: Platform) -> Materialized:
        evaluator = platform.evaluator(names.model)
        with spoken(), platform.traced():
            sentence, stage = to_staging(
                evaluator, context.partition_key, actor=f"dagster run {context.run.run_id}"
            )
            kept = keep_requests(evaluator.workspace, names.model)
            outlook = review_outlook(
                evaluator.workspace, names.model, context.partition_key, kept, evaluator.segment
            )
            page = review_page(evaluator.workspace, names.model, context.partition_key)
        shown: Metadata = {"result": sentence, "stage": str(stage), "review": outlook}
        if page:
            shown["review_page"] = dg.MetadataValue.url(page)
        return dg.MaterializeResult(asset_key=key, metadata=shown)

    return _staging


def decision_metadata(made: Decision) -> Metadata:
    """Return what a decision shows: the verdict in a sentence, every gate in a table, the pins."""
    return {
        "verdict": dg.MetadataValue.md(_verdict(made.verdict, made.reason)),
        "gates": table(
            [
                {
                    "gate": r.gate,
                    "outcome": SIGNS[r.outcome],
                    "observed": "" if r.observed is None else f"{r.observed:.4g}",
                    "limit": "" if r.limit is None else f"{r.limit:.4g}",
                    "reason": r.reason,
                }
                for r in made.results
            ]
        ),
        "pins": dg.MetadataValue.json(made.pins.model_dump(mode="json")),
        "digest": made.digest,
        "approved": 1 if made.approved else 0,
    }


def _end_trace(context: dg.AssetExecutionContext, sequence: int, held: EvaluationFinished) -> None:
    """Make the span of the evaluation as a whole, and write on the run which trace it has."""
    if not traced():
        return
    run = context.run.run_id
    record = context.instance.get_run_record_by_id(run)
    trace = run_ended(
        run,
        "evaluation",
        None if record is None else record.start_time,
        model=held.model,
        version=held.version,
        segment=held.segment,
        verdict=held.verdict,
        deciding_gates=", ".join(held.deciding_gates),
        sequence=sequence,
        run=run,
    )
    if trace:
        context.instance.add_run_tags(run, {TRACE_TAG: trace})


def _verdict(verdict: str, reason: str) -> str:
    return f"**{verdict.upper()}**: {as_text(reason)}"
