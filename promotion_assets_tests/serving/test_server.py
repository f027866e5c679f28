"""A server over real HTTP: what it answers and refuses, and which plan it follows."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from promotion_assets.serving.recorder import hashed_unit
from promotion_assets.serving.router import bucket
from promotion_assets_tests.serving.servers import (
    BROKEN,
    ROW,
    Client,
    Running,
    new_world,
    rows,
    serving,
)
from promotion_assets_tests.serving.world import COLUMNS, MODEL, World, split_body
from promotion_assets_tests.waiting import until


def units_of(salt: str, share: int) -> tuple[str, str]:
    """Return a unit that the candidate answers at this share, and one that it does not."""
    names = [f"unit-{n}" for n in range(1000)]
    return (
        next(n for n in names if bucket(salt, n) < share),
        next(n for n in names if bucket(salt, n) >= share),
    )


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, artifacts: Mapping[str, Path]
) -> Iterator[Running]:
    """A champion and a candidate at 25 %, for tests that change nothing."""
    world = new_world(tmp_path_factory.mktemp("calm"), artifacts, body_bytes=1024 * 1024)
    world.go_live("2", share=2500)
    with serving(world) as running:
        yield running


@pytest.fixture(scope="module")
def salt(server: Running) -> str:
    """The rollout's salt."""
    return server.follower.engine.generation.plan.segments[0].salt


def test_a_unit_gets_its_arm_and_is_told_which(server: Running, salt: str) -> None:
    """The headers name version, arm, generation and request; the router's bucket decides."""
    inside, outside = units_of(salt, 2500)
    for unit, version, arm in ((inside, "2", "candidate"), (outside, "1", "stable")):
        said = server.ask(X_Promotion_Unit=unit, X_Request_Id="mine-1")
        assert said.status == 200
        assert said.headers["x-promotion-version"] == version
        assert said.headers["x-promotion-arm"] == arm
        assert said.headers["x-promotion-generation"] == "3"
        assert said.headers["x-request-id"] == "mine-1"
        assert (said.predictions[0][1] > 0.5) == (version == "1")
    assert server.ask().headers["x-promotion-arm"] == "stable"


def test_every_form_of_mlflow_gets_the_same_answer(server: Running) -> None:
    """Split, records, instances, inputs and CSV of one row mean the same."""
    record = dict(zip(COLUMNS, ROW, strict=True))
    expected = server.ask().predictions
    forms = (
        {"dataframe_records": [record]},
        {"instances": [record]},
        {"inputs": {name: [value] for name, value in record.items()}},
        {"inputs": record},
        {"dataframe_split": {"columns": [*COLUMNS, "more"], "data": [[*ROW, "ignored"]]}},
    )
    for form in forms:
        assert server.post("/invocations", json.dumps(form).encode()).predictions == expected
    text = ",".join(COLUMNS) + "\n" + ",".join(map(str, ROW)) + "\n"
    said = server.post("/invocations", text.encode(), Content_Type="text/csv")
    assert said.predictions == expected


def test_the_open_inference_protocol_answers_the_same(server: Running) -> None:
    """One tensor a column, or one of all columns; a version by its number, if the plan has it."""
    expected = server.ask().predictions[0]
    by_column = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
        for name, value in zip(COLUMNS, ROW, strict=True)
    ]
    whole = [{"name": "x", "shape": [1, len(ROW)], "datatype": "FP64", "data": list(ROW)}]
    for inputs in (by_column, whole):
        body = json.dumps({"inputs": inputs}).encode()
        said = server.post(f"/v2/models/{MODEL}/infer", body)
        assert said.json["model_version"] == "1"
        (output,) = said.json["outputs"]
        assert (output["shape"], output["data"]) == ([1, 2], expected)
    pinned = server.post(f"/v2/models/{MODEL}/versions/2/infer", body)
    assert pinned.headers["x-promotion-arm"] == "pinned"
    assert pinned.json["outputs"][0]["data"][1] < 0.5
    for path in (f"/v2/models/{MODEL}/versions/3/infer", "/v2/models/another/infer"):
        assert server.post(path, body).status == 404


def test_health_and_metadata_say_what_is_served(server: Running) -> None:
    """Both protocols' health, the model's columns, and the plan with its digests."""
    assert [server.get(p).status for p in ("/ping", "/health", "/v2/health/live")] == [200] * 3
    assert server.get("/version").body == b"3"
    ready = server.ready()
    assert ready["generation"] == 3
    assert {v: found["digest"] for v, found in ready["versions"].items()} == {
        version: server.world.artifacts[version] for version in ("1", "2")
    }
    about = server.get(f"/v2/models/{MODEL}").json
    assert [column["name"] for column in about["inputs"]] == list(COLUMNS)
    assert server.get(f"/v2/models/{MODEL}/versions/2/ready").json["ready"] is True
    assert server.get(f"/v2/models/{MODEL}/versions/9").status == 404


def test_prometheus_reads_latencies_by_arm(server: Running) -> None:
    """Answers are counted by version and arm, refused requests by status."""
    server.ask()
    server.post("/invocations", b"{")
    text = server.get("/metrics").body.decode()
    assert 'promotion_answer_seconds_count{arm="stable",version="1"}' in text
    assert 'promotion_refused_total{status="400"}' in text
    assert "promotion_plan_generation 3.0" in text


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "malformed JSON": (b'{"dataframe_split": ', 400, "not valid JSON"),
    "no JSON object": (b"[1, 2]", 400, "a JSON list"),
    "no UTF-8": (b'{"inputs": "\xff"}', 400, "UTF-8"),
    "nested too deep": (b"[" * 100_000, 400, "nested too deep"),
    "no known form": (b'{"rows": []}', 400, "dataframe_split"),
    "NaN": (split_body([(math.nan, *ROW[1:])]), 400, "NaN is no JSON value"),
    "infinity": (split_body([(1e308 * 10, *ROW[1:])]), 400, "Infinity is no JSON value"),
    "a number too large": (split_body([ROW]).replace(b"1.0", b"1e999", 1), 400, "'x0'"),
    "a missing value": (split_body([(None, *ROW[1:])]), 400, "takes no missing values"),
    "a text": (split_body([("1.0", *ROW[1:])]), 400, "'1.0' for 'x0'"),
    "a truth value": (split_body([(True, *ROW[1:])]), 400, "True for 'x0'"),
    "a list": (split_body([([1.0], *ROW[1:])]), 400, "[1.0] for 'x0'"),
    "unknown columns": (split_body([ROW], [*COLUMNS[:-1], "y7"]), 400, "needs x7"),
    "a column twice": (split_body([ROW], [*COLUMNS[:-1], "x0"]), 400, "'x0' is there twice"),
    "a short row": (split_body([ROW, ROW[:-1]]), 400, "row 1 has 7 values"),
    "no rows": (split_body([]), 400, "no rows"),
    "too many rows": (split_body([ROW] * 10_001), 413, "10,001 rows"),
    "ten megabytes": (split_body([ROW] * 200_000), 413, "bytes"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_no_model_can_answer_is_refused_in_three_parts(server: Running, wrong: str) -> None:
    """Bad input of each kind gets a 4xx that says what is wrong with which value and what to do."""
    body, status, words = REFUSED[wrong]
    client = Client(server.port)
    said = client.post("/invocations", body)
    client.close()
    assert said.status == status
    assert words in said.json["message"]
    assert said.json["doing"]
    assert said.json["next_step"]
    assert server.ask().status == 200


def test_ten_megabytes_in_pieces_are_refused_as_well(server: Running) -> None:
    """A body that does not say how long it is is cut off at the limit."""
    client = Client(server.port)
    pieces = (b"[" + b"1," * 32_768 for _ in range(160))
    client.connection.request("POST", "/invocations", pieces, {"Content-Type": "application/json"})
    assert client.connection.getresponse().status == 413
    client.close()


def test_another_content_type_is_refused(server: Running) -> None:
    """What is neither JSON nor CSV gets 415."""
    assert server.post("/invocations", b"x", Content_Type="application/x-parquet").status == 415
    assert server.ask(X_Request_Id="x" * 201).status == 400


def test_what_is_written_down(tmp_path: Path, artifacts: Mapping[str, Path]) -> None:
    """One event a row with hashes in place of unit and features; one exposure a unit and arm."""
    world = new_world(tmp_path, artifacts)
    world.go_live("2", share=2500)
    with serving(world) as server:
        salt = server.follower.engine.generation.plan.segments[0].salt
        inside, outside = units_of(salt, 2500)
        for unit in (inside, outside, inside):
            server.ask(X_Promotion_Unit=unit, X_Request_Id=f"r-{unit}")
        server.post("/invocations", split_body([ROW, BROKEN]), X_Request_Id="two")
        events = server.events
    found = rows(events, "request")
    assert [r["request_id"] for r in found] == [
        f"r-{inside}",
        f"r-{outside}",
        f"r-{inside}",
        "two/0",
        "two/1",
    ]
    first = found[0]
    assert first["unit"] == hashed_unit(MODEL, inside)
    assert inside not in json.dumps(found).replace(first["request_id"], "")
    assert (first["assigned"], first["role"], first["version"]) == ("candidate", "candidate", "2")
    assert (first["share"], first["generation"], first["salt"]) == (2500, 3, salt)
    assert json.loads(first["prediction"])[1] == first["score"]
    assert first["features"] == ""
    assert len({r["features_hash"] for r in found[:4]}) == 1
    assert found[4]["features_hash"] != first["features_hash"]
    assert [(e["model_label"], e["version"]) for e in rows(events, "exposure")] == [
        ("candidate", "2"),
        ("stable", "1"),
    ]


def test_features_are_written_only_where_the_policy_says_so(
    tmp_path: Path, artifacts: Mapping[str, Path]
) -> None:
    """With ``log_features`` each event has its row as JSON."""
    with serving(new_world(tmp_path, artifacts, log_features=True)) as server:
        server.ask()
        events = server.events
    (found,) = rows(events, "request")
    assert json.loads(found["features"]) == dict(zip(COLUMNS, ROW, strict=True))


def test_a_new_plan_is_followed_and_acknowledged(world: World) -> None:
    """Servers answer by the next generation within a poll, and say so where rollouts look."""
    with serving(world) as server:
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-generation"] == "1"
        world.go_live("2", share=10_000)
        until(lambda: server.ready()["generation"] == 3, "generation 3 holds")
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-version"] == "2"
        events = server.events
        until(lambda: events.acknowledged(MODEL)[0].generation == 3, "it is acknowledged")
        (said,) = events.acknowledged(MODEL)
        assert json.loads(said.digests) == {v: world.artifacts[v] for v in ("1", "2")}
        world.roll_back()
        until(lambda: server.ready()["generation"] == 4, "the rollback holds")
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-version"] == "1"
    assert events.acknowledged(MODEL) == ()


def test_requests_under_way_are_answered_before_it_ends(world: World) -> None:
    """Stopping drains: every request gets its answer and every answer its event."""
    world.plan()
    statuses: list[int] = []
    with serving(world) as server:
        clients = [Client(server.port) for _ in range(4)]

        def _keep_asking(client: Client) -> None:
            for _ in range(25):
                statuses.append(client.ask().status)

        threads = [threading.Thread(target=_keep_asking, args=[client]) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = server.events
    for client in clients:
        client.close()
    assert statuses == [200] * 100
    assert len(rows(events, "request")) == 100


def test_a_thousand_swaps_over_http_fail_no_request(world: World) -> None:
    """Every answer comes, and is from the version that the generation in its header names."""
    world.go_live("2", share=10_000)
    seen: list[tuple[int, int, str]] = []
    over = threading.Event()
    with serving(world, poll=60) as server:
        engine = server.follower.engine
        first = engine.generation
        only = first.plan.segments[0]

        def _keep_asking() -> None:
            client = Client(server.port)
            while not over.is_set():
                said = client.ask(X_Promotion_Unit="u")
                generation = int(said.headers["x-promotion-generation"])
                seen.append((said.status, generation, said.headers["x-promotion-version"]))
            client.close()

        threads = [threading.Thread(target=_keep_asking) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(1, 1001):
            changed = only.model_copy(update={"share": 10_000 * (number % 2)})
            engine.swap(
                replace(engine.generation, plan=engine.generation.plan.with_segment(changed))
            )
            time.sleep(0.002)
        over.set()
        for thread in threads:
            thread.join()
    begun = first.plan.generation
    assert len({generation for _, generation, _ in seen}) > 20
    for status, generation, version in seen:
        candidate = generation == begun or (generation - begun) % 2
        assert (status, version) == (200, "2" if candidate else "1")
