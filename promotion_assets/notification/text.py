"""An outgoing event in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promotion_assets.notification.outgoing import OutgoingEvent

MOST_DEVIATIONS = 5


def sentence(event: OutgoingEvent) -> str:
    """Return what happened in one plain sentence or a few lines."""
    name = f"{event.model} version {event.version}" if event.version else event.model
    where = "" if event.segment == "default" else f" in segment {event.segment}"
    data: Mapping[str, Any] = event.data
    match event.type:
        case "EVALUATION_FINISHED":
            return f"{name} was {data.get('verdict')}{where}: {data.get('reason')}"
        case "CHAMPION_FAILED":
            return f"champion {name} would not be let through today{where}: {data.get('reason')}"
        case "MODEL_VERSION_TAG_SET":
            return f"{name} was tagged: {', '.join(sorted(data.get('tags') or {}))}"
        case "REVIEW_REQUESTED" | "REVIEW_REMINDED":
            still = "waits" if event.type == "REVIEW_REQUESTED" else "still waits"
            if data.get("what") == "expired":
                return f"the review of {name} expired without a decision{where}"
            turn = ", ".join(data.get("assigned") or ()) or "nobody"
            return f"{name} {still} for review{where}; it is the turn of {turn}"
        case "REVIEW_DECIDED":
            said = f": {data['comment']}" if data.get("comment") else ""
            return f"{data.get('actor')} {data.get('verdict')} {name}{where}{said}"
        case "ROLLOUT_STEP":
            percent = _percent(data.get("share_to"))
            return f"rollout of {name}{where}: {data.get('action')}, now {percent}: " + str(
                data.get("reason")
            )
        case "ROLLED_BACK":
            return (
                f"{event.model} was rolled back{where} from version {data.get('from_version')} "
                f"to {data.get('to_version')}: {data.get('reason')}"
            )
        case "REGISTRY_TAMPERED":
            return f"the registry was changed past the platform, {name}: " + _deviations(
                data.get("deviations") or []
            )
        case "DEPLOYMENT_CONFIRMED":
            return (
                f"{name} was deployed to {data.get('environment')}: smoke test "
                f"{data.get('smoke_test')}, {data.get('health')}"
            )
        case "TEST":
            return "this is a test of a subscription; nothing happened"
        case _:
            return (
                f"{name} went from {data.get('promoted_from')} to {data.get('promoted_to')}"
                f"{where} ({data.get('cause')}): {data.get('reason', '')}"
            )


def _percent(share: object) -> str:
    return f"{share / 100:g} %" if isinstance(share, int | float) else "an unknown share"


def _deviations(found: list[Mapping[str, Any]]) -> str:
    said = [
        f"{d.get('subject')} {d.get('name')} is {d.get('found')!r} and should be "
        f"{d.get('expected')!r}"
        for d in found[:MOST_DEVIATIONS]
    ]
    more = len(found) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")
