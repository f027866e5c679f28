"""What a model is judged on: the evaluation dataset version and a sample of production."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from promotion_assets.adapters.tracing import span
from promotion_assets.errors import EvidenceMissing, PolicyError, UsageError
from promotion_assets.evaluation.columns import columns_of
from promotion_assets.evaluation.contract import Column, FeatureContract
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.large.intake import keep_rows
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.profiling import profile_parquet
from promotion_assets.evaluation.reading import read_frame
from promotion_assets.evaluation.snapshot import frame_digest
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.evaluation.versions import load_version, take_in
from promotion_assets.pipeline.files import read_value, safe_name, write_frame, write_value
from promotion_assets.pipeline.records import Pointer
from promotion_assets.policy.load import expand_uri
from promotion_assets.policy.model import ModelPolicy, Source


@dataclass(frozen=True)
class ProductionSample:
    """Rows that production sends now, kept once by their content.

    Attributes:
        digest: SHA-256 over every byte of the canonical columns.
        path: the kept sample, one Parquet file.
    """

    digest: str
    path: Path
    columns: tuple[Column, ...]

    def profile(self, reference: FeatureProfile | None = None) -> FeatureProfile:
        """Return the sample's profile, in the bins of ``reference`` where one is given."""
        names = [column.name for column in self.columns]
        return profile_parquet(self.path, edges_from=reference, columns=names)


@dataclass(frozen=True)
class Inputs:
    """The inputs of all evaluations of one model."""

    home: Path
    model: str
    policy: ModelPolicy
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The content-addressed store."""
        return self.home / "store"

    def take_dataset(self) -> EvaluationDataset:
        """Read the source, keep its content once, and make it the version that is judged on.

        Raises:
            EvidenceMissing, UsageError: what is there cannot be judged on; later steps are told.
            StorageUnreachable: the source cannot be read; nothing was changed.
        """
        try:
            with span("dataset", model=self.model) as traced:
                dataset = take_in(self._located(), self.store, model=self.model)
                traced.note(dataset=dataset.digest, rows=dataset.summary.rows)
        except (EvidenceMissing, UsageError) as error:
            problem = f"{error.problem}. Next: {error.next_step}"
            write_value(self._pointer("dataset"), Pointer(digest="", problem=problem))
            raise
        write_value(self._pointer("dataset"), Pointer(digest=dataset.digest))
        self.__dict__["_dataset"] = dataset
        return dataset

    def dataset(self) -> EvaluationDataset:
        """Return the evaluation dataset version that is judged on now.

        Raises:
            EvidenceMissing: what the source held when it was last read cannot be judged on.
        """
        return self._dataset

    @cached_property
    def _dataset(self) -> EvaluationDataset:
        pointer = read_value(self._pointer("dataset"), Pointer)
        if pointer is None:
            return self.take_dataset()
        if not pointer.digest:
            raise EvidenceMissing(
                f"loading the evaluation dataset of {self.model}",
                pointer.problem or "it could not be taken in",
                f"mend the source {without_credentials(self.policy.dataset.uri)}, and materialise "
                "evaluation_dataset again",
            )
        return load_version(self.policy, self.store, pointer.digest, model=self.model)

    def dataset_digest(self) -> str:
        """Return the digest of the current dataset version, empty where none was taken yet."""
        pointer = read_value(self._pointer("dataset"), Pointer)
        return pointer.digest if pointer else ""

    def take_production(self) -> ProductionSample:
        """Read the production source and keep its content once.

        Raises:
            EvidenceMissing: the policy names no production source.
            StorageUnreachable: the source cannot be read.
        """
        source = self.policy.production
        if source is None:
            raise EvidenceMissing(
                f"reading what production sends to {self.model}",
                "the policy names no production source",
                "add `production: {uri: …}` to the model's policy",
            )
        uri = expand_uri(source.uri, self.environ)
        if self.policy.evaluation.counted:
            return self._take_large_production(uri, source)
        frame = read_frame(uri, query=source.query, base=Path(self.policy.base))
        if frame.empty:
            raise EvidenceMissing(
                f"reading what production sends to {self.model}",
                f"{without_credentials(source.uri)} has no rows",
                "point the production source at rows that were really sent",
            )
        digest = frame_digest(frame)
        path = self._sample(digest)
        if not path.exists():
            write_frame(path, frame)
        contract = FeatureContract(columns=columns_of(frame), source=source.uri)
        write_value(self._pointer("production"), Pointer(digest=digest, contract=contract))
        return ProductionSample(digest, path, contract.columns)

    def _take_large_production(self, uri: str, source: Source) -> ProductionSample:
        kept = keep_rows(
            uri,
            query=source.query,
            base=Path(self.policy.base),
            store=self.store / "production",
            batch_rows=self.policy.evaluation.batch_rows,
            doing=f"reading what production sends to {self.model}",
        )
        contract = FeatureContract(columns=kept.columns(), source=source.uri)
        write_value(self._pointer("production"), Pointer(digest=kept.digest, contract=contract))
        return ProductionSample(kept.digest, kept.path, contract.columns)

    def production(self) -> ProductionSample:
        """Return the production sample that is compared with now."""
        pointer = read_value(self._pointer("production"), Pointer)
        if pointer is None or pointer.contract is None:
            return self.take_production()
        path = self._sample(pointer.digest)
        if not path.exists():
            return self.take_production()
        return ProductionSample(pointer.digest, path, pointer.contract.columns)

    def contract(self) -> FeatureContract:
        """Return what the feature pipeline delivers, from where the policy says.

        Raises:
            EvidenceMissing, PolicyError: there is no such source.
        """
        policy = self.policy
        if policy.contract == "dataset" or (
            policy.contract == "production" and policy.production is None
        ):
            dataset = self.dataset()
            kept = [c for c in dataset.summary.columns if c.name in set(dataset.features)]
            return FeatureContract(columns=tuple(kept), source=policy.dataset.uri)
        if policy.contract == "production":
            sample = self.production()
            source = policy.production.uri if policy.production else ""
            return FeatureContract(columns=sample.columns, source=source)
        return _read_contract(Path(policy.base) / policy.contract)

    def _located(self) -> ModelPolicy:
        """Return the policy with variables of the environment in the source's address.

        Only for reading: a password in an address is no part of the policy, nor of its digest.
        """
        dataset = self.policy.dataset
        uri = expand_uri(dataset.uri, self.environ)
        return self.policy.model_copy(update={"dataset": dataset.model_copy(update={"uri": uri})})

    def _sample(self, digest: str) -> Path:
        return self.store / "production" / digest / "data.parquet"

    def _pointer(self, what: str) -> Path:
        return self.home / "inputs" / safe_name(self.model) / f"{what}.json"


def _read_contract(path: Path) -> FeatureContract:
    doing, hint = f"reading the feature contract {path.name}", "write `column: type` lines"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        columns = tuple(Column(name=str(name), type=str(kind)) for name, kind in raw.items())
    except OSError as error:
        raise EvidenceMissing(doing, f"{path} cannot be read ({error.strerror})", hint) from error
    except (yaml.YAMLError, AttributeError, ValueError, RecursionError) as error:
        raise PolicyError(doing, f"{path} is not a mapping of column to type", hint) from error
    return FeatureContract(columns=columns, source=path.name)
