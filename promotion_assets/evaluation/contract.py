"""The feature pipeline's contract: which columns of which type a model is given in production."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

# MLflow's DataType names, so that a signature and a contract speak of the same types.
ColumnType = Literal[
    "boolean", "integer", "long", "float", "double", "string", "binary", "datetime"
]


class Column(BaseModel):
    """One column of a contract or of a model's input signature."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str
    required: bool = True


class FeatureContract(BaseModel):
    """What the feature pipeline delivers, in order; ``source`` says where it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]
    source: str = ""
