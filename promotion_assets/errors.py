"""Every error that this package raises on purpose.

::

    PromotionError                what was done · what is wrong · what to do next
    ├── UsageError                exit 2: the call or a file that the user wrote is wrong
    │   ├── PolicyError           promotion.yaml is not a valid policy
    │   └── RequestRefused        a request that no served model can answer
    ├── Refusal                   exit 1: understood, and not allowed
    │   ├── TransitionRefused     a stage change whose prerequisites are not met
    │   ├── EvidenceMissing       a judgement was asked for without its evidence
    │   ├── ReviewNotAllowed      a reviewer's vote that the rules do not let through
    │   ├── AccessRefused         nobody knows who it is, or too many tried in vain
    │   └── Conflict              another writer was first (compare-and-set lost)
    ├── IntegrityError            bytes, a hash or a signature are not what was recorded
    └── Unreachable               exit 3: a part does not answer; nothing was changed
        ├── RegistryUnreachable   MLflow
        ├── LedgerUnreachable     the ledger's database
        └── StorageUnreachable    disk, object store, a data source
"""

from __future__ import annotations


class PromotionError(Exception):
    """Base of all: a message of three parts, readable at 3 a.m.

    Args:
        doing: what was being done, to which model and version.
        problem: what is wrong, with the value that was seen.
        next_step: what the reader should do now.
    """

    exit_code = 1

    def __init__(self, doing: str, problem: str, next_step: str) -> None:
        super().__init__(doing, problem, next_step)
        self.doing = doing
        self.problem = problem
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.doing}: {self.problem}. Next: {self.next_step}"


class UsageError(PromotionError):
    """The call, or a file that the user wrote, is wrong."""

    exit_code = 2


class PolicyError(UsageError):
    """``promotion.yaml`` is not a valid policy."""


class RequestRefused(UsageError):
    """A request to a server that no model can answer; ``status`` is the HTTP status."""

    def __init__(self, doing: str, problem: str, next_step: str, status: int = 400) -> None:
        super().__init__(doing, problem, next_step)
        self.status = status


class Refusal(PromotionError):
    """The request was understood and is not allowed."""


class TransitionRefused(Refusal):
    """A stage change whose prerequisites are not met."""


class EvidenceMissing(Refusal):
    """A judgement was asked for without the evidence that it needs."""


class ReviewNotAllowed(Refusal):
    """A reviewer's vote that the rules do not let through; ``problems`` has a sentence each."""

    def __init__(self, doing: str, problems: tuple[str, ...], next_step: str) -> None:
        super().__init__(doing, "; ".join(problems), next_step)
        self.problems = problems


class AccessRefused(Refusal):
    """Nobody knows who it is, or too many tried in vain."""


class Conflict(Refusal):
    """Another writer was first: the compare-and-set on the ledger was lost."""


class IntegrityError(PromotionError):
    """Bytes, a hash or a signature are not what was recorded."""


class Unreachable(PromotionError):
    """A part does not answer; nothing was changed."""

    exit_code = 3


class RegistryUnreachable(Unreachable):
    """The MLflow registry does not answer."""


class LedgerUnreachable(Unreachable):
    """The ledger's database does not answer, or does not take writes."""


class StorageUnreachable(Unreachable):
    """A disk, an object store or a data source cannot be read or written."""
