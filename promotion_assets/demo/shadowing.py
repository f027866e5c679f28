"""The sound challenger as a shadow: four days of traffic, its report, and the review it opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from promotion_assets.demo.data import live_customers, read_customers
from promotion_assets.demo.traffic import DemoClock, Traffic, answering
from promotion_assets.demo.versions import MODEL
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.review_requests import keep_requests
from promotion_assets.pipeline.serving import server_app
from promotion_assets.pipeline.shadow_reporting import keep_report, make_report, subject_of
from promotion_assets.pipeline.shadowing import keep_shadows
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.rollout.shadow_report import ShadowReport
from promotion_assets.rollout.shadow_text import bounds_of, title_of, value_of

REQUESTS = 2400
DAYS = 4
PARTS = 4
# The background writer writes ten times a second.
FLUSH_SECONDS = 0.4
SHOWN = ("disagreement", "shift", "psi", "latency_change", "labelled_pairs", "auc_change")
Report = Callable[[str], None]


def shadow_story(workspace: Workspace, report: Report) -> tuple[str, ...]:
    """Play traffic where the shadow has not passed yet, and open the review of one that has.

    Returns:
        A short account, a line each.
    """
    keep_shadows(workspace, MODEL)
    plan = workspace.ledger.state(MODEL).traffic
    segment = plan.segment(DEFAULT_SEGMENT) if plan else None
    if segment is None or segment.shadow is None:
        return ("no version is a shadow: the policy waives it, or nothing is in Staging",)
    version = segment.shadow.version
    if not _has_passed(workspace, version):
        made = _played(workspace, version, segment.shadow_share, report)
        keep_report(workspace, made)
        account = tuple(_account(made))
    else:
        account = (f"version {version} has passed as a shadow before; nothing was played again",)
    keep_requests(workspace, MODEL)
    return (*account, _review(workspace, version))


def _has_passed(workspace: Workspace, version: str) -> bool:
    state = workspace.ledger.state(MODEL)
    found = state.shadows.get((DEFAULT_SEGMENT, version))
    subject = subject_of(state, version, DEFAULT_SEGMENT)
    rules = workspace.policy_of(MODEL).shadow.rules_digest
    return (
        found is not None
        and found.passed
        and (found.model_digest, found.champion_digest, found.rules_digest)
        == (subject.model_digest, subject.champion_digest, rules)
    )


def _played(workspace: Workspace, version: str, share: int, report: Report) -> ShadowReport:
    """Play the last four days, on a clock that ends now, and return the report at its end."""
    clock = DemoClock(workspace.clock() - timedelta(days=DAYS))
    fast = replace(workspace, clock=clock)
    traffic = Traffic(live_customers(read_customers()).head(REQUESTS), clock, timedelta(days=DAYS))
    began = time.monotonic()
    events = event_log(fast)
    made = None
    try:
        with answering(lambda: server_app(fast, MODEL)) as port:
            report(
                f"champion answers at port {port}, version {version} gets copies of "
                f"{share / 100:g} % of the requests"
            )
            for passed in traffic.play(port, PARTS):
                time.sleep(FLUSH_SECONDS)
                made = make_report(fast, events, MODEL, version)
                days = passed / timedelta(days=1)
                words = made.result.reason.partition(";")[0]
                report(f"after {days:.0f} d: {made.result.outcome}: {words}")
    finally:
        events.close()
    assert made is not None
    seconds = time.monotonic() - began
    report(
        f"{traffic.answered:,} requests answered in {seconds:.0f} s; of "
        f"{traffic.told.get('new', 0):,} the outcome became known"
    )
    return made


def _account(made: ShadowReport) -> Iterator[str]:
    word = "passed" if made.passed else f"is {made.result.outcome}"
    yield f"the shadow report of version {made.version} {word}: {made.result.reason}"
    for measured in made.result.measurements:
        if measured.name in SHOWN and measured.subject in ("overall", "p95"):
            bounds = bounds_of(measured)
            yield f"  {title_of(measured):<38} {value_of(measured):>10}  {bounds}".rstrip()


def _review(workspace: Workspace, version: str) -> str:
    state = workspace.ledger.state(MODEL)
    request = state.requests.get((DEFAULT_SEGMENT, version))
    if request is None:
        return f"no review of version {version} is open"
    return f"the review of version {version} is open; it is the turn of " + (
        ", ".join(request.assigned) or "nobody: the policy names no reviewer"
    )
