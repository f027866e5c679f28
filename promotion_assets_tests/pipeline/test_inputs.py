"""What a model is judged on is read from where the policy says, and secrets stay out of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from promotion_assets.errors import EvidenceMissing, PolicyError, UsageError
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.policy.model import Dataset, ModelPolicy, Source


def policy(folder: Path, **changes: object) -> ModelPolicy:
    """Return a policy whose sources are in ``folder``."""
    return ModelPolicy.model_validate(
        {
            "task": "binary",
            "dataset": Dataset(uri="rows.parquet", label="default", min_rows=1),
            "production": Source(uri="sent.parquet"),
            "gates": {"schema": {}},
            "base": str(folder),
            **changes,
        }
    )


def write(folder: Path, labels: list[int]) -> None:
    """Write an evaluation set and a production sample."""
    rows = pd.DataFrame({"income": [float(i) for i in range(len(labels))]})
    rows.to_parquet(folder / "sent.parquet")
    rows.assign(default=labels).to_parquet(folder / "rows.parquet")


def test_an_overwritten_source_makes_a_new_version_and_keeps_the_old(tmp_path: Path) -> None:
    """Rows once judged on can be read for ever."""
    write(tmp_path, [0, 1] * 50)
    inputs = Inputs(tmp_path / "home", "scorer", policy(tmp_path))
    first = inputs.take_dataset()
    write(tmp_path, [1, 0] * 50)
    second = inputs.take_dataset()
    assert first.digest != second.digest
    assert first.path.exists()
    assert inputs.dataset().digest == second.digest == inputs.dataset_digest()


def test_later_steps_are_told_why_a_source_cannot_be_judged_on(tmp_path: Path) -> None:
    """A source that went bad is not replaced by the version before it."""
    write(tmp_path, [0, 1] * 50)
    Inputs(tmp_path / "home", "scorer", policy(tmp_path)).take_dataset()
    write(tmp_path, [])
    with pytest.raises(EvidenceMissing, match="row"):
        Inputs(tmp_path / "home", "scorer", policy(tmp_path)).take_dataset()
    with pytest.raises(EvidenceMissing, match="row"):
        Inputs(tmp_path / "home", "scorer", policy(tmp_path)).dataset()


def test_a_variable_in_an_address_is_no_part_of_the_policy(tmp_path: Path) -> None:
    """A password in an address stays out of the policy and of its digest."""
    write(tmp_path, [0, 1] * 50)
    uri = "${SECRET_PLACE}/rows.parquet"
    secret = tmp_path / "s3cr3t-place"
    secret.mkdir()
    (tmp_path / "rows.parquet").rename(secret / "rows.parquet")
    judged_by = policy(tmp_path, dataset=Dataset(uri=uri, label="default", min_rows=1))
    inputs = Inputs(tmp_path / "home", "scorer", judged_by, {"SECRET_PLACE": str(secret)})
    assert inputs.take_dataset().rows == 100
    assert "s3cr3t" not in judged_by.model_dump_json()


def test_a_variable_that_is_not_set_is_wrong_use(tmp_path: Path) -> None:
    """An address with a hole in it is never read."""
    judged_by = policy(tmp_path, dataset=Dataset(uri="${NOWHERE}/rows.parquet", label="default"))
    with pytest.raises(UsageError, match="NOWHERE"):
        Inputs(tmp_path / "home", "scorer", judged_by).take_dataset()


def test_the_contract_comes_from_where_the_policy_says(tmp_path: Path) -> None:
    """Production's columns, the dataset's features, or a file of the team's."""
    write(tmp_path, [0, 1] * 50)
    (tmp_path / "contract.yaml").write_text("income: float\nage: long\n")
    found = {
        where: [
            (c.name, c.type)
            for c in Inputs(tmp_path / "home", "scorer", policy(tmp_path, contract=where))
            .contract()
            .columns
        ]
        for where in ("production", "dataset", "contract.yaml")
    }
    assert found == {
        "production": [("income", "double")],
        "dataset": [("income", "double")],
        "contract.yaml": [("income", "float"), ("age", "long")],
    }


def test_without_a_production_source_nothing_stands_in_for_it(tmp_path: Path) -> None:
    """A drift gate then has no evidence, and says what to add."""
    write(tmp_path, [0, 1] * 50)
    inputs = Inputs(tmp_path / "home", "scorer", policy(tmp_path, production=None))
    with pytest.raises(EvidenceMissing, match="no production source"):
        inputs.production()


@pytest.mark.parametrize("text", [b"\xff", b"[" * 5000, b"a: 2026-13-45", b"- a", b"", b"a: [b"])
def test_a_contract_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    """No text, no YAML, nested too deep, no date, a list, nothing: the contract's file is named."""
    (tmp_path / "contract.yaml").write_bytes(text)
    with pytest.raises(PolicyError, match=r"contract\.yaml is not a mapping of column to type"):
        Inputs(tmp_path / "home", "scorer", policy(tmp_path, contract="contract.yaml")).contract()
