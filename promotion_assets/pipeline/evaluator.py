"""The steps of one evaluation, from a registered version to its decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from promotion_assets.adapters.tracing import span
from promotion_assets.decision.decide import Decision, decide, pins_of
from promotion_assets.errors import EvidenceMissing, PromotionError
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.contract import FeatureContract
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.evaluation.latency import LatencyPlan
from promotion_assets.evaluation.probing import ProbingPlan
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.gates.artifact import ArtifactSettings
from promotion_assets.gates.catalogue import run_gate, settings_for
from promotion_assets.gates.contract import Gate, GateResult, GateSettings
from promotion_assets.gates.latency import LatencySettings
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.pipeline.answers_read import with_answers
from promotion_assets.pipeline.code_version import code_version, environment
from promotion_assets.pipeline.engines import engine_of
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.pipeline.large_step import score_both_large
from promotion_assets.pipeline.records import VersionFolder
from promotion_assets.pipeline.scoring_step import AnyAnswer, ScoringPlan, score_both
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluator:
    """Evaluates versions of one model; each step leaves its result for the later ones."""

    workspace: Workspace
    model: str
    segment: str = DEFAULT_SEGMENT
    _profiles: dict[str, FeatureProfile] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def policy(self) -> ModelPolicy:
        """The model's policy."""
        return self.workspace.policy_of(self.model)

    @cached_property
    def gates(self) -> Mapping[str, tuple[Gate, GateSettings]]:
        """The policy's gates with their settings, in the policy's order."""
        return settings_for(self.policy)

    @cached_property
    def inputs(self) -> Inputs:
        """Evaluation dataset and production sample."""
        self.workspace.make_home()
        return Inputs(self.workspace.home, self.model, self.policy, self.workspace.environ)

    def folder(self, version: str) -> VersionFolder:
        """Return where the version's evaluation is kept."""
        return VersionFolder.of(self.workspace.home, self.model, version)

    def take(self, version: str) -> Candidate:
        """Take the version in from the registry, afresh."""
        store = self.workspace.store / "artifacts"
        with span("candidate", model=self.model, version=version) as traced:
            candidate = take_candidate(self.workspace.registry, self.model, version, store)
            self.folder(version).write_candidate(candidate)
            traced.note(digest=candidate.digest)
        return candidate

    def candidate(self, version: str) -> Candidate:
        """Return the version as it was taken in.

        Raises:
            EvidenceMissing: it was not taken in yet.
        """
        found = self.folder(version).candidate()
        if found is None:
            raise EvidenceMissing(
                f"evaluating {self.model} version {version}",
                "the version has not been taken in",
                "materialise the asset `candidate` first, or run "
                f"`promotion evaluate {self.model} {version}`",
            )
        return found

    @cached_property
    def champion(self) -> Candidate | None:
        """The segment's champion, taken in, or ``None`` where the segment has none."""
        version = self.workspace.ledger.state(self.model).champions.get(self.segment)
        if version is None:
            return None
        return self.folder(version).candidate() or self.take(version)

    def compared_with(self, version: str) -> Candidate | None:
        """Return the champion that ``version`` is held against; a champion has none."""
        champion = self.champion
        return None if champion is None or champion.version == version else champion

    def score(self, version: str) -> tuple[AnyAnswer, AnyAnswer | None]:
        """Score the version and its champion, once each, and time them in turns."""
        with span("scoring", model=self.model, version=version) as traced:
            own, theirs = self._score(version)
            champion = None if theirs is None else self.compared_with(version)
            traced.note(
                outcome=own.kind if isinstance(own, ScoringFailure) else "scored",
                champion=None if champion is None else champion.version,
            )
        return own, theirs

    def _score(self, version: str) -> tuple[AnyAnswer, AnyAnswer | None]:
        folder = self.folder(version)
        try:
            dataset = self.inputs.dataset()
        except EvidenceMissing as error:
            nothing = ScoringFailure(kind="missing_input", reason=str(error))
            for part in ("scores", "champion", "latency", "probes"):
                folder.write_failure(part, nothing)
            return nothing, None
        if dataset.streamed:
            return self._score_large(version, dataset)
        return score_both(
            folder,
            self.workspace.home,
            self.policy,
            self.scoring_plan(),
            candidate=self.candidate(version),
            champion=self.compared_with(version),
            dataset=dataset,
            refused=self.refused_before_loading(version),
        )

    def _score_large(
        self, version: str, dataset: EvaluationDataset
    ) -> tuple[AnyAnswer, AnyAnswer | None]:
        engine = engine_of(self.policy.evaluation)
        try:
            answered = score_both_large(
                self.folder(version),
                self.workspace.home,
                self.policy,
                self.scoring_plan(),
                engine,
                candidate=self.candidate(version),
                champion=self.compared_with(version),
                dataset=dataset,
                refused=self.refused_before_loading(version),
            )
            # Counted here, so that gates find it done.
            self.evidence(version)
        finally:
            engine.close()
        return answered

    def judge(self, version: str, gate: str) -> GateResult:
        """Put one gate's question; whatever happens, a result is kept and returned."""
        known, settings = self.gates[gate]
        with span(f"gate {gate}", model=self.model, version=version, gate=gate) as traced:
            evidence = self.evidence(version, only_declared=known.before_loading)
            result = run_gate(known, evidence, settings, self.workspace.clock)
            self.folder(version).write_result(result)
            traced.note(
                outcome=str(result.outcome),
                observed=result.observed,
                limit=result.limit,
                sample_size=result.sample_size,
            )
        return result

    def decide(self, version: str) -> Decision:
        """Make and keep the verdict on the results that are there; a missing one rejects."""
        with span("decision", model=self.model, version=version) as traced:
            evidence = self.evidence(version, only_declared=True)
            made = decide(
                self.folder(version).results(self.gates),
                self.policy,
                model=self.model,
                version=version,
                pins=pins_of(evidence, code_version(), environment()),
                decided_at=self.workspace.clock(),
                segment=self.segment,
            )
            self.folder(version).write_decision(made)
            traced.note(verdict=made.verdict, deciding_gates=", ".join(made.deciding_gates))
        return made

    def decision(self, version: str) -> Decision:
        """Return the decision that was made last.

        Raises:
            EvidenceMissing: none was made since the version was taken in.
        """
        made = self.folder(version).decision()
        if made is None:
            raise EvidenceMissing(
                f"recording the decision on {self.model} version {version}",
                "no decision was made since the version was taken in",
                f"run `promotion evaluate {self.model} {version}`",
            )
        return made

    def evidence(self, version: str, *, only_declared: bool = False) -> Evidence:
        """Gather what is known of the version.

        Args:
            only_declared: leave out scores, latencies and probes, which a gate that comes before
                loading must not wait for.
        """
        candidate = self.candidate(version)
        champion = self.compared_with(version)
        missing: dict[str, str] = {}
        dataset = _or_why(self.inputs.dataset, "dataset", missing)
        contract, profile = self._production(candidate, missing)
        evidence = Evidence(
            model=self.model,
            version=version,
            policy=self.policy,
            candidate=candidate,
            dataset=dataset,
            contract=contract,
            production_profile=profile,
            champion=champion,
            judged_before=self.judged_before(version, dataset),
            missing=missing,
        )
        if only_declared or dataset is None:
            return evidence
        return with_answers(evidence, dataset, self.folder(version), self.workspace.home)

    def judged_before(self, version: str, dataset: EvaluationDataset | None) -> int:
        """Count the other versions that were judged on this dataset version."""
        if dataset is None:
            return 0
        decisions = self.workspace.ledger.state(self.model).decisions
        return sum(
            1
            for judged, decision in decisions.items()
            if judged != version and decision.dataset_digest == dataset.digest
        )

    def _production(
        self, candidate: Candidate, missing: dict[str, str]
    ) -> tuple[FeatureContract | None, FeatureProfile | None]:
        contract = _or_why(self.inputs.contract, "contract", missing)
        sample = _or_why(self.inputs.production, "production_profile", missing)
        if sample is None:
            return contract, None
        key = f"{sample.digest}:{candidate.digest}"
        try:
            if key not in self._profiles:
                self._profiles[key] = sample.profile(candidate.profile)
            return contract, self._profiles[key]
        except PromotionError as error:
            missing["production_profile"] = error.problem
            return contract, None

    def scoring_plan(self) -> ScoringPlan:
        """Return what the policy has asked of the models."""
        artifact = self.gates["artifact"][1] if "artifact" in self.gates else ArtifactSettings()
        assert isinstance(artifact, ArtifactSettings)
        return ScoringPlan(
            artifact=artifact,
            latency=self._latency_plan(),
            probing=ProbingPlan() if "robustness" in self.gates else None,
        )

    def _latency_plan(self) -> LatencyPlan | None:
        if "latency" not in self.gates:
            return None
        asked = self.gates["latency"][1]
        assert isinstance(asked, LatencySettings)
        return LatencyPlan(
            requests=asked.requests,
            batch_rows=asked.batch_rows,
            batch_requests=asked.batch_requests,
            concurrency=asked.concurrency,
            budget_seconds=asked.seconds,
        )

    def refused_before_loading(self, version: str) -> GateResult | None:
        """Return the result of a gate that forbids to load the version, or ``None``."""
        for name, (gate, _) in self.gates.items():
            if not gate.before_loading:
                continue
            result = self.folder(version).result(name) or self.judge(version, name)
            if not result.lets_through:
                return result
        return None


def _or_why(read: Callable[[], T], name: str, missing: dict[str, str]) -> T | None:
    try:
        return read()
    except PromotionError as error:
        missing[name] = f"{error.problem}. Next: {error.next_step}"
        return None
