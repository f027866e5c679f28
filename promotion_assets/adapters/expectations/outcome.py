"""What one expectation found, in words of our own: Great Expectations stays behind this door."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class ExpectationOutcome(BaseModel):
    """The outcome of one expectation.

    Attributes:
        name: Great Expectations' name of it, ``expect_column_values_to_be_unique``.
        success: whether the data meet it; ``False`` also where it could not be evaluated.
        column: the column that it is about; empty for a whole table.
        observed: what was seen, as JSON: a number, a list of examples, a share.
        sentence: for people: what was expected, and what was seen where they differ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    success: bool
    column: str = ""
    observed: JsonValue = None
    sentence: str
