"""The workflow decides by results alone; a scripted activity makes them without any run."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

import pytest

pytest.importorskip("temporalio", reason="no Temporal client (extra `temporal`)")

from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from fsm_orchestrator.temporal import workflow
from fsm_orchestrator.temporal.shapes import (
    ACTIVITY,
    MEMO,
    Failure,
    Invocation,
    InvocationResult,
    Problem,
    RunSpec,
    Stand,
)
from fsm_orchestrator.temporal.workflow import GovernedRun
from tests.support.patience import PATIENCE_SECONDS, until
from tests.support.temporal_server import connected

GATES: Final = {"review": ["approved", "missing"], "plan": ["approved", "missing"]}
PLAN: Final = {"approval_gates": ("plan",)}
Answer = InvocationResult | Problem
Handle = WorkflowHandle[Any, Stand]


def ended(outcome: str | None, **more: Any) -> InvocationResult:
    """Return the result of an invocation."""
    given = {"standing": outcome or "interrupted", "exit_code": 0, "state": outcome, **more}
    return InvocationResult(
        run_id="r", epoch="", number=0, outcome=outcome, closure_ready=outcome == "done", **given
    )


DONE: Final = ended("done")
BLOCKED: Final = ended("blocked", waiting_gates=("review",))
FAILED: Final = ended("failed")


class Script:
    """An activity with scripted answers, one per invocation."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.orders: list[Invocation] = []
        self.queues: list[str] = []

    @activity.defn(name=ACTIVITY)
    async def invoke(self, order: Invocation) -> InvocationResult:
        """Return the next answer."""
        self.orders.append(order)
        self.queues.append(activity.info().task_queue)
        answer = self.answers.pop(0)
        if isinstance(answer, Problem):
            raise ApplicationError(answer.message, asdict(answer), type="X", non_retryable=True)
        return answer

    @property
    def numbers(self) -> list[int]:
        """The numbers of the invocations."""
        return [one.number for one in self.orders]


@asynccontextmanager
async def started(
    address: str, script: Script, *, more_queues: Sequence[str] = (), **asked: Any
) -> AsyncIterator[tuple[Client, Handle]]:
    """Start a workflow, and a worker for its queue and the others."""
    client, queue, run_id = await connected(address), uuid.uuid4().hex, uuid.uuid4().hex
    spec = RunSpec(
        run_id=run_id,
        run_directory="/nowhere",
        request="/nowhere/request",
        task_queue=queue,
        gates=GATES,
        **asked,
    )
    runner = UnsandboxedWorkflowRunner()  # so that a test can change the workflow's bounds
    workers = [
        Worker(
            client,
            task_queue=one,
            workflows=[GovernedRun],
            activities=[script.invoke],
            workflow_runner=runner,
        )
        for one in (queue, *more_queues)
    ]
    tasks = [asyncio.create_task(one.run()) for one in workers]
    memo = {MEMO: Stand(run_id=run_id, run_directory="/nowhere", task_queue=queue)}
    handle = await client.start_workflow(
        GovernedRun.run, spec, id=run_id, task_queue=queue, memo=memo
    )
    try:
        yield client, handle
    finally:
        await asyncio.gather(*(one.shutdown() for one in workers))
        await asyncio.gather(*tasks)


def scripted(address: str, *answers: Answer, **asked: Any) -> tuple[Script, Stand]:
    """Return the orders, and the standing with which the workflow ended on its own."""
    script = Script(answers)

    async def all_of_it() -> Stand:
        async with started(address, script, **asked) as (_, handle):
            return await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)

    return script, asyncio.run(all_of_it())


async def waits(handle: Handle) -> None:
    """Wait until the workflow waits for people."""
    stands: list[Stand] = []

    async def look() -> None:
        while not stands:
            stand = await handle.query(GovernedRun.stands)
            if not stand.is_at_work:
                stands.append(stand)

    await asyncio.wait_for(look(), PATIENCE_SECONDS)


@pytest.mark.parametrize("reason", ["lease_lost", "shutdown", "fenced"])
def test_run_that_was_cut_off_goes_on_at_once(temporal_address: str, reason: str) -> None:
    """A run that was cut off continues at once, because nobody asked it to end."""
    script, stand = scripted(temporal_address, ended(None, stop_reason=reason), DONE)
    assert (script.numbers, stand.result) == ([1, 2], DONE)


def test_run_goes_on_on_the_queue_that_it_is_handed_to(temporal_address: str) -> None:
    """A run continues on the queue that it is handed to, until it is handed on again."""
    gpu = uuid.uuid4().hex
    over = ended(None, stop_reason="handed_over", next_task_queue=gpu)
    lost = ended(None, stop_reason="lease_lost")
    script, stand = scripted(temporal_address, over, lost, DONE, more_queues=[gpu])
    assert script.queues[1:] == [gpu, gpu]
    assert stand.task_queue == gpu


def test_failed_run_is_retried_as_often_as_was_said(temporal_address: str) -> None:
    """A failed run is retried as often as requested, and then waits for people."""
    asked = {"retries": 2, "retry_seconds": 0.01, "wait_seconds": 0.01}
    script, stand = scripted(temporal_address, FAILED, FAILED, FAILED, **asked)
    assert (script.numbers, stand.result) == ([1, 2, 3], FAILED)


def test_run_that_was_asked_to_end_is_not_retried(temporal_address: str) -> None:
    """A run that was asked to end is not retried."""
    stopped = ended("failed", stop_reason="requested")
    script, stand = scripted(temporal_address, stopped, retries=2, wait_seconds=0.01)
    assert (script.numbers, stand.result) == ([1], stopped)


def test_history_is_bounded(temporal_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some invocations a new workflow continues with the same numbers and queue."""
    monkeypatch.setattr(workflow, "INVOCATIONS_MAX", 2)
    lost = ended(None, stop_reason="lease_lost")
    script = Script([lost, lost, lost, lost, DONE])

    async def all_of_it() -> tuple[Stand, str | None, str | None]:
        async with started(temporal_address, script) as (client, handle):
            stand = await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)
            last = await client.get_workflow_handle(handle.id).describe()
            return stand, last.run_id, handle.first_execution_run_id

    stand, last, first = asyncio.run(all_of_it())
    assert (script.numbers, stand.number, stand.result) == ([1, 2, 3, 4, 5], 5, DONE)
    assert last != first


def test_signals_are_carried_to_the_next_invocation(temporal_address: str) -> None:
    """Each signal is delivered once; one of a failed start goes to the next invocation."""
    problem = Problem(kind=Failure.USAGE.value, message="no", remedy="do", exit_code=2)
    script = Script([BLOCKED, problem, FAILED, DONE])

    async def all_of_it() -> tuple[Stand, Stand]:
        async with started(temporal_address, script) as (_, handle):
            await waits(handle)
            await handle.execute_update(GovernedRun.continue_run, {"review": "approved"})
            await until(lambda: len(script.orders) == 2)
            await waits(handle)
            told = await handle.query(GovernedRun.stands)
            await handle.execute_update(GovernedRun.resume)
            await until(lambda: len(script.orders) == 3)
            await waits(handle)
            assert await handle.query(GovernedRun.report) == FAILED
            await handle.execute_update(GovernedRun.resume)
            return told, await handle.result()

    told, last = asyncio.run(all_of_it())
    assert told.problem == problem
    assert [one.gates for one in script.orders] == [
        {},
        {"review": "approved"},
        {"review": "approved"},
        {},
    ]
    assert (last.problem, last.result) == (None, DONE)


def test_signal_that_refuses_is_taken_back_where_people_approve(temporal_address: str) -> None:
    """A refusing signal of an approval gate is withdrawn, so that approvals count again."""
    refused = ended("blocked", refused_by_signal=("plan",))
    script = Script([refused, DONE])

    async def all_of_it() -> None:
        async with started(temporal_address, script, **PLAN) as (_, handle):
            await waits(handle)
            await handle.execute_update(GovernedRun.continue_run, {"plan": "approved"})
            await handle.result()

    asyncio.run(all_of_it())
    assert script.orders[-1].gates == {"plan": "approved"}


def test_number_passes_the_epoch_that_holds_the_run(temporal_address: str) -> None:
    """A resume by a person uses a number after the epoch that holds the run."""
    fenced = Problem(kind=Failure.FENCED.value, message="late", latest_number=7)
    script = Script([fenced, DONE])

    async def all_of_it() -> None:
        async with started(temporal_address, script) as (_, handle):
            await waits(handle)
            await handle.execute_update(GovernedRun.resume)
            await handle.result()

    asyncio.run(all_of_it())
    assert script.numbers == [1, 8]


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (lambda one: one.execute_update(GovernedRun.approve), "waits for anybody"),
        (lambda one: one.execute_update(GovernedRun.continue_run, {}), "no gate is named"),
        (
            lambda one: one.execute_update(GovernedRun.continue_run, {"review": "aproved"}),
            "did you mean 'approved'?",
        ),
        (
            lambda one: one.execute_update(GovernedRun.continue_run, {"plan": "approved"}),
            "plan is passed by approvals alone",
        ),
    ],
)
def test_what_means_nothing_is_refused_at_once(
    temporal_address: str, update: Callable[[Handle], Any], said: str
) -> None:
    """A meaningless update is refused, leaves no trace in the history, and the run waits on."""

    async def all_of_it() -> str:
        async with started(temporal_address, Script([FAILED]), **PLAN) as (_, handle):
            await waits(handle)
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await update(handle)
            events = (await handle.fetch_history()).events
            assert not [
                one
                for one in events
                if one.HasField("workflow_execution_update_accepted_event_attributes")
            ]
            await handle.execute_update(GovernedRun.stop)
            assert (await handle.result()).result == FAILED
            return str(refused.value.cause)

    assert said in asyncio.run(all_of_it())


def test_run_of_a_newer_version_is_left_to_a_newer_worker(temporal_address: str) -> None:
    """The task fails and is tried again, and the workflow does not end."""

    async def all_of_it() -> list[str]:
        script = Script([])
        async with started(temporal_address, script, schema_version=2) as (client, handle):
            told: list[str] = []

            async def look() -> None:
                while not told:
                    history = await handle.fetch_history()
                    told.extend(
                        one.workflow_task_failed_event_attributes.failure.message
                        for one in history.events
                        if one.HasField("workflow_task_failed_event_attributes")
                    )

            await asyncio.wait_for(look(), PATIENCE_SECONDS)
            await client.get_workflow_handle(handle.id).terminate()
            return told

    assert asyncio.run(all_of_it())[0] == "version 2 of the run is for a newer worker"


def test_shapes_are_read_with_keys_that_are_not_known(temporal_address: str) -> None:
    """A worker ignores the keys that a later version has added."""
    newer = {**dataclasses.asdict(ended("done")), "later": 1}

    @activity.defn(name=ACTIVITY)
    async def invoke(_order: Invocation) -> dict[str, Any]:
        return newer

    script = Script([])
    script.invoke = invoke  # type: ignore[method-assign,assignment]

    async def all_of_it() -> Stand:
        async with started(temporal_address, script) as (_, handle):
            return await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)

    assert asyncio.run(all_of_it()).result == DONE
