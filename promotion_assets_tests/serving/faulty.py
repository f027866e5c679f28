"""Models that do what no model should, once they are asked."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

SLOW_SECONDS = 0.02


class _Faulty(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), 0.5)

    def predict(self, X: Any) -> Any:
        return self.predict_proba(X)[:, 1]


class Exits(_Faulty):
    """Takes its process with it."""

    def predict_proba(self, X: Any) -> Any:
        os._exit(7)


class Hangs(_Faulty):
    """Never answers."""

    def predict_proba(self, X: Any) -> Any:
        time.sleep(3600)


class Raises(_Faulty):
    """Raises an exception for numbers above 5, so that it passes for sound at first."""

    def predict_proba(self, X: Any) -> Any:
        if np.asarray(X)[0, 0] > 5:
            raise RuntimeError("it broke")
        return super().predict_proba(X)


class AnswersNaN(_Faulty):
    """Answers NaN for numbers above 5."""

    def predict_proba(self, X: Any) -> Any:
        found = super().predict_proba(X)
        return found * np.nan if np.asarray(X)[0, 0] > 5 else found


class Slow(_Faulty):
    """Takes twenty times as long as a champion."""

    def predict_proba(self, X: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return super().predict_proba(X)


FAULTY = {"11": Exits, "12": Hangs, "13": Raises, "14": AnswersNaN, "15": Slow}
