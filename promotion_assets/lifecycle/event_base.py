"""What every event is built on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

DEFAULT_SEGMENT = "default"


class Value(BaseModel):
    """Base of all values of the ledger: immutable, unknown keys and NaN are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


class Event(Value):
    """Base of every event. ``actor`` is who caused it: a person, or ``promotion`` itself."""

    model: str = Field(min_length=1)
    actor: str = Field(default="promotion", min_length=1)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the event as JSON types, under the names that the ledger uses."""
        return self.model_dump(mode="json", by_alias=True)
