"""Schema: does the model's input signature fit what the feature pipeline delivers?

Judged by the rules that MLflow applies when the model answers
(``mlflow.models.utils._enforce_schema``, 3.17): columns are matched by name, columns that the
model does not ask for are ignored, an optional input may be absent, and a type may only be
widened where no value can change. One rule is stricter: MLflow hands any column of objects on
where a boolean is declared, bytes too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import JsonValue

from promotion_assets.canonical import digest_of
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column, FeatureContract
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.verdict import NotJudged, conclude, naming

NAME = "schema"

# What is delivered as the first may be asked for as the second; equal types always fit.
# long → double is absent: MLflow refuses an int64 past 0 and 1 where a double is declared.
WIDENING = frozenset(
    {
        ("integer", "long"),
        ("integer", "double"),
        ("float", "double"),
        ("binary", "string"),
        ("string", "binary"),
    }
)

# A named tensor declares numpy's names, a column MLflow's.
NUMPY_NAMES = {
    "bool": "boolean",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
    "object": "string",
    "str": "string",
    "datetime64[ns]": "datetime",
}

Verdict = Literal["same", "widened", "absent, optional", "missing", "may be empty", "type", "extra"]
BROKEN: tuple[Verdict, ...] = ("missing", "type")


class SchemaSettings(GateSettings):
    """Settings of the schema gate.

    Attributes:
        extra_columns: what it means that the pipeline delivers columns that the model does not
            use. MLflow ignores them, so ``report`` is the default.
        nullable_columns: what it means that a column which the model requires may hold no value
            in some rows. MLflow asks only that the column is there, so ``report`` is the default.
    """

    extra_columns: Literal["report", "fail"] = "report"
    nullable_columns: Literal["report", "fail"] = "report"


def evaluate(evidence: Evidence, settings: SchemaSettings) -> GateResult:
    """Compare the candidate's signature with the feature contract, column by column."""
    signature, contract = _signature(evidence), _contract(evidence)
    rows = compare(signature.inputs, contract.columns)
    broken = list(BROKEN)
    if settings.nullable_columns == "fail":
        broken.append("may be empty")
    if settings.extra_columns == "fail":
        broken.append("extra")
    faults = [row for row in rows if row["verdict"] in broken]
    extra = sum(row["verdict"] == "extra" for row in rows)
    measurement = Measurement(
        name="mismatched_columns",
        observed=float(len(faults)),
        limit=0.0,
        direction="max",
        unit="columns",
        outcome=Outcome.FAILED if faults else Outcome.PASSED,
        reason=_sentence(faults, contract),
    )
    passed = (
        f"all {len(signature.inputs)} inputs are delivered by {_source(contract)} in fitting types"
    )
    return conclude(
        NAME,
        [measurement],
        passed_reason=passed,
        details={"diff": list[JsonValue](rows), "extra_columns": extra},
        inputs={"contract": digest_of(contract.model_dump(mode="json"))},
    )


def compare(inputs: Sequence[Column], delivered: Sequence[Column]) -> list[dict[str, JsonValue]]:
    """Return the two-way difference, one row a column: the signature's order, then extra ones.

    Each row has ``column``, ``model`` and ``pipeline`` (a type, ``?`` behind an optional one,
    ``None`` where absent), ``verdict`` and ``fits`` (whether MLflow takes it).
    """
    by_name = {column.name: column for column in delivered}
    rows = [_row(column, by_name.get(column.name)) for column in inputs]
    asked = {column.name for column in inputs}
    for column in delivered:
        if column.name not in asked:
            rows.append(_as_row(column.name, None, column, "extra"))
    return rows


def fits(delivered: str, asked: str) -> bool:
    """Whether MLflow takes a column of type ``delivered`` where ``asked`` is declared."""
    asked = NUMPY_NAMES.get(asked, asked)
    return delivered == asked or (delivered, asked) in WIDENING


def _row(asked: Column, delivered: Column | None) -> dict[str, JsonValue]:
    verdict: Verdict
    if delivered is None:
        verdict = "missing" if asked.required else "absent, optional"
    elif not fits(delivered.type, asked.type):
        verdict = "type"
    elif asked.required and not delivered.required:
        verdict = "may be empty"
    else:
        verdict = "same" if delivered.type == asked.type else "widened"
    return _as_row(asked.name, asked, delivered, verdict)


def _as_row(
    name: str, asked: Column | None, delivered: Column | None, verdict: Verdict
) -> dict[str, JsonValue]:
    return {
        "column": name,
        "model": _type(asked),
        "pipeline": _type(delivered),
        "verdict": verdict,
        "fits": verdict not in BROKEN,
    }


def _type(column: Column | None) -> str | None:
    return None if column is None else column.type + ("" if column.required else "?")


def _sentence(faults: Sequence[dict[str, JsonValue]], contract: FeatureContract) -> str:
    words = []
    for row in faults[:5]:
        name, asked, delivered = row["column"], row["model"], row["pipeline"]
        match row["verdict"]:
            case "missing":
                words.append(f"{name} ({asked}) is not delivered")
            case "may be empty":
                words.append(f"{name} is required by the model and may be empty in production")
            case "type":
                words.append(f"{name} is delivered as {delivered} and declared as {asked}")
            case _:
                words.append(f"{name} ({delivered}) is delivered and not declared")
    more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
    return (
        f"the signature does not fit {_source(contract)}: {'; '.join(words)}{more}. "
        "Next: train on the contract's columns, or mend the contract"
    )


def _source(contract: FeatureContract) -> str:
    return contract.source or "the feature contract"


def _signature(evidence: Evidence) -> Signature:
    signature = evidence.candidate.signature
    if signature is None:
        raise _refused(
            evidence,
            "the model has no signature, so nobody knows which columns it needs",
            "log it with signature=infer_signature(X, predictions), or with an input_example",
        )
    names = [column.name for column in signature.inputs]
    if not names:
        raise _refused(
            evidence,
            "the signature declares no inputs",
            "log the model with signature=infer_signature(X, predictions)",
        )
    if not all(names):
        kind = "tensor" if signature.kind == "tensor" else "column"
        raise _refused(
            evidence,
            f"the signature declares an unnamed {kind}, so columns cannot be matched by name",
            "log the model with a signature inferred from a DataFrame with named columns",
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise _refused(
            evidence,
            f"the signature declares {', '.join(twice)} more than once",
            "log the model with unique column names",
        )
    return signature


def _contract(evidence: Evidence) -> FeatureContract:
    contract = evidence.contract
    if contract is None or not contract.columns:
        raise NotJudged(
            naming(NAME, evidence),
            evidence.missing.get("contract", "there is no feature contract to compare with"),
            "name one in the policy (contract: production, dataset, or a YAML file)",
        )
    return contract


def _refused(evidence: Evidence, problem: str, next_step: str) -> NotJudged:
    return NotJudged(naming(NAME, evidence), problem, next_step, outcome=Outcome.FAILED)


GATE = Gate(
    name=NAME,
    question="Does the model's input signature fit what the feature pipeline delivers?",
    settings=SchemaSettings,
    evaluate=evaluate,
    reads=frozenset({"production"}),
)
