"""Where this installation stands between development and production, and what may come and go."""

from __future__ import annotations

import tempfile
from pathlib import Path

from promotion_assets.adapters.keys import load_public
from promotion_assets.audit.arrival import Arrival, verify_arrival
from promotion_assets.errors import EvidenceMissing, PolicyError, TransitionRefused, UsageError
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.lifecycle.copy_values import without_credentials
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.environments import Environment
from promotion_assets.policy.load import expand_uri


def here(workspace: Workspace) -> int | None:
    """Return the place of this installation's environment, ``None`` where it is in none."""
    own = without_credentials(workspace.registry_uri or workspace.tracking_uri)
    for place, environment in enumerate(workspace.policy.environments):
        if _address(workspace, environment) == own:
            return place
    return None


def address_of(workspace: Workspace, to: str) -> str:
    """Return the registry's address that ``to`` means: an environment's name, or an address.

    Raises:
        UsageError: there is no such environment, or it is not the next one from here.
        PolicyError: its address names a variable that is not set.
    """
    environments = workspace.policy.environments
    names = [environment.name for environment in environments]
    meant = next(
        (
            place
            for place, environment in enumerate(environments)
            if to == environment.name or without_credentials(to) == _address(workspace, environment)
        ),
        None,
    )
    if meant is None:
        if ":" in to:
            return to
        known = f"known are {', '.join(names)}" if names else "the policy names no environments"
        raise UsageError(
            f"copying to {to}",
            f"it is neither an address nor an environment; {known}",
            "correct the name, or add it to `environments` in the policy",
        )
    place = here(workspace)
    if place is not None and meant != place + 1:
        way = " → ".join(names)
        raise UsageError(
            f"copying from {names[place]} to {names[meant]}",
            f"the way is {way}, one step at a time",
            f"copy to {names[place + 1]} first"
            if place + 1 < len(names)
            else "roll out here; there is no environment after this one",
        )
    return expand_uri(environments[meant].registry, workspace.environ)


def check_arrival(workspace: Workspace, model: str, version: str) -> Arrival | None:
    """Verify the attestation of a version that has to come from another environment.

    Returns:
        Where it came from; ``None`` where versions may begin: in the first environment, or where
        the policy names none.

    Raises:
        TransitionRefused: it has no attestation.
        IntegrityError: it has one that does not hold.
    """
    place = here(workspace)
    if not place:
        return None
    environment = workspace.policy.environments[place]
    doing = f"taking {model} version {version} into {environment.name}"
    keys = [load_public(workspace.config.parent / key) for key in environment.trusted_keys]
    registry = workspace.registry
    candidate = take_candidate(registry, model, version, workspace.store / "artifacts")
    if candidate.artifact_dir is None or not candidate.run_id:
        what = "artifact" if candidate.artifact_dir is None else "run"
        raise EvidenceMissing(
            doing,
            "; ".join((f"its {what} is missing", *candidate.problems)),
            f"have it copied again: `promotion copy {model} VERSION --to {environment.name}`, "
            "where it was approved",
        )
    with tempfile.TemporaryDirectory(prefix="arrival-") as scratch:
        attached = registry.attestation(candidate.run_id, Path(scratch))
        if attached is None:
            before = workspace.policy.environments[place - 1].name
            raise TransitionRefused(
                doing,
                f"it has no attestation of {before}; it was not copied from there",
                f"in {before}: `promotion copy {model} VERSION --to {environment.name}`",
            )
        return verify_arrival(
            doing, model, candidate.run_id, candidate.artifact_dir, attached, keys
        )


def _address(workspace: Workspace, environment: Environment) -> str | None:
    try:
        return without_credentials(expand_uri(environment.registry, workspace.environ))
    except PolicyError:
        # An installation need not know the addresses of all others.
        return None
