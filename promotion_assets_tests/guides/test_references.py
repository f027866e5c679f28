"""The generated references are what the code says today."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from promotion_assets import errors
from promotion_assets.cli.policy_reference import EXAMPLE, missing_words, policy_reference
from promotion_assets.cli.root import root
from promotion_assets.gates.catalogue import BUILT_IN, settings_models
from promotion_assets.policy.load import load_policy
from promotion_assets_tests.guides.api_reference import api_reference

REPOSITORY = Path(__file__).parents[2]


def test_policy_reference_is_what_the_models_say() -> None:
    """``docs/policy.md`` is what ``promotion policy reference`` prints, byte for byte."""
    printed = CliRunner().invoke(root, ["policy", "reference"])
    assert printed.exit_code == 0, printed.output
    committed = (REPOSITORY / "docs" / "policy.md").read_text(encoding="utf-8")
    again = "write it anew: promotion policy reference > docs/policy.md"
    assert printed.output == committed == policy_reference(), again


def test_every_key_of_the_policy_has_a_meaning_and_an_example() -> None:
    """No row of the reference is empty where a reader looks."""
    assert missing_words() == []


def test_example_of_every_key_is_a_valid_policy() -> None:
    """The file that the examples come from is read as any policy is."""
    found = load_policy(
        EXAMPLE, settings=settings_models, environ={"PROD_MLFLOW": "https://mlflow.example.org"}
    )
    (model,) = found.models.values()
    assert tuple(model.gates) == BUILT_IN
    (written,) = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["models"].values()
    assert set(written) == set(type(model).model_fields) - {"base"}


def test_api_reference_is_what_the_docstrings_say() -> None:
    """``docs/api.md`` is what its generator prints, byte for byte."""
    committed = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    again = "write it anew: python -m promotion_assets_tests.guides.api_reference > docs/api.md"
    assert api_reference() == committed, again


def test_api_reference_names_every_error_with_its_exit_code() -> None:
    """The whole tree of errors is there, and nothing that differs from run to run."""
    page = api_reference()
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.PromotionError):
            assert f"| `{name}` | {error.exit_code} |" in page
    assert " at 0x" not in page
