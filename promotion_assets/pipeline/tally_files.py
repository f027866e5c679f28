"""A rollout's tally between two ticks, so that a tick reads what is new and not what exists.

The file is a convenience: one that is missing, damaged, or of another counting is not used, and
the event log is read from the beginning.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from promotion_assets.canonical import digest_of
from promotion_assets.errors import StorageUnreachable
from promotion_assets.pipeline.files import write_bytes
from promotion_assets.rollout.tally import Counting, Tally, Units

_FORM = 1
_COLUMNS = ("key", "had", "slice", "step", "decided")


def tally_path(home: Path, salt: str) -> Path:
    """Return where the tally of the rollout with this salt is kept."""
    return home / "rollouts" / f"{digest_of(salt)[:32]}.npz"


def read_tally(path: Path, counting: Counting) -> Tally | None:
    """Return the tally that was kept, if it is of ``counting`` or of its first steps."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            told = json.loads(str(kept["told"]))
            if not _same(told, counting):
                return None
            tally = Tally(counting)
            tally.units = Units(
                *(kept[name] for name in ("key", "had", "slice", "step", "decided"))
            )
            tally.slices = dict(zip(told["slices"], kept["slice_counts"], strict=True))
            tally.steps = dict(zip(told["steps"], kept["step_counts"], strict=True))
            tally.last_us = tally.read_before_us = int(told["last_us"])
            return tally
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def write_tally(path: Path, tally: Tally) -> None:
    """Keep a tally, whole or not at all; a disk that takes no write costs only time."""
    told: dict[str, Any] = {
        **_named(tally.counting),
        "began": [s.began_us for s in tally.counting.steps],
        "widths": [s.slice_us for s in tally.counting.steps],
        "shares": [s.share for s in tally.counting.steps],
        "slices": list(tally.slices),
        "steps": list(tally.steps),
        "last_us": tally.last_us,
    }
    units = tally.units
    kinds = len(tally.counting.kinds)
    written = io.BytesIO()
    np.savez(
        written,
        told=np.array(json.dumps(told)),
        key=units.key,
        had=units.had,
        slice=units.slice,
        step=units.step,
        decided=units.decided,
        slice_counts=np.array(list(tally.slices.values())).reshape(-1, 2, 3 + 2 * kinds),
        step_counts=np.array(list(tally.steps.values())).reshape(-1, 2, 3),
    )
    with contextlib.suppress(StorageUnreachable):
        write_bytes(path, written.getvalue())


def _named(counting: Counting) -> dict[str, Any]:
    return {
        "form": _FORM,
        "salt": counting.salt,
        "thresholds": dict(counting.thresholds),
        "decided_from": counting.decided_from,
    }


def _same(told: dict[str, Any], counting: Counting) -> bool:
    steps = list(zip(told["shares"], told["began"], told["widths"], strict=True))
    wanted = [(s.share, s.began_us, s.slice_us) for s in counting.steps]
    return {name: told[name] for name in _named(counting)} == _named(counting) and steps == wanted[
        : len(steps)
    ]
