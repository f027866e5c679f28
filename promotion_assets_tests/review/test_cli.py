"""Reviews by command: the same rules, the same words, exit codes for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from promotion_assets.cli.review import answers_in
from promotion_assets.cli.root import root
from promotion_assets.errors import AccessRefused, ReviewNotAllowed, UsageError
from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, World, answers_to


def promotion(world: World, *words: str, token: str = "", ok: bool = True) -> Result:
    """Run ``promotion`` on a world's home."""
    environ = {
        "PROMOTION_CONFIG": str(world.root / "promotion.yaml"),
        "PROMOTION_HOME": str(world.root / ".promotion"),
        "PROMOTION_DATABASE_URL": "",
        "MLFLOW_TRACKING_URI": f"sqlite:///{world.root / 'mlflow.db'}",
        "PROMOTION_REVIEWER_TOKEN": token,
    }
    result = CliRunner().invoke(root, list(words), env=environ)
    if ok and result.exception is not None:
        raise result.exception
    return result


def test_a_review_by_command_alone(today: World, tmp_path: Path) -> None:
    """Token, queue, evidence, slices, answers from a file, vote: recorded as through the page."""
    today.change_policy("    review:\n", "    review:\n      min_seconds: 0\n")
    token = promotion(today, "reviewer", "add", "cy", "--actor", "admin").stdout.strip()
    assert token.startswith("prv_")
    queue = json.loads(promotion(today, "review", "list", "--json").stdout)
    assert [r["version"] for r in queue["requests"]] == [CHALLENGER]
    shown = promotion(today, "review", "show", MODEL, CHALLENGER, "--json", token=token).stdout
    view = json.loads(shown)["view"]
    slices = [word for part in view["slices"] for word in ("--slice", part["id"])]
    text = promotion(today, "review", "show", MODEL, CHALLENGER, *slices, token=token).stdout
    assert "education=3 (high school)" in text
    assert "not opened" not in text.replace("not opened:", "")
    today.reopen()
    questions = today.desk.show(MODEL, CHALLENGER, "default", "observer").view.questions
    answers = tmp_path / "answers.yaml"
    answers.write_text(yaml.safe_dump(answers_to(questions, "cy")).replace("'yes'", "yes"))
    said = promotion(
        today, "review", "approve", MODEL, CHALLENGER, "--answers", str(answers), token=token
    ).stdout
    assert f"cy has approved {MODEL} version {CHALLENGER}" in said
    assert "flagged for audit: decided" in said
    (vote,) = today.events(ReviewDecided)
    assert isinstance(vote, ReviewDecided)
    assert (vote.actor, vote.surface) == ("cy", "cli")
    figures = json.loads(promotion(today, "review", "stats", "--json").stdout)
    assert (figures["votes"], figures["flagged"]) == (1, 1.0)
    assert figures["drills"]["catch_rate"] is None


def test_rejecting_by_command(today: World) -> None:
    """One option is all it takes."""
    token = promotion(today, "reviewer", "add", "bo").stdout.strip()
    words = ("review", "reject", MODEL, CHALLENGER, "--reason", "the high school group loses")
    assert "bo has rejected" in promotion(today, *words, token=token).stdout
    assert today.workspace.ledger.state(MODEL).stage(CHALLENGER) is Stage.ARCHIVED
    assert "no review is open" in promotion(today, "review", "list").stdout


def test_refusals_are_errors_of_ours(today: World, tmp_path: Path) -> None:
    """Unread and unanswered, or without a token, a command ends with what is missing."""
    answers = tmp_path / "answers.yaml"
    answers.write_text("model_card: yes\n")
    words = ("review", "approve", MODEL, CHALLENGER, "--answers", str(answers))
    token = promotion(today, "reviewer", "add", "ana").stdout.strip()
    refused = promotion(today, *words, token=token, ok=False).exception
    assert isinstance(refused, ReviewNotAllowed)
    assert refused.exit_code == 1
    assert "the request was never opened; read it first" in refused.problems
    unknown = promotion(today, *words, token="prv_0", ok=False).exception
    assert isinstance(unknown, AccessRefused)
    assert today.events(ReviewDecided) == []


def test_reviewers_are_listed_and_revoked(today: World) -> None:
    """Who may review, who holds a token, and its end; a name of no policy gets none."""
    promotion(today, "reviewer", "add", "ana")
    listed = json.loads(promotion(today, "reviewer", "list", "--json").stdout)["reviewers"]
    assert {r["name"]: len(r["tokens"]) for r in listed} == {"ana": 1, "bo": 0, "cy": 0, "tomas": 0}
    assert promotion(today, "reviewer", "revoke", "ana").exit_code == 0
    assert promotion(today, "reviewer", "revoke", "ana", ok=False).exit_code == 1
    stranger = promotion(today, "reviewer", "add", "eve", ok=False).exception
    with pytest.raises(Exception, match="no model's policy names this reviewer"):
        raise stranger  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("timing: quarter end: no release\n", "it is no YAML in line 1"),
        ("timing: [now, then]\n", "what line 1 begins is no text"),
        ("timing: now\ntiming: then\n", "line 2 answers timing a second time"),
        ("- timing\n", "it is no mapping"),
        ("", "it is no mapping"),
    ],
)
def test_answers_that_cannot_be_read_name_the_line(
    tmp_path: Path, written: str, problem: str
) -> None:
    """Nothing is guessed of what a reviewer may have meant, and nothing of it is dropped."""
    answers = tmp_path / "answers.yaml"
    answers.write_text(written)
    with pytest.raises(UsageError) as refused:
        answers_in(answers)
    assert refused.value.problem == problem


def test_answers_are_taken_as_they_were_written(tmp_path: Path) -> None:
    """What looks like a number, a date or a time to YAML is an answer, and stays as it is."""
    answers = tmp_path / "answers.yaml"
    answers.write_text("a: 12:30\nb: 2026-02-30\nc: 0.10\nd:\ne: yes\nf: True\ng: no\n")
    assert answers_in(answers) == {
        **{"a": "12:30", "b": "2026-02-30", "c": "0.10", "d": ""},
        **{"e": "yes", "f": "yes", "g": "no"},
    }
