"""What workflows, invocations and clients send each other. Histories keep all of it.

No secret and no value of a variable is ever in it: a run is asked for by the path of a file. A
reader ignores keys that it does not know, so `schema_version` grows when they must not be ignored,
and what has a newer one is left to a newer worker. Standard library alone: see the room.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SHAPES_VERSION: Final = 1
WORKFLOW: Final = "GovernedRun"
ACTIVITY: Final = "invoke"
TASK_SECONDS: Final = 3.0
"""How long a worker may take for a step of a workflow, which takes milliseconds; then another
worker gets it."""
MEMO: Final = "fsm_orchestrator"
"""The entry of a workflow's memo that says where its run stands, a `Stand`."""
STATE_ATTRIBUTE: Final = "FsmState"
OUTCOME_ATTRIBUTE: Final = "FsmOutcome"
GATES_ATTRIBUTE: Final = "FsmWaitingGates"
KEYWORDS: Final = (STATE_ATTRIBUTE, OUTCOME_ATTRIBUTE)
"""The search attributes that are a keyword each."""
KEYWORD_LISTS: Final = (GATES_ATTRIBUTE,)
"""Those that are a list of keywords; `=` finds each of them."""


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
    """It was asked for by a newer program: a newer worker is to take it."""
    STORAGE = "StorageError"
    """The storage does not do here what epochs need."""
    LOST = "LostError"
    """The engine gave up: no worker was heard of for too long, too often."""


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """What a run that is submitted again is to do about what it has left, as options of `run` say.

    Attributes:
        on_changed_stage: refuse, keep or rerun.
        accept_record: the digest of a record that is gone on from.
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
        gates: the signals that were given since the one before.
        options: what is to be done about what the run has left; None where nothing was said.
        after: the epoch that the last result told of, which is there or was overtaken.
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
    """How an invocation ended, as its report says it.

    Attributes:
        outcome: done, blocked, failed or timeout; None where the run has not come to an end.
        standing: where the run stands, in the words of `status`.
        stop_reason: why it was asked to end before its own end; None where it was not.
        waiting_gates: the gates that people can still give, in judging order.
        approval_gates: those of them that are passed by approvals alone.
        refused_by_signal: the gates that a signal refuses, which another one takes back.
        gates: the gates of the lifecycle with their values, as the run has it.
        reason: why the run is not done, in one line; empty where it is.
        epoch: the claim under which it wrote: `000001.000001`.
        next_task_queue: where the next stage belongs, where it was handed over.
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
    """What a workflow that was continued as a new one goes on with."""

    number: int
    task_queue: str
    gates: dict[str, str]
    retries_used: int = 0
    result: InvocationResult | None = None


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """A run as its workflow is asked for it.

    Attributes:
        run_directory: the run, an absolute path on storage that all workers reach.
        request: the config file that asks for it, an absolute path there.
        task_queue: the queue on which it begins.
        gates: the gates of its lifecycle, with their values, the passing one first.
        approval_gates: those of them that are passed by approvals alone.
        heartbeat_seconds: after how long without a word a worker counts as gone.
        attempts: how often one invocation is tried on workers that do not come back.
        retries: how often a run that failed or timed out is resumed by itself.
        retry_seconds: how long before the first of those; twice as long before each other one.
        wait_seconds: how long the workflow waits for people; None is forever.
        first_number: the number of its first invocation: 1, unless the run was begun before.
        has_attributes: whether the server knows the search attributes.
        options: those of its first invocation, where the run is submitted again.
        carried: what was there when the workflow was continued as a new one; None at first.
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
    """Why an invocation could not be made, and what to do about it.

    Attributes:
        kind: a `Failure`, or what another program calls it.
        latest_number: the number of the epoch that holds the run, where a later one does.
    """

    kind: str
    message: str
    remedy: str = ""
    exit_code: int = 1
    latest_number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Where a run stands, for those who ask its workflow, or list many.

    Attributes:
        number: the number of the last invocation that was ordered; 0 before the first.
        is_at_work: whether an invocation is ordered: at work, or waiting for a worker.
        task_queue: the queue on which it is, or the next one would be.
        result: how the last one ended, where one has.
        problem: why the last one could not be made, where it could not.
        is_retried: whether another one follows by itself, after a while.
        since: when that was, in UTC; when the run was submitted before.
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
