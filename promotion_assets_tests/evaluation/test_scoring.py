"""Scores of models that real MLflow logged, against what the estimators answer themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.features import ParquetFeatures, write_features
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.probing import ProbingPlan, probe
from promotion_assets.evaluation.scores import Floats, Scores, ScoringFailure
from promotion_assets.evaluation.scoring import score
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.logged import NUMBERS, TREES, Logged

BANDS = ("young", "middle", "old")


@pytest.fixture(scope="module")
def sessions(logged: Logged) -> Iterator[dict[str, Session]]:
    """A session for each sound model, all loading at once."""
    asked: dict[str, dict[str, object]] = {
        "sound": {},
        "mixed": {"question": Question("binary", positive="default")},
        "boosting": {"trusted_types": TREES},
        "multiclass": {"question": Question("multiclass", classes=BANDS)},
        "regression": {"question": Question("regression")},
        "unsigned": {},
        "support_vectors": {},
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(logged.open(name, allow_pickle=True, **options))
            for name, options in asked.items()
        }


def scored(session: Session, features: pd.DataFrame | ParquetFeatures, **options: int) -> Scores:
    """Return the scores; a failure fails the test with its reason."""
    answer = session.score(features, dataset_digest="d" * 64, **options)
    assert isinstance(answer, Scores), answer
    return answer


def failed(session: Session, features: pd.DataFrame) -> ScoringFailure:
    """Return the failure."""
    answer = session.score(features, dataset_digest="d" * 64)
    assert isinstance(answer, ScoringFailure)
    return answer


def close(values: Floats, expected: object) -> bool:
    """Whether two sets of answers are equal up to rounding."""
    wanted = np.asarray(expected, dtype=np.float64)
    return values.shape == wanted.shape and bool(np.allclose(values, wanted, atol=1e-9))


def test_a_classifier_is_asked_for_probabilities(
    sessions: dict[str, Session], logged: Logged
) -> None:
    """MLflow's predict would answer labels; the scores are the positive class's probability."""
    answer = scored(sessions["sound"], logged.rows())
    assert close(answer.values, logged.expected("sound"))
    assert (answer.model_digest, answer.dataset_digest) == ("0" * 64, "d" * 64)
    assert answer.isolation == detect_isolation()
    assert answer.seconds > 0
    assert answer.peak_memory_bytes > 50 * 1024**2


def test_batches_give_the_same_answers(sessions: dict[str, Session], logged: Logged) -> None:
    """Cutting the rows into batches changes nothing, a last short batch included."""
    whole = scored(sessions["sound"], logged.rows())
    parts = scored(sessions["sound"], logged.rows(), batch_rows=77)
    assert close(parts.values, whole.values)


def test_text_columns_and_named_classes(sessions: dict[str, Session], logged: Logged) -> None:
    """Text and integers reach the model as they are; the positive class is found by its name."""
    answer = scored(sessions["mixed"], logged.rows())
    assert close(answer.values, logged.expected("mixed"))


def test_missing_values_reach_a_model_that_takes_them(
    sessions: dict[str, Session], logged: Logged
) -> None:
    """NaN is a feature's value like any other."""
    answer = scored(sessions["boosting"], logged.raw_rows())
    assert close(answer.values, logged.expected("boosting"))


def test_classes_come_in_the_order_that_was_asked_for(
    sessions: dict[str, Session], logged: Logged
) -> None:
    """Multiclass columns follow the dataset's classes, not the model's alphabet."""
    answer = scored(sessions["multiclass"], logged.rows())
    assert answer.classes == BANDS
    assert close(answer.values, logged.expected("multiclass"))


def test_a_tensor_signature_and_regression(sessions: dict[str, Session], logged: Logged) -> None:
    """An unnamed tensor is given the columns in the dataset's order; values come back as are."""
    answer = scored(sessions["regression"], logged.rows()[NUMBERS])
    assert close(answer.values, logged.expected("regression"))


def test_without_a_signature_the_model_gets_all_features(
    sessions: dict[str, Session], logged: Logged
) -> None:
    """A missing signature is the schema gate's matter; scores are had where possible."""
    answer = scored(sessions["unsigned"], logged.rows()[NUMBERS])
    assert close(answer.values, logged.expected("sound"))


def test_a_classifier_without_probabilities(sessions: dict[str, Session], logged: Logged) -> None:
    """Labels are no probabilities, however much they look like zeros and ones."""
    failure = failed(sessions["support_vectors"], logged.rows())
    assert failure.kind == "not_probability"
    assert "labels (integers)" in failure.reason
    assert "predict_proba" in failure.reason


def test_a_column_that_the_dataset_lacks(sessions: dict[str, Session], logged: Logged) -> None:
    """A required input that the dataset does not have is named, and is the schema's fault."""
    failure = failed(sessions["sound"], logged.rows().drop(columns="debt"))
    assert (failure.kind, failure.because_of) == ("missing_input", "schema")
    assert "debt" in failure.reason
    assert "`dataset.ignore`" in failure.reason


def test_a_column_of_another_type(sessions: dict[str, Session], logged: Logged) -> None:
    """The signature is enforced on the way to predict_proba as well."""
    rows = logged.rows()
    failure = failed(sessions["sound"], rows.assign(income=rows.income.astype(str)))
    assert (failure.kind, failure.because_of) == ("exception", "schema")
    assert "income" in failure.reason
    assert close(scored(sessions["sound"], rows).values, logged.expected("sound"))


def test_the_class_that_counts_as_positive(sessions: dict[str, Session], logged: Logged) -> None:
    """With the other label as positive the probability is the other one; unknown is refused."""
    session = sessions["mixed"]
    original = session.question
    try:
        session.question = Question("binary", positive="paid")
        other = scored(session, logged.rows())
        assert close(1 - other.values, logged.expected("mixed"))
        session.question = Question("binary", positive="unheard of")
        failure = failed(session, logged.rows())
    finally:
        session.question = original
    assert failure.kind == "not_probability"
    assert "unheard of" in failure.reason


def test_labels_never_enter_the_sandbox(
    sessions: dict[str, Session], logged: Logged, tmp_path: Path
) -> None:
    """Of a Parquet file only the feature columns are written where the child can read."""
    path = tmp_path / "dataset.parquet"
    rows = logged.rows()
    rows.assign(label=1, group="x").to_parquet(path, row_group_size=100)
    features = ParquetFeatures(path, ("debt", "income", "age"))
    answer = scored(sessions["sound"], features, batch_rows=150)
    assert close(answer.values, logged.expected("sound"))
    target = tmp_path / "features.arrow"
    assert write_features(features, target) == len(rows)
    assert b"label" not in target.read_bytes()


def test_integers_with_gaps_have_one_type_in_every_batch(tmp_path: Path) -> None:
    """A Parquet column of integers with a missing value is float throughout, as in pandas."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "gaps.parquet"
    columns = {"gaps": pa.array([1, 2, None, 4], pa.int64()), "full": pa.array([1, 2, 3, 4])}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    target = tmp_path / "features.arrow"
    write_features(ParquetFeatures(path, ("gaps", "full")), target, batch_rows=2)
    with pa.OSFile(str(target)) as file:
        reader = pa.ipc.open_file(file)
        batches = [reader.get_batch(i).to_pandas() for i in range(reader.num_record_batches)]
    assert [str(batch.gaps.dtype) for batch in batches] == ["float64", "float64"]
    assert [str(batch.full.dtype) for batch in batches] == ["int64", "int64"]


def test_a_column_of_mixed_types_is_the_datasets_fault(tmp_path: Path) -> None:
    """Features that are no table of columns are a user's error with a next step."""
    mixed = pd.DataFrame({"x": [1, "two", 3.0]}, dtype=object)
    with pytest.raises(UsageError, match="one type"):
        write_features(mixed, tmp_path / "features.arrow")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "x.parquet")
    absent = ParquetFeatures(tmp_path / "x.parquet", ("y",))
    with pytest.raises(UsageError, match="no column y"):
        write_features(absent, tmp_path / "features.arrow")


def test_memory_does_not_grow_with_the_rows(sessions: dict[str, Session], logged: Logged) -> None:
    """Forty times the rows, in batches of the same size, take at most a tenth more memory.

    The 1.6 million rows alone are more than that tenth.
    """
    session = sessions["unsigned"]
    rows = logged.rows()[NUMBERS]
    few = scored(session, pd.concat([rows] * 100), batch_rows=5000)
    many = scored(session, pd.concat([rows] * 4000), batch_rows=5000)
    assert len(many.values) == 40 * len(few.values)
    assert many.peak_memory_bytes <= 1.1 * few.peak_memory_bytes


def test_probes_ask_about_changed_rows(sessions: dict[str, Session], logged: Logged) -> None:
    """Each used feature is perturbed, missing and out of range; answers fit the rows asked."""
    session, rows = sessions["boosting"], logged.raw_rows()
    base = scored(session, rows).values
    found = probe(session, rows, ProbingPlan(rows=50, noise=0.0))
    assert isinstance(found, tuple)
    by_name = {p.name: p for p in found}
    kinds = ("missing", "out_of_range")
    assert set(by_name) == {"perturbed", *(f"{k}:{n}" for k in kinds for n in NUMBERS)}
    unchanged = by_name["perturbed"]
    assert unchanged.values is not None
    assert close(unchanged.values, base[unchanged.rows])
    for name in ("missing:debt", "out_of_range:income"):
        assert by_name[name].values is not None, by_name[name].failure
        assert not np.array_equal(by_name[name].values, base[by_name[name].rows])
    # MLflow refuses a missing value in a column that the signature calls an integer.
    failure = by_name["missing:age"].failure
    assert failure is not None
    assert failure.because_of == "schema"


def test_probes_are_the_same_for_the_same_seed(
    sessions: dict[str, Session], logged: Logged
) -> None:
    """Rows and noise follow from the seed; a category that was never seen is tried as well."""
    session, plan = sessions["mixed"], ProbingPlan(rows=20, seed=3)
    first, second = (probe(session, logged.rows(), plan) for _ in range(2))
    other = probe(session, logged.rows(), dataclasses.replace(plan, seed=4))
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert isinstance(other, tuple)
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.rows, b.rows)
        assert (a.values is None) == (b.values is None)
        assert a.values is None or np.array_equal(a.values, b.values)  # type: ignore[arg-type]
    assert not np.array_equal(first[0].rows, other[0].rows)
    unseen = next(p for p in first if p.name == "out_of_range:region")
    assert unseen.values is not None


def test_probes_past_their_time_are_failures(sessions: dict[str, Session], logged: Logged) -> None:
    """A probe that was not made is never simply absent."""
    found = probe(sessions["mixed"], logged.rows(), ProbingPlan(rows=5, budget_seconds=0.0))
    assert isinstance(found, tuple)
    assert {p.failure.kind for p in found if p.failure} == {"timeout"}
    assert all(p.values is None for p in found)
    scored(sessions["mixed"], logged.rows())


def test_one_call_scores_one_model(logged: Logged) -> None:
    """Without a session of one's own the same answers come back, with limits alone too."""
    answer = score(
        logged.artifact("sound"),
        "m" * 64,
        logged.rows(),
        dataset_digest="d" * 64,
        task="binary",
        sandbox=Sandbox(),
        isolation="limits",
    )
    assert isinstance(answer, Scores), answer
    assert close(answer.values, logged.expected("sound"))
    assert answer.isolation == "limits"
