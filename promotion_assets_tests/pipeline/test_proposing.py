"""What a proposal says when the version could not be measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from promotion_assets.errors import EvidenceMissing
from promotion_assets.pipeline import proposing
from promotion_assets.pipeline.proposed_text import Asked
from promotion_assets.pipeline.workspace import Workspace, utc_now


def test_a_proposal_says_what_to_do_and_knows_the_label_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unfit rows are told with the way out of it; what production never sends is the label."""
    missing = EvidenceMissing("reading labels", "41 are missing", "drop the rows without one")

    def _refuses() -> None:
        raise missing

    trial = SimpleNamespace(inputs=SimpleNamespace(take_dataset=_refuses))
    monkeypatch.setattr(proposing, "Evaluator", lambda *_: trial)
    monkeypatch.setattr(
        proposing,
        "take_candidate",
        lambda *_: cast(Any, SimpleNamespace(version="1", signature=None, mlmodel=None)),
    )
    pd.DataFrame({"paid": [0, 1, None]}).to_csv(tmp_path / "rows.csv", index=False)
    workspace = Workspace(
        home=tmp_path,
        config=tmp_path / "promotion.yaml",
        database_url="sqlite:///:memory:",
        tracking_uri="sqlite:///:memory:",
        registry_uri="sqlite:///:memory:",
        environ={},
        clock=utc_now,
    )
    monkeypatch.setattr(Workspace, "registry", None)
    asked = Asked(folder=tmp_path, model="churn", data="rows.csv", label="paid", version="1")

    assert proposing.propose(workspace, asked).problems == (str(missing),)

    pd.DataFrame({"country": ["a", "b"], "spent": [1.5, 2.5]}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    pd.DataFrame({"country": ["a", "b"]}).to_csv(tmp_path / "sent.csv", index=False)
    asked = replace(asked, label=None, production="sent.csv")

    assert proposing.propose(workspace, asked, measure=False).guess.label == "spent"
