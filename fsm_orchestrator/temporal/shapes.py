"""The messages between workflows, invocations and clients. Histories keep all of them.

No secret and no value of a variable is ever in them: the request of a run is named by its path. A
reader ignores keys that it does not know, so `schema_version` grows when they must not be ignored,
and messages with a newer one are left to a newer worker. Uses only the standard library: see the
package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SHAPES_VERSION: Final = 1
WORKFLOW: Final = "GovernedRun"
ACTIVITY: Final = "invoke"
TASK_SECONDS: Final = 3.0
"""The longest that a worker may take for a step of a workflow, which takes milliseconds; then
another worker gets it."""
MEMO: Final = "fsm_orchestrator"
"""The entry of a workflow's memo that says where its run stands, a `Stand`."""
STATE_ATTRIBUTE: Final = "FsmState"
OUTCOME_ATTRIBUTE: Final = "FsmOutcome"
GATES_ATTRIBUTE: Final = "FsmWaitingGates"
KEYWORDS: Final = (STATE_ATTRIBUTE, OUTCOME_ATTRIBUTE)
"""The search attributes that hold one keyword each."""
KEYWORD_LISTS: Final = (GATES_ATTRIBUTE,)
"""The search attributes that hold a list of keywords; `=` finds each of them."""


class Failure(StrEnum):
    """The types of errors with which an invocation fails, for the engine."""

    FENCED = "FencedError"
    USAGE = "UsageError"
    CHECKPOINT = "CheckpointError"
    BUSY = "BusyError"
    OPERATION = "OperationError"
    INTERNAL = "InternalError"
    OTHER = "OrchestratorError"
    NEWER = "NewerVersion"
    """A newer program ordered the invocation: a newer worker has to take it."""
    STORAGE = "StorageError"
    """The storage here does not do what epochs need."""
    LOST = "LostError"
    """The engine gave up: too often, no worker responded for too long."""


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """The options of `run` for what a run has left, when the run is submitted again.

    Attributes:
        on_changed_stage: refuse, keep or rerun.
        accept_record: the digest of a record to continue from.
    """

    on_changed_stage: str = "refuse"
    rerun: tuple[str, ...] = ()
    reverify: bool = False
    accept_record: str | None = None


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """An invocation as it is ordered: the first starts the run, each later one resumes it.

    Attributes:
        number: its number, from 1.
        gates: the signals that were given since the previous invocation.
        options: what to do about what the run has left; None if there is no instruction.
        after: the epoch that the last result named, which is there or was overtaken.
    """

    run_id: str
    run_directory: str
    request: str
    number: int
    gates: dict[str, str]
    options: ResumeOptions | None = None
    after: str | None = None
    schema_version: int = SHAPES_VERSION


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """The result of an invocation, as its report gives it.

    Attributes:
        outcome: done, blocked, failed or timeout; None if the run has not ended.
        standing: the standing of the run, in the words of `status`.
        stop_reason: why it was asked to end early; None if it was not.
        waiting_gates: the gates that people can still give, in judging order.
        approval_gates: those of them that only approvals pass.
        refused_by_signal: the gates that a signal refuses, which another signal takes back.
        gates: the gates of the lifecycle with their values, as the run has it.
        reason: why the run is not done, in one line; empty if it is.
        epoch: the claim under which it wrote: `000001.000001`.
        next_task_queue: the queue where the next stage belongs, if the run was handed over.
        at: when it ended, in UTC.
    """

    run_id: str
    epoch: str
    number: int
    outcome: str | None
    standing: str
    exit_code: int
    state: str | None
    closure_ready: bool
    stop_reason: str | None = None
    waiting_gates: tuple[str, ...] = ()
    approval_gates: tuple[str, ...] = ()
    refused_by_signal: tuple[str, ...] = ()
    gates: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    next_task_queue: str | None = None
    at: str = ""
    schema_version: int = SHAPES_VERSION


@dataclass(frozen=True, kw_only=True)
class Carried:
    """The values with which a workflow continues as a new one."""

    number: int
    task_queue: str
    gates: dict[str, str]
    retries_used: int = 0
    result: InvocationResult | None = None


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """A run as its workflow gets it.

    Attributes:
        run_directory: the run, an absolute path on storage that all workers reach.
        request: the config file of its request, an absolute path there.
        task_queue: the queue on which it begins.
        gates: the gates of its lifecycle, with their values, the passing one first.
        approval_gates: those of them that only approvals pass.
        heartbeat_seconds: after how long without a heartbeat a worker counts as gone.
        attempts: how often one invocation is tried on workers that do not come back.
        retries: how often a run that failed or timed out is resumed automatically.
        retry_seconds: how long before the first of those; it doubles for each later one.
        wait_seconds: how long the workflow waits for people; None is forever.
        first_number: the number of its first invocation: 1, unless the run was begun before.
        has_attributes: whether the server knows the search attributes.
        options: those of its first invocation, if the run is submitted again.
        carried: the values of the workflow that this one continues; None at first.
    """

    run_id: str
    run_directory: str
    request: str
    task_queue: str
    gates: dict[str, list[str]]
    heartbeat_seconds: float = 30.0
    attempts: int = 20
    retries: int = 0
    retry_seconds: float = 10.0
    wait_seconds: float | None = None
    first_number: int = 1
    has_attributes: bool = False
    approval_gates: tuple[str, ...] = ()
    options: ResumeOptions | None = None
    carried: Carried | None = None
    schema_version: int = SHAPES_VERSION


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The reason why an invocation could not be made, and the remedy.

    Attributes:
        kind: a `Failure`, or another program's name for it.
        latest_number: the number of the epoch that holds the run, if a later one does.
    """

    kind: str
    message: str
    remedy: str = ""
    exit_code: int = 1
    latest_number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stand:
    """The standing of a run, for those who ask its workflow, or list many.

    Attributes:
        number: the number of the last invocation that was ordered; 0 before the first.
        is_at_work: True while an invocation is ordered: at work, or waiting for a worker.
        task_queue: the queue of that invocation, or of the next one.
        result: the result of the last one, if there is one.
        problem: why the last one could not be made, if it could not.
        is_retried: True if another one follows automatically, after a while.
        since: the time of the last change, in UTC; at first, that of the submission.
    """

    run_id: str
    run_directory: str
    task_queue: str
    number: int = 0
    is_at_work: bool = True
    result: InvocationResult | None = None
    problem: Problem | None = None
    is_retried: bool = False
    since: str = ""
    schema_version: int = SHAPES_VERSION
