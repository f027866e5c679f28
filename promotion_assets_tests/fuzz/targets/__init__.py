"""The targets by name, each in a file of its own."""

from __future__ import annotations

from importlib import import_module

from promotion_assets_tests.fuzz.contract import Target

NAMES = (
    "policy",
    "profile",
    "mlmodel",
    "manifest",
    "bundle",
    "bundle_files",
    "ledger_entry",
    "ledger_event",
    "invocations",
    "inference",
    "outcomes",
    "outcome_file",
    "slack",
    "mlflow_webhook",
    "deployment",
)


def target(name: str) -> Target:
    """Return the target called ``name``; what it tries is imported now, and not before."""
    found = import_module(f"{__name__}.{name}").TARGET
    assert isinstance(found, Target)
    return found
