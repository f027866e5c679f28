"""Running one suite on one table, with Data Docs."""

from __future__ import annotations

import os
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promotion_assets.adapters.expectations.data_docs import data_docs_page
from promotion_assets.adapters.expectations.outcome import ExpectationOutcome
from promotion_assets.errors import StorageUnreachable

if TYPE_CHECKING:
    import pandas as pd

# Read when Great Expectations is imported, by releases that have usage statistics at all.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

SHOWN = 20
"""How many of the rows that do not hold an outcome lists."""

# Great Expectations keeps one current project per process.
_ONE_AT_A_TIME = threading.RLock()


def great_expectations() -> Any:
    """Import Great Expectations (3 to 7 seconds, once) without its warnings and statistics."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        # It imports names that its own dependencies have deprecated.
        warnings.simplefilter("ignore")
        import great_expectations as gx
    return gx


def run_suite(
    table: pd.DataFrame,
    expectations: Sequence[Any],
    *,
    suite_name: str,
    docs_dir: Path,
    row_names: Sequence[str] = (),
) -> tuple[list[ExpectationOutcome], Path]:
    """Validate ``table``, write its Data Docs page and return the outcomes and the page.

    Args:
        table: the rows that are looked at.
        expectations: instances, each with a sentence for people in ``meta["sentence"]``.
        suite_name: the suite's name, and the data's in Data Docs.
        docs_dir: where the page goes; an earlier one there is replaced.
        row_names: columns by which a row that does not hold is told.

    Raises:
        StorageUnreachable: the page cannot be written.
    """
    gx = great_expectations()
    result_format: dict[str, Any] = {"result_format": "COMPLETE" if row_names else "SUMMARY"}
    if row_names:
        result_format["unexpected_index_column_names"] = list(row_names)
    with _ONE_AT_A_TIME, _quiet():
        context = _context(gx)
        suite = context.suites.add(
            gx.ExpectationSuite(name=suite_name, expectations=list(expectations))
        )
        batch = (
            context.data_sources.add_pandas("evidence")
            .add_dataframe_asset(suite_name)
            .add_batch_definition_whole_dataframe("all rows")
        )
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=suite_name, data=batch, suite=suite)
        )
        result = definition.run(batch_parameters={"dataframe": table}, result_format=result_format)
        page = data_docs_page(context)
    return [outcome_of(found) for found in result.results], _written(page, docs_dir)


def outcome_of(found: Any) -> ExpectationOutcome:
    """Return one of Great Expectations' results in our words."""
    configuration = found.expectation_config
    expected = str(configuration.meta.get("sentence") or configuration.type)
    problem = _exception(found)
    success = bool(found.success) and problem is None
    observed = None if problem else _observed(found.result or {})
    sentence = expected
    if problem:
        sentence = f"{expected}: could not be evaluated ({problem})"
    elif not success:
        sentence = f"{expected}: not so, seen {_words(observed)}"
    return ExpectationOutcome(
        name=configuration.type,
        success=success,
        column=str(configuration.kwargs.get("column") or ""),
        observed=observed[:SHOWN] if isinstance(observed, list) else observed,
        sentence=sentence,
    )


def _context(gx: Any) -> Any:
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars={"globally": False},
        ),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings that are about Great Expectations' own code from the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _written(page: str, docs_dir: Path) -> Path:
    target = docs_dir / "index.html"
    draft = docs_dir / f".{uuid.uuid4().hex}"
    try:
        docs_dir.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise StorageUnreachable(
            f"Writing Data Docs to {docs_dir}",
            str(error),
            "make room or mend the access rights there, then run again",
        ) from error
    return target


def _exception(found: Any) -> str | None:
    info = found.exception_info or {}
    # One expectation has one entry, or one per metric that failed.
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            return str(entry.get("exception_message") or "no message").split("\n", 1)[0][:200]
    return None


def _observed(result: dict[str, Any]) -> Any:
    if result.get("unexpected_index_list"):
        return plain(result["unexpected_index_list"])
    if "observed_value" in result:
        return plain(result["observed_value"])
    if "unexpected_count" in result:
        return {
            "unexpected": plain(result["unexpected_count"]),
            "of": plain(result.get("element_count")),
            "examples": plain(list(result.get("partial_unexpected_list") or [])[:5]),
        }
    return None


def plain(value: Any) -> Any:
    """Return ``value`` in JSON types; what has none, as text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _words(observed: Any) -> str:
    if isinstance(observed, dict) and "unexpected" in observed:
        examples = ", ".join(_short(item) for item in observed["examples"] if item is not None)
        told = f"{observed['unexpected']} of {observed['of']} rows do not hold"
        return f"{told}, such as {examples}" if examples else told
    if isinstance(observed, list) and observed and isinstance(observed[0], dict):
        rows = "; ".join(_row(row) for row in observed[:5])
        return rows + (f" and {len(observed) - 5} more" if len(observed) > 5 else "")
    if isinstance(observed, dict):
        return ", ".join(f"{key}: {_short(value)}" for key, value in list(observed.items())[:10])
    return _short(observed)


def _row(row: dict[str, Any]) -> str:
    rest = ", ".join(f"{key} {_short(item)}" for key, item in row.items() if key != "feature")
    return f"{row['feature']} ({rest})" if "feature" in row else rest


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
