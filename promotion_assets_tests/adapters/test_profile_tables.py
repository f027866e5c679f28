"""Great Expectations judges profile tables: presence, drift and contract of every feature."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.adapters.expectations import profile_table, suites, validate_profile_table
from promotion_assets.errors import EvidenceMissing, StorageUnreachable, UsageError
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets_tests.adapters.unmet import failures


def table(**changes: Any) -> pd.DataFrame:
    """Return a profile table of 50 features that have not drifted."""
    columns: dict[str, Any] = {
        "feature": [f"f{i}" for i in range(50)],
        "present_in_production": True,
        "psi": 0.01,
        "limit": 0.2,
        "model_type": "double",
        "pipeline_type": "double",
        "fits_contract": True,
        **changes,
    }
    return pd.DataFrame(columns)


def last(usual: Any, odd: Any) -> list[Any]:
    """Return a column of 50 of which the last two are odd."""
    return [usual] * 48 + [odd] * 2


def test_a_profile_table_that_holds_meets_all_three(tmp_path: Path) -> None:
    """Presence, drift and contract are one expectation each, however many features there are."""
    outcomes, page = validate_profile_table(table(), suite_name="credit-risk 3", docs_dir=tmp_path)
    assert [outcome.name for outcome in outcomes] == [
        "expect_feature_to_be_present_in_production",
        "expect_feature_psi_to_be_at_most_its_limit",
        "expect_feature_to_fit_its_contract",
    ]
    assert failures(outcomes) == []
    assert "credit-risk 3" in page.read_text()
    edge, _ = validate_profile_table(table(psi=0.2), suite_name="at limit", docs_dir=tmp_path)
    assert failures(edge) == []


@pytest.mark.parametrize(
    ("changes", "failed", "said"),
    [
        ({"psi": last(0.1, 0.4)}, "psi_to_be_at_most_its_limit", "f48 (psi 0.4, limit 0.2)"),
        ({"psi": last(0.1, None)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"psi": last(0.1, np.inf)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"psi": None}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"psi": np.nan}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"psi": last(0.1, "much")}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"limit": None}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"limit": last(0.2, None)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"present_in_production": last(True, False)}, "present_in_production", "f49 ("),
        ({"present_in_production": last(True, None)}, "present_in_production", "f49 ("),
        ({"present_in_production": last(True, 1)}, "present_in_production", "f49 ("),
        ({"fits_contract": last(True, False)}, "fit_its_contract", "f49 ("),
        ({"fits_contract": last(True, None)}, "fit_its_contract", "f49 ("),
        ({"fits_contract": None}, "fit_its_contract", "and 45 more"),
    ],
)
def test_a_feature_that_does_not_hold_is_named(
    changes: dict[str, Any], failed: str, said: str, tmp_path: Path
) -> None:
    """Too much drift, absence, a wrong type and a missing value all fail, with the features."""
    outcomes, page = validate_profile_table(
        table(**changes), suite_name="credit-risk 3", docs_dir=tmp_path
    )
    (outcome,) = (outcome for outcome in outcomes if not outcome.success)
    assert outcome.name.endswith(failed)
    assert said in outcome.sentence
    assert "f49" in page.read_text()


def test_drift_or_contract_alone_is_a_table_too(tmp_path: Path) -> None:
    """One gate's columns are enough; half of them are a mistake."""
    drift = table()[["feature", "present_in_production", "psi", "limit"]]
    outcomes, _ = validate_profile_table(drift, suite_name="drift", docs_dir=tmp_path)
    assert len(outcomes) == 2
    contract = table(fits_contract=last(True, False), pipeline_type=last("double", "string"))
    outcomes, _ = validate_profile_table(
        contract[["feature", "model_type", "pipeline_type", "fits_contract"]],
        suite_name="contract",
        docs_dir=tmp_path,
    )
    assert "model_type double, pipeline_type string" in outcomes[0].sentence
    with pytest.raises(UsageError, match="it has 'present_in_production' and lacks 'limit'"):
        validate_profile_table(drift.drop(columns="limit"), suite_name="s", docs_dir=tmp_path)
    with pytest.raises(UsageError, match="it has the columns feature"):
        validate_profile_table(drift[["feature"]], suite_name="s", docs_dir=tmp_path)
    with pytest.raises(UsageError, match="give feature with"):
        validate_profile_table(drift.drop(columns="feature"), suite_name="s", docs_dir=tmp_path)


def test_an_empty_profile_table_is_missing_evidence(tmp_path: Path) -> None:
    """No features would meet every expectation about features."""
    with pytest.raises(EvidenceMissing, match="credit-risk 3: it has no features"):
        validate_profile_table(table().head(0), suite_name="credit-risk 3", docs_dir=tmp_path)


def psi(feature: str, observed: float | None, outcome: Outcome | None) -> Measurement:
    """Return the drift gate's measurement of one feature."""
    interval = None
    if observed is not None:
        interval = Interval(low=0.0, high=observed + 0.3, method="test")
    return Measurement(
        name="psi",
        subject=feature,
        observed=observed,
        limit=0.2,
        direction="max",
        interval=interval,
        outcome=outcome,
    )


def drift(*measurements: Measurement) -> GateResult:
    """Return a drift gate's result."""
    return GateResult(
        gate="drift", outcome=Outcome.FAILED, reason="drifted", measurements=measurements
    )


def schema(outcome: Outcome, *rows: tuple[str, str, bool]) -> GateResult:
    """Return a schema gate's result of (column, verdict, fits)."""
    diff = [
        {"column": column, "model": "double", "pipeline": "long", "verdict": verdict, "fits": fits}
        for column, verdict, fits in rows
    ]
    return GateResult(gate="schema", outcome=outcome, reason="r", details={"diff": diff})


def test_the_table_holds_what_the_gates_measured(tmp_path: Path) -> None:
    """Gate and expectation fail on the same features, and ignored ones are in neither."""
    result = profile_table(
        drift(
            psi("ok", 0.05, Outcome.PASSED),
            psi("moved", 0.4, Outcome.FAILED),
            psi("gone", None, Outcome.FAILED),
            psi("unsure", 0.1, Outcome.INCONCLUSIVE),
            psi("ignored", 0.9, None),
        ),
        schema(Outcome.FAILED, ("ok", "same", True), ("moved", "type", False)),
    ).set_index("feature")
    assert sorted(result.index) == ["gone", "moved", "ok", "unsure"]
    assert result.loc["unsure", "psi"] == pytest.approx(0.4)
    assert not result.loc["gone", "present_in_production"]
    outcomes, _ = validate_profile_table(
        result.reset_index(), suite_name="credit-risk 3", docs_dir=tmp_path
    )
    named = {outcome.name.split("feature_")[1]: outcome.sentence for outcome in outcomes}
    for feature in ("moved", "gone", "unsure"):
        assert f"{feature} (" in named["psi_to_be_at_most_its_limit"]
    assert "ok (" not in named["psi_to_be_at_most_its_limit"]
    assert "moved (" in named["to_fit_its_contract"]
    assert "ok (" not in named["to_fit_its_contract"]


@pytest.mark.parametrize(
    ("outcome", "verdict", "fits", "expected"),
    [
        (Outcome.PASSED, "may be absent", False, True),
        (Outcome.PASSED, "extra", True, True),
        (Outcome.FAILED, "extra", True, False),
        (Outcome.FAILED, "missing", False, False),
    ],
)
def test_what_the_policy_tolerates_fits(
    outcome: Outcome, verdict: str, fits: bool, expected: bool
) -> None:
    """The gate's verdict decides whether an optional or an extra column is a fault."""
    result = profile_table(None, schema(outcome, ("x", verdict, fits)))
    assert result["fits_contract"].tolist() == [expected]


def test_gates_that_measured_nothing_give_no_table() -> None:
    """A gate that could not judge leaves no table that would pass."""
    with pytest.raises(EvidenceMissing, match="neither the drift nor the schema gate"):
        profile_table(drift(), schema(Outcome.ERROR))


def test_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage statistics are off in the environment and the configuration, and no socket is used."""
    contexts = []

    def _remembered(gx: Any) -> Any:
        contexts.append(context(gx))
        return contexts[-1]

    def _refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    context = suites._context
    monkeypatch.setattr(suites, "_context", _remembered)
    monkeypatch.setattr(socket.socket, "connect", _refused)
    monkeypatch.setattr(socket, "getaddrinfo", _refused)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    validate_profile_table(table(), suite_name="credit-risk 3", docs_dir=tmp_path)
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    assert [used.config.analytics_enabled for used in contexts] == [False]
    assert [used.mode for used in contexts] == ["ephemeral"]


def test_a_second_validation_replaces_the_page(tmp_path: Path) -> None:
    """The directory holds the newest page and nothing else."""
    for name in ("suite one", "suite two"):
        _, page = validate_profile_table(table(), suite_name=name, docs_dir=tmp_path)
    assert "suite two" in page.read_text()
    assert "suite one" not in page.read_text()
    assert len(list(tmp_path.iterdir())) == 1


def test_validations_in_threads_do_not_mix(tmp_path: Path) -> None:
    """Great Expectations keeps one project a process; each page is about its own table."""

    def _validated(number: int) -> tuple[int, int]:
        given = table(psi=last(0.1, 0.4) if number % 2 else 0.1)
        outcomes, page = validate_profile_table(
            given, suite_name=f"suite{number}", docs_dir=tmp_path / str(number)
        )
        return len(failures(outcomes)), page.read_text().count(f"suite{number}")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_validated, range(4)))
    assert [failed for failed, _ in found] == [0, 1, 0, 1]
    assert all(mentions for _, mentions in found)


def test_docs_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    """A full or forbidden directory is told as such."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnreachable, match="Writing Data Docs"):
        validate_profile_table(table(), suite_name="s", docs_dir=tmp_path / "file" / "docs")
