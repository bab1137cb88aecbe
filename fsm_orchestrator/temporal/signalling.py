"""Sends instructions to the workflow of a run: signals of gates, approvals, resumes, the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.temporal.connecting import ASK_SECONDS, Server, refused
from fsm_orchestrator.temporal.deciding import NEEDS_APPROVAL
from fsm_orchestrator.text.hidden import shell_line

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle

    from fsm_orchestrator.temporal.workflow import GovernedRun

ANSWER_SECONDS: Final = 15
"""The longest that a worker may take to answer."""


class InstructionKind(StrEnum):
    """The kind of an instruction."""

    GATES = "gates"
    APPROVE = "approve"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"


class Instruction(NamedTuple):
    """An instruction to a run; `gates` are the signals that it brings."""

    kind: InstructionKind
    gates: Mapping[str, str] = {}


async def tell(
    client: Client, server: Server, run_id: str, instruction: Instruction, shown: str
) -> str:
    """Send an instruction to a run, and return what follows, in one line.

    `shown` is the directory of the run as commands are to name it.

    Raises:
        UsageError: it means nothing to the run in its standing; nothing has changed.
        CommandError: the server, or a worker, does not answer.
    """
    from temporalio.client import (  # noqa: PLC0415 - of the extra
        WorkflowUpdateFailedError,
        WorkflowUpdateRPCTimeoutOrCancelledError,
    )
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - as above
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 - as above

    from fsm_orchestrator.temporal.workflow import GovernedRun  # noqa: PLC0415 - as above

    handle = client.get_workflow_handle_for(GovernedRun.run, run_id)
    try:
        return await _sent(handle, instruction)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        said, remedy = str(cause), "see where it stands: fsm-orchestrator temporal list"
        if isinstance(cause, ApplicationError):
            said = cause.message
            if cause.type == NEEDS_APPROVAL:
                approve = shell_line((PRODUCT, "approve", shown))
                remedy = f"approve it: {approve}; then: {_signal(shown)} --approve"
        raise UsageError(said, remedy=remedy) from None
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        raise CommandError(
            f"no worker has answered for the run {run_id} within {ANSWER_SECONDS} seconds",
            remedy="start one for its task queue, which is in: fsm-orchestrator temporal list",
        ) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise UsageError(
                f"no workflow is at work for the run {run_id} on {server.namespace} of"
                f" {server.address}",
                remedy="start one that continues it: "
                + shell_line((PRODUCT, "temporal", "submit", shown, "--resume")),
            ) from None
        raise refused(server, error) from None


def _signal(shown: str) -> str:
    return shell_line((PRODUCT, "temporal", "signal", shown))


async def _sent(handle: WorkflowHandle[GovernedRun, object], instruction: Instruction) -> str:
    from fsm_orchestrator.temporal.workflow import GovernedRun  # noqa: PLC0415 - of the extra

    seconds = timedelta(seconds=ANSWER_SECONDS)
    match instruction.kind:
        case InstructionKind.GATES:
            gates = dict(instruction.gates)
            return await handle.execute_update(GovernedRun.continue_run, gates, rpc_timeout=seconds)
        case InstructionKind.APPROVE:
            return await handle.execute_update(GovernedRun.approve, rpc_timeout=seconds)
        case InstructionKind.RESUME:
            return await handle.execute_update(GovernedRun.resume, rpc_timeout=seconds)
        case InstructionKind.STOP:
            return await handle.execute_update(GovernedRun.stop, rpc_timeout=seconds)
        case InstructionKind.CANCEL:
            await handle.cancel(rpc_timeout=timedelta(seconds=ASK_SECONDS))
            return "the workflow is asked to end, and an invocation at work with it"
        case _:
            assert_never(instruction.kind)
