"""Scoring and counting where the evaluation dataset is larger than memory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from promotion_assets.canonical import digest_of
from promotion_assets.errors import IntegrityError, PromotionError
from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.large.counting import RowSource
from promotion_assets.evaluation.large.engine import Engine, Scoring
from promotion_assets.evaluation.large.score_file import (
    ScoreReader,
    kept_scores,
    sidecar,
    writing_scores,
)
from promotion_assets.evaluation.large.shards import Snapshot, shards_of
from promotion_assets.evaluation.large.tally import Asked, ScoreTally, tally
from promotion_assets.evaluation.scores import ScoringFailure, StoredScores
from promotion_assets.evaluation.session import Session
from promotion_assets.gates.artifact import allowed
from promotion_assets.gates.contract import GateResult
from promotion_assets.pipeline.files import read_value, write_value
from promotion_assets.pipeline.records import VersionFolder, scores_path, write_scores
from promotion_assets.pipeline.scoring_step import (
    ScoringPlan,
    blaming_schema,
    champion_unloadable,
    open_session,
    probe_version,
    time_versions,
    unloadable,
)
from promotion_assets.policy.model import ModelPolicy

Answer = StoredScores | ScoringFailure
SAMPLE = "sample.arrow"


def score_both_large(
    folder: VersionFolder,
    home: Path,
    policy: ModelPolicy,
    plan: ScoringPlan,
    engine: Engine,
    *,
    candidate: Candidate,
    champion: Candidate | None,
    dataset: EvaluationDataset,
    refused: GateResult | None,
) -> tuple[Answer, Answer | None]:
    """As :func:`~.scoring_step.score_both`, shard by shard; latencies and probes on a sample."""
    why_not = unloadable(candidate, refused)
    own = why_not or stored(home, policy, plan, engine, candidate, dataset)
    answered = blaming_schema(candidate, own)
    theirs: Answer | None = None
    if champion is not None:
        theirs = champion_unloadable(champion) or stored(
            home, policy, plan, engine, champion, dataset
        )
    assert isinstance(answered, Answer)
    features = dataset.frame[list(dataset.features)]
    with ExitStack() as stack:
        one = two = None
        if isinstance(answered, StoredScores) and (plan.latency or plan.probing):
            one = stack.enter_context(open_session(candidate, policy, plan, dataset))
            if champion is not None and champion_unloadable(champion) is None and plan.latency:
                two = stack.enter_context(open_session(champion, policy, plan, dataset))
        time_versions(folder, one, two, features, plan, answered)
        probe_version(folder, one, features, plan, answered)
        _score_sample(folder, one if plan.probing else None, dataset)
    folder.write_failure("scores", answered if isinstance(answered, ScoringFailure) else None)
    folder.write_failure("champion", theirs if isinstance(theirs, ScoringFailure) else None)
    return answered, theirs


def _score_sample(
    folder: VersionFolder, session: Session | None, dataset: EvaluationDataset
) -> None:
    """Keep the answers to unchanged rows of the sample, which answers to changed ones flip from."""
    if session is None:
        return
    features = dataset.frame[list(dataset.features)]
    found = session.score(features, dataset_digest=dataset.digest)
    folder.write_failure("sample", found if isinstance(found, ScoringFailure) else None)
    if not isinstance(found, ScoringFailure):
        write_scores(folder.root / SAMPLE, found)


def stored(
    home: Path,
    policy: ModelPolicy,
    plan: ScoringPlan,
    engine: Engine,
    version: Candidate,
    dataset: EvaluationDataset,
) -> Answer:
    """Return the kept answers of a version, or ask for them and keep them."""
    path = stored_path(home, version.digest, dataset.digest)
    return kept_scores(path) or score_into(path, policy, plan, engine, version, dataset)


def score_into(
    path: Path,
    policy: ModelPolicy,
    plan: ScoringPlan,
    engine: Engine,
    version: Candidate,
    dataset: EvaluationDataset,
) -> Answer:
    """Ask a version for its answers to all rows and write them to ``path``, with a description."""
    assert version.artifact_dir is not None
    allows = allowed(plan.artifact)
    seconds, peak, isolation = 0.0, 0, ""
    shard_rows = policy.evaluation.shard_rows
    try:
        snapshot = Snapshot.of(dataset.path)
        scoring = Scoring(
            directory=version.artifact_dir,
            model_digest=version.digest,
            question=Question(policy.task, policy.dataset.positive),
            limits=policy.sandbox,
            snapshot=snapshot,
            features=dataset.features,
            batch_rows=policy.evaluation.batch_rows,
            trusted_types=tuple(sorted(allows.trusted_types)),
            allow_pickle=allows.allow_pickle,
        )
        shards = shards_of(snapshot.rows, shard_rows)
        with writing_scores(path) as writer:
            for found in engine.score(scoring, shards):
                if isinstance(found, ScoringFailure):
                    raise _Failed(found)
                writer.add(found.values)
                seconds += found.seconds
                peak, isolation = max(peak, found.peak_memory_bytes), found.isolation
            if writer.rows != dataset.rows:
                words = f"{writer.rows:,} of {dataset.rows:,} rows were answered"
                raise _Failed(ScoringFailure(kind="wrong_length", reason=words))
    except _Failed as failed:
        return failed.failure
    except IntegrityError as error:
        return ScoringFailure(kind="missing_input", reason=f"{error.problem}; {error.next_step}")
    made = StoredScores(
        path=path,
        rows=writer.rows,
        batch_rows=shard_rows,
        sha256=writer.sha256,
        model_digest=version.digest,
        dataset_digest=dataset.digest,
        seconds=seconds,
        peak_memory_bytes=peak,
        isolation=isolation,
        engine=engine.name,
    )
    write_value(sidecar(path), made)
    return made


def stored_path(home: Path, model_digest: str, dataset_digest: str) -> Path:
    """Return where answers that are kept in shards lie."""
    return scores_path(home, model_digest, dataset_digest).with_suffix(".shards.arrow")


def tally_of_stored(
    home: Path,
    policy: ModelPolicy,
    asked: Asked,
    engine: Engine,
    dataset: EvaluationDataset,
    own: StoredScores,
    theirs: StoredScores | None,
) -> ScoreTally | str:
    """Return what the answers come to, kept from before or counted now; or why it is not known."""
    shard_rows = policy.evaluation.shard_rows
    pins = {
        "asked": asked.model_dump(mode="json"),
        "answers": [own.sha256, theirs.sha256 if theirs else None],
        "models": [own.model_digest, theirs.model_digest if theirs else None],
        "dataset": dataset.digest,
        "policy": [
            policy.task,
            policy.dataset.label,
            policy.dataset.positive,
            [group.model_dump(mode="json") for group in policy.groups],
            shard_rows,
        ],
    }
    path = home / "store" / "tallies" / f"{digest_of(pins)}.json"
    try:
        kept = read_value(path, ScoreTally)
        if kept is not None:
            return kept
        snapshot = Snapshot.of(dataset.path)
        source = RowSource(
            snapshot=snapshot,
            task=policy.task,
            label=policy.dataset.label,
            positive=policy.dataset.positive,
            groups=policy.groups,
            names={name: tuple(sizes) for name, sizes in dataset.summary.group_sizes.items()},
            own=ScoreReader(own, policy.task),
            theirs=ScoreReader(theirs, policy.task) if theirs else None,
        )
        shards = shards_of(snapshot.rows, shard_rows)
        made = tally(engine, source, dataset.summary, asked, shards=shards, shard_rows=shard_rows)
    except PromotionError as error:
        return f"{error.problem}. Next: {error.next_step}"
    write_value(path, made)
    return made


class _Failed(Exception):
    """Scoring has failed; leaves the file that was begun."""

    def __init__(self, failure: ScoringFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure
