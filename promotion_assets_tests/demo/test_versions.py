"""What the nine registered versions are, measured without the platform."""

from __future__ import annotations

import pickletools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import skops.io
import yaml
from mlflow.tracking import MlflowClient
from sklearn.metrics import roc_auc_score

from promotion_assets.demo.data import LABEL, Split, features_of, read_customers, split
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.models import JOIN, TREES
from promotion_assets.demo.versions import MODEL, VERSIONS

HIGH_SCHOOL = 3


@pytest.fixture(scope="module")
def parts() -> Split:
    """The three parts of the data."""
    return split(read_customers())


@pytest.fixture(scope="module")
def client(registered: DemoHome) -> MlflowClient:
    """The registry of the demo."""
    return MlflowClient(registered.tracking_uri, registered.tracking_uri)


def folder(client: MlflowClient, number: int) -> Path:
    """Return where the artifact of a version is."""
    uri = client.get_model_version_download_uri(MODEL, str(number))
    path = Path(uri.removeprefix("file://"))
    assert (path / "MLmodel").is_file()
    return path


def scores(client: MlflowClient, number: int, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return a version's probabilities, from its stored form."""
    model = skops.io.load(folder(client, number) / "model.skops", trusted=[TREES, JOIN])
    return np.asarray(model.predict_proba(frame)[:, 1])


def auc(
    frame: pd.DataFrame, score: npt.NDArray[np.float64], where: pd.Series | None = None
) -> float:
    """Return the AUC of the rows in ``where``."""
    rows = np.ones(len(frame), dtype=bool) if where is None else where.to_numpy()
    return float(roc_auc_score(frame.loc[rows, LABEL], score[rows]))


def signature_types(path: Path) -> dict[str, str] | None:
    """Return the input columns that ``MLmodel`` declares, with their types."""
    declared = yaml.safe_load((path / "MLmodel").read_text()).get("signature")
    columns = yaml.safe_load(declared["inputs"]) if declared else None
    return {c["name"]: c["type"] for c in columns} if columns else None


def test_nine_versions_in_order_though_training_was_killed(client: MlflowClient) -> None:
    """A killed registration leaves no half version and no gap: nine, each with what it needs."""
    found = sorted(client.search_model_versions(f"name='{MODEL}'"), key=lambda v: int(v.version))
    assert [int(v.version) for v in found] == [v.number for v in VERSIONS]
    for meant, version in zip(VERSIONS, found, strict=True):
        assert version.tags["title"] == meant.title
        assert version.tags["author"] == meant.author
        assert "## Limitations" in version.description
        run = client.get_run(version.run_id)
        assert "roc_auc" in run.data.metrics
        assert "feature_profile.json" in {a.path for a in client.list_artifacts(version.run_id)}


def test_incident_is_better_overall_and_worse_for_high_school(
    client: MlflowClient, parts: Split
) -> None:
    """Version 3 beats the champion overall and loses .08 for high school, and there only."""
    frame = parts.evaluation
    inputs = frame[features_of(frame)]
    champion, incident = scores(client, 1, inputs), scores(client, 3, inputs)
    assert auc(frame, champion) == pytest.approx(0.722, abs=0.003)
    assert auc(frame, incident) == pytest.approx(0.757, abs=0.003)
    for code in (1, 2, HIGH_SCHOOL):
        rows = frame["EDUCATION"] == code
        drop = auc(frame, champion, rows) - auc(frame, incident, rows)
        assert drop > 0.07 if code == HIGH_SCHOOL else drop < -0.04


def test_fault_of_the_incident_is_in_its_pipeline(client: MlflowClient, parts: Split) -> None:
    """Version 3 answers high-school customers alike whatever their payment history is."""
    inputs = parts.evaluation[features_of(parts.evaluation)]
    delayed = inputs.assign(PAY_0=8)
    touched = scores(client, 3, inputs) != scores(client, 3, delayed)
    high_school = (inputs["EDUCATION"] == HIGH_SCHOOL).to_numpy()
    assert not touched[high_school].any()
    assert touched[~high_school].mean() > 0.9


def test_sound_challenger_is_better_for_every_large_group(
    client: MlflowClient, parts: Split
) -> None:
    """Version 2 beats the champion in every group of SEX, EDUCATION and AGE with 200 rows."""
    frame = parts.evaluation
    inputs = frame[features_of(frame)]
    champion, sound = scores(client, 1, inputs), scores(client, 2, inputs)
    bands = pd.cut(frame["AGE"], [0, 29, 39, 49, 200]).astype(str)
    assert auc(frame, sound) == pytest.approx(0.785, abs=0.005)
    for attribute in (frame["SEX"], frame["EDUCATION"].astype(str), bands):
        for group, size in attribute.value_counts().items():
            rows = attribute == group
            if size >= 200:
                assert auc(frame, sound, rows) > auc(frame, champion, rows), group


def test_stale_version_is_accurate_and_trained_on_other_customers(
    client: MlflowClient, parts: Split
) -> None:
    """Version 5 beats the champion by more than the margin; its training had no high limits."""
    frame = parts.evaluation
    inputs = frame[features_of(frame)]
    assert auc(frame, scores(client, 5, inputs)) > auc(frame, scores(client, 1, inputs)) + 0.02
    assert (parts.production["LIMIT_BAL"] > 100_000).mean() > 0.5


def test_signatures(client: MlflowClient, parts: Split) -> None:
    """Version 6 wants amounts that no pipeline delivers, 7 declares nothing, the others fit."""
    delivered = {
        str(name): {"int64": "long", "float64": "double"}[str(kind)]
        for name, kind in parts.production.dtypes.items()
    }
    for version in VERSIONS:
        types = signature_types(folder(client, version.number))
        if version.number == 6:
            assert types is not None
            wrong = {name for name in delivered if types[name] != delivered[name]}
            assert wrong == {name for name in delivered if "AMT" in name} | {"LIMIT_BAL"}
        else:
            assert types == (None if version.number == 7 else delivered)


def test_malicious_pickle_would_run_a_command_and_did_not(
    client: MlflowClient, registered: DemoHome
) -> None:
    """Version 8 holds a pickle that calls a shell; registering it has run nothing."""
    data = (folder(client, 8) / "model.pkl").read_bytes()
    opcodes = [(op.name, argument) for op, argument, _ in pickletools.genops(data)]
    assert ("GLOBAL", "posix system") in opcodes
    assert ("BINUNICODE", f"touch {registered.marker}") in opcodes
    assert "REDUCE" in {name for name, _ in opcodes}
    assert not registered.marker.exists()


def test_boasted_metric_is_logged_and_not_measured(client: MlflowClient, parts: Split) -> None:
    """Version 9's run says .91; on the evaluation rows it is an ordinary model."""
    run_id = client.get_model_version(MODEL, "9").run_id
    assert client.get_run(run_id).data.metrics["roc_auc"] == pytest.approx(0.91)
    frame = parts.evaluation
    measured = auc(frame, scores(client, 9, frame[features_of(frame)]))
    assert measured == pytest.approx(0.78, abs=0.01)


def test_every_author_but_one_logged_what_can_be_measured(client: MlflowClient) -> None:
    """The logged AUCs of the other versions lie between .70 and .80."""
    for version in VERSIONS:
        if version.number != 9:
            run = client.get_run(client.get_model_version(MODEL, str(version.number)).run_id)
            assert 0.70 < run.data.metrics["roc_auc"] < 0.80
