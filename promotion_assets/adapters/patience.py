"""How long MLflow is waited for: seconds, where its client's own defaults are minutes a call.

By default MLflow's client tries a call eight times with growing waits, four minutes against a
server that is down and a quarter of an hour against one that hangs, and waits as long as a
``Retry-After`` header says. A look of a sensor may take a minute altogether, and people want to
be told. What the user has set is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
# Three tries of 15 s and the waits between them: 49 s at most, less than a sensor's minute.
LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    _TIMEOUT: "15",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
# A server may fetch a whole file from its own store before it sends the first byte.
FILES = {**LIMITS, _TIMEOUT: "120"}


def limit_patience(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the limits in which MLflow's client is to answer; it reads them anew for each call."""
    for name, value in LIMITS.items():
        environ.setdefault(name, value)


@contextmanager
def waiting_for_files(environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Wait longer for each answer, unless the user has said how long.

    The setting is the whole process's: calls of other threads meanwhile wait longer as well.
    """
    if environ.get(_TIMEOUT) != LIMITS[_TIMEOUT]:
        yield
        return
    environ[_TIMEOUT] = FILES[_TIMEOUT]
    try:
        yield
    finally:
        environ[_TIMEOUT] = LIMITS[_TIMEOUT]
