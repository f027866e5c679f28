"""Secrets are planted wherever one can come from; a day later they are nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from promotion_assets_tests.registries import plain_environment
from promotion_assets_tests.small_models import log_both, register, write_dataset, write_policy

WORD = "planted-{}-7f3a9c0de5"
SECRETS = (
    "HOOK_KEY",
    "HOOK_AUTH",
    "HOOK_PATH",
    "MAIL_PASSWORD",
    "PROMOTION_SLACK_SIGNING_SECRET",
    "PROMOTION_MLFLOW_WEBHOOK_SECRET",
    "PROMOTION_OUTCOMES_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PROMOTION_TARGET_MLFLOW_TRACKING_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
)
NOTIFICATIONS = {
    "allow_hosts": ["127.0.0.1"],
    "timeout_seconds": 2.0,
    "max_attempts": 2,
    "subscriptions": [
        {
            "name": "ops",
            "url": "http://127.0.0.1:9/${HOOK_PATH}",
            "secret_env": "HOOK_KEY",
            "authorization_env": "HOOK_AUTH",
        },
        {
            "name": "mail",
            "kind": "email",
            "url": "smtp://127.0.0.1:9",
            "sender": "a@example.org",
            "to": ["b@example.org"],
            "username": "a",
            "authorization_env": "MAIL_PASSWORD",
        },
    ],
}


def planted() -> Mapping[str, str]:
    """A secret in every variable that holds one, and those in addresses and keys."""
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    words = {name: WORD.format(name.lower()) for name in SECRETS}
    return words | {
        "PROMOTION_SIGNING_KEY": key.decode(),
        "PROMOTION_REVIEWER_TOKEN": f"prv_{'0' * 12}_{'7f3a9c0de5' * 6}beef",
        "BAD_MLFLOW": f"http://someone:{WORD.format('mlflow-url')}@127.0.0.1:9",
        "BAD_DATABASE": f"postgresql://someone:{WORD.format('database-url')}@127.0.0.1:9/x"
        f"?sslpassword={WORD.format('database-query')}",
        "PROMOTION_EVENTS_URL": f"postgresql://someone:{WORD.format('events-url')}@127.0.0.1:9/x",
    }


def words_of(environ: Mapping[str, str]) -> list[str]:
    """What to look for: each secret by the part of it that nothing else has."""
    found = {
        w for value in environ.values() for w in re.findall(r"planted-[\w-]+7f3a9c0de5", value)
    }
    body = environ["PROMOTION_SIGNING_KEY"].splitlines()[1]
    return [*sorted(found), body[20:], "7f3a9c0de5" * 6, "planted-target-word"]


def kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte that is kept in a folder, also in archives."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)


def test_a_day_leaves_no_secret_anywhere(tmp_path: Path) -> None:
    """Commands, runs of Dagster, failures of MLflow and of the database, all telling everything."""
    folder = tmp_path / "platform"
    (folder / "dagster").mkdir(parents=True)
    tracking = f"sqlite:///{folder / 'mlflow.db'}"
    sound, guessing = log_both(tracking, folder / "artifacts")
    for logged in (sound, guessing):
        register(tracking, logged)
    write_dataset(folder)
    policy = yaml.safe_load(write_policy(folder).read_text())
    policy["notifications"] = NOTIFICATIONS
    (folder / "promotion.yaml").write_text(yaml.safe_dump(policy))
    (folder / "answers.yaml").write_text("timing: now\n")
    secrets = planted()
    ran = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.security.daily_life", str(folder)],
        env=plain_environment()
        | secrets
        | {
            "PROMOTION_DEBUG": "1",
            "PROMOTION_HOME": str(folder / "home"),
            "PROMOTION_CONFIG": str(folder / "promotion.yaml"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "MLFLOW_TRACKING_URI": tracking,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    said = ran.stdout + ran.stderr
    # The day was one: versions were judged, runs succeeded and failed, parts did not answer.
    assert ran.returncode == 0, said[-3000:]
    assert "dagster True" in ran.stdout, said[-3000:]
    assert "dagster False" in ran.stdout, said[-3000:]
    assert "Traceback" in ran.stderr
    for code in ("exit 0", "exit 1", "exit 2", "exit 3"):
        assert code in ran.stdout
    everything = [("what was said", said.encode()), *kept(folder)]
    assert any(b"EVALUATION_FINISHED" in content for _, content in everything)
    # Dagster kept the failure of the run that reached no MLflow.
    assert any("/dagster/" in name and b"127.0.0.1:9" in text for name, text in everything)
    for word in words_of(secrets):
        where = [
            (name, content[max(0, content.find(word.encode()) - 200) :][:300])
            for name, content in everything
            if word.encode() in content
        ]
        assert where == [], word
