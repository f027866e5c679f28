"""Great Expectations on a dataset version, once for each pair of content and policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from promotion_assets.adapters.expectations import ExpectationOutcome, validate_dataset
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.files import read_value, write_value


class Validated(BaseModel):
    """The outcomes of one validation, and where its Data Docs are."""

    model_config = ConfigDict(frozen=True)

    outcomes: tuple[ExpectationOutcome, ...]
    docs: Path


def dataset_expectations(
    evaluator: Evaluator, dataset: EvaluationDataset
) -> tuple[tuple[ExpectationOutcome, ...], Path]:
    """Return what the suite finds, and its Data Docs; importing the library alone takes seconds.

    A version's bytes never change, so what was found about them under one policy holds. Rows that
    are more than memory holds were checked while they were described; Great Expectations, which
    wants a data frame, does not see them.
    """
    if dataset.streamed:
        return tuple(_described(dataset)), dataset.path.with_name("summary.json")
    home, policy = evaluator.workspace.home, evaluator.policy
    kept = home / "store" / "datasets" / dataset.digest / f"expectations-{policy.digest}.json"
    found = read_value(kept, Validated)
    if found is None:
        docs = home / "data_docs" / dataset.digest[:16]
        outcomes, page = validate_dataset(dataset, policy, docs_dir=docs)
        found = Validated(outcomes=tuple(outcomes), docs=page)
        write_value(kept, found)
    return found.outcomes, found.docs


def _described(dataset: EvaluationDataset) -> Iterator[ExpectationOutcome]:
    """Yield what the streamed checks found: each of them raises, or leaves a problem here."""
    summary = dataset.summary
    for problem in summary.problems:
        yield ExpectationOutcome(name="streamed_check", success=False, sentence=problem)
    yield ExpectationOutcome(
        name="streamed_check",
        success=True,
        observed=summary.rows,
        sentence=f"every one of {summary.rows:,} rows has a label that the task can have, and the "
        "columns that the policy names",
    )
