"""The child in which a shadow is loaded: answers copies of requests until its parent is gone.

Started inside the sandbox by :mod:`promotion_assets.adapters.shadow_process`. It reads frames
from standard input and answers on descriptor 3, one frame a copy, in order.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from promotion_assets.adapters.scoring_worker import Channel, LazyModules, take_pipes_away


def main() -> None:
    """Load what the first frame names, then answer."""
    channel = Channel(*take_pipes_away())
    first = channel.receive()
    if first is None:
        return
    header = first.header
    sys.meta_path.insert(0, LazyModules("mlflow.genai", "mlflow.gateway"))
    try:
        from promotion_assets.adapters.served_model import Trust, load_model
        from promotion_assets.serving.plan import Arm

        arm = Arm(version=header["version"], digest=header["digest"])
        trust = Trust(**header["trust"])
        model = load_model(arm, Path(header["directory"]), trust, header["positive"])
    except Exception as error:
        channel.send({"op": "failed", "error": str(error)})
        return
    channel.accept(header["max_payload"])
    channel.send({"op": "loaded", "how": model.how})
    while (frame := channel.receive()) is not None:
        start = 0
        for item in frame.header["items"]:
            body = frame.payload[start : start + item["size"]]
            start += item["size"]
            channel.send(_answer(model, item["form"], body, item["rows"]))


def _answer(model: Any, form: str, body: bytes, rows: int) -> dict[str, Any]:
    from promotion_assets.serving.model import as_json
    from promotion_assets.serving.payload import read_inference, read_invocation

    began = time.perf_counter()
    try:
        if form == "tensors":
            payload = read_inference(body)
        else:
            kind = "text/csv" if form == "csv" else "application/json"
            payload = read_invocation(body, kind)
        answer = model.answer(payload)
        predictions = [as_json(p) for p in answer.predictions]
        error = None if len(predictions) == rows else f"it answered {len(predictions)} rows"
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"[:300]
    latency = (time.perf_counter() - began) * 1000
    if error is not None:
        return {"latency_ms": latency, "error": error}
    # NaN is no JSON, and stands for a prediction without a number.
    scores = [None if math.isnan(s) else s for s in answer.scores]
    return {"latency_ms": latency, "predictions": predictions, "scores": scores}


if __name__ == "__main__":
    main()
    # A model's own threads must not keep the process.
    os._exit(0)
