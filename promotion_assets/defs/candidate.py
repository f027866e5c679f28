"""Assets of one version before it is judged: the candidate and the scores."""

from collections.abc import Iterator

import dagster as dg

from promotion_assets.defs.metadata import Materialized, Metadata, as_text, table
from promotion_assets.defs.names import Names, gate_asset
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.scores import Scores, ScoringFailure, StoredScores
from promotion_assets.pipeline.pages import run_page, version_page
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy


def candidate(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that takes a version in from the registry."""
    key = names.key("candidate")

    @dg.multi_asset(
        name=names.step("candidate"),
        specs=[
            asset_spec(
                names,
                policy,
                "candidate",
                "The registered version: its artifact, taken once into a read-only store and "
                "named by the digest of its bytes, and what its author claims of it.",
                kinds={"mlflow"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _candidate(context: dg.AssetExecutionContext, platform: Platform) -> Materialized:
        with spoken(), platform.traced():
            taken = platform.evaluator(names.model).take(context.partition_key)
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(taken.digest or "unreadable"),
            metadata=_candidate_metadata(taken) | _mlflow_pages(platform.workspace, taken),
        )

    return _candidate


def scores(
    names: Names, policy: ModelPolicy, before_loading: tuple[str, ...]
) -> dg.AssetsDefinition:
    """Return the step that scores candidate and champion, once each, on the same rows."""
    deps = ["candidate", "evaluation_dataset", *(gate_asset(gate) for gate in before_loading)]

    @dg.multi_asset(
        name=names.step("scores"),
        specs=[
            asset_spec(
                names,
                policy,
                "candidate_scores",
                "The candidate's answers on the evaluation dataset, given in an isolated child "
                "process, and its latencies. Every gate reads these and none scores again.",
                deps=deps,
                kinds={"sklearn", "arrow"},
                partitions=names.partitions,
            ),
            asset_spec(
                names,
                policy,
                "champion_scores",
                "The champion's answers on the same rows, so that comparisons are paired.",
                deps=["evaluation_dataset"],
                kinds={"sklearn", "arrow"},
                partitions=names.partitions,
            ),
        ],
        partitions_def=names.partitions,
    )
    def _scores(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Materialized]:
        evaluator = platform.evaluator(names.model)
        with spoken(), platform.traced():
            own, theirs = evaluator.score(context.partition_key)
        yield dg.MaterializeResult(
            asset_key=names.key("candidate_scores"), metadata=_score_metadata(own)
        )
        champion = evaluator.compared_with(context.partition_key)
        metadata = _score_metadata(theirs)
        if champion is not None:
            metadata["champion_version"] = champion.version
        yield dg.MaterializeResult(asset_key=names.key("champion_scores"), metadata=metadata)

    return _scores


def _candidate_metadata(taken: Candidate) -> Metadata:
    shown: Metadata = {
        "digest": taken.digest or "the artifact cannot be read",
        "registered": taken.created_at.isoformat(),
        "source": taken.source,
        "author": taken.author or "not given",
    }
    if taken.run_id:
        shown["run"] = taken.run_id
    if taken.description:
        shown["model_card"] = dg.MetadataValue.md(taken.description[:20_000])
    if taken.problems:
        shown["problems"] = dg.MetadataValue.md(
            "\n".join(f"- {as_text(p)}" for p in taken.problems)
        )
    if taken.logged_metrics:
        shown["claimed_metrics"] = table(
            [
                {"metric": name, "as its author logged it": f"{value:.6g}"}
                for name, value in sorted(taken.logged_metrics.items())
            ]
        )
    if taken.artifact:
        shown["files"] = table(
            [{"path": f.path, "bytes": f.size, "sha256": f.sha256} for f in taken.artifact.files]
        )
    if taken.signature:
        shown["inputs"] = dg.MetadataValue.table_schema(
            dg.TableSchema(
                [dg.TableColumn(c.name or "(unnamed)", c.type) for c in taken.signature.inputs]
            )
        )
    return shown


def _mlflow_pages(workspace: Workspace, taken: Candidate) -> Metadata:
    pages = {"mlflow/version": version_page(workspace, taken.model, taken.version)}
    if taken.run_id:
        pages["mlflow/run"] = run_page(workspace, taken.run_id)
    return {name: dg.MetadataValue.url(page) for name, page in pages.items() if page}


def _score_metadata(scores: Scores | StoredScores | ScoringFailure | None) -> Metadata:
    if scores is None:
        return {"result": "There is no champion to compare with."}
    if isinstance(scores, ScoringFailure):
        shown: Metadata = {
            "result": dg.MetadataValue.md(
                f"**NOT SCORED** ({scores.kind}): {as_text(scores.reason)}"
            )
        }
        if scores.output:
            shown["output"] = scores.output
        return shown
    rows = scores.rows if isinstance(scores, StoredScores) else len(scores.values)
    return {
        "result": f"{rows:,} rows in {scores.seconds:.2f} s",
        "rows": rows,
        "seconds": scores.seconds,
        "peak_memory_mib": round(scores.peak_memory_bytes / 2**20, 1),
        "isolation": scores.isolation,
        "model_digest": scores.model_digest,
        "dataset_digest": scores.dataset_digest,
    }
