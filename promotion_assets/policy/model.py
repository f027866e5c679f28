"""The policy as data: what ``promotion.yaml`` may say, and what it means when it says nothing."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from promotion_assets.canonical import digest_of
from promotion_assets.policy.environments import Environment, contradiction
from promotion_assets.policy.evaluation import EvaluationPolicy
from promotion_assets.policy.notifications import Notifications, Subscription, repeated
from promotion_assets.policy.review import ReviewPolicy
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.policy.serving import ServingPolicy
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.policy.strict import Strict
from promotion_assets.policy.watching import Schedule, WatchPolicy

Task = Literal["binary", "multiclass", "regression"]
RiskClass = Literal["low", "medium", "high"]
# Stanzas on which no evaluation depends.
_NOT_JUDGED = {"evaluation", "review", "shadow", "notifications", "rollout", "serving", "watch"}


class Group(Strict):
    """A protected attribute: a column of the evaluation dataset, whole or cut into bands.

    Attributes:
        column: the column's name.
        name: how the attribute is called in results; the column's name where not given.
        bands: ascending inner edges for a numeric column; ``[30, 50]`` gives ``<30``,
            ``30-49`` … as ``[low, high)``, the last one open.
        labels: what a value is called (``{"3": "high school"}``), for people.
    """

    column: str
    name: str = ""
    bands: tuple[float, ...] = ()
    labels: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _bands_ascend(self) -> Group:
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError(f"bands must ascend without repeats, got {list(self.bands)}")
        return self

    @property
    def label(self) -> str:
        """The attribute's name in results."""
        return self.name or self.column


class Dataset(Strict):
    """Where labelled rows come from, and what must be true of them.

    Attributes:
        uri: a file, any fsspec/pyarrow URI of Parquet or CSV, or ``sql`` with a query.
        query: for a SQLAlchemy URL in ``uri``: the query.
        label: the label column.
        positive: the label value that counts as positive (binary).
        id: a column that names the unit; unique.
        time: a timestamp column, for the time range.
        ignore: columns that are neither features nor groups.
        min_rows, min_group_rows: below these the dataset's own checks fail.
        label_rate: closed range that the positive rate must lie in (binary).
    """

    uri: str
    query: str | None = None
    label: str
    positive: JsonValue = 1
    id: str | None = None
    time: str | None = None
    ignore: tuple[str, ...] = ()
    min_rows: Annotated[int, Field(ge=1)] = 200
    min_group_rows: Annotated[int, Field(ge=1)] = 30
    label_rate: tuple[float, float] | None = None


class Source(Strict):
    """Rows that production sends now; no labels needed.

    Attributes:
        uri: a file, any fsspec/pyarrow URI of Parquet or CSV, or a SQLAlchemy URL.
        query: for a SQLAlchemy URL in ``uri``: the query.
    """

    uri: str
    query: str | None = None


class FirstVersion(Strict):
    """What stands in for the comparison where a segment has no champion yet.

    ``accept: absolute`` judges by absolute limits alone and records ``reason``. Without this
    stanza a comparison with a champion that does not exist is inconclusive.

    Attributes:
        accept: ``absolute``, and nothing else.
        reason: why that will do; recorded with the decision.
    """

    accept: Literal["absolute"]
    reason: Annotated[str, Field(min_length=10)]


class Sandbox(Strict):
    """Limits of the child process in which a candidate is loaded and scored.

    Attributes:
        wall_seconds, cpu_seconds: for one scoring pass with loading.
        memory_bytes: address space of the child.
        output_bytes: what it may write to any one file, its printed output included.
        threads: thread count given to OpenMP, BLAS and the like.
        require: ``namespaces`` refuses to load anything where neither bubblewrap nor
            user namespaces work; ``limits`` accepts process limits alone, for safe formats.
        env_manager: ``local`` runs the candidate in the platform's own environment.
    """

    wall_seconds: Annotated[float, Field(gt=0)] = 120.0
    cpu_seconds: Annotated[int, Field(gt=0)] = 240
    memory_bytes: Annotated[int, Field(ge=64 * 1024**2)] = 4 * 1024**3
    output_bytes: Annotated[int, Field(ge=4096)] = 256 * 1024**2
    threads: Annotated[int, Field(ge=1)] = 1
    require: Literal["namespaces", "limits"] = "limits"
    env_manager: Literal["local", "uv", "virtualenv"] = "local"


class Waiver(Strict):
    """A gate's failure accepted by a named person until a date, with the reason recorded.

    Attributes:
        gate: whose failure is accepted.
        version: of the one version for which it is.
        by: who accepts it.
        reason: why; recorded with the decision.
        until: the day through which it holds.
    """

    gate: str
    version: str
    by: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=10)]
    until: date


class ModelPolicy(Strict):
    """What must hold for one registered model.

    Attributes:
        task: what the model predicts.
        owner: who answers for the model, as shown and told to others.
        description: what the model is for, in a sentence.
        risk_class: settles how many must approve, what they are asked, and which sections a
            model card needs.
        dataset: the labelled rows that every version is judged on.
        groups: whom no version may serve worse than the champion did.
        production: rows as they come in now, for drift and column types.
        first_version: what stands in for the comparison where there is no champion yet.
        sandbox: limits of the process that loads a candidate.
        waivers: failures of gates that somebody has accepted.
        on_bypass: ``revert`` puts back what was moved in MLflow past the platform; ``report``
            only tells.
        segments: parts of the traffic with a champion of their own.
        gates: settings by gate name, defaults filled in, as JSON; at least one.
        gate_paths: import paths (``package.module:GATE``) of the team's own gates, by name.
        contract: what the feature pipeline delivers: ``production`` takes it from the
            production source's columns, ``dataset`` from the evaluation dataset's, anything
            else is the path of a YAML file of ``column: type``.
        decision_ttl_days: how long an approved decision opens the way to Staging.
        auto_to_staging: whether an approved decision moves the version to Staging at once.
        holdout_budget: candidates judged on one dataset version before the accuracy gate widens
            its interval.
        watch: which registered versions are judged.
        evaluation: how rows are held; only what can change a figure is part of the digest.
        review: who approves what has passed, and how.
        shadow: what is asked of the shadow before.
        rollout: how traffic moves to what was approved.
        serving: what servers write down, and what they bear.
        notifications: who is told of this model alone.
        base: directory that relative paths start from; not part of the digest.
    """

    task: Task
    owner: str = ""
    description: str = ""
    risk_class: RiskClass = "medium"
    dataset: Dataset
    groups: tuple[Group, ...] = ()
    production: Source | None = None
    contract: str = "production"
    first_version: FirstVersion | None = None
    sandbox: Sandbox = Sandbox()
    evaluation: EvaluationPolicy = EvaluationPolicy()
    gates: Annotated[Mapping[str, Mapping[str, JsonValue]], Field(min_length=1)]
    gate_paths: Mapping[str, str] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    decision_ttl_days: Annotated[int, Field(ge=1)] = 30
    auto_to_staging: bool = True
    holdout_budget: Annotated[int, Field(ge=1)] = 20
    on_bypass: Literal["report", "revert"] = "report"
    segments: tuple[str, ...] = ("default",)
    watch: WatchPolicy = WatchPolicy()
    review: ReviewPolicy = ReviewPolicy()
    shadow: ShadowPolicy = ShadowPolicy()
    rollout: RolloutPolicy = RolloutPolicy()
    serving: ServingPolicy = ServingPolicy()
    notifications: tuple[Subscription, ...] = ()
    base: str = Field(default=".", exclude=True)

    @model_validator(mode="after")
    def _counted_tasks(self) -> ModelPolicy:
        if self.evaluation.counted and self.task == "multiclass":
            raise ValueError(
                f"evaluation.engine {self.evaluation.engine} counts binary and regression models; "
                "a multiclass model needs `engine: memory`"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, defaults included: what an evaluation pins.

        What comes after the evaluation has a digest of its own, :attr:`review_digest`.
        """
        judged = self.model_dump(mode="json", exclude=_NOT_JUDGED)
        return digest_of({**judged, **self.evaluation.judged_by})

    @property
    def review_digest(self) -> str:
        """SHA-256 of the rules by which it is reviewed: what an approval pins."""
        review = self.review.rules_digest(self.shadow.waive)
        return digest_of({"review": review, "rollout": self.rollout.rules_digest})

    @property
    def decision_ttl(self) -> timedelta:
        """``decision_ttl_days`` as a time span."""
        return timedelta(days=self.decision_ttl_days)


class Policy(Strict):
    """The whole of ``promotion.yaml``.

    Attributes:
        version: of the file's form.
        models: what must hold, by the registered model's name.
        notifications: who is told of every model, and how deliveries are tried.
        schedule: how often everything is looked at.
        environments: through which registries a version goes, one after the other.
    """

    version: Literal[1] = 1
    models: Annotated[Mapping[str, ModelPolicy], Field(min_length=1)]
    notifications: Notifications = Notifications()
    schedule: Schedule = Schedule()
    environments: tuple[Environment, ...] = ()

    @model_validator(mode="after")
    def _subscriptions_once(self) -> Policy:
        twice = repeated(self.subscriptions())
        if twice:
            raise ValueError(f"two subscriptions are called {twice[0]!r}; give one another name")
        return self

    @model_validator(mode="after")
    def _environments_in_order(self) -> Policy:
        wrong = contradiction(self.environments)
        if wrong:
            raise ValueError(f"environments: {wrong}")
        return self

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return everybody who is told, those of one model alone bound to it."""
        own = (
            each.model_copy(update={"models": (glob.escape(model),)})
            for model, stanza in self.models.items()
            for each in stanza.notifications
        )
        return (*self.notifications.subscriptions, *own)
