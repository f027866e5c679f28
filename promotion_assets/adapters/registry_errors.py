"""What MLflow's client raises, as errors of ours: wrong use, or a registry that does not answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException
from requests.exceptions import HTTPError, RequestException
from sqlalchemy.exc import SQLAlchemyError

from promotion_assets.errors import RegistryUnreachable, UsageError

_GONE = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"}
_AGAIN = "check MLFLOW_TRACKING_URI and that MLflow runs; nothing was changed"
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
# MLflow's client wraps what the network did into the text of one error, with the whole address,
# in which a password may stand.
_NETWORK = (
    (r"Connection refused", "nothing listens at its address (connection refused)"),
    (r"Name or service not known|Failed to resolve", "its host name is not known"),
    (r"timed? ?out", "no answer in time"),
    (r"too many (\d+) error responses", r"it answered \1, again and again"),
    (r"IncompleteRead|RemoteDisconnected|Connection aborted|Connection reset", "it broke off"),
    (r"not in a valid JSON format|Expecting value", "the answer is not MLflow's (no JSON)"),
    # The client gives the same error for a path that is wrong and for a line that breaks.
    (r"Failed to download artifacts from path", "a file that it lists could not be read"),
    (r"error code (\d+) !=", r"it answered \1"),
    (r"(\d\d\d) (?:Server|Client) Error", r"it answered \1"),
)


@contextmanager
def registry_errors(doing: str, name: str) -> Iterator[None]:
    """Turn what MLflow's client raises into ours.

    Raises:
        UsageError: there is no such thing.
        RegistryUnreachable: anything else.
    """
    try:
        yield
    except MlflowException as error:
        hide_credentials(error)
        if error.error_code in _GONE and not said_by_the_network(str(error.message)):
            raise UsageError(
                doing,
                f"MLflow says: {error.message}",
                f"see whether {name} is still in MLflow at MLFLOW_TRACKING_URI; `promotion status` "
                "lists what the ledger knows",
            ) from error
        raise RegistryUnreachable(doing, what_went_wrong(error), _AGAIN) from error
    except (
        *(RequestException, ConnectionError, TimeoutError, SQLAlchemyError),
        json.JSONDecodeError,
    ) as error:
        hide_credentials(error)
        raise RegistryUnreachable(doing, what_went_wrong(error), _AGAIN) from error


def hide_credentials(error: BaseException) -> None:
    """Take credentials in addresses out of an error and of those that led to it.

    They are printed with tracebacks, and Dagster keeps them in its database.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        waiting += [found.__cause__, found.__context__]
        found.args = tuple(_hidden(each) for each in found.args)
        if isinstance(found, MlflowException):
            found.message = _hidden(found.message)


def _hidden(value: object) -> Any:
    return _CREDENTIALS.sub("***@", value) if isinstance(value, str) else value


def what_went_wrong(error: BaseException) -> str:
    """Say in a few words why MLflow gave no answer."""
    said = str(error.message if isinstance(error, MlflowException) else error)
    if isinstance(error, HTTPError) and error.response is not None:
        return f"MLflow: it answered {error.response.status_code}"
    network = said_by_the_network(said)
    if network:
        return f"MLflow: {network}"
    if isinstance(error, MlflowException):
        return f"MLflow answered {error.error_code}: {said[:300]}"
    return f"MLflow: no answer ({type(error).__name__})"


def said_by_the_network(said: str) -> str:
    """Say what the network did, from an error's text; empty where MLflow itself has answered."""
    for pattern, meaning in _NETWORK:
        found = re.search(pattern, said)
        if found:
            return found.expand(meaning)
    return ""
