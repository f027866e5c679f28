"""A proposed policy can be read again, whatever the data's names and values hold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from promotion_assets.evaluation.guessing import Guess, GuessedGroup
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.pipeline.proposed_text import Asked, Measured, render_policy

VERSION = cast(Any, SimpleNamespace(version="1", mlmodel=None))


@pytest.mark.parametrize("odd", ["\n", "\r\n", "\x85", "\u2028", "\x07", "\ufeff", "\n\n- x: "])
def test_a_proposal_is_valid_whatever_the_data_holds(odd: str) -> None:
    """A line break, or what YAML cannot hold, in a name or a group's value leaves it readable."""
    name = f"paid{odd}late"
    group = Measurement(name="gap_to_overall", subject=f"land=FR{odd}FR", observed=0.06)
    fairness = GateResult(
        gate="fairness",
        outcome=Outcome.PASSED,
        reason="no group is worse off",
        observed=0.06,
        measurements=(group,),
    )
    why = {"task": "it holds 'no' and 'yes'", "id": "each of its 9 values is another one"}
    guessed = Guess(
        name, "binary", f"y{odd}es", f"id{odd}x", None, (GuessedGroup(f"g{odd}x"),), why
    )
    asked = Asked(folder=Path(), model="churn", data=f"rows{odd}1.csv", production="p.csv")

    text = render_policy(
        asked, guessed, VERSION, Measured(results={"fairness": fairness}), [f"more{odd}x"]
    )

    stanza = yaml.safe_load(text)["models"]["churn"]
    assert stanza["dataset"] == {
        "uri": f"rows{odd}1.csv",
        "label": name,
        "positive": f"y{odd}es",
        "id": f"id{odd}x",
    }
    assert stanza["groups"] == [{"column": f"g{odd}x"}]
    assert stanza["gates"]["fairness"] == {"drop_vs_champion": 0.05, "first_version_gap": 0.1}
    proposed = text.replace("# ignore", "ignore").split("ignore: ", 1)[1].splitlines()[0]
    assert yaml.safe_load(proposed) == [f"more{odd}x"]
