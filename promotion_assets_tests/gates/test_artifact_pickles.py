"""The artifact gate and pickles: in every protocol and dress, and where the policy allows them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.file_kinds import kind_of
from promotion_assets_tests import evidence as make
from promotion_assets_tests.gates.artifacts import fitted, judged


class Payload:
    """Unpickling it would leave a file behind."""

    trace = Path("unset")

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def _zip(data: bytes) -> bytes:
    """Return a zip archive with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner", data)
    return buffer.getvalue()


def dressed(payload: bytes) -> dict[str, bytes]:
    """Return a pickle in every dress that a loader would undress."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        info = tarfile.TarInfo("model.pkl")
        info.size = len(payload)
        archive.addfile(info, io.BytesIO(payload))
    return {
        "plain": payload,
        "gzip": gzip.compress(payload),
        "zlib": zlib.compress(payload),
        "bzip2": bz2.compress(payload),
        "xz": lzma.compress(payload),
        "lzma": lzma.compress(payload, format=lzma.FORMAT_ALONE),
        "zip": zipped.getvalue(),
        "tar": tarred.getvalue(),
        "gzipped tar": gzip.compress(tarred.getvalue()),
        "gzipped twice": gzip.compress(gzip.compress(payload)),
        "zip in zip": _zip(zipped.getvalue()),
        "before a zip": payload + zipped.getvalue(),
        "gzipped zip": gzip.compress(zipped.getvalue()),
    }


DRESSES = tuple(dressed(b""))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dress", DRESSES)
def test_a_malicious_pickle_is_refused_and_never_runs(
    dress: str, protocol: int, tmp_path: Path
) -> None:
    """In every protocol and dress, under an innocent name, it is found and nothing runs."""
    Payload.trace = tmp_path / "trace"
    data = dressed(pickle.dumps(Payload(), protocol=protocol))[dress]
    result = judged(tmp_path / "artifact", {"notes.txt": data})
    assert result.outcome is Outcome.FAILED
    assert "notes.txt" in result.reason
    assert not Payload.trace.exists()


@pytest.mark.parametrize("dress", DRESSES)
def test_allowing_pickle_does_not_allow_that_one(dress: str, tmp_path: Path) -> None:
    """With allow_pickle a pickle that calls os.system is still refused."""
    Payload.trace = tmp_path / "trace"
    data = dressed(pickle.dumps(Payload()))[dress]
    result = judged(tmp_path / "artifact", {"model.pkl": data}, allow_pickle=True)
    assert result.outcome is Outcome.FAILED
    assert not Payload.trace.exists()


def test_the_scan_names_what_a_pickle_would_call(tmp_path: Path) -> None:
    """The reason says which function the pickle names."""
    result = judged(tmp_path, {"model.pkl": pickle.dumps(Payload())})
    assert "a pickle that names posix.system" in result.reason


def test_a_broken_pickle_that_calls_before_it_breaks_is_refused(tmp_path: Path) -> None:
    """A stream that ends in garbage still executed what came before."""
    data = b"cposix\nsystem\n(S'true'\ntR\xff\xff garbage"
    assert judged(tmp_path, {"requirements.lock": data}).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\nI0x10\n(S'true'\ntR.",
        b"(S'true'\niposix\nsystem\n.",
        b"(cposix\nsystem\nS'true'\no.",
        b"]cposix\nsystem\n(S'true'\ntRa.",
        b"(" + b"Vharmless\n" * 20_000 + b"lcposix\nsystem\n(S'true'\ntR.",
        b"V" + b"x" * 200_000 + b"\ncposix\nsystem\n(S'true'\ntR.",
    ],
)
def test_old_streams_that_call_are_pickles(data: bytes, tmp_path: Path) -> None:
    """Each way in which a pickle of protocol 0 calls something is seen."""
    path = tmp_path / "file"
    path.write_bytes(data)
    assert kind_of(path).kind == "pickle"


def test_a_numpy_file_of_objects_is_refused(tmp_path: Path) -> None:
    """An .npy of Python objects is a pickle inside."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert judged(tmp_path, {"weights.npy": buffer.getvalue()}).outcome is Outcome.FAILED


def test_a_trusted_pickle_passes_only_where_the_policy_allows_pickles(tmp_path: Path) -> None:
    """A plain scikit-learn pickle needs allow_pickle, and then every global is known."""
    model = fitted(make_pipeline(StandardScaler(), LogisticRegression()))
    files = {"model.pkl": pickle.dumps(model)}
    facts = make.sklearn_facts(
        serialization_format="cloudpickle",
        raw={"flavors": {"sklearn": {"serialization_format": "cloudpickle"}}},
    )
    refused = judged(tmp_path, files, mlmodel=facts)
    assert refused.outcome is Outcome.FAILED
    accepted = judged(tmp_path, files, mlmodel=facts, allow_pickle=True)
    assert accepted.outcome is Outcome.PASSED, accepted.reason


def test_an_unknown_global_is_refused_even_in_an_allowed_pickle(tmp_path: Path) -> None:
    """A function pickled by value carries code and is refused, scanner or not."""
    model = fitted(
        make_pipeline(FunctionTransformer(lambda values: values), LogisticRegression(max_iter=5000))
    )
    result = judged(tmp_path, {"model.pkl": cloudpickle.dumps(model)}, allow_pickle=True)
    assert result.outcome is Outcome.FAILED
    assert "does not trust" in result.reason or "names" in result.reason


def test_compressed_joblib_is_refused_even_where_pickles_are_allowed(tmp_path: Path) -> None:
    """No scanner reads it, so it is not accepted."""
    buffer = io.BytesIO()
    joblib.dump(fitted(LogisticRegression(max_iter=5000)), buffer, compress=3)
    result = judged(tmp_path, {"model.joblib": buffer.getvalue()}, allow_pickle=True)
    assert result.outcome is Outcome.FAILED
    assert "no scanner reads" in result.reason
