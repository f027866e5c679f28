"""Values for shell completion: names from the policy file, versions from ledger and registry.

A shell waits for it at each press of a key, so nothing here imports a database library, MLflow or
a gate, and nothing is ever printed that is not a completion: where a part is missing, broken or
slow, there is nothing to complete.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

# Enough for whoever chooses by eye, read from the newest back.
MOST_ENTRIES = 500
WAIT_SECONDS = 0.1
Values = Callable[[click.Context], Iterable[str]]


class Named(click.ParamType[str]):
    """Any text; a shell is offered what there is."""

    name = "text"

    def __init__(self, values: Values) -> None:
        self._values = values

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what begins like ``incomplete``, and was not given yet."""
        given = ctx.params.get(param.name or "")
        taken = set(given) if isinstance(given, tuple) else set()
        return [
            CompletionItem(value)
            for value in self._values(ctx)
            if value.startswith(incomplete) and value not in taken
        ]


def complete() -> NoReturn:
    """Answer the shell and leave, whatever happens."""
    try:
        with Path(os.devnull).open("w") as nowhere:
            sys.stderr = nowhere
            from promotion_assets.cli.root import root

            root.main(prog_name="promotion", standalone_mode=False)
    except BaseException:  # noqa: S110  (a shell has no use for an error in the middle of a line)
        pass
    try:
        sys.stdout.flush()
    finally:
        os._exit(0)


def models(ctx: click.Context) -> tuple[str, ...]:
    """Return the models of the policy."""
    return tuple(_stanzas(ctx))


def segments(ctx: click.Context) -> tuple[str, ...]:
    """Return the segments of all models: click forgets which one was typed at an open option."""
    found: dict[str, None] = {}
    for stanza in _stanzas(ctx).values():
        named = stanza.get("segments") if isinstance(stanza, dict) else None
        found |= dict.fromkeys(map(str, named) if isinstance(named, list) else ["default"])
    return tuple(found)


def versions(ctx: click.Context) -> tuple[str, ...]:
    """Return the versions of the model that was typed before, the newest first."""
    model = ctx.params.get("model")
    if not isinstance(model, str):
        return ()
    config = _config(ctx)
    home = ctx.find_root().params.get("home") or os.environ.get("PROMOTION_HOME")
    folder = Path(home) if home else config.parent / ".promotion"
    ledger = os.environ.get("PROMOTION_DATABASE_URL") or f"sqlite:///{folder.absolute()}/ledger.db"
    registry = (
        os.environ.get("MLFLOW_REGISTRY_URI")
        or os.environ.get("MLFLOW_TRACKING_URI")
        or f"sqlite:///{config.parent / 'mlflow.db'}"
    )
    found = {*_judged(ledger, model), *_registered(registry, model)}
    return tuple(sorted(found, key=lambda one: (len(one), one), reverse=True))


def _judged(ledger: str, model: str) -> set[str]:
    rows = _ask(
        ledger,
        "SELECT envelope FROM ledger_entries WHERE model = ? ORDER BY model_seq DESC LIMIT ?",
        (model, MOST_ENTRIES),
    )
    return {version for (envelope,) in rows if (version := _version_of(envelope))}


def _version_of(envelope: str) -> str | None:
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    event = statement.get("predicate", {}).get("event", {})
    version = event.get("version")
    return version if isinstance(version, str) else None


def _registered(registry: str, model: str) -> set[str]:
    asked = "SELECT version FROM model_versions WHERE name = ?"
    return {str(version) for (version,) in _ask(registry, asked, (model,))}


def _ask(url: str, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return the rows, none where it is not a file of SQLite that can be read at once."""
    if not url.startswith("sqlite:///"):
        return []
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        return []
    uri = f"file:{quote(str(path))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)) as database:
            return database.execute(query, values).fetchall()
    except sqlite3.Error:
        return []


def _stanzas(ctx: click.Context) -> Mapping[str, Any]:
    from promotion_assets.errors import PromotionError
    from promotion_assets.policy.source import read_source

    config = _config(ctx)
    try:
        data = read_source(config.read_text(encoding="utf-8"), config.name).data
    except (OSError, UnicodeDecodeError, PromotionError):
        return {}
    found = data.get("models") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _config(ctx: click.Context) -> Path:
    named = ctx.find_root().params.get("config") or os.environ.get("PROMOTION_CONFIG")
    return Path(named or "promotion.yaml").absolute()


MODEL = Named(models)
VERSION = Named(versions)
SEGMENT = Named(segments)
