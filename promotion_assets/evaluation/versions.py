"""Evaluation dataset versions, taken in and loaded as the policy says that rows are held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.large.intake import load_large, snapshot_large
from promotion_assets.evaluation.snapshot import load_dataset, snapshot
from promotion_assets.evaluation.sources import find_files, is_sql, reading_errors
from promotion_assets.policy.model import ModelPolicy


def take_in(policy: ModelPolicy, store: Path, *, model: str) -> EvaluationDataset:
    """Read the policy's source and keep its rows under their digest.

    Raises:
        UsageError: rows are to be held in memory and take more than the policy allows.
        EvidenceMissing, StorageUnreachable, IntegrityError: as
            :func:`~promotion_assets.evaluation.snapshot.snapshot`.
    """
    if policy.evaluation.counted:
        return snapshot_large(policy, store, model=model)
    if not is_sql(policy.dataset.uri) and policy.dataset.query is None:
        taken = source_bytes(policy.dataset.uri, Path(policy.base))
        _require_memory(policy, taken, f"Taking in {model}'s evaluation dataset")
    return snapshot(policy, store, model=model)


def load_version(
    policy: ModelPolicy, store: Path, digest: str, *, model: str = "a model"
) -> EvaluationDataset:
    """Return the dataset version called ``digest``.

    Raises:
        UsageError: as :func:`take_in`.
        EvidenceMissing: there is no such version.
        IntegrityError: its rows are not the ones that it is named by.
    """
    if policy.evaluation.counted:
        return load_large(policy, store, digest, model=model)
    path = store / "datasets" / digest / "data.parquet"
    if path.is_file():
        doing = f"Loading evaluation dataset {digest[:12]} of {model}"
        with reading_errors(str(path)):
            _require_memory(policy, _parquet_bytes(str(path), None), doing)
    return load_dataset(policy, store, digest, model=model)


def source_bytes(uri: str, base: Path) -> int:
    """Return about how many bytes the rows behind ``uri`` take, without reading them.

    Parquet says what its columns are without compression; of CSV it is the size of the files.
    """
    source = find_files(uri, base)
    with reading_errors(uri):
        if source.format == "parquet":
            return sum(_parquet_bytes(path, source.filesystem) for path in source.paths)
    return sum(size for _, size, *_ in source.fingerprint)


def _parquet_bytes(path: str, filesystem: Any) -> int:
    metadata = pq.read_metadata(path, filesystem=filesystem)
    return sum(metadata.row_group(g).total_byte_size for g in range(metadata.num_row_groups))


def _require_memory(policy: ModelPolicy, taken: int, doing: str) -> None:
    allowed = policy.evaluation.max_memory_bytes
    if taken > allowed:
        raise UsageError(
            doing,
            f"its rows take {taken / 2**30:.1f} GiB without compression, and "
            f"{allowed / 2**30:.1f} GiB may be held in memory (evaluation.max_memory_bytes)",
            "set evaluation.engine: streaming, which reads them shard by shard",
        )
