"""What a policy must not say, stanza by stanza, and where each limit lies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from promotion_assets.policy.environments import Environment, contradiction
from promotion_assets.policy.names import names_of_models
from promotion_assets.policy.notifications import Notifications, Subscription, repeated
from promotion_assets.policy.review import Freeze, ReviewPolicy, Window
from promotion_assets.policy.rollout import Experiment, RolloutPolicy
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.policy.watching import Schedule, WatchPolicy

HOOK = {"name": "a", "url": "https://host/x", "secret_env": "KEY"}
MAIL = {"name": "a", "kind": "email", "url": "smtp://host", "sender": "a@b", "to": ["c@d"]}
REFUSED: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (RolloutPolicy, {"steps": [{"share": 0.5}]}, "the last step's share is 0.5, not 1"),
    (RolloutPolicy, {"steps": [{"share": 0.5}, {"share": 0.5}, {"share": 1}]}, "must ascend"),
    (RolloutPolicy, {"steps": [{"share": 0.9}, {"share": 1}], "holdback": 0.1}, "no larger share"),
    (
        RolloutPolicy,
        {"steps": [{"share": 1, "minimum_minutes": 61, "maximum_minutes": 60}]},
        "minimum_minutes 61 is more than maximum_minutes 60",
    ),
    (RolloutPolicy, {"latency": {"quantiles": [0.9, 0.5]}}, "quantiles must ascend"),
    (RolloutPolicy, {"latency": {"quantiles": [0.5, 0.5]}}, "quantiles must ascend"),
    (Experiment, {"shares": [0.1, 0.05]}, "shares must ascend"),
    (
        Experiment,
        {"shares": [0.05, 0.1], "grow_after_days": 91, "maximum_days": 90},
        "maximum_days",
    ),
    (ReviewPolicy, {"reviewers": [{"name": "Bo"}, {"name": "bo"}]}, "reviewers repeat: bo, bo"),
    (ReviewPolicy, {"reviewers": [{"name": "bo"}, {"name": "bo "}]}, "reviewers repeat: bo, bo"),
    (
        ReviewPolicy,
        {"reviewers": [{"name": "Jos\u00e9"}, {"name": "Jose\u0301"}]},
        "reviewers repeat: jos\u00e9, jos\u00e9",
    ),
    (
        ReviewPolicy,
        {"reviewers": [{"name": "ana", "accounts": ["A.Kr"]}, {"name": "a.kr"}]},
        "reviewers repeat: a.kr is an account of ana, and one person has one vote",
    ),
    (
        ReviewPolicy,
        {"reviewers": [{"name": "a", "slack": "T/U"}, {"name": "b", "slack": "T/U"}]},
        "slack ids repeat: T/U",
    ),
    (
        ReviewPolicy,
        {"questions": [{"id": "cost", "text": "how much?"}, {"id": "cost", "text": "is it?"}]},
        "questions repeat",
    ),
    (
        ReviewPolicy,
        {"drill": {"enabled": True, "per_requests": None}},
        "neither per_requests nor per_days",
    ),
    (Window, {"from": "2026-12-24", "until": "2026-12-24", "reason": "x-mas"}, "does not come"),
    (Freeze, {"timezone": "Europe"}, "'Europe' is not a known time zone"),
    (Schedule, {"timezone": "Europe"}, "'Europe' is no time zone"),
    (Schedule, {"timezone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone"),
    (Schedule, {"champions": "0 2 * *"}, "five fields"),
    (Schedule, {"champions": "60 2 * * *"}, "'60' in '60 2 * * *' is no minute from 0 to 59"),
    (Schedule, {"champions": "0 24 * * *"}, "no hour"),
    (Schedule, {"champions": "0 2 0 * *"}, "no day"),
    (Schedule, {"champions": "0 2 * foo *"}, "no month"),
    (Schedule, {"champions": "0 2 * * 5-1"}, "no weekday"),
    (Schedule, {"champions": "*/0 2 * * *"}, "no minute"),
    (Schedule, {"champions": "0, 2 * * *"}, "no minute"),
    (WatchPolicy, {"alias": "Candidate"}, "is no alias"),
    (WatchPolicy, {"alias": "champion-eu"}, "is taken"),
    (WatchPolicy, {"alias": "v2"}, "is taken"),
    (Subscription, {"name": "a", "url": "https://host/x"}, "secret_env is missing"),
    (Subscription, {"name": "a", "kind": "slack", "channel": "#c"}, "url is missing"),
    (
        Subscription,
        {"name": "a", "kind": "github", "repository": "o/n", "authorization_env": "T"},
        "name those that start a pipeline",
    ),
    (Subscription, {**HOOK, "url": "ftp://host/x"}, "write https://host/… or http://host/…"),
    (Subscription, {**HOOK, "url": "https:///x"}, "write https"),
    (Subscription, {**HOOK, "url": "https://host:x/"}, "url: Port"),
    (Subscription, {**HOOK, "url": "https://u:p@host/"}, "user name or password"),
    (Subscription, {**HOOK, "url": "https://hooks.slack.com/x"}, "is a secret"),
    (Subscription, {**MAIL, "url": "https://host"}, "write smtp://host/… or smtps://host/…"),
    (Subscription, {**MAIL, "to": ["c@d\nBcc: e@f"]}, "line break"),
]


@pytest.mark.parametrize(("model", "values", "words"), REFUSED)
def test_what_contradicts_itself_is_refused_in_words(
    model: type[BaseModel], values: dict[str, Any], words: str
) -> None:
    """The policy's reader says what is wrong; nothing is left for a run to stumble over."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (RolloutPolicy, {"steps": [{"share": 0.9}, {"share": 1}], "holdback": 0.09}),
        (RolloutPolicy, {"steps": [{"share": 1, "minimum_minutes": 60, "maximum_minutes": 60}]}),
        (Experiment, {"shares": [0.05, 0.1], "grow_after_days": 90, "maximum_days": 90}),
        (ReviewPolicy, {"drill": {"enabled": True, "per_requests": None, "per_days": 1}}),
        (Window, {"from": "2026-12-24", "until": "2026-12-25", "reason": "x-mas"}),
        (Schedule, {"champions": "*/15,59 0-23/2 1,31 JAN-dec 0-7", "timezone": "Europe/Berlin"}),
        (Schedule, {"champions": "0 2 * * mon"}),
        (WatchPolicy, {"alias": "candidate"}),
        (Subscription, {**HOOK, "url": "${ADDRESS}"}),
        (Subscription, MAIL),
        (Subscription, {"name": "a", "kind": "slack", "url": "${SLACK}"}),
    ],
)
def test_what_lies_at_the_limit_is_accepted(model: type[BaseModel], values: dict[str, Any]) -> None:
    """The nearest sound value beside each refused one holds."""
    model.model_validate(values)


def test_environments_after_the_first_need_a_key_and_all_differ() -> None:
    """Nothing arrives anywhere without somebody's attestation."""
    dev = Environment(name="dev", registry="http://a")
    prod = Environment(name="prod", registry="http://b", trusted_keys=("dev.pem",))
    assert contradiction([]) is None
    assert contradiction([dev, prod]) is None
    bare = prod.model_copy(update={"trusted_keys": ()})
    assert "prod needs trusted_keys" in (contradiction([dev, bare]) or "")
    for twin in ({"name": "dev"}, {"registry": "http://a"}):
        assert "one name or one registry" in (
            contradiction([dev, prod.model_copy(update=twin)]) or ""
        )


def test_rollout_tells_its_way_its_shares_and_how_often_it_may_err() -> None:
    """An experiment comes before the larger steps; the holdback is kept of the last one only."""
    plain = RolloutPolicy(holdback=0.1)
    assert [plain.share_at(n) for n in range(3)] == [500, 2500, 9000]
    assert plain.experiment_ends is None
    assert RolloutPolicy(experiment=Experiment(shares=(0.05, 0.25))).experiment_ends == 1
    tried = RolloutPolicy(experiment=Experiment(shares=(0.1, 0.25), grow_after_days=2))
    assert [step.share for step in tried.way] == [0.1, 0.25, 1]
    assert [step.minimum for step in tried.way[:2]] == [timedelta(days=2), timedelta()]
    assert tried.way[0].maximum == timedelta(days=90)
    assert plain.family_rate == pytest.approx(0.05 + 0.05 + 0.01 + 0.01)
    assert RolloutPolicy(latency=None, decision_rate=None).family_rate == pytest.approx(0.06)
    assert not plain.needs_deployment(0)
    last = RolloutPolicy.model_validate(
        {"steps": [{"share": 0.5}, {"share": 1, "require_deployment": True}]}
    )
    assert [last.needs_deployment(n) for n in (0, 1)] == [False, True]
    assert plain.rules_digest == RolloutPolicy(holdback=0.1, tick_seconds=5).rules_digest
    assert plain.rules_digest != RolloutPolicy(holdback=0.11).rules_digest


def test_review_asks_as_many_people_as_stakes_and_risk_say() -> None:
    """High stakes never need fewer than two; the roster is no part of what was asked."""
    usual = ReviewPolicy.model_validate({"reviewers": [{"name": "Bo", "accounts": [" B.O "]}]})
    risks = ("low", "medium", "high")
    assert [usual.needed(risk) for risk in risks] == [1, 1, 2]
    high = usual.model_copy(update={"stakes": "high"})
    assert [high.needed(risk) for risk in risks] == [2, 2, 2]
    bo = usual.reviewer("Bo")
    assert bo is not None
    assert bo.is_one_of(frozenset({"b.o"}))
    assert not bo.is_one_of(frozenset({"cy"}))
    assert usual.reviewer("bo") is None
    opened = datetime(2026, 3, 2, tzinfo=UTC)
    assert usual.expiry(opened) == opened + timedelta(days=14)
    assert usual.approval_ttl == timedelta(days=14)
    assert usual.rules_digest(None) == ReviewPolicy().rules_digest(None)
    assert usual.rules_digest(None) != usual.rules_digest("no traffic yet")
    assert usual.rules_digest(None) != high.rules_digest(None)


def test_shadow_runs_two_days_a_week_or_what_the_policy_says() -> None:
    """The least share is one basis point; how much is copied changes no rule."""
    assert ShadowPolicy().minimum_time == timedelta(hours=48)
    assert ShadowPolicy(weekly=True).minimum_time == timedelta(days=7)
    assert ShadowPolicy(weekly=True, minimum_hours=1).minimum_time == timedelta(hours=1)
    assert [ShadowPolicy(sampling=s).share for s in (0.00001, 0.01, 1)] == [1, 100, 10_000]
    assert ShadowPolicy(label_delay_days=2).label_delay == timedelta(days=2)
    assert ShadowPolicy(outcome_days=3).outcome_window == timedelta(days=3)
    assert ShadowPolicy(sampling=1, report_hours=2).rules_digest == ShadowPolicy().rules_digest
    assert ShadowPolicy(threshold=0.4).rules_digest != ShadowPolicy().rules_digest


def test_subscription_wants_its_events_of_its_models() -> None:
    """Both must fit; a star is every event, a pattern every model that it matches."""
    some = Subscription.model_validate(
        {**HOOK, "events": ["ROLLED_BACK", "TEST"], "models": ["credit-*"]}
    )
    assert some.wants("ROLLED_BACK", "credit-risk")
    assert not some.wants("ROLLOUT_STEP", "credit-risk")
    assert not some.wants("ROLLED_BACK", "churn")
    assert Subscription.model_validate(HOOK).wants("ROLLOUT_STEP", "churn")
    slack = {"name": "s", "kind": "slack", "channel": "#c", "authorization_env": "TOKEN"}
    assert Subscription.model_validate(slack).address.startswith("https://slack.com/")
    assert some.address == "https://host/x"
    assert repeated([some, some, Subscription.model_validate({**HOOK, "name": "b"})]) == ["a"]


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("hooks.corp", "hooks.corp", 443, True),
        ("Hooks.Corp.", "hooks.corp", 443, True),
        ("hooks.corp", "HOOKS.corp.", 80, True),
        ("hooks.corp:8443", "hooks.corp", 8443, True),
        ("hooks.corp:8443", "hooks.corp", 443, False),
        ("[::1]:80", "::1", 80, True),
        ("hooks.corp", "evil.hooks.corp", 443, False),
    ],
)
def test_private_hosts_are_allowed_by_name_and_port_alone(
    entry: str, host: str, port: int, allowed: bool
) -> None:
    """A name allows every port of it, a port only itself, and a parent none of its children."""
    assert Notifications(allow_hosts=(entry,)).allows(host, port) == allowed


def test_names_of_models_are_read_from_whatever_can_be_read(tmp_path: Path) -> None:
    """A gate's mistake changes no name; what is no policy has none, and breaks nothing."""
    file = tmp_path / "promotion.yaml"
    assert names_of_models(file) == ()
    for text, names in (
        ("models: {a: {gates: {nonsense: 1}}, b: 2}", ("a", "b")),
        ("models: [a]", ()),
        ("- a", ()),
        ("a: [", ()),
    ):
        file.write_text(text)
        assert names_of_models(file) == names
    file.write_bytes(b"\xff\xfe")
    assert names_of_models(file) == ()
