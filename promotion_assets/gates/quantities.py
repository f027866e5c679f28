"""What a business rule may speak of: named figures of candidate and champion, on some rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.gates.metrics import WITHIN_ONE, predictions, scorer
from promotion_assets.gates.scored import Answers
from promotion_assets.policy.model import Task
from promotion_assets.statistics.checks import Floats
from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.intervals import mean_estimate, wilson

Rows = npt.NDArray[np.bool_]
OF_BINARY = ("selection_rate", "rejection_rate", "tpr", "fpr", "precision")
OF_ALL = ("mean_score", "rows")
CHAMPION = "champion_"


@dataclass(frozen=True)
class Quantities:
    """Figures by name, computed when asked for.

    ``rows``; ``mean_score``; of a binary model ``selection_rate`` (share predicted positive),
    ``rejection_rate`` (the rest), ``tpr``, ``fpr``, ``precision`` at ``threshold``; any
    scikit-learn scorer by its name; each of them with ``champion_`` before it.

    Attributes:
        given: labels and answers.
        task: the model's task.
        threshold: probability from which a row is predicted positive.
        rows: which rows are looked at, shape (rows,).
    """

    given: Answers
    task: Task
    threshold: float
    rows: Rows

    def figure(self, name: str) -> Estimate | float:
        """Return a figure, with an interval where it is a share or a mean.

        Raises:
            KeyError: there is no such figure for this task, or no champion.
            ValueError: it is undefined on these rows.
        """
        values = self.given.candidate
        plain = name
        if name.startswith(CHAMPION):
            if self.given.champion is None:
                raise KeyError(f"{name}: there is no champion")
            values, plain = self.given.champion, name.removeprefix(CHAMPION)
        labels, answers = self.given.labels[self.rows], values[self.rows]
        if len(labels) == 0:
            raise ValueError(f"{name} is undefined: there are no such rows")
        if plain == "rows":
            return float(len(labels))
        if plain == "mean_score" and answers.ndim == 1:
            return mean_estimate(answers)
        if plain in OF_BINARY and self.task == "binary":
            return _share(name, SHARES[plain](labels == 1, self._chosen(answers)))
        return self._scored(name, plain, labels, answers)

    def _chosen(self, answers: Floats) -> Rows:
        chosen: Rows = np.asarray(predictions(answers, self.task, self.threshold)) == 1
        return chosen

    def _scored(
        self, name: str, metric: str, labels: npt.NDArray[np.generic], answers: Floats
    ) -> float:
        classes = answers.shape[1] if answers.ndim == 2 else 2
        try:
            measure = scorer(metric, self.task, self.threshold, classes)
        except ValueError:
            raise KeyError(name) from None
        value = measure(labels, answers)
        if not np.isfinite(value):
            raise ValueError(f"{name} is undefined on these rows")
        return value


def known_names(task: Task) -> tuple[str, ...]:
    """Return names to suggest where one is unknown."""
    own = (*OF_ALL, *(OF_BINARY if task == "binary" else ()), *sorted(WITHIN_ONE))
    return (*own, *(f"{CHAMPION}{name}" for name in own))


Counted = tuple[Rows, Rows]

# Of which rows a share is taken, and which of them count.
SHARES: Mapping[str, Callable[[Rows, Rows], Counted]] = {
    "selection_rate": lambda truth, chosen: (np.ones_like(truth), chosen),
    "rejection_rate": lambda truth, chosen: (np.ones_like(truth), ~chosen),
    "tpr": lambda truth, chosen: (truth, chosen),
    "fpr": lambda truth, chosen: (~truth, chosen),
    "precision": lambda truth, chosen: (chosen, truth),
}


def _share(name: str, counted: Counted) -> Estimate:
    among, hits = counted
    trials = int(np.count_nonzero(among))
    if trials == 0:
        raise ValueError(f"{name} is undefined: no row counts for it")
    return wilson(int(np.count_nonzero(among & hits)), trials)
