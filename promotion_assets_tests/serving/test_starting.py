"""A server does not start on what was not attested, and a worker that dies is replaced."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest

from promotion_assets.errors import EvidenceMissing, IntegrityError, PromotionError
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.serve_process import HEALTHCHECK_SECONDS
from promotion_assets.pipeline.serving import open_server
from promotion_assets_tests.registries import plain_environment
from promotion_assets_tests.serving.servers import Client, rows, serving
from promotion_assets_tests.serving.world import MODEL, World, make_world
from promotion_assets_tests.waiting import until


def tamper(world: World, version: str) -> None:
    """Change one byte of an artifact in the store."""
    directory = world.store / world.artifacts[version]
    directory.chmod(0o755)
    file = next(path for path in sorted(directory.iterdir()) if path.suffix == ".txt")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"#")


def test_it_does_not_start_on_changed_bytes(world: World) -> None:
    """A model file that was changed on disk is never loaded; the message names the digests."""
    tamper(world, "1")
    with pytest.raises(IntegrityError, match="was recorded"):
        open_server(world.workspace(), MODEL)


def test_it_does_not_start_without_an_attested_plan(
    tmp_path: Path, artifacts: Mapping[str, Path]
) -> None:
    """A ledger that attests no champion gives nothing to serve."""
    world = make_world(tmp_path, artifacts, {})
    assert world.ledger.state(MODEL).sequence == 0
    with pytest.raises(EvidenceMissing, match="attests none"):
        open_server(world.workspace(), MODEL)


def test_it_does_not_start_on_a_signature_of_somebody_else(world: World) -> None:
    """Entries that the public key does not verify count as tampered."""
    (world.home / "keys" / "ledger.key").unlink()
    (world.home / "keys" / "ledger.pub").unlink()
    assert world.workspace().signer.public_key.keyid
    with pytest.raises(IntegrityError, match="does not trust"):
        open_server(world.workspace(), MODEL)


def test_it_does_not_start_on_a_rewritten_plan(world: World) -> None:
    """An entry whose content was changed past the ledger is named."""
    with sqlite3.connect(world.home / "ledger.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='trigger'"):
            database.execute(f"DROP TRIGGER {name}")
        database.execute(
            "UPDATE ledger_entries SET envelope = replace(envelope, 'payload\":\"', "
            "'payload\":\"A') WHERE kind = 'TRAFFIC_PLANNED'"
        )
    database.close()
    with pytest.raises(PromotionError):
        open_server(world.workspace(), MODEL)


def test_the_public_key_is_enough(world: World) -> None:
    """A host that serves needs no private key."""
    (world.home / "keys" / "ledger.key").unlink()
    with serving(world) as server:
        assert server.ask().status == 200
    assert not (world.home / "keys" / "ledger.key").exists()


def test_a_bad_plan_keeps_the_old_one_and_says_so(world: World) -> None:
    """A candidate whose bytes are others is not followed; when they are mended it is."""
    with serving(world) as server:
        whole = {p: p.read_bytes() for p in (world.store / world.artifacts["2"]).glob("*.txt")}
        tamper(world, "2")
        world.go_live("2", share=10_000)
        until(lambda: server.ready()["refused_generation"] == 3, "the plan is refused")
        assert "digest" in server.ready()["problem"]
        said = server.ask(X_Promotion_Unit="u")
        assert (said.status, said.headers["x-promotion-version"]) == (200, "1")
        assert "promotion_plan_refused 1.0" in server.get("/metrics").body.decode()
        events = server.events
        until(lambda: events.acknowledged(MODEL)[0].refused == 3, "rollouts can see it")
        for path, content in whole.items():
            path.write_bytes(content)
        server.follower._retry = 0.0
        until(lambda: server.ready()["generation"] == 3, "the mended version is followed")
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-version"] == "2"


def test_workers_agree_and_one_that_is_killed_is_replaced(world: World, tmp_path: Path) -> None:
    """The command's workers follow the plan together; a kill costs nobody the server or a file."""
    log, scratch = tmp_path / "log", tmp_path / "scratch"
    scratch.mkdir()
    command = [str(Path(sys.executable).parent / "promotion"), "serve", MODEL, "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--workers", "2", "--poll", "0.2"],
            env=plain_environment() | world.environment() | {"TMPDIR": str(scratch)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: log.read_text().count("startup complete") == 2, "two workers", 180)
        found = re.search(r"http://127.0.0.1:(\d+)", log.read_text())
        assert found is not None
        client = Client(int(found[1]))
        events = event_log(world.workspace())
        world.go_live("2", share=10_000)
        until(
            lambda: [a.generation for a in events.acknowledged(MODEL)] == [3, 3],
            "both follow generation 3",
        )
        assert client.ask(X_Promotion_Unit="u").headers["x-promotion-version"] == "2"
        client.close()
        # What a process that is killed has not written yet, a tenth of a second, is lost.
        until(lambda: len(rows(events, "request")) == 1, "the answer is written down")
        victim = int(events.acknowledged(MODEL)[0].worker.split(":")[-2])
        os.kill(victim, signal.SIGKILL)
        until(lambda: log.read_text().count("startup complete") == 3, "it is replaced", 180)
        client = Client(client.port)
        assert {client.ask(X_Promotion_Unit="u").status for _ in range(20)} == {200}
        text = client.get("/metrics").body.decode()
        client.close()
        assert 'promotion_answer_seconds_count{arm="candidate",version="2"}' in text
    finally:
        process.terminate()
        assert process.wait(90) == 0
    assert len(rows(events, "request")) == 21
    assert list(scratch.iterdir()) == []


def test_the_command_says_why_it_does_not_start(world: World) -> None:
    """What is not attested ends the command with a message and exit code 1."""
    tamper(world, "1")
    done = start(world, "0")
    assert done.returncode == 1
    assert "do not use this artifact" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_cannot_start_ends_the_server_at_once(
    tmp_path: Path, artifacts: Mapping[str, Path]
) -> None:
    """A worker's death is no silence: the parent does not wait for its sign of life."""
    world = make_world(tmp_path, artifacts, {})
    assert world.ledger.state(MODEL).sequence == 0
    done = start(world, "0")
    assert done.returncode == 1
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    refused = next(line for line in said if "attests none" in line["message"])
    took = datetime.fromisoformat(said[-1]["time"]) - datetime.fromisoformat(refused["time"])
    assert took.total_seconds() < HEALTHCHECK_SECONDS / 2


def test_a_port_that_is_taken_is_named_with_what_to_do(world: World) -> None:
    """Whoever starts a server where one runs is told the address, the cause, and another way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = start(world, port)
    assert done.returncode == 3
    assert f"127.0.0.1, port {port}" in done.stderr
    assert "already in use" in done.stderr
    assert "name another --port" in done.stderr


def test_a_port_that_is_none_is_wrong_use(world: World) -> None:
    """A number that no port has is no defect of the platform."""
    done = start(world, "80000")
    assert done.returncode == 2
    assert "80000 is not in the range" in done.stderr


def start(world: World, port: str) -> subprocess.CompletedProcess[str]:
    """Run a server that ends by itself."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "promotion"), "serve", MODEL, "--port", port],
        env=plain_environment() | world.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
