"""Is an installation fit to be trusted with a promotion: each part is tried, and says how it is.

Nothing is changed. A part that cannot be tried is a failure, never silence.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from sqlalchemy.engine import make_url

from promotion_assets.adapters.database import is_sqlite, open_engine_to_read
from promotion_assets.adapters.event_log import event_log_url
from promotion_assets.adapters.private_files import modes_that_let_others_in
from promotion_assets.adapters.reviewer_store import open_access_store
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.reading import read_contract
from promotion_assets.lifecycle.deviations import compare
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import CLOCK_SKEW
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.load import expand_uri
from promotion_assets.quiet import SILENT

Level = Literal["ok", "warning", "failure"]
PACKAGE = "promotion-assets"
LITTLE_DISK = 1024**3
# As many as are counted.
MANY_VERSIONS = 200


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was tried.
        found: what is the case.
        mend: what to do; empty where nothing is to be done.
        unreachable: whether it failed because another system does not answer.
    """

    check: str
    level: Level
    found: str
    mend: str = ""
    unreachable: bool = False


Look = Callable[[Workspace], Iterator[Finding]]
LookAtModel = Callable[[Workspace, str], Iterator[Finding]]


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Try every part, in the order in which one depends on another."""
    parts: list[tuple[str, Look]] = [
        ("packages", _packages),
        ("telemetry", _telemetry),
        ("sandbox", _sandbox),
        ("policy", _policy),
        ("home", _home),
        ("database", _database),
        ("ledger", _ledger),
        ("checkpoints", _checkpoints),
        ("dagster", _dagster),
    ]
    for name, look in parts:
        yield from _tried(name, partial(look, workspace))
    try:
        models = tuple(workspace.policy.models)
    except PromotionError:
        return  # Said already, as the finding of "policy".
    of_models: list[tuple[str, LookAtModel]] = [
        ("registry", _registry),
        ("data", _data),
        ("reviewers", _reviewers),
    ]
    for model in models:
        for name, look_at in of_models:
            yield from _tried(f"{model}: {name}", partial(look_at, workspace, model))


def _tried(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except PromotionError as error:
        yield Finding(
            check,
            "failure",
            f"{error.doing}: {error.problem}",
            error.next_step,
            isinstance(error, Unreachable),
        )


def _is_new(workspace: Workspace) -> bool:
    """Whether the database does not exist yet: opening it would make it."""
    url = make_url(workspace.database_url)
    return is_sqlite(url) and not Path(url.database or "").exists()


def _packages(workspace: Workspace) -> Iterator[Finding]:
    wrong = []
    for line in distribution(PACKAGE).requires or ():
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            continue
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        try:
            held = version(asked.name)
        except PackageNotFoundError:
            wrong.append(f"{asked.name} is missing")
            continue
        if not asked.specifier.contains(held, prereleases=True):
            wrong.append(f"{asked.name} {held} is not {asked.specifier}")
    python = ".".join(str(part) for part in sys.version_info[:3])
    if wrong:
        yield Finding(
            "packages", "failure", "; ".join(wrong), "install with `-c constraints.txt` again"
        )
    else:
        yield Finding("packages", "ok", f"{PACKAGE} {version(PACKAGE)} on Python {python}")


def _telemetry(workspace: Workspace) -> Iterator[Finding]:
    talking = [
        f"{name}={workspace.environ[name]}"
        for name, silent in SILENT.items()
        if workspace.environ.get(name, silent).lower() != silent
        and ("TELEMETRY" in name or "TRACK" in name or "ANALYTICS" in name)
    ]
    if talking:
        yield Finding(
            "telemetry", "warning", f"the environment says {', '.join(talking)}", "unset it"
        )
    else:
        yield Finding("telemetry", "ok", "off, of Dagster, MLflow and Great Expectations")


def _sandbox(workspace: Workspace) -> Iterator[Finding]:
    isolation = detect_isolation()
    if isolation == "bubblewrap":
        yield Finding("sandbox", "ok", "candidates run under bubblewrap: no network, no files")
    elif isolation == "unshare":
        yield Finding("sandbox", "ok", "candidates run in user namespaces: no network, no files")
    else:
        yield Finding(
            "sandbox",
            "warning",
            "only process limits work here, so models in pickle formats are refused",
            "install bubblewrap, or allow unprivileged user namespaces",
        )


def _policy(workspace: Workspace) -> Iterator[Finding]:
    models = workspace.policy.models
    yield Finding("policy", "ok", f"{workspace.config.name}: {', '.join(models)}")
    for name, model in models.items():
        if not model.owner:
            yield Finding(
                "policy",
                "warning",
                f"{name} has no owner",
                "set `owner:`, so that somebody is told",
            )
        waived = model.shadow.waive
        if waived:
            yield Finding(
                "policy",
                "warning",
                f"{name} goes live without a shadow: {waived}",
                "remove `shadow.waive` when the reason has gone",
            )


def _home(workspace: Workspace) -> Iterator[Finding]:
    home = workspace.home
    nearest = next(p for p in (home, *home.parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        yield Finding(
            "home",
            "failure",
            f"{nearest} is not writable for this user",
            "mend its permissions, or name another folder with PROMOTION_HOME",
        )
        return
    free = shutil.disk_usage(nearest).free
    level: Level = "ok" if free > LITTLE_DISK else "warning"
    mend = "" if level == "ok" else "free some: datasets, scores and artifacts are kept there"
    yield Finding("home", level, f"{home}, {free / 1024**3:.1f} GB free", mend)
    let_in = modes_that_let_others_in(_for_one_user(workspace))
    if let_in:
        modes = (
            f"{path.relative_to(home) if path.parent == home else path} ({mode:04o})"
            for path, mode in let_in.items()
        )
        # SQLite's logs lie beside its file, and have the same mode.
        paths = (f"{shlex.quote(str(p))}{'*' if p.is_file() else ''}" for p in let_in)
        yield Finding(
            "home",
            "warning",
            f"others than its user are let in: {', '.join(modes)}",
            f"run `chmod go= {' '.join(paths)}`, unless you let them in on purpose",
        )


def _for_one_user(workspace: Workspace) -> Iterator[Path]:
    """Yield what is made for one user alone; the key itself is seen to by whoever reads it."""
    yield workspace.home
    for url in (workspace.database_url, event_log_url(workspace.home, workspace.environ)):
        parsed = make_url(url)
        if is_sqlite(parsed) and parsed.database:
            yield Path(parsed.database)
    yield workspace.keys


def _database(workspace: Workspace) -> Iterator[Finding]:
    url = make_url(workspace.database_url)
    if _is_new(workspace):
        yield Finding("database", "ok", "SQLite; made with the first entry")
        return
    if is_sqlite(url):
        yield Finding("database", "ok", "SQLite, for processes of one machine")
    else:
        yield Finding("database", "ok", f"{url.get_backend_name()} at {url.host}")
    open_engine_to_read(workspace.database_url).dispose()


def _ledger(workspace: Workspace) -> Iterator[Finding]:
    if _is_new(workspace):
        yield Finding("ledger", "ok", "empty")
        return
    # Before the ledger's head: one that grows meanwhile is not taken for a shorter one.
    longest = _longest_checkpoint(workspace)
    head = workspace.ledger.head()
    earlier = len(workspace.trusted_keys) - 1
    keys = f"the key in {workspace.keys}" + (f", and {earlier} before it" if earlier else "")
    yield Finding("ledger", "ok", f"{head.size} entries; signed by {keys}")
    if longest > head.size:
        yield Finding(
            "ledger",
            "failure",
            f"a checkpoint is of {longest} entries: an old backup was restored, or the end was "
            "cut off",
            "stop what writes to it, run `promotion audit verify`, and restore a newer backup",
        )
    now = workspace.clock()
    for model in workspace.ledger.models():
        state = workspace.ledger.state(model)
        if state.intent is not None:
            yield Finding(
                "ledger",
                "warning",
                f"{model}: the change {state.intent.intent_id} has not been finished",
                "run `promotion reconcile`",
            )
        early = [
            *((d.decided_at, f"{d.version} was decided") for d in state.decisions.values()),
            *(
                (r.reviewed_at, f"{r.version} was {r.verdict} by {r.actor}")
                for given in state.reviews.values()
                for r in given
            ),
        ]
        for at, what in [found for found in early if found[0] - now > CLOCK_SKEW][:1]:
            yield Finding(
                "ledger",
                "failure",
                f"{model} version {what} at {at:%Y-%m-%d %H:%M}, "
                f"and this clock says {now:%Y-%m-%d %H:%M}",
                "set this machine's clock, or the one that dated it",
            )


def _longest_checkpoint(workspace: Workspace) -> int:
    held = (workspace.home / "checkpoints").glob("checkpoint-*.txt")
    sizes = [path.stem.removeprefix("checkpoint-") for path in held]
    return max((int(size) for size in sizes if size.isdecimal()), default=0)


def _checkpoints(workspace: Workspace) -> Iterator[Finding]:
    named = workspace.named_places
    if named:
        yield Finding("checkpoints", "ok", f"published to {', '.join(p.name for p in named)}")
        return
    yield Finding(
        "checkpoints",
        "warning",
        "kept only on this machine and in MLflow: whoever owns both can rewrite the ledger",
        "set PROMOTION_CHECKPOINTS to a folder or bucket of another administrator",
    )


def _dagster(workspace: Workspace) -> Iterator[Finding]:
    named = workspace.environ.get("DAGSTER_HOME")
    if not named:
        yield Finding(
            "dagster",
            "warning",
            "DAGSTER_HOME is not set, so runs are forgotten on restart",
            "set it to a folder with the shipped dagster.yaml",
        )
    elif not (Path(named) / "dagster.yaml").is_file():
        yield Finding(
            "dagster",
            "warning",
            f"{named} has no dagster.yaml",
            "copy the shipped one there: it turns telemetry off and sets pools",
        )
    else:
        yield Finding("dagster", "ok", f"home {named}")


def _registry(workspace: Workspace, model: str) -> Iterator[Finding]:
    check = f"{model}: registry"
    registry = workspace.registry
    if model not in registry.models():
        yield Finding(
            check,
            "warning",
            "MLflow has no registered model of this name",
            "register a version, or correct the name in the policy",
        )
        return
    state = ModelState(model) if _is_new(workspace) else workspace.ledger.state(model)
    champions = ", ".join(f"{seg}: {v}" for seg, v in state.champions.items())
    if not champions:
        found_some = registry.versions_after(model, 0, limit=MANY_VERSIONS)
        several = f"{len(found_some)}{' or more' if len(found_some) == MANY_VERSIONS else ''}"
        yield Finding(
            check,
            "warning",
            f"{several} versions, and no champion",
            f"take in what serves today: `promotion adopt {model} VERSION --reason …`",
        )
        return
    found = compare(state, registry.read_mirror(model), None)
    if found.deviations:
        yield Finding(
            check,
            "failure",
            "; ".join(d.sentence() for d in found.deviations[:3]),
            "run `promotion reconcile` and find out who moved it",
        )
    else:
        yield Finding(check, "ok", f"champion {champions}; MLflow shows what the ledger says")


def _data(workspace: Workspace, model: str) -> Iterator[Finding]:
    policy = workspace.policy_of(model)
    base = Path(policy.base)
    for name, source in (("dataset", policy.dataset), ("production", policy.production)):
        if source is None:
            yield Finding(
                f"{model}: data",
                "warning",
                "no production source, so drift cannot be judged",
                "set `production.uri`",
            )
            continue
        uri = expand_uri(source.uri, workspace.environ)
        columns = read_contract(uri, query=source.query, base=base).columns
        wanted = [policy.dataset.label] if name == "dataset" else []
        wanted += [g.column for g in policy.groups] if name == "dataset" else []
        missing = [c for c in wanted if c not in {column.name for column in columns}]
        if missing:
            yield Finding(
                f"{model}: data",
                "failure",
                f"the {name} has no column {', '.join(missing)}",
                "correct the policy, or the data",
            )
        else:
            yield Finding(f"{model}: data", "ok", f"{name} has {len(columns)} columns")


def _reviewers(workspace: Workspace, model: str) -> Iterator[Finding]:
    policy = workspace.policy_of(model)
    check = f"{model}: reviewers"
    listed, needed = policy.review.reviewers, policy.review.needed(policy.risk_class)
    if len(listed) <= needed:
        yield Finding(
            check,
            "warning",
            f"{len(listed)} listed and {needed} must approve, the author not among them",
            "list at least one more under `review.reviewers`",
        )
    if _is_new(workspace):
        return
    held = {token.reviewer for token in open_access_store(workspace.database_url).tokens()}
    without = [r.name for r in listed if r.name not in held]
    if without:
        yield Finding(
            check,
            "warning",
            f"without a token: {', '.join(without)}",
            f"`promotion reviewer add {without[0]}`",
        )
    elif listed:
        yield Finding(check, "ok", f"{len(listed)} listed, {needed} must approve")
