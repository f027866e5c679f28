"""What the webhook application hands on to, over one workspace."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from promotion_assets.adapters.heard_store import DatabaseHeard, open_heard
from promotion_assets.errors import PromotionError, UsageError
from promotion_assets.notification.addresses import NotSent
from promotion_assets.notification.heard import (
    OWN_HEADERS,
    Report,
    hint_from,
    is_report_signed,
)
from promotion_assets.notification.heard import refused as not_signed
from promotion_assets.notification.secrets import secret_of
from promotion_assets.notification.signing import LEAST_KEY_BYTES, key_of
from promotion_assets.pipeline.deploying import confirm
from promotion_assets.pipeline.metrics import PlatformMetrics
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.workspace import Workspace

MLFLOW_SECRET = "PROMOTION_MLFLOW_WEBHOOK_SECRET"  # noqa: S105  (the variable's name)


@dataclass(frozen=True)
class Listener:
    """The :class:`promotion_assets.notification.web.Ear` on the platform's own steps."""

    notifier: Notifier
    heard_of: Counter[tuple[str, str]] = field(default_factory=Counter)

    @cached_property
    def heard(self) -> DatabaseHeard:
        """Hints and names, in the ledger's database."""
        return open_heard(self.notifier.workspace.database_url)

    @cached_property
    def figures(self) -> PlatformMetrics:
        """The platform's metrics."""
        return PlatformMetrics(self.notifier, lambda: self.heard, self.heard_of)

    def mlflow(self, headers: Mapping[str, str], body: bytes) -> str:
        """Take a webhook of MLflow's; see the protocol."""
        with self._counted("mlflow") as said:
            said.word = self._mlflow(headers, body)
        return said.word

    def deployment(self, event_id: str, headers: Mapping[str, str], body: bytes) -> str:
        """Take the report of a deployment; see the protocol."""
        with self._counted("deployment") as said:
            said.word = self._deployment(event_id, headers, body)
        return said.word

    def metrics(self) -> bytes:
        """Return the platform's metrics in Prometheus' text format."""
        return self.figures.text()

    def ready(self) -> None:
        """Do nothing where the database answers; see the protocol."""
        self.heard.waiting()

    def _mlflow(self, headers: Mapping[str, str], body: bytes) -> str:
        workspace = self.notifier.workspace
        secret = workspace.environ.get(MLFLOW_SECRET, "")
        if len(secret.encode()) < LEAST_KEY_BYTES:
            raise UsageError(
                "hearing MLflow's webhook",
                f"{MLFLOW_SECRET} is not set here, or has fewer than {LEAST_KEY_BYTES} characters",
                "set it to the secret of the webhook in MLflow",
            )
        hint = hint_from(headers, body, secret, workspace.clock())
        if hint is None or hint.model not in workspace.policy.models:
            return "nothing to do"
        return "noted" if self.heard.hint(hint, workspace.clock()) else "known already"

    def _deployment(self, event_id: str, headers: Mapping[str, str], body: bytes) -> str:
        workspace, outbox = self.notifier.workspace, self.notifier.outbox
        now = workspace.clock()
        signer = is_report_signed(self._keys(event_id), event_id, headers, body, now)
        if signer is None:
            raise not_signed("hearing of a deployment", "the subscription's secret_env")
        report = Report.parse(body)
        # A report that was sent again in the replay window must not undo a later one. What was
        # signed names it: whoever replays it can write its headers in another way.
        signed = f"{int(headers[OWN_HEADERS[1]])}.".encode() + body
        name = f"deployment:{event_id}:{hashlib.sha256(signed).hexdigest()}"
        if not self.heard.once(name, now):
            return "known already"
        try:
            confirm(workspace, outbox, event_id, report, actor=f"deployment told {signer}")
        except PromotionError:
            self.heard.forget(name)
            raise
        return "recorded"

    def _keys(self, event_id: str) -> Mapping[str, bytes]:
        """Return the keys of those who were told of the event, as far as they can be used."""
        told = set(self.notifier.outbox.receivers(event_id))
        keys: dict[str, bytes] = {}
        for each in self.notifier.subscriptions():
            if each.name not in told or each.secret_env is None:
                continue
            with suppress(NotSent, ValueError):
                secret = secret_of(each.secret_env, self.notifier.workspace.environ)
                keys[each.name] = key_of(secret or "")
        return keys

    @contextmanager
    def _counted(self, what: str) -> Iterator[_Said]:
        said = _Said()
        try:
            yield said
        except PromotionError as error:
            said.word = type(error).__name__
            raise
        finally:
            self.heard_of[(what, said.word)] += 1


@dataclass
class _Said:
    word: str = "defect"


@dataclass
class ListenerSource:
    """Gives the listener, opened anew when the policy file has changed."""

    open: Callable[[], Workspace]
    _listener: Listener | None = None
    _read: tuple[int, int] = (0, 0)

    def __call__(self) -> Listener:
        """Return the listener over the policy as it stands."""
        known = self._listener
        if known is not None and self._stamp(known.notifier.workspace) == self._read:
            return known
        workspace = self.open()
        self._read = self._stamp(workspace)
        counts = known.heard_of if known is not None else Counter()
        self._listener = Listener(Notifier(workspace), counts)
        return self._listener

    @staticmethod
    def _stamp(workspace: Workspace) -> tuple[int, int]:
        found = workspace.config.stat()
        return found.st_mtime_ns, found.st_size
