"""Feature profiles: per-feature summaries of a data set, mergeable across shards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Base of the values in this module."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NumericFeature(Frozen):
    """A numeric feature: counts in bins, missing values apart.

    Bin ``i`` of ``counts`` holds the values in ``(edges[i-1], edges[i]]``, with minus infinity
    before the first edge and plus infinity after the last: ``len(counts) == len(edges) + 1``.
    """

    kind: Literal["numeric"] = "numeric"
    name: str
    type: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: float = 0.0
    total_squares: float = 0.0

    @model_validator(mode="after")
    def _shape(self) -> NumericFeature:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(
                f"feature {self.name!r} has {len(self.counts)} counts for "
                f"{len(self.edges)} edges; there must be one more count than edges"
            )
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"feature {self.name!r}: edges must ascend without repeats")
        if min(self.counts, default=0) < 0 or self.missing < 0:
            raise ValueError(f"feature {self.name!r}: a count is negative")
        return self


class CategoricalFeature(Frozen):
    """A categorical feature: a count for every category seen, missing values apart.

    ``other`` counts the values past the categories that a profile keeps by name, and in a profile
    made against another one the values that the other one does not know. ``unlisted`` names the
    first of these, in the order of their names, with their counts: for people, and part of
    ``other``.
    """

    kind: Literal["categorical"] = "categorical"
    name: str
    type: str
    counts: dict[str, int]
    missing: int = 0
    other: int = 0
    unlisted: dict[str, int] = {}

    @model_validator(mode="after")
    def _counts(self) -> CategoricalFeature:
        if min([*self.counts.values(), *self.unlisted.values(), self.missing, self.other]) < 0:
            raise ValueError(f"feature {self.name!r}: a count is negative")
        return self


class FeatureProfile(Frozen):
    """Profiles of all features of one data set.

    Two profiles with the same edges merge exactly: the profile of shards merged is the profile
    of the whole.
    """

    rows: int
    features: tuple[
        Annotated[NumericFeature | CategoricalFeature, Field(discriminator="kind")], ...
    ]
    source: str = ""

    def feature(self, name: str) -> NumericFeature | CategoricalFeature | None:
        """Return the feature called ``name``, or ``None``."""
        return next((f for f in self.features if f.name == name), None)
