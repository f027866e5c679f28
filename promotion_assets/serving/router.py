"""Which arm answers a request: a pure function of the plan and of who is asked about.

Nothing here but the standard library, and nothing that waits: it can be used in any service, in
place of our server. A unit's bucket is the top 64 bits of SHA-256 of ``salt:unit``, scaled to
10,000. An arm has the buckets below its share: whoever is in at 5 % stays in at 25 %, and
another salt draws an independent sample. (``md5(unit) % 100`` without a salt tries every release
on the same people.)
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan

BUCKETS = 10_000


class Routed(NamedTuple):
    """Where a request goes.

    Attributes:
        segment: name of the segment that the request belongs to.
        role: ``candidate`` for the units within the candidate's share, else ``stable``.
        arm: who is to answer.
        share, salt: of the plan's candidate in this segment; what an event records.
        shadow: who gets a copy of the request besides, if anybody.
    """

    segment: str
    role: Literal["stable", "candidate"]
    arm: Arm
    share: int
    salt: str
    shadow: Arm | None


def route(
    plan: TrafficPlan,
    *,
    unit: str | None = None,
    request_id: str | None = None,
    segment: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Routed:
    """Return who answers.

    Args:
        unit: who or what is judged, as stable as the sample shall be; without one the champion
            answers.
        request_id: what the sampling for the shadow goes by; without one the unit.
        segment: by name; one that the plan does not have means the default.
        attributes: of the request, for the segments that match by them.
    """
    chosen = segment_of(plan, segment, attributes)
    candidate = chosen.candidate
    mine = candidate is not None and bool(unit) and bucket(chosen.salt, unit or "") < chosen.share
    arm = candidate if mine and candidate is not None else chosen.stable
    return Routed(
        segment=chosen.name,
        role="candidate" if mine else "stable",
        arm=arm,
        share=chosen.share,
        salt=chosen.salt,
        shadow=chosen.shadow if _sampled(chosen, request_id or unit) else None,
    )


def segment_of(
    plan: TrafficPlan, name: str | None = None, attributes: Mapping[str, str] | None = None
) -> SegmentPlan:
    """Return the segment named, else the first whose every attribute matches, else the default."""
    default = None
    for each in plan.segments:
        if each.name == name:
            return each
        if each.name == plan.default:
            default = each
    if name is None and attributes:
        for each in plan.segments:
            if each.match and all(attributes.get(k) in v for k, v in each.match.items()):
                return each
    assert default is not None
    return default


def bucket(salt: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 9,999, the same for ever and in any language."""
    digest = sha256(f"{salt}:{unit}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) * BUCKETS >> 64


def _sampled(segment: SegmentPlan, key: str | None) -> bool:
    if segment.shadow is None or segment.shadow_share <= 0:
        return False
    if segment.shadow_share >= BUCKETS:
        return True
    return bool(key) and bucket(segment.shadow_salt, key or "") < segment.shadow_share
