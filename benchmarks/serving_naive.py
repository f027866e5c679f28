"""The naive shadow for comparison: asked in the request, after the champion, before the answer.

Run by uvicorn as a factory; ``NAIVE_CHAMPION`` and ``NAIVE_SHADOW`` name artifacts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from promotion_assets.adapters.served_model import Trust, load_model
from promotion_assets.serving.model import as_json
from promotion_assets.serving.payload import read_invocation
from promotion_assets.serving.plan import Arm


def app() -> Any:
    """Return the application."""
    arm = Arm(version="1", digest="0" * 64)
    champion, shadow = (
        load_model(arm, Path(os.environ[name]), Trust(pickle=True))
        for name in ("NAIVE_CHAMPION", "NAIVE_SHADOW")
    )

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        predictions: list[str] = []
        if scope["path"] == "/invocations":
            payload = read_invocation((await receive()).get("body", b""), "application/json")
            predictions = [as_json(p) for p in champion.answer(payload).predictions]
            shadow.answer(payload)
        content = b'{"predictions": [' + ", ".join(predictions).encode() + b"]}"
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    return answered
