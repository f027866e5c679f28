"""``promotion.yaml``: a policy with its digest, or a PolicyError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import load_policy
from promotion_assets_tests.fuzz.contract import Run, Target, only_our_errors

PACKAGE = Path(__file__).parents[3] / "promotion_assets"
SHORT = b"""\
version: 1
models:
  m: &m
    task: binary
    dataset: {uri: "${HOME}/rows.parquet", label: default, label_rate: [0.1, 0.4]}
    groups: [{column: sex}, {column: age, bins: [30, 50]}]
    segments: [default, eu]
    waivers: [{gate: latency, reason: no budget yet, until: 2030-01-01, by: ana}]
    rollout: {steps: [{share: 5, min_hours: 1}, {share: 100}]}
    gates:
      accuracy: {minimum: 0.7}
      fairness: {max_gap: 0.05}
      custom: {rules: [{name: r, rule: "mean(score) < 0.5"}]}
      latency:
  n: *m
notifications:
  allow_hosts: [hooks.example.org]
  subscriptions: [{name: ops, url: "https://hooks.example.org/x", secret_env: KEY}]
"""


def examples() -> list[bytes]:
    """Return the demo's policy and one of every kind of stanza."""
    return [SHORT, (PACKAGE / "demo" / "promotion.yaml").read_bytes()]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Read each input as a file, as every command does."""
    path = folder / "promotion.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with only_our_errors():
            policy = load_policy(path, settings=settings_models, environ={"HOME": "/root"})
            for stanza in policy.models.values():
                assert len(stanza.digest) == 64

    yield run


TARGET = Target("policy", "yaml", examples, prepare, inputs=120)
