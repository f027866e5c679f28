"""Looking for versions to judge: a cursor that loses none and judges none twice."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.stages import version_key
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.pipeline.workspace import Workspace


class Found(BaseModel):
    """A version to be judged; ``run_key`` names the version and what it is judged by."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    run_key: str


class Watch(BaseModel):
    """How far each model's versions have been seen."""

    model_config = ConfigDict(frozen=True)

    highest: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Watch:
        """Read a cursor; an unreadable one begins from the start, which asks nothing twice."""
        if not cursor:
            return cls()
        try:
            return cls.model_validate_json(cursor)
        except ValidationError:
            return cls()

    def dump(self) -> str:
        """Return the cursor as text."""
        return self.model_dump_json()

    def sentence(self) -> str:
        """Say up to where everything was seen."""
        seen = ", ".join(f"{model} up to version {n}" for model, n in sorted(self.highest.items()))
        return f"nothing new: {seen or 'no versions are registered'}"


def look_for_versions(
    workspace: Workspace, models: Sequence[str], seen: Watch, *, most: int
) -> tuple[list[Found], Watch]:
    """Return at most ``most`` versions to be judged, and how far was seen.

    Versions at or below a champion's number are not asked for: they can only come back by an
    explicit rollback, which needs no judgement.
    """
    found: list[Found] = []
    highest = dict(seen.highest)
    for model in models:
        state = workspace.ledger.state(model)
        inputs = Inputs(workspace.home, model, workspace.policy_of(model), workspace.environ)
        champions = [int(v) for v in state.champions.values() if v.isdecimal()]
        start = max([highest.get(model, 0), *(champions if model not in highest else [])])
        for version in workspace.registry.versions_after(model, start):
            if len(found) >= most:
                break
            highest[model] = version_key(version)[1]
            dataset, policy = inputs.dataset_digest(), inputs.policy.digest
            judged = state.decisions.get(version)
            if judged and (judged.dataset_digest, judged.policy_digest) == (dataset, policy):
                continue
            key = digest_of([model, version, dataset, policy])
            found.append(Found(model=model, version=version, run_key=key))
    return found, Watch(highest=highest)
