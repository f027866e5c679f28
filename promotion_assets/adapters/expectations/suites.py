"""Running one suite on one table, with Data Docs."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promotion_assets.adapters.expectations.offline_docs import make_offline
from promotion_assets.adapters.expectations.outcome import ExpectationOutcome
from promotion_assets.errors import StorageUnreachable

if TYPE_CHECKING:
    import pandas as pd

# Read when Great Expectations is imported, by releases that have usage statistics at all.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

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
    table: pd.DataFrame, expectations: Sequence[Any], *, suite_name: str, docs_dir: Path
) -> tuple[list[ExpectationOutcome], Path]:
    """Validate ``table``, write Data Docs to ``docs_dir`` and return outcomes and the index page.

    Args:
        table: the rows that are looked at.
        expectations: instances, each with a sentence for people in ``meta["sentence"]``.
        suite_name: the suite's name, and the data's in Data Docs.
        docs_dir: replaced as a whole.

    Raises:
        StorageUnreachable: Data Docs cannot be written.
    """
    gx = great_expectations()
    draft = docs_dir.parent / f".{docs_dir.name}-{uuid.uuid4().hex}"
    with _ONE_AT_A_TIME, _quiet(), _written(docs_dir):
        context = _context(gx, draft)
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
        result = definition.run(
            batch_parameters={"dataframe": table}, result_format=_result_format(table)
        )
        try:
            context.build_data_docs()
            make_offline(draft)
            if docs_dir.exists():
                shutil.rmtree(docs_dir)
            draft.rename(docs_dir)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    outcomes = [outcome_of(found) for found in result.results]
    return outcomes, docs_dir / "index.html"


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
        observed=observed,
        sentence=sentence,
    )


def _context(gx: Any, site: Path) -> Any:
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
            data_docs_sites={
                "promotion": {
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": {
                        "class_name": "TupleFilesystemStoreBackend",
                        "base_directory": str(site.absolute()),
                    },
                    "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                }
            },
        ),
    )


def _result_format(table: pd.DataFrame) -> dict[str, Any]:
    named = {"unexpected_index_column_names": ["feature"]} if "feature" in table.columns else {}
    return {"result_format": "COMPLETE" if named else "SUMMARY", **named}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings that are about Great Expectations' own code from the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _written(docs_dir: Path) -> Iterator[None]:
    try:
        docs_dir.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageUnreachable(
            f"Writing Data Docs to {docs_dir}",
            str(error),
            "make room or mend the access rights there, then run again",
        ) from error


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
        return plain(result["unexpected_index_list"][:20])
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
        examples = ", ".join(str(item) for item in observed["examples"])
        return f"{observed['unexpected']} of {observed['of']} rows" + (
            f", such as {examples}" if examples and examples != "None" else ""
        )
    if isinstance(observed, list) and observed and isinstance(observed[0], dict):
        return "; ".join(
            ", ".join(f"{key} {item}" for key, item in row.items()) for row in observed[:5]
        ) + (f" and {len(observed) - 5} more" if len(observed) > 5 else "")
    return str(observed)
