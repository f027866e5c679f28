"""Aequitas' metrics by group, run in an environment of its own: it wants an older pandas.

Run as a script by that environment's interpreter, it prints the seconds and the metrics.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

REQUIREMENTS = ("aequitas>=1.0", "pandas<3", "setuptools<81")


def measured(rows: int, groups: int) -> tuple[float, dict[str, list[float]]] | None:
    """Return wall seconds and each rate by group, or ``None`` with the reason printed."""
    from benchmarks.apart import said_apart

    said = said_apart("aequitas", REQUIREMENTS, __file__, rows, groups)
    return None if said is None else (float(said["seconds"]), said["rates"])


def count(rows: int, groups: int) -> dict[str, Any]:
    """Count the data of the benchmark of groups; the best of three runs."""
    import numpy as np
    import pandas as pd
    from aequitas.group import Group

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    predictions = np.where(rng.random(rows) < 0.7, labels, 1 - labels)
    codes = rng.integers(0, groups, rows)
    table = pd.DataFrame({"score": predictions, "label_value": labels, "g": codes.astype(str)})
    took = []
    for _ in range(3):
        began = time.perf_counter()
        found, _ = Group().get_crosstabs(table, attr_cols=["g"])
        took.append(time.perf_counter() - began)
    ordered = found.assign(place=found["attribute_value"].astype(int)).sort_values("place")
    rates = {name: ordered[name].tolist() for name in ("tpr", "fpr", "accuracy")}
    rates["selection_rate"] = ordered["pprev"].tolist()
    return {"seconds": min(took), "rates": rates}


if __name__ == "__main__":
    print(json.dumps(count(int(sys.argv[1]), int(sys.argv[2]))))
