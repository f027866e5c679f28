"""The process in which a copy's target is spoken to: it knows no other registry.

Run as ``python -m promotion_assets.adapters.copy_worker`` by ``copy_process``. Requests and
answers are lines of JSON on standard input and output; whatever else is printed goes to standard
error. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from pydantic import validate_call
from pydantic_core import to_jsonable_python

from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.errors import PromotionError

CALLS = (
    "find",
    "make_run",
    "make_model",
    "write_records",
    "read_records",
    "upload",
    "attach",
    "download",
    "download_attached",
    "register",
)


def serve(target: MlflowCopyTarget, requests: Iterable[str], answers: TextIO) -> None:
    """Answer every request with its result, or with the error that it raised."""
    for line in requests:
        asked = json.loads(line)
        answers.write(json.dumps(_answer(target, asked["call"], asked["arguments"])) + "\n")
        answers.flush()


def _answer(target: MlflowCopyTarget, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if call not in CALLS:
        raise ValueError(f"{call!r} is no call of a copy's target")
    method: Callable[..., Any] = validate_call(getattr(target, call))
    try:
        return {"value": to_jsonable_python(method(**arguments))}
    except PromotionError as error:
        return {"error": type(error).__name__, "parts": list(error.args)}


def main() -> None:
    """Serve the registry that the environment names."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(MlflowCopyTarget(os.environ["MLFLOW_TRACKING_URI"]), sys.stdin, answers)


if __name__ == "__main__":
    main()
