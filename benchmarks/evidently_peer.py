"""Evidently's PSI preset, run in an environment of its own: it does not import on pandas 3.

Run as a script by that environment's interpreter, it prints the seconds that the preset takes.
"""

from __future__ import annotations

import json
import sys
import time

REQUIREMENTS = ("evidently>=0.7", "pandas<3")


def measured_seconds(rows: int, features: int) -> float | None:
    """Return the preset's wall seconds, or ``None`` with the reason printed."""
    from benchmarks.apart import said_apart

    said = said_apart("evidently", REQUIREMENTS, __file__, rows, features)
    return None if said is None else float(said["seconds"])


def run_preset(rows: int, features: int) -> float:
    """Run the preset on normal data whose current part is shifted by .1; return wall seconds."""
    import numpy as np
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    rng = np.random.default_rng(0)
    names = [f"f{i:02}" for i in range(features)]
    reference = pd.DataFrame({n: rng.normal(size=rows) for n in names})
    current = pd.DataFrame({n: rng.normal(0.1, 1, rows) for n in names})
    columns = DataDefinition(numerical_columns=names)
    began = time.perf_counter()
    Report([DataDriftPreset(method="psi")]).run(
        Dataset.from_pandas(current, data_definition=columns),
        Dataset.from_pandas(reference, data_definition=columns),
    ).dict()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps({"seconds": run_preset(int(sys.argv[1]), int(sys.argv[2]))}))
