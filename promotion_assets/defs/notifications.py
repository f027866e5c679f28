"""Notifications in Dagster: a sensor that sends them, and an asset that shows what does not go."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import dagster as dg

from promotion_assets.canonical import digest_of
from promotion_assets.defs.metadata import Materialized, Metadata, table
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import spoken
from promotion_assets.errors import PromotionError
from promotion_assets.notification.dispatch import Round
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.overview import Overview, overview

KEY = dg.AssetKey(["notifications"])
EVERYTHING_ARRIVES = "everything_arrives"
# A tick may take a minute; the last delivery begins well before.
BUDGET_SECONDS = 20.0


def notifications(group: str = "platform") -> dg.AssetsDefinition:
    """Return the asset that is the outbox of all models.

    Args:
        group: the asset group. With one model it is that model's: a graph of one group opens by
            itself, while two are shown closed.
    """

    @dg.multi_asset(
        name="notifications",
        specs=[
            dg.AssetSpec(
                KEY,
                description="What others are told of, from the outbox in the ledger's database: "
                "who is told, what waits, and dead letters. Materialising it sends what is due.",
                group_name=group,
                kinds={"sqlite"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                EVERYTHING_ARRIVES,
                asset=KEY,
                description="No notification was given up, and none waits after a failure.",
            )
        ],
    )
    def _notifications(platform: Platform) -> Iterator[Materialized | dg.AssetCheckResult]:
        with spoken():
            notifier = Notifier(platform.workspace)
            done = notifier.deliver(_while_time())
            found = overview(notifier)
        yield dg.MaterializeResult(asset_key=KEY, metadata=_shown(done, found))
        passed, said = _judged(found)
        yield dg.AssetCheckResult(
            asset_key=KEY, check_name=EVERYTHING_ARRIVES, passed=passed, description=said
        )

    return _notifications


def notifications_sensor(*, interval_seconds: int = 10) -> dg.SensorDefinition:
    """Return the sensor that sends what is due, and reports on the asset when that changes."""

    @dg.sensor(
        name="notifications",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends webhooks, messages and mails from the outbox, and tries again.",
    )
    def _notifications(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            with platform.opened() as workspace, closing(Notifier(workspace)) as notifier:
                done = notifier.deliver(_while_time())
                found = overview(notifier)
        except PromotionError as error:
            return dg.SkipReason(str(error))
        passed, said = _judged(found)
        seen = digest_of([said, dict(_counts(found))])
        events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        if seen != context.cursor:
            events = [
                dg.AssetMaterialization(KEY, metadata=_shown(done, found)),
                dg.AssetCheckEvaluation(
                    asset_key=KEY,
                    check_name=EVERYTHING_ARRIVES,
                    passed=passed,
                    metadata={},
                    description=said,
                ),
            ]
        return dg.SensorResult(
            skip_reason=f"{done.delivered} delivered; {said}"[:1000],
            cursor=seen,
            asset_events=events,
        )

    return _notifications


def _while_time() -> Callable[[], bool]:
    until = time.monotonic() + BUDGET_SECONDS
    return lambda: time.monotonic() < until


def _judged(found: Overview) -> tuple[bool, str]:
    counts = _counts(found)
    stuck = [f"{w['subscription']}: {w['problem']}" for w in found["waiting"]]
    if not counts["dead"] and not stuck:
        return True, f"{counts['pending']} wait, none after a failure"
    said = [f"{counts['dead']} dead letters"] if counts["dead"] else []
    return False, "; ".join(said + list(dict.fromkeys(stuck)))[:500]


def _counts(found: Overview) -> dict[str, int]:
    subscriptions = found["subscriptions"]
    return {
        "pending": found["unshared"] + sum(s["pending"] for s in subscriptions),
        "dead": sum(s["dead"] for s in subscriptions),
        "delivered": sum(s["delivered"] for s in subscriptions),
    }


def _shown(done: Round, found: Overview) -> Metadata:
    counts = _counts(found)
    shown: Metadata = {
        "delivered now": done.delivered,
        "waiting": counts["pending"],
        "dead letters": counts["dead"],
        "subscriptions": table(
            [
                {
                    "name": s["name"],
                    "kind": s["kind"],
                    "waiting": str(s["pending"]),
                    "delivered": str(s["delivered"]),
                    "dead": str(s["dead"]),
                }
                for s in found["subscriptions"]
            ]
        ),
    }
    failed = [*found["waiting"], *found["dead_letters"]]
    if failed:
        shown["not arrived"] = table(
            [
                {
                    "subscription": d["subscription"],
                    "event": d["type"],
                    "id": d["id"],
                    "attempts": str(d["attempts"]),
                    "next": d["next_at"] or "never",
                    "problem": d["problem"],
                }
                for d in failed
            ]
        )
    return shown
