"""Lists runs as the server knows them, and looks up one of them. Needs no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from fsm_orchestrator.temporal.connecting import ASK_SECONDS, Server, refused
from fsm_orchestrator.temporal.shapes import MEMO, WORKFLOW, Stand
from fsm_orchestrator.vocabulary import Standing

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecution

_QUERY: Final = f'WorkflowType = "{WORKFLOW}"'


class WorkflowCourse(StrEnum):
    """The course of a run's workflow."""

    WORKING = "working"
    """It has ordered an invocation, which is at work or waiting for a worker."""
    WAITING = "waiting"
    """It waits for people."""
    RETRYING = "retrying"
    """It waits until a retry is due."""
    ENDED = "ended"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    """Somebody ended it by force, or it failed: an invocation at work ends with its lease."""


class Listed(NamedTuple):
    """A run as the server knows it."""

    stand: Stand
    course: WorkflowCourse

    @property
    def standing(self) -> Standing | None:
        """The standing of the run; None if an invocation could not be made."""
        if self.course is WorkflowCourse.WORKING:
            return Standing.WORKING
        if self.stand.problem is not None:
            return None
        result = self.stand.result
        return Standing.INTERRUPTED if result is None else Standing(result.standing)

    @property
    def state(self) -> str | None:
        """The state in which its last invocation left it; None while another one is at work."""
        result = self.stand.result
        return None if result is None or self.course is WorkflowCourse.WORKING else result.state

    @property
    def reason(self) -> str:
        """The reason for its standing; empty if it is done, and while an invocation is at work."""
        if self.course is WorkflowCourse.WORKING:
            return ""
        if self.stand.problem is not None:
            return self.stand.problem.message
        return "" if self.stand.result is None else self.stand.result.reason

    @property
    def exit_code(self) -> int | None:
        """The exit code of a command that waits for the run; None if it is not known yet."""
        if self.stand.problem is not None:
            return self.stand.problem.exit_code
        return None if self.stand.result is None else self.stand.result.exit_code


async def listed(client: Client, server: Server) -> AsyncIterator[Listed]:
    """Yield the runs that the server knows, the last submitted first.

    Raises:
        CommandError: the server does not answer, or refuses.
    """
    from temporalio.service import RPCError  # noqa: PLC0415 - of the extra

    seen: set[str] = set()  # a run that was continued has a workflow for each time
    try:
        async for one in client.list_workflows(_QUERY, rpc_timeout=timedelta(seconds=ASK_SECONDS)):
            found = None if one.id in seen else await _of(one)
            seen.add(one.id)
            if found is not None:
                yield found
    except RPCError as error:
        raise refused(server, error) from None


async def looked_up(client: Client, server: Server, run_id: str) -> Listed | None:
    """Return one run as the server knows it, or None if it does not know it.

    Raises:
        CommandError: the server does not answer, or refuses.
    """
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 - of the extra

    try:
        found = await client.get_workflow_handle(run_id).describe(
            rpc_timeout=timedelta(seconds=ASK_SECONDS)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise refused(server, error) from None
    return await _of(found)


async def _of(one: WorkflowExecution) -> Listed | None:
    """Return a workflow as a run, or None if it is not one of this program's."""
    stand = await one.memo_value(MEMO, None, type_hint=Stand)
    if stand is None:
        return None
    return Listed(stand, _course(one, stand))


def _course(one: WorkflowExecution, stand: Stand) -> WorkflowCourse:
    from temporalio.client import WorkflowExecutionStatus as Status  # noqa: PLC0415 - of the extra

    match one.status:
        case None | Status.RUNNING | Status.CONTINUED_AS_NEW:
            if stand.is_at_work:
                return WorkflowCourse.WORKING
            return WorkflowCourse.RETRYING if stand.is_retried else WorkflowCourse.WAITING
        case Status.COMPLETED:
            return WorkflowCourse.ENDED
        case Status.CANCELED:
            return WorkflowCourse.CANCELLED
        case Status.FAILED | Status.TERMINATED | Status.TIMED_OUT:
            return WorkflowCourse.TERMINATED
        case _:
            assert_never(one.status)
