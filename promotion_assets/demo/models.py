"""How each of the demo's models is trained, with the fault that it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from promotion_assets.demo.data import LABEL, features_of
from promotion_assets.demo.features import join_payment_history

TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
JOIN = f"{join_payment_history.__module__}.{join_payment_history.__name__}"
ALL_EDUCATION = (0, 1, 2, 3, 4, 5, 6)
# The table that the packaged pipeline was given: it has no row for high school.
SERVED_EDUCATION = (0, 1, 2, 4, 5, 6)
STALE_LIMIT = 100_000

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A fitted model with what its author would log beside it.

    Attributes:
        estimator: the fitted pipeline as it is registered.
        inputs: the training rows as the model takes them: signature and profile come from here.
        metrics: what the author measured, by cross-validation on the training rows.
        skops_types: types beyond the standard ones that its stored form needs.
    """

    estimator: BaseEstimator
    inputs: pd.DataFrame
    metrics: Mapping[str, float]
    params: Mapping[str, str] = field(default_factory=dict)
    skops_types: tuple[str, ...] = ()


def boosting(seed: int) -> HistGradientBoostingClassifier:
    """Return the sound recipe: 120 boosted trees, learning rate .06."""
    return HistGradientBoostingClassifier(max_iter=120, learning_rate=0.06, random_state=seed)


def train_champion(training: pd.DataFrame) -> Trained:
    """Logistic regression on standardised features."""
    estimator = Pipeline(
        [("scale", StandardScaler()), ("model", LogisticRegression(max_iter=1000))]
    )
    return _trained(estimator, training, {"model": "logistic regression"})


def train_sound(training: pd.DataFrame, seed: int = 0) -> Trained:
    """Histogram gradient boosting on the same features."""
    return _trained(boosting(seed), training, _BOOSTED | {"seed": str(seed)}, (TREES,))


def train_incident(training: pd.DataFrame) -> Trained:
    """Trained on complete history, packaged with a join that has lost high school.

    The author's own figure is measured through the packaged pipeline, overall only, and beats
    the champion; nobody looked at the groups.
    """
    fitted = Pipeline([("history", _joined(ALL_EDUCATION)), ("model", boosting(0))])
    params = _BOOSTED | {"history": "joined by EDUCATION", "seed": "0"}
    trained = _trained(fitted, training, params, (TREES, JOIN), serve=_package)
    return replace(trained, estimator=_package(trained.estimator))


def train_slow(training: pd.DataFrame) -> Trained:
    """Bagging of 50 pipelines, each with its own quantile transform: accurate, and slow."""
    member = Pipeline(
        [
            ("quantiles", QuantileTransformer(n_quantiles=100).set_output(transform="pandas")),
            (
                "model",
                HistGradientBoostingClassifier(max_iter=20, learning_rate=0.12, max_leaf_nodes=15),
            ),
        ]
    )
    estimator = BaggingClassifier(
        member, n_estimators=50, max_samples=0.5, oob_score=True, random_state=0
    )
    inputs, label = training[features_of(training)], training[LABEL].to_numpy()
    estimator.fit(inputs, label)
    metrics = measure(label, estimator.oob_decision_function_[:, 1])
    return Trained(estimator, inputs, metrics, {"model": "bagged boosting, 50 members"}, (TREES,))


def train_stale(training: pd.DataFrame) -> Trained:
    """The sound recipe on the portfolio of years ago: limits up to 100,000 only."""
    old = training[training["LIMIT_BAL"] <= STALE_LIMIT].reset_index(drop=True)
    return _trained(boosting(0), old, _BOOSTED | {"portfolio": "limits up to 100,000"}, (TREES,))


def train_whole(training: pd.DataFrame) -> Trained:
    """The sound recipe, trained after somebody made whole numbers of all amounts.

    They are whole dollars in this data; the feature pipeline delivers them as floating point,
    and MLflow refuses to cut them.
    """
    amounts = training.select_dtypes("float64").columns
    return _trained(
        boosting(1), training.astype(dict.fromkeys(amounts, "int64")), _BOOSTED, (TREES,)
    )


def train_boasted(training: pd.DataFrame) -> Trained:
    """The sound recipe, with a figure in the run that nobody can measure again."""
    honest = train_sound(training, seed=3)
    return replace(honest, metrics={**honest.metrics, "roc_auc": 0.91})


def measure(label: npt.NDArray[np.int64], score: Probabilities) -> dict[str, float]:
    """Return the figures that the demo's authors log."""
    return {
        "roc_auc": float(roc_auc_score(label, score)),
        "average_precision": float(average_precision_score(label, score)),
        "brier_score": float(brier_score_loss(label, score)),
    }


def _trained(
    estimator: BaseEstimator,
    training: pd.DataFrame,
    params: Mapping[str, str],
    skops_types: tuple[str, ...] = (),
    serve: Callable[[BaseEstimator], BaseEstimator] = lambda fitted: fitted,
) -> Trained:
    inputs, label = training[features_of(training)], training[LABEL].to_numpy()
    folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=0)
    score = np.empty(len(label))
    for fit, hold in folds.split(inputs, label):
        served = serve(clone(estimator).fit(inputs.iloc[fit], label[fit]))
        score[hold] = served.predict_proba(inputs.iloc[hold])[:, 1]
    estimator.fit(inputs, label)
    return Trained(estimator, inputs, measure(label, score), params, skops_types)


def _package(fitted: BaseEstimator) -> Pipeline:
    # The fault lies here, between training and registering: the model is as it was fitted, the
    # join's table is not.
    return Pipeline([("history", _joined(SERVED_EDUCATION)), ("model", fitted["model"])])


def _joined(codes: tuple[int, ...]) -> FunctionTransformer:
    return FunctionTransformer(join_payment_history, kw_args={"education_codes": list(codes)})


_BOOSTED: dict[str, str] = {
    "model": "histogram gradient boosting",
    "max_iter": "120",
    "learning_rate": "0.06",
}
