"""Feature functions that the demo's models carry in their pipelines.

A registered model names these functions, so they are importable wherever it is loaded, and the
policy lists those that it trusts.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

PAYMENT_STATUS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")


def join_payment_history(frame: pd.DataFrame, education_codes: Sequence[int]) -> pd.DataFrame:
    """Return ``frame`` with the payment history of the customers whose code is known.

    The history is kept by EDUCATION code; a left join gives missing values to the customers
    whose code is not in ``education_codes``, and nobody is told.
    """
    known = frame["EDUCATION"].isin(list(education_codes))
    history = frame.loc[known, list(PAYMENT_STATUS)].astype("float64")
    return frame.assign(**{name: history[name].reindex(frame.index) for name in PAYMENT_STATUS})
