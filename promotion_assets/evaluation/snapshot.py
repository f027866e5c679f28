"""Evaluation dataset versions: rows taken once, kept under the digest of their content."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from promotion_assets.errors import EvidenceMissing, IntegrityError, StorageUnreachable, UsageError
from promotion_assets.evaluation.columns import columns_of
from promotion_assets.evaluation.dataset import DatasetSummary, EvaluationDataset
from promotion_assets.evaluation.dataset_checks import (
    Groups,
    feature_columns,
    problems_of,
    require_columns,
    sizes_of,
    times_of,
)
from promotion_assets.evaluation.grouping import groups_of
from promotion_assets.evaluation.labels import Labels, labels_of
from promotion_assets.evaluation.reading import fingerprint, read_frame
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.evaluation.tables import (
    canonical_frame,
    canonical_table,
    frame_digest,
    table_digest,
)
from promotion_assets.policy.model import ModelPolicy

__all__ = ["frame_digest", "load_dataset", "snapshot"]

DATA = "data.parquet"
SUMMARY = "summary.json"


def snapshot(policy: ModelPolicy, store: Path, *, model: str) -> EvaluationDataset:
    """Read the policy's source, check it, and keep it as ``store/datasets/<digest>``.

    The same rows give the same version, however often and from wherever they are read. Rows
    that changed give another; one that was taken is never written again. What is wrong with
    rows that can be judged all the same stands in ``summary.problems``.

    Raises:
        EvidenceMissing: no judgement can be built on these rows, or they changed while read.
        UsageError: the source cannot be read as rows of plain columns.
        StorageUnreachable: the source or the store does not answer.
        IntegrityError: the store holds other bytes under this digest.
    """
    doing = f"Taking in {model}'s evaluation dataset"
    source, base = policy.dataset, Path(policy.base)
    try:
        before = fingerprint(source.uri, base)
        frame = read_frame(source.uri, query=source.query, base=base)
        after = fingerprint(source.uri, base)
    except (UsageError, StorageUnreachable) as error:
        said = f"{doing}, {error.doing[:1].lower()}{error.doing[1:]}"
        raise type(error)(said, error.problem, error.next_step) from error
    if before != after:
        raise EvidenceMissing(
            doing,
            f"{without_credentials(source.uri)} changed while it was read",
            "run again when its writer is done; better, let it write a new file and rename it",
        )
    require_columns(frame, policy, model=model)
    table = canonical_table(frame, doing=doing)
    digest = table_digest(table)
    path = store / "datasets" / digest / DATA
    dataset = describe(canonical_frame(table), policy, path, digest, model=model)
    if path.exists():
        load_table(path, digest, doing=doing)
    else:
        _keep(table, dataset.summary, path.parent, doing)
    return dataset


def load_dataset(
    policy: ModelPolicy, store: Path, digest: str, *, model: str = "a model"
) -> EvaluationDataset:
    """Return the version called ``digest`` from ``store``, described by ``policy``.

    Raises:
        EvidenceMissing: there is no such version.
        IntegrityError: its bytes are not the ones that it is named by.
    """
    path = store / "datasets" / digest / DATA
    doing = f"Loading evaluation dataset {digest[:12]} of {model}"
    frame = load_table(path, digest, doing=doing)
    require_columns(frame, policy, model=model)
    return describe(frame, policy, path, digest, model=model)


_DIGEST = re.compile("[0-9a-f]{64}")


def load_table(path: Path, digest: str, *, doing: str) -> pd.DataFrame:
    """Return the rows in ``path`` once they are proven to be those named by ``digest``."""
    # A name that is no digest is none of ours, however long it is and wherever it leads.
    if not _DIGEST.fullmatch(digest) or not path.is_file():
        raise EvidenceMissing(
            doing,
            f"there is no snapshot {digest[:80]} in {path.parents[1]}",
            "materialise the evaluation dataset again; rows that are gone from the source are lost",
        )
    try:
        # memory_map and pre_buffer both keep the file's bytes beside the decoded rows.
        frame = canonical_frame(pq.read_table(path, pre_buffer=False))
        found = frame_digest(frame)
    except (pa.ArrowException, OSError) as error:
        raise _altered(doing, path, f"it cannot be read ({str(error)[:120]})") from error
    if found != digest:
        raise _altered(doing, path, f"its content has digest {found}")
    return frame


def describe(
    frame: pd.DataFrame, policy: ModelPolicy, path: Path, digest: str, *, model: str
) -> EvaluationDataset:
    """Return ``frame`` as a dataset version, with the labels, groups and checks of ``policy``."""
    labels, classes = labels_of(frame, policy, model=model)
    groups = groups_of(frame, policy.groups, model=model)
    binary = policy.task == "binary"
    summary = DatasetSummary(
        digest=digest,
        uri=without_credentials(policy.dataset.uri),
        rows=len(frame),
        columns=columns_of(frame),
        label_rate=float(labels.mean()) if binary else None,
        group_sizes={name: sizes_of(group) for name, group in groups.items()},
        group_positives=_positives(groups, labels) if binary else {},
        time_range=_time_range(frame, policy.dataset.time),
        problems=problems_of(frame, labels, groups, policy, model=model),
    )
    return EvaluationDataset(
        summary=summary,
        path=path,
        frame=frame,
        labels=labels,
        features=feature_columns(frame, policy),
        classes=classes,
        groups=groups,
    )


def _positives(groups: Groups, labels: Labels) -> dict[str, dict[str, int]]:
    counted = {}
    for attribute, names in groups.items():
        codes, found = pd.factorize(names, sort=True)
        counts = np.bincount(codes, weights=labels, minlength=len(found))
        counted[attribute] = {str(n): int(c) for n, c in zip(found, counts, strict=True)}
    return counted


def _time_range(frame: pd.DataFrame, name: str | None) -> tuple[str, str] | None:
    moments = times_of(frame, name).dropna() if name else None
    if moments is None or moments.empty:
        return None
    return moments.min().isoformat(), moments.max().isoformat()


def _keep(table: pa.Table, summary: DatasetSummary, target: Path, doing: str) -> None:
    """Write both files beside ``target`` and move them there in one step."""
    draft = target.parent / f".draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        pq.write_table(table, draft / DATA, compression="zstd")
        (draft / SUMMARY).write_text(summary.model_dump_json(indent=2), encoding="utf-8")
        for file in (draft / DATA, draft / SUMMARY):
            _sync(file)
            file.chmod(0o444)
        try:
            draft.rename(target)
        except OSError:
            # Another process has kept the same rows in between: the content is the name.
            if not (target / DATA).is_file():
                raise
        _sync(target.parent)
    except OSError as error:
        raise StorageUnreachable(
            doing,
            f"the snapshot cannot be written to {target.parent}: {error}",
            "make room or mend the access rights there, then run again",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _altered(doing: str, path: Path, found: str) -> IntegrityError:
    return IntegrityError(
        doing,
        f"the snapshot {path} is not the one that was taken: {found}",
        "find out who changed it, move the directory away and materialise the dataset again",
    )
