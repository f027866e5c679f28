"""Great Expectations at work on dataset versions and on profile tables.

Importing Great Expectations takes seconds, so this package imports it only inside its
functions. It runs in an ephemeral context: nothing of a project lies on disk but the Data Docs,
whose pages are made to need no network. Usage statistics are switched off.
"""

from promotion_assets.adapters.expectations.dataset_suite import validate_dataset
from promotion_assets.adapters.expectations.outcome import ExpectationOutcome
from promotion_assets.adapters.expectations.profile_table import (
    profile_table,
    validate_profile_table,
)

__all__ = ["ExpectationOutcome", "profile_table", "validate_dataset", "validate_profile_table"]
