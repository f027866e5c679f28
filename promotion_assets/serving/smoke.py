"""A request to try a version with before the first caller comes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from promotion_assets.evaluation.candidate import Signature
from promotion_assets.serving.payload import Payload, read_invocation
from promotion_assets.serving.schema import CHECKED

_VALUES: Mapping[str, object] = {"boolean": False, "string": "", "integer": 0, "long": 0}


def made_up(signature: Signature | None) -> Payload | None:
    """Return one row of zeros and empty texts; ``None`` where a signature does not name columns."""
    if signature is None or signature.kind != "columns" or not signature.inputs:
        return None
    if any(not column.name or column.type not in CHECKED for column in signature.inputs):
        return None
    content = {
        "columns": [column.name for column in signature.inputs],
        "data": [[_VALUES.get(column.type, 0.0) for column in signature.inputs]],
    }
    body = json.dumps({"dataframe_split": content}).encode()
    return read_invocation(body, "application/json")
