"""What a child that is not believed may say, word by word, without starting one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.evaluation.answers import Question, interpret
from promotion_assets.evaluation.arrow_values import decode_values, encode_values
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.frames import LENGTHS, MAX_HEADER_BYTES, Frame, FrameReader
from promotion_assets.evaluation.probing import ProbingPlan, probe
from promotion_assets.evaluation.sandbox import ChildFailure
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox

BINARY, REGRESSION = Question("binary"), Question("regression")
THREE = Question("multiclass", classes=("a", "b", "c"))


def answer(values: Any, kind: str = "floats", **header: Any) -> Frame:
    """An answer as the child sends it."""
    array = np.asarray(values, dtype=np.float64)
    said = {"op": "answer", "kind": kind, "shape": list(array.shape), **header}
    return Frame(said, encode_values(array))


@pytest.mark.parametrize("shape", [None, "3", [3, 1, 1], [3.0], [-1], [1 << 25], [10_000], []])
def test_a_shape_that_does_not_fit_its_bytes_is_no_answer(shape: Any) -> None:
    """Nothing is allocated for what a child merely announces."""
    with pytest.raises(ChildFailure, match="it answered an array of shape") as caught:
        interpret(answer([0.1, 0.2, 0.3], shape=shape), 3, 0, BINARY)
    assert caught.value.kind == "wrong_length"


def test_bytes_that_are_not_the_stream_that_we_would_write_break_the_protocol() -> None:
    """An Arrow stream of any other form is not parsed."""
    whole = answer([0.1, 0.2])
    for payload in (b"x" + whole.payload[1:], whole.payload + b"x"):
        with pytest.raises(ChildFailure, match="it broke the protocol: not an Arrow stream"):
            interpret(dataclasses.replace(whole, payload=payload), 2, 0, BINARY)
    assert decode_values(encode_values(np.empty(0)), 0).shape == (0,)


WRONG: list[tuple[Frame, Question, str, str]] = [
    (answer([0.1]), BINARY, "wrong_length", "it answered 1 values for 2 rows"),
    (answer([0.1, np.nan]), BINARY, "not_finite", "1 of 2 rows, the first is row 11"),
    (answer([[0.1, 0.2]] * 2), REGRESSION, "wrong_length", "it answered 2 values for each row"),
    (answer([0, 1], kind="ints"), BINARY, "not_probability", "it answered labels (ints)"),
    (answer([0.1, 1.5]), BINARY, "not_probability", "in row 11 for instance 1.5"),
    (answer([[0.5, 0.5], [0.5, 0.4]]), BINARY, "not_probability", "of row 11 sum to 0.9"),
    (answer([[0.2, 0.3, 0.5]] * 2), BINARY, "not_probability", "for 3 classes, the task has two"),
    (
        answer([[0.5, 0.5]] * 2, classes=["no", "yes"]),
        BINARY,
        "not_probability",
        "its classes are ['no', 'yes'], the positive label 1 is not one",
    ),
    (answer([0.5, 0.5]), THREE, "not_probability", "it answered one value a row for 3 classes"),
    (answer([[0.5, 0.5]] * 2), THREE, "not_probability", "it answered for 2 classes"),
    (
        answer([[0.2, 0.3, 0.5]] * 2, classes=["a", "a", "b"]),
        THREE,
        "not_probability",
        "(['a', 'a', 'b']), the dataset has 3",
    ),
    (
        answer([[0.5, 0.5]] * 2, classes=["a", "z"]),
        THREE,
        "not_probability",
        "(['a', 'z']), the dataset has 3",
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_an_answer_to_another_question_is_named(number: int) -> None:
    """With its kind, the row where there is one, and what was asked for."""
    said, question, kind, words = WRONG[number]
    with pytest.raises(ChildFailure) as caught:
        interpret(said, 2, 10, question)
    assert caught.value.kind == kind
    assert words in caught.value.reason


@pytest.mark.parametrize(
    ("said", "question", "expected"),
    [
        (answer([[3.5], [-1]], kind="ints"), REGRESSION, [3.5, -1]),
        (answer([0.25, 1 + 1e-9]), BINARY, [0.25, 1]),
        (answer([[0.25], [0.5]]), BINARY, [0.25, 0.5]),
        (answer([[0.25, 0.75]] * 2), BINARY, [0.75, 0.75]),
        (answer([[0.25, 0.75]] * 2, classes=[1.0, 0.0]), BINARY, [0.25, 0.25]),
        (answer([[0.25, 0.75]] * 2, classes=[True, False]), BINARY, [0.25, 0.25]),
        (answer([[0.25, 0.75]] * 2, classes=["b"]), BINARY, [0.75, 0.75]),
        (answer([[0.25, 0.75]] * 2, columns=["1", "0"]), BINARY, [0.25, 0.25]),
        (answer([[0.25, 0.75]] * 2, columns=["p", "q"]), BINARY, [0.75, 0.75]),
        # Codes say which class is which only while they are not the labels themselves.
        (answer([[0.25, 0.75]] * 2, classes=[0, 1]), Question("binary", "yes"), [0.75, 0.75]),
        (answer([[0.2, 0.3, 0.5]] * 2), THREE, [[0.2, 0.3, 0.5]] * 2),
        (answer([[0.2, 0.8]] * 2, classes=["c", "a"]), THREE, [[0.8, 0.0, 0.2]] * 2),
        (answer([[0.2, 0.8]] * 2, classes=[2, 0]), THREE, [[0.8, 0.0, 0.2]] * 2),
        (answer([[0.5, 0.3, 0.2]] * 2, columns=["c", "b", "a"]), THREE, [[0.2, 0.3, 0.5]] * 2),
    ],
)
def test_each_usual_form_of_an_answer_is_read(
    said: Frame, question: Question, expected: Any
) -> None:
    """One column or one a class, with labels, codes or column names, in any order."""
    assert interpret(said, 2, 0, question).tolist() == expected


def test_a_frame_is_taken_when_all_of_it_is_there() -> None:
    """In pieces of any size; two frames in one piece are two."""
    whole = Frame({"op": "x"}, b"payload").encode()
    reader = FrameReader(100)
    for at in range(len(whole)):
        assert reader.take() is None
        reader.feed(whole[at : at + 1])
    assert reader.take() == Frame({"op": "x"}, b"payload")
    reader.feed(whole + whole)
    assert (reader.take(), reader.take(), reader.take()) == (
        *[Frame({"op": "x"}, b"payload")] * 2,
        None,
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LENGTHS.pack(2, 101) + b"{}", "2 and 101 bytes is too large"),
        (LENGTHS.pack(MAX_HEADER_BYTES + 1, 0), "is too large"),
        (LENGTHS.pack(2, 0) + b"[]", "header is not an object"),
        (LENGTHS.pack(3, 0) + b"{]}", "Expecting"),
        (LENGTHS.pack(200_000, 0) + b"[" * 200_000, "nested too deep"),
    ],
)
def test_what_is_no_frame_is_refused_before_it_is_held(data: bytes, words: str) -> None:
    """Too large, not an object, not JSON, or nested so deep that reading it would fail."""
    reader = FrameReader(100)
    reader.feed(data)
    with pytest.raises(ValueError, match=words):
        reader.take()


class Child:
    """A child that says what it was given to say."""

    def __init__(self, *frames: Frame) -> None:
        self.frames: Iterator[Frame] = iter(frames)

    def receive(self, deadline: float) -> Frame:
        return next(self.frames)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session whose artifact has no MLmodel, so that nothing was started."""
    opened = Session(tmp_path, "d" * 64, question=BINARY, limits=Sandbox(), isolation="limits")
    assert opened.failure is not None
    assert opened.failure.kind == "load_error"
    return opened


SCORED = Frame({"op": "scored"})


def collect(session: Session, *frames: Frame) -> Any:
    """What comes of three rows in batches of two."""
    child: Any = Child(*frames)
    return session.collect(child, 3, 2, 0.0, first_row=100)


def test_batches_are_put_together(session: Session) -> None:
    """In their order, with what the child said last."""
    values, last = collect(session, answer([0.1, 0.2]), answer([0.3]), SCORED)
    assert values.tolist() == [0.1, 0.2, 0.3]
    assert last == {"op": "scored"}


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([answer([0.1, 0.2]), SCORED], "it answered 2 of 3 rows"),
        ([answer([0.1, 0.2]), answer([0.3]), Frame({"op": "loaded"})], "it answered 3 of 3 rows"),
        ([answer([0.1, 0.2]), answer([0.3]), answer([0.4])], "with too many answers"),
        ([answer([0.1, 0.2]), answer([np.inf]), SCORED], "the first is row 102"),
        ([answer([0.1, 2.0]), answer([0.3]), SCORED], "in row 101 for instance 2"),
        ([Frame({"op": "failure", "kind": "magic"})], "with an unknown failure"),
        ([Frame({"op": "failure", "kind": "exception", "reason": "it left\x1b[2J"})], "it left"),
    ],
)
def test_a_child_that_says_too_little_too_much_or_nonsense_is_refused(
    session: Session, frames: list[Frame], words: str
) -> None:
    """The first wrong batch is told, and the others are read, so that it can be asked again."""
    with pytest.raises(ChildFailure) as caught:
        collect(session, *frames)
    assert words in caught.value.reason
    assert "\x1b" not in caught.value.reason


class Model:
    """A model in the place of a session, which notes what it is asked about."""

    def __init__(self, *inputs: str, kind: Any = "columns", failing: str = "") -> None:
        columns = tuple(Column(name=name, type="double") for name in inputs)
        self.signature = Signature(kind=kind, inputs=columns) if inputs else None
        self.failure: ScoringFailure | None = None
        self.asked: list[pd.DataFrame] = []
        self.failing = failing

    def load(self) -> ScoringFailure | None:
        return self.failure

    def answer(self, features: pd.DataFrame, deadline: float) -> Any:
        self.asked.append(features)
        if self.failing and features.get(self.failing, pd.Series([1.0])).isna().any():
            return ScoringFailure(kind="exception", reason="it cannot take NaN")
        return np.full(len(features), 0.5)


FEATURES = pd.DataFrame(
    {
        "f": [1.0, 2.0, 3.0, 4.0],
        "i": np.array([1, 2, 3, 4], dtype=np.int8),
        "b": [True, False, True, False],
        "t": pd.to_datetime(["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]),
        "s": ["x", "y", "x", "y"],
        "c": pd.Categorical(["x", "y", "x", "y"]),
        "n": [np.nan] * 4,
    }
)


def probed(model: Any, **changes: Any) -> Any:
    """The probes of a model on all rows."""
    return probe(model, FEATURES, ProbingPlan(**{"rows": 4, **changes}))


def test_every_type_of_feature_is_changed_in_its_own_way() -> None:
    """Numbers a little and far out, whole ones whole and in their range; text to what is unseen."""
    model = Model()
    found = probed(model)
    names = [each.name for each in found]
    kinds = list(FEATURES)
    assert names == [
        "perturbed",
        *(f"missing:{name}" for name in kinds),
        *(f"out_of_range:{name}" for name in ("f", "i", "s", "c")),
    ]
    asked = dict(zip(names, model.asked, strict=True))
    small = asked["perturbed"]
    assert 0 < (small["f"] - FEATURES["f"]).abs().max() < 1
    for same in ("b", "t", "s", "c", "n"):
        assert small[same].equals(FEATURES[same])
    assert small["i"].dtype == np.int8
    assert all(asked[f"missing:{name}"][name].isna().all() for name in kinds)
    assert asked["missing:f"]["i"].equals(FEATURES["i"])
    assert asked["out_of_range:f"]["f"].tolist() == [-29.0, 34.0, -29.0, 34.0]
    assert asked["out_of_range:i"]["i"].tolist() == [-29, 34, -29, 34]
    clipped = probed(far := Model(), ranges_out=1000.0)
    index = [each.name for each in clipped].index("out_of_range:i")
    assert far.asked[index]["i"].tolist() == [-128, 127, -128, 127]
    assert set(asked["out_of_range:s"]["s"]) == {"never seen before"}


def test_only_what_the_model_reads_is_changed() -> None:
    """By its signature; a tensor names no columns, so all of them are."""
    assert [each.name for each in probed(Model("f"))] == [
        *("perturbed", "missing:f", "out_of_range:f"),
    ]
    assert len(probed(Model("f", kind="tensor"))) == len(probed(Model()))


def test_a_probe_that_fails_is_a_result_and_a_model_that_does_not_load_is_none() -> None:
    """Each failed probe says why; without time left all do, and without a model there are none."""
    found = {each.name: each for each in probed(Model("f", "s", failing="f"))}
    assert found["missing:f"].failure == ScoringFailure(
        kind="exception", reason="it cannot take NaN"
    )
    assert found["missing:s"].failure is None
    late = probed(Model("f"), budget_seconds=-1.0)
    assert {each.failure.reason for each in late} == {"the time for probes was used up before this"}
    broken = Model("f")
    broken.failure = ScoringFailure(kind="load_error", reason="no")
    assert probed(broken) == broken.failure
