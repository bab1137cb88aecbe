"""A worker: takes invocations from a task queue, and drains when it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.processes.lease import Lease
from fsm_orchestrator.temporal.connecting import Server, connected, first_line
from fsm_orchestrator.temporal.ordered import Terms
from fsm_orchestrator.temporal.storage import probe
from fsm_orchestrator.temporal.watching import HEALTH_SECONDS, Say, Watch, WorkerEvent

if TYPE_CHECKING:
    from temporalio.client import Client

DRAIN_SECONDS_MAX: Final = 3600
"""The longest that runs may take to end when the worker drains; then their stages are killed."""
AGAIN_SECONDS: Final = 2.0
"""The seconds between a failed connection and the next try."""
_SPARE_THREADS: Final = 2


class WorkerOptions(NamedTuple):
    """The options of a worker.

    Attributes:
        jobs: the most runs that it works at.
        storage: directories that must be able to keep runs.
    """

    server: Server
    task_queue: str
    jobs: int
    terms: Terms = Terms()
    health_file: Path | None = None
    storage: tuple[Path, ...] = ()


def serve(options: WorkerOptions, say: Say) -> int:
    """Work until a signal asks to end and all runs are handed on; return the exit code.

    A second signal ends at once: remaining runs are handed on when the engine misses this worker.

    Raises:
        UsageError: this machine cannot keep a run's promises, or the health file cannot be written.
        CommandError: the storage cannot keep runs, or the server refuses this worker.
    """
    with KeeperPool() as keepers:
        _refuse_this_machine(keepers)
        for directory in options.storage:
            probe(directory)
        about = {
            "address": options.server.address,
            "namespace": options.server.namespace,
            "task_queue": options.task_queue,
        }
        watch = Watch(say, options.health_file, about)
        watch.begin_health()
        watch.say(WorkerEvent.STARTED, **about, jobs=options.jobs, pid=os.getpid())
        try:
            asyncio.run(_served(options, keepers, watch))
        finally:
            watch.remove_health()
        watch.say(WorkerEvent.ENDED)
    return 0


def _refuse_this_machine(keepers: KeeperPool) -> None:
    """Refuse to work on a machine where a stage would not end when its lease runs out.

    Raises:
        UsageError: there is no such timer, or no keeper to obey it.
    """
    if sys.platform != "linux":
        raise UsageError(
            "a worker needs Linux: only there does a stage end with its lease",
            remedy="run the worker on Linux, or in a container",
        )
    keeper = keepers.take()
    if isinstance(keeper, str):
        raise UsageError(
            f"a worker needs a keeper for its stages, and none can be started: {keeper}",
            remedy="see fsm-orchestrator selftest",
        )
    keepers.give_back(keeper)
    Lease(AGAIN_SECONDS).close()  # or refuse, if no timer can be had


async def _served(options: WorkerOptions, keepers: KeeperPool, watch: Watch) -> None:
    stop = _Stop(watch)
    health = asyncio.create_task(_told(watch))
    try:
        client = await _connected(options.server, stop, watch)
        if client is not None:
            await _worked(options, keepers, watch, stop, client)
    finally:
        health.cancel()


class _Stop:
    """The signals that ask to end: the first drains, the second ends at once."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self._end, int(one))

    def _end(self, signum: int) -> None:
        if self.asked.is_set():
            self._watch.remove_health()
            os._exit(SIGNAL_BASE + signum)  # the keepers notice, and end the remaining stages
        self._watch.say(WorkerEvent.DRAINING, runs=self._watch.count)
        self.asked.set()


async def _connected(server: Server, stop: _Stop, watch: Watch) -> Client | None:
    """Connect, however long that takes; return None if the worker is asked to end first."""
    is_told = False
    while not stop.asked.is_set():
        try:
            client = await connected(server)
        except CommandError as error:
            watch.heard(str(error))
            if not is_told:
                watch.say(WorkerEvent.LOST, error=str(error), remedy=error.remedy)
                is_told = True
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.asked.wait(), AGAIN_SECONDS)
        else:
            watch.heard(None)
            return client
    return None


async def _worked(
    options: WorkerOptions, keepers: KeeperPool, watch: Watch, stop: _Stop, client: Client
) -> None:
    from temporalio.worker import Worker  # noqa: PLC0415 - of the extra

    from fsm_orchestrator.temporal.activity import Invoker  # noqa: PLC0415 - as above
    from fsm_orchestrator.temporal.attributes import made_known  # noqa: PLC0415 - as above
    from fsm_orchestrator.temporal.workflow import GovernedRun  # noqa: PLC0415 - as above

    await made_known(client)
    with ThreadPoolExecutor(options.jobs + _SPARE_THREADS, "run") as threads:
        invoker = Invoker(client, keepers, threads, options.terms, watch, set(options.storage))
        worker = Worker(
            client,
            task_queue=options.task_queue,
            workflows=[GovernedRun],
            activities=[invoker.invoke],
            max_concurrent_activities=options.jobs,
            # A frozen worker would hold back the invocations that its polls get while it is frozen.
            max_concurrent_activity_task_polls=1,
            max_concurrent_workflow_task_polls=2,
            # Otherwise the workflow of a worker that is gone waits for it for ten seconds.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
            graceful_shutdown_timeout=timedelta(seconds=DRAIN_SECONDS_MAX),
        )
        asking = asyncio.create_task(_asked(client, options, watch))
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stop.asked.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await worker.shutdown()
            await _ended(working, options.server)
        finally:
            for task in (asking, stopping):
                task.cancel()


async def _ended(working: asyncio.Task[None], server: Server) -> None:
    """Wait for the end of a worker.

    Raises:
        CommandError: the server has refused it.
    """
    try:
        await working
    except RuntimeError as error:
        raise CommandError(
            f"the Temporal server at {server.address} refuses this worker: {first_line(error)}",
            remedy="see whether the namespace is right (--namespace), and what the key may do",
        ) from None


async def _asked(client: Client, options: WorkerOptions, watch: Watch) -> None:
    """Ask the server repeatedly whether it knows this worker, and note its answer."""
    from temporalio.api.enums.v1 import TaskQueueType  # noqa: PLC0415 - of the extra
    from temporalio.api.taskqueue.v1 import TaskQueue  # noqa: PLC0415 - as above
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    asked = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=options.task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    while True:
        try:
            await client.workflow_service.describe_task_queue(
                asked, timeout=timedelta(seconds=HEALTH_SECONDS)
            )
        except RPCError as error:
            watch.heard(first_line(error) or error.status.name.lower())
        else:
            watch.heard(None)
        await asyncio.sleep(HEALTH_SECONDS)


async def _told(watch: Watch) -> None:
    """Write the health file every few seconds."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(None, watch.write_health)
        await asyncio.sleep(HEALTH_SECONDS)
