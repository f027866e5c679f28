"""The names of the models in a policy file, before anything else in it is judged."""

from __future__ import annotations

from pathlib import Path

from promotion_assets.errors import PolicyError
from promotion_assets.policy.source import read_source


def names_of_models(path: Path) -> tuple[str, ...]:
    """Return the names in the file ``path``; none where it is not a policy at all.

    Gates and their settings are not looked at: reading them means importing every gate, and a
    mistake in one of them does not change which models there are.
    """
    try:
        data = read_source(path.read_text(encoding="utf-8"), path.name).data
    except (OSError, UnicodeDecodeError, PolicyError):
        return ()
    models = data.get("models") if isinstance(data, dict) else None
    return tuple(models) if isinstance(models, dict) else ()
