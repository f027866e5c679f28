"""The reviewers' guide: its policies are valid, its numbers are the defaults."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from textwrap import dedent

import yaml

from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.run import sign_in_hint
from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import load_policy
from promotion_assets.policy.review import ReviewPolicy
from promotion_assets.review.on_call import covered_by
from promotion_assets_tests.review.test_requests import UTC_NOON

GUIDE = (Path(__file__).parents[2] / "docs" / "reviews.md").read_text()
BLOCKS = [dedent(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]


def review(block: str) -> ReviewPolicy:
    """The ``review`` stanza of a block, wherever it stands."""
    found = yaml.safe_load(block)
    for key in ("models", "credit-risk", "review"):
        found = found.get(key, found)
    return ReviewPolicy.model_validate(found)


def test_policies_of_the_guide_are_valid() -> None:
    """They can be copied as they stand; the drill's is on, and every key of the table exists."""
    whole, drill = (review(block) for block in BLOCKS if "review:" in block)
    assert [entry.name for entry in whole.reviewers] == ["priya", "samuel", "aiko"]
    assert drill.drill.enabled
    table = GUIDE[GUIDE.index("| key |") : GUIDE.index("None of it is part")]
    rows = [line.split("|")[1] for line in table.splitlines()[2:] if line.startswith("|")]
    named = {name.partition(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == set(ReviewPolicy.model_fields)


def test_defaults_of_the_guide_are_the_defaults() -> None:
    """What the table says where a team says nothing is what the policy then is."""
    policy = ReviewPolicy()
    said = {
        "`min_text`": f"| {policy.min_text} |",
        "`min_seconds`": f"| {policy.min_seconds}, {policy.flag_seconds} |",
        "`approval_ttl_days`": f"| {policy.approval_ttl_days}, {policy.request_ttl_days}, "
        f"{policy.remind_days} |",
        "`borderline`": f"| {policy.borderline} |",
    }
    for key, default in said.items():
        (line,) = [row for row in GUIDE.splitlines() if row.startswith(f"| {key}")]
        assert line.endswith(default)
    assert not policy.drill.enabled


def test_calendar_of_the_guide_covers() -> None:
    """The rota in the guide is read as one."""
    (rota,) = [block for block in BLOCKS if block.startswith("- {who")]
    assert covered_by(rota, UTC_NOON)[0] == "Aiko"


def test_demo_has_reviewers_and_says_how_to_sign_in(tmp_path: Path) -> None:
    """Three people are named, high risk asks two of them, and the hint names one by a command."""
    home = DemoHome(tmp_path)
    text = (files("promotion_assets.demo") / "promotion.yaml").read_text()
    home.config.write_text(text)
    model = load_policy(home.config, settings=settings_models, environ={}).models["credit-risk"]
    names = [entry.name for entry in model.review.reviewers]
    assert len(names) == 3
    assert model.review.needed(model.risk_class) == 2
    hint = sign_in_hint(home)
    assert f"promotion --config {home.config} reviewer add " in hint
    assert hint.rpartition(" ")[2] in names


def test_reviewers_change_no_evaluation(tmp_path: Path) -> None:
    """The demo's policy has the same digest with its reviewers and without."""
    raw = yaml.safe_load((files("promotion_assets.demo") / "promotion.yaml").read_text())
    digests = []
    for name in ("with", "without"):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump(raw))
        policy = load_policy(config, settings=settings_models, environ={})
        digests.append(policy.models["credit-risk"].digest)
        raw["models"]["credit-risk"].pop("review", None)
    assert digests[0] == digests[1]
