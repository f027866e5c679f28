"""Reading promotion.yaml: what is filled in, and how every mistake is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from promotion_assets.errors import PolicyError, StorageUnreachable
from promotion_assets.gates.catalogue import BUILT_IN, catalogue, settings_models
from promotion_assets.policy.load import expand_uri, load_policy, parse_policy
from promotion_assets.policy.model import Policy
from promotion_assets.policy.source import read_source

TEXT = """\
version: 1
models:
  m:
    task: binary
    dataset:
      uri: rows.parquet
      label: default
    groups:
      - column: sex
    gates:
      accuracy:
        minimum: 0.7
"""

ACCURACY = """\
      accuracy:
        minimum: 0.7
"""

# A team that has nothing but a model and labelled rows.
SHORT = """\
version: 1
models:
  breast-cancer:
    task: binary
    dataset:
      uri: evaluation.parquet
      label: malignant
    first_version:
      accept: absolute
      reason: the first model of its kind here
    gates:
      accuracy: {minimum: 0.95}
      latency:
      schema:
      artifact:
"""


def parse(text: str, **changes: Any) -> Policy:
    """Parse a policy text with the built-in gates."""
    known = {"name": "promotion.yaml", "base": ".", "settings": settings_models, "environ": {}}
    return parse_policy(text, **{**known, **changes})


def refused(text: str, **changes: Any) -> str:
    """Return the words with which a policy is refused."""
    with pytest.raises(PolicyError) as caught:
        parse(text, **changes)
    return str(caught.value)


def test_a_short_policy_is_enough() -> None:
    """Fifteen lines judge a model; everything else has a default."""
    policy = parse(SHORT).models["breast-cancer"]
    assert list(policy.gates) == ["accuracy", "latency", "schema", "artifact"]
    assert policy.gates["latency"]["p95_ms"] == 50.0
    assert policy.gates["accuracy"]["improvement"] == 0.005
    assert len(SHORT.splitlines()) < 30


def test_defaults_are_filled_in_so_that_the_digest_pins_them() -> None:
    """Writing a default down changes nothing, writing another value does."""
    digest = parse(TEXT).models["m"].digest
    same = TEXT + "        improvement: 0.005\n        required: true\n"
    assert parse(same).models["m"].digest == digest
    assert parse(TEXT + "        improvement: 0.006\n").models["m"].digest != digest


def test_order_comments_and_folder_are_not_part_of_the_digest() -> None:
    """The same policy in another folder and another order of keys has the same name."""
    turned = yaml.safe_dump(yaml.safe_load(TEXT), sort_keys=True)
    assert parse(turned, base="/elsewhere").models["m"].digest == parse(TEXT).models["m"].digest


def test_every_gate_is_accepted_with_its_defaults() -> None:
    """Each built-in gate can be named with nothing behind it, where its settings allow."""
    stanzas = "".join(f"      {name}:\n" for name in BUILT_IN if name not in ("custom", "accuracy"))
    policy = parse(TEXT + stanzas).models["m"]
    for name in BUILT_IN:
        if name != "custom":
            assert name in policy.gates


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("minimum: 0.7", "minimun: 0.7", 12, "gates.accuracy.minimun: 'minimun' is not a known"),
        ("minimum: 0.7", "minimun: 0.7", 12, "did you mean 'minimum'?"),
        ("accuracy:", "acuracy:", 11, "there is no gate called 'acuracy' (did you mean 'accuracy'"),
        ("minimum: 0.7", "minimum: high", 12, "valid number"),
        ("minimum: 0.7", "decide_on: bound", 12, "did you mean 'lower_bound'?"),
        ("minimum: 0.7", "metric: roc_auk", 12, "did you mean 'roc_auc'?"),
        ("task: binary", "task: regression", 11, "'roc_auc' does not fit a regression model"),
        (
            "minimum: 0.7",
            "minimum: 0.7\n        suspicious_above: 0.001",
            13,
            "suspicious_above 0.001 is not above improvement 0.005",
        ),
        ("minimum: 0.7", "minimum: 0.7\n        minimum: 0.8", 13, "twice, first on line 12"),
        (ACCURACY, "", 10, "no gate is configured"),
        (f"    gates:\n{ACCURACY}", "    gates: {}\n", 10, "no gate is configured"),
        (f"    gates:\n{ACCURACY}", "", 3, "'gates' is missing"),
        ("accuracy:\n        minimum: 0.7", "accuracy: true", 11, "True stands where keys are"),
        ("accuracy:\n        minimum: 0.7", "accuracy: true", 11, "its keys are decide_on, "),
        ("groups:", "review: {reviewers: [priya]}\n    groups:", 8, "'priya' stands where keys"),
        ("groups:", "review: {reviewers: [priya]}\n    groups:", 8, "keys are accounts, name, "),
        ("column: sex", "{column: sex, bands: 30}", 9, "30 stands where a list is meant"),
        ("task: binary", "task: binery", 4, "did you mean 'binary'?"),
        ("label: default", "lable: default", 7, "did you mean 'label'?"),
        ("label: default", "lable: default", 5, "'label' is missing"),
        ("version: 1", "version: 2", 1, "2 is not allowed here (write 1)"),
        ("column: sex", "column: 3", 9, 'quote it: "3"'),
        ("column: sex", "colum: sex", 9, "did you mean 'column'?"),
        ("- column: sex", "- {column: sex}\n      - {column: sex}", 10, "two groups are called"),
        ("column: sex", "{column: sex, bands: [5, 1]}", 9, "bands must ascend"),
        ("uri: rows", "label_rate: [0.9, 0.1]\n      uri: rows", 6, "not an ascending range"),
        ("task: binary", "task: binary\n    segments: [a, a]", 5, "segments are empty or repeat"),
        ("    groups:\n      - column: sex\n    gates:\n", "    gates:\n      fairness:\n", 9,
         "no protected groups"),
        ("    gates:", "    gate_paths: {mine: nope.x:GATE}\n    gates:", 10, "No module named"),
        (
            "    gates:",
            "    waivers:\n      - {gate: fairnes, version: '3', by: A, reason: because it is so,"
            " until: 2026-01-01}\n    gates:",
            11,
            "not a gate of this policy",
        ),
        ("rows.parquet", "'${DATA_HOME}/rows.parquet'", 6, "DATA_HOME is not set"),
        ("    gates:", "    risk: high\n    gates:", 10, "did you mean 'risk_class'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_line_key_and_nearest_name(
    old: str, new: str, line: int, words: str
) -> None:
    """Typos, wrong types, contradictions and repeats name the line, the key and what is meant."""
    assert old in TEXT
    told = refused(TEXT.replace(old, new, 1))
    assert words in told
    assert f"promotion.yaml:{line}" in told or f"line {line}:" in told


def test_all_mistakes_are_told_at_once() -> None:
    """Two typos are one message with two lines."""
    told = refused(TEXT.replace("minimum", "minimun").replace("task: binary", "task: binry"))
    assert "line 4: models.m.task" in told
    assert "line 12: models.m.gates.accuracy.minimun" in told


def test_hundreds_of_mistakes_are_cut() -> None:
    """Nobody reads more than ten."""
    told = refused(TEXT + "".join(f"        wrong_{i}: 1\n" for i in range(50)))
    assert "and 40 more" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("a: [1\n", "not valid YAML"),
        ("a: b: c\n", "not valid YAML"),
        ("a: !!python/object:os.system {}\n", "plain YAML, without tags"),
        ("!!set {a, b}\n", "plain YAML, without tags"),
        ("a: !x 3\n", "plain YAML, without tags"),
        ("[1, 2]: x\n", "a key is not a word"),
        ("a: &x [*x]\n", "contains itself"),
        ("just words\n", "'just words' stands where keys are meant"),
        ("version: 1\nmodels: [churn]\n", "a list stands where names are meant"),
        ("a: \x00\n", "not valid YAML"),
    ],
)
def test_what_is_no_policy_at_all_is_refused(text: str, words: str) -> None:
    """Anything but a mapping of plain YAML is refused in words."""
    assert words in refused(text)


def test_what_no_policy_can_hold_is_told_once() -> None:
    """A number that is none is one mistake, though two models read it."""
    assert "line 12" not in refused(TEXT.replace("minimum: 0.7", "minimum: .nan"))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """Whatever is in the file, nothing but a PolicyError comes out."""
    with pytest.raises(PolicyError):
        parse(text)


def test_aliases_that_unfold_without_end_are_refused() -> None:
    """Thirty lines that would be a thousand million values are refused as fast as any mistake."""
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)
    )
    with pytest.raises(PolicyError, match="unfold to more than 100,000 values"):
        parse(text)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are told apart."""
    with pytest.raises(PolicyError, match="promotion init"):
        load_policy(tmp_path / "none.yaml", settings=settings_models, environ={})
    with pytest.raises(StorageUnreachable):
        load_policy(tmp_path, settings=settings_models, environ={})
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policy(bad, settings=settings_models, environ={})


def test_relative_paths_start_at_the_policys_folder(tmp_path: Path) -> None:
    """The policy remembers where it was read."""
    path = tmp_path / "promotion.yaml"
    path.write_text(TEXT, encoding="utf-8")
    found = load_policy(path, settings=settings_models, environ={})
    assert found.models["m"].base == str(tmp_path)


def test_a_variable_in_a_uri_is_checked_and_stays_as_written() -> None:
    """The password behind a variable is in neither policy nor digest; expanding is for use."""
    text = TEXT.replace("rows.parquet", "'postgresql://u:${PASSWORD}@h/db'")
    one = parse(text, environ={"PASSWORD": "one"}).models["m"]
    two = parse(text, environ={"PASSWORD": "two"}).models["m"]
    assert one.digest == two.digest
    assert one.dataset.uri == "postgresql://u:${PASSWORD}@h/db"
    assert expand_uri(one.dataset.uri, {"PASSWORD": "s3cret"}) == "postgresql://u:s3cret@h/db"
    with pytest.raises(PolicyError, match="PASSWORD is not set"):
        expand_uri(one.dataset.uri, {})
    with pytest.raises(PolicyError) as caught:
        expand_uri("postgresql://u:s3cret@${HOST}/db", {})
    assert "s3cret" not in str(caught.value)


def test_keys_are_text_as_written_and_dates_stay_text() -> None:
    """`on`, `no` and `3` are words as keys, and a date is text until a field wants a date."""
    data = read_source("on: 1\nno: 2\n3: x\nday: 2026-01-01\nreal: 1.5\n", "f").data
    assert data == {"on": 1, "no": 2, "3": "x", "day": "2026-01-01", "real": 1.5}
    review = parse(TEXT + "        review_by: 2026-09-01\n").models["m"]
    assert review.gates["accuracy"]["review_by"] == "2026-09-01"


def test_a_number_too_long_to_be_read_is_named_by_its_line() -> None:
    """Python reads no whole number of more than 4,300 digits."""
    with pytest.raises(PolicyError, match="no value that can be read") as refused:
        read_source("version: 1\nmodels: " + "9" * 5000 + "\n", "p.yaml")
    assert "p.yaml:2" in str(refused.value)
    assert len(str(refused.value)) < 500


def test_anchors_and_merges_work() -> None:
    """Two models may share a stanza, and override parts of it."""
    text = TEXT.replace("  m:\n", "  m: &shared\n")
    text += "  n:\n    <<: *shared\n    task: binary\n    owner: team:n\n"
    policy = parse(text)
    assert policy.models["n"].gates == policy.models["m"].gates
    assert policy.models["n"].owner == "team:n"


class TeamSettings(BaseModel):
    """Settings of a gate that this package has never heard of."""

    model_config = ConfigDict(extra="forbid")

    height: float = 1.5


def test_settings_models_may_be_given_as_they_are() -> None:
    """The loader knows no gate: any settings models will do."""
    text = TEXT.replace("accuracy:\n        minimum: 0.7", "tower: {height: 3}")
    policy = parse(text, settings={"tower": TeamSettings}).models["m"]
    assert policy.gates["tower"] == {"height": 3.0}
    told = refused(text.replace("height", "hight"), settings={"tower": TeamSettings})
    assert "did you mean 'height'?" in told


def test_the_lines_of_nested_values_are_known() -> None:
    """A path that was not written falls back to the stanza around it."""
    source = read_source(TEXT, "f")
    assert source.line(("models", "m", "gates", "accuracy", "minimum")) == 12
    assert source.line(("models", "m", "gates", "accuracy", "improvement")) == 11
    assert source.line(("nothing",)) == 1


def test_every_built_in_settings_model_survives_the_round_trip() -> None:
    """Completed settings validate to themselves, so a pinned policy can be read again."""
    for name, gate in catalogue().items():
        if name == "custom":
            continue
        once = gate.settings.model_validate({}).model_dump(mode="json")
        assert gate.settings.model_validate(once).model_dump(mode="json") == once


def test_only_what_changes_a_figure_is_part_of_the_digest() -> None:
    """Counting in shards is another way to judge; on how many machines it happens is not."""
    plain = parse(TEXT).models["m"]

    def _judged_by(**stanza: object) -> str:
        return type(plain).model_validate({**plain.model_dump(), "evaluation": stanza}).digest

    assert _judged_by(engine="memory", max_memory_bytes=2**30) == plain.digest
    assert _judged_by(engine="streaming") != plain.digest
    assert _judged_by(engine="streaming") == _judged_by(engine="ray", workers=9, batch_rows=1024)
    assert _judged_by(engine="streaming", shard_rows=512) != _judged_by(engine="streaming")
    with pytest.raises(ValueError, match="needs `engine: memory`"):
        type(plain).model_validate(
            {**plain.model_dump(), "task": "multiclass", "evaluation": {"engine": "streaming"}}
        )
