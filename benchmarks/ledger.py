"""The ledger: signed appends on a synced disk, and verification, each in one process."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import DatabaseLedger, open_entries, open_ledger
from promotion_assets.audit.entries import FIRST_PREVIOUS, Entry
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.audit.verify import verify, verify_chain
from promotion_assets.lifecycle.events import EvaluationFinished, GateSummary

SINGLE, GROUPED, GROUP = 300, 10_000, 200
STREAMED = 1_000_000
REPEATS = 3
MODELS = 50
SIGNER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"benchmark key which is no secret"))


def results() -> list[dict[str, Any]]:
    """Measure everything that this host has the parts for."""
    folder = Path(tempfile.mkdtemp(prefix="promotion-bench-", dir=Path.cwd()))
    try:
        found = _database("SQLite", f"sqlite:///{folder}/ledger.db")
    finally:
        shutil.rmtree(folder)
    return found + _postgres() + [_streamed()]


def _database(name: str, url: str) -> list[dict[str, Any]]:
    ledger = open_ledger(url, SIGNER, lambda: datetime.now(UTC))
    one = _rate(SINGLE, lambda: [ledger.append([_event(n)]) for n in range(SINGLE)])
    grouped = _rate(GROUPED, lambda: _in_groups(ledger))
    size = ledger.head().size
    ledger.close()
    stored = open_entries(url)
    keys = [SIGNER.public_key]
    full, checked = _best(lambda: verify(stored.entries(), keys))
    chain, linked = _best(lambda: verify_chain(stored.entries(), keys))
    # What is fast and wrong is no result.
    assert checked.valid
    assert linked.valid
    assert checked.entries == linked.entries == size
    assert (checked.head, checked.root) == (linked.head, linked.root)
    stored.close()
    return [
        _line(f"signed append, one commit each, {name}", "1/s", one),
        _line(f"signed append, groups of {GROUP}, {name}", "1/s", grouped, 1000, one),
        _line(f"verify every signature, {name}", "1/s", size / full, 3000),
        _line(f"verify the chain alone, {name}", "1/s", size / chain, 100_000, size / full),
    ]


def _in_groups(ledger: DatabaseLedger) -> None:
    for start in range(0, GROUPED, GROUP):
        ledger.append_all([([_event(n)], None) for n in range(start, start + GROUP)])


def _postgres() -> list[dict[str, Any]]:
    from promotion_assets_tests.parts import PARTS
    from promotion_assets_tests.postgres import running

    if PARTS["postgresql"].find() is None:
        print(f"PostgreSQL is not measured: {PARTS['postgresql'].install}")
        return []
    with running() as server:
        return _database("PostgreSQL", server.new_database("bench"))


def _streamed() -> dict[str, Any]:
    """Verify a million linked entries that exist one at a time; return the memory they took."""
    verify_chain(_linked(1000), [SIGNER.public_key])
    # Sets the peak back to what is held now; what earlier jobs had would hide what this one has.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_megabytes()
    found = verify_chain(_linked(STREAMED), [SIGNER.public_key])
    grown = _peak_megabytes() - before
    assert found.valid
    assert found.entries == STREAMED
    return _line("verify 1M entries, memory on top", "MB", grown, 10, most=True)


def _peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _linked(size: int) -> Iterator[Entry]:
    previous = FIRST_PREVIOUS
    for sequence in range(1, size + 1):
        envelope = b"%d after %s" % (sequence, previous.encode())
        computed = leaf_hash(envelope).hex()
        yield Entry(sequence, "m", sequence, "K", previous, computed, envelope)
        previous = computed


def _event(number: int) -> EvaluationFinished:
    """A decision of usual size: six gates with a sentence each."""
    reason = "roc_auc 0.788 [0.781, 0.795], +0.066 against the champion's 0.722"
    gates = ("accuracy", "fairness", "latency", "drift", "schema", "artifact")
    return EvaluationFinished(
        model=f"model-{number % MODELS}",
        version=str(number),
        verdict="approved",
        reason=reason,
        decided_at=datetime(2026, 3, 1, tzinfo=UTC),
        model_digest="a" * 64,
        dataset_digest="b" * 64,
        policy_digest="c" * 64,
        decision_digest="d" * 64,
        gates=tuple(GateSummary(gate=name, outcome="passed", reason=reason) for name in gates),
    )


def _rate(count: int, run: Any) -> float:
    return count / _timed(run)[0]


def _timed(run: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def _best(run: Any) -> tuple[float, Any]:
    """Return the fastest of some runs: what the others took longer is the host's doing."""
    return min((_timed(run) for _ in range(REPEATS)), key=lambda timed: timed[0])


def _line(
    job: str,
    metric: str,
    value: float,
    goal: float | None = None,
    peer_value: float | None = None,
    *,
    most: bool = False,
) -> dict[str, Any]:
    met = None if goal is None else (value <= goal if most else value >= goal)
    return {
        "job": job,
        "metric": metric,
        "value": round(value, 1),
        "goal": goal,
        "met": met,
        "peer": None if peer_value is None else "the line before it",
        "peer_value": None if peer_value is None else round(peer_value, 1),
    }


if __name__ == "__main__":
    for line in results():
        print(json.dumps(line))
