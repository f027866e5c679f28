"""Human review in Dagster: votes completed from the launchpad, and what reviewers said."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from promotion_assets.canonical import digest_of
from promotion_assets.defs.metadata import Materialized, Metadata, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import SEGMENT_TAG, Platform, segment_of
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.lifecycle.events import ReviewDecided
from promotion_assets.pipeline.review_requests import Kept, keep_requests
from promotion_assets.pipeline.reviewing import ReviewDesk
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy


class ReviewConfig(dg.Config):
    """What a reviewer may give in the launchpad."""

    one_time_token: str = Field(
        default="",
        description="From the finished questionnaire on the reviewers' page: completes your vote, "
        "once. A run's configuration is kept and shown, so a personal token does not belong here.",
    )


def review(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that is a version's human review."""
    key = names.key("review")

    @dg.multi_asset(
        name=names.step("review"),
        specs=[
            asset_spec(
                names,
                policy,
                "review",
                "Who approved or rejected the version, when, with which answers and flags. With a "
                "one-time token from the reviewers' page it completes a vote. The run's tag "
                f"{SEGMENT_TAG} names the segment where it is not the default one.",
                deps=["shadow_report"],
                kinds={"sqlite"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _review(
        context: dg.AssetExecutionContext, config: ReviewConfig, platform: Platform
    ) -> Materialized:
        version, segment = context.partition_key, segment_of(context)
        with spoken():
            if config.one_time_token:
                desk = ReviewDesk(platform.workspace)
                of = (names.model, version)
                desk.redeem(config.one_time_token, "dagster", of=of, segment=segment)
            keep_requests(platform.workspace, names.model)
        state = platform.workspace.ledger.state(names.model)
        votes = state.reviews.get((segment, version), ())
        return dg.MaterializeResult(asset_key=key, metadata=_shown(votes, policy))

    return _review


def reviews_sensor(
    models: Sequence[Names], jobs: Mapping[str, Any], *, interval_seconds: int = 60
) -> dg.SensorDefinition:
    """Return the sensor that keeps reviews, and starts the promotion of what is approved.

    A quorum asks for one run: its key names the evidence, so that it is not asked for twice.
    """
    by_model = {names.model: names for names in models}

    @dg.sensor(
        name="reviews",
        jobs=list(jobs.values()),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Opens, reminds and expires reviews; starts the rollout of what is approved.",
    )
    def _reviews(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        requests: list[dg.RunRequest] = []
        said: list[str] = []
        approved: dict[str, list[str]] = {}
        with platform.opened() as workspace:
            for model, names in by_model.items():
                try:
                    kept = keep_requests(workspace, model)
                except Unreachable as error:
                    return dg.SkipReason(str(error))
                except PromotionError as error:
                    said.append(f"{model}: {error}")
                    continue
                said += [f"{model}: {problem}" for problem in kept.problems]
                found = _promotions(workspace, names, jobs[model], kept)
                requests += found
                if found:
                    approved[model] = [r.partition_key for r in found if r.partition_key]
        waiting = "; ".join(said) or "no review has reached its quorum"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else waiting[:1000],
            # A version may have been evaluated by command, through another instance.
            dynamic_partitions_requests=[
                by_model[model].partitions.build_add_request(versions)
                for model, versions in approved.items()
            ],
        )

    return _reviews


def _promotions(workspace: Workspace, names: Names, job: Any, kept: Kept) -> list[dg.RunRequest]:
    state = workspace.ledger.state(names.model)
    return [
        dg.RunRequest(
            run_key=digest_of(
                [names.model, version, segment, dict(state.requests[segment, version].evidence)]
            ),
            job_name=job.name,
            partition_key=version,
            tags={
                "promotion/version": version,
                "promotion/reason": "a quorum has approved it",
                SEGMENT_TAG: segment,
            },
        )
        for version, segment in kept.approved
    ]


def _shown(votes: Sequence[ReviewDecided], policy: ModelPolicy) -> Metadata:
    approvals = len({vote.actor for vote in votes if vote.verdict == "approved"})
    shown: Metadata = {
        "approvals": approvals,
        "needed": policy.review.needed(policy.risk_class),
        "votes": table(
            [
                {
                    "reviewer": vote.actor,
                    "verdict": vote.verdict,
                    "at": vote.reviewed_at.isoformat(timespec="seconds"),
                    "seconds": "" if vote.seconds is None else f"{vote.seconds:.0f}",
                    "flags": "; ".join(vote.flags),
                    "through": vote.surface,
                    "comment": vote.comment,
                }
                for vote in votes
            ]
        ),
    }
    for vote in votes:
        shown[f"answers of {vote.actor}"] = dg.MetadataValue.json(dict(vote.answers))
    return shown
