"""Submits a run: writes its request into its directory, and starts its workflow.

The request has mode 0600; workers read it there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.config.config_reading import CONFIG_BYTES_MAX
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.temporal.attributes import are_known
from fsm_orchestrator.temporal.connecting import ASK_SECONDS, Server, first_line, refused
from fsm_orchestrator.temporal.shapes import MEMO, TASK_SECONDS, WORKFLOW, RunSpec, Stand
from fsm_orchestrator.temporal.submission import Submission
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.service import RPCError


async def submit(client: Client, server: Server, submission: Submission) -> RunSpec:
    """Write the request and start the workflow; return the spec that it was started with.

    Raises:
        UsageError: a run of this id was submitted before, or the request cannot be written.
        CommandError: the server cannot be reached, or refuses; or it has not said whether it has
            started the run, and then the request stays.
    """
    from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy  # noqa: PLC0415 - of the extra
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    spec = replace(submission.spec, has_attributes=await are_known(client))
    take_back = _written(Path(spec.request), submission)
    policy = WorkflowIDReusePolicy.REJECT_DUPLICATE
    if submission.is_begun:
        policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    stand = Stand(
        run_id=spec.run_id,
        run_directory=spec.run_directory,
        task_queue=spec.task_queue,
        number=spec.first_number - 1,
        since=timestamp(SystemClock().now()),
    )
    try:
        await client.start_workflow(
            WORKFLOW,
            spec,
            id=spec.run_id,
            task_queue=spec.task_queue,
            id_reuse_policy=policy,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={MEMO: stand},
            task_timeout=timedelta(seconds=TASK_SECONDS),
            rpc_timeout=timedelta(seconds=ASK_SECONDS),
            static_summary=spec.run_directory,
        )
    except WorkflowAlreadyStartedError:
        take_back()
        raise UsageError(
            f"a run {spec.run_id} was submitted before, to {server.namespace} of {server.address}",
            remedy="give another --run-id, or none; see where it stands: fsm-orchestrator temporal"
            " list",
        ) from None
    except RPCError as error:
        if not _is_refusal(error):  # a worker may already have the run, and needs the request
            raise _not_known(server, spec, error) from None
        take_back()
        raise refused(server, error) from None
    return spec


def _is_refusal(error: RPCError) -> bool:
    """Return whether the server has refused; if not, the request may have been carried out."""
    from temporalio.service import RPCStatusCode  # noqa: PLC0415 - of the extra

    return error.status in {
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNIMPLEMENTED,
    }


def _not_known(server: Server, spec: RunSpec, error: RPCError) -> CommandError:
    run = copyable(spec.run_directory)
    return CommandError(
        f"whether {server.namespace} of {server.address} has started the run {spec.run_id} is not"
        f" known: {first_line(error)}",
        remedy=f"submit it again once the server answers: {PRODUCT} temporal submit {run} --resume,"
        " which is refused while it is at work",
    )


def _written(path: Path, submission: Submission) -> Callable[[], None]:
    """Write the request; return a function that takes it back if the engine refuses the run."""
    made = [path] if path.parent.is_dir() else [path, path.parent]
    before, text = None, submission.text.encode()
    try:
        files.make_directory(path.parent)
        if submission.is_begun:
            before = files.read_bounded(path, CONFIG_BYTES_MAX)
            files.replace_file(path, text, mode=0o600)
        else:
            _make(path, text)
    except FileExistsError:
        raise UsageError(
            f"another run was submitted in {copyable(str(path.parent))} at the same moment",
            remedy="name another directory; see where that run stands: fsm-orchestrator temporal"
            " list",
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {copyable(str(path))}: {files.reason(error)}",
            remedy="name a directory that can be written, and that all workers reach",
        ) from error

    def take_back() -> None:
        with contextlib.suppress(OSError):
            if before is not None:
                files.replace_file(path, before, mode=0o600)
                return
            for one in made:
                one.rmdir() if one.is_dir() else one.unlink()

    return take_back


def _make(path: Path, text: bytes) -> None:
    """Make the request of a new run durably, whole or not at all, if there is none.

    Raises:
        FileExistsError: there is one.
        OSError: it cannot be made.
    """
    staged = files.stage_file(path, text, mode=0o600)
    try:
        files.perform(SystemCall.LINK, os.link, staged.temporary, path)
    finally:
        staged.discard()
    files.sync_directory(path.parent)
