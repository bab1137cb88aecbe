"""The activity of a worker: one invocation of a run, in an epoch of its own, under a lease."""

from __future__ import annotations

import asyncio
import contextlib
import os
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk.epochs import Epoch, epochs_of, next_invocation
from fsm_orchestrator.errors import (
    CheckpointError,
    CommandError,
    FencedError,
    OrchestratorError,
    not_loaded,
)
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.processes.lease import Lease
from fsm_orchestrator.record.claiming import claim_epoch
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.beating import LEASE_SHARE, Beating, StopRequests
from fsm_orchestrator.temporal.failures import application_error, of_kind
from fsm_orchestrator.temporal.ordered import Means, Terms, asked, made, result_of
from fsm_orchestrator.temporal.shapes import (
    ACTIVITY,
    SHAPES_VERSION,
    Failure,
    Invocation,
    InvocationResult,
    Problem,
)
from fsm_orchestrator.temporal.storage import probe
from fsm_orchestrator.temporal.watching import Watch, WorkerEvent
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExitCode, StopReason


@dataclass
class Invoker:
    """Makes the invocations that are ordered from this worker.

    Attributes:
        threads: the pool in which runs work, one thread each.
        probed: the directories whose storage is known to do what is needed.
    """

    client: Client
    keepers: KeeperPool
    threads: ThreadPoolExecutor
    terms: Terms
    watch: Watch
    probed: set[Path]

    @activity.defn(name=ACTIVITY)
    async def invoke(self, order: Invocation) -> InvocationResult:
        """Make an invocation, and return its result.

        Raises:
            ApplicationError: it could not be made; its type is a `Failure`.
        """
        info = activity.info()
        if order.schema_version > SHAPES_VERSION:
            said = f"version {order.schema_version} of an invocation is for a newer worker"
            raise of_kind(Problem(kind=Failure.NEWER.value, message=said))
        if info.heartbeat_timeout is None:
            raise of_kind(
                Problem(kind=Failure.USAGE.value, message="there is no heartbeat timeout")
            )
        epoch = Epoch(Path(order.run_directory), order.number, info.attempt)
        with (
            self.watch.working(order.run_id, epoch.name),
            self._as_the_engine_has_it(epoch),
            Interrupts() as interrupts,
            Lease(info.heartbeat_timeout.total_seconds() * LEASE_SHARE) as lease,
        ):
            requests = StopRequests(interrupts)
            handle = self.client.get_async_activity_handle(task_token=info.task_token)
            beating = Beating(handle, lease, requests, self.watch.heard)
            if not await beating.is_ours():
                # It is not known whether another worker has the run: if none has, the engine tries
                # again.
                said = f"the server did not confirm in time that this worker has {order.run_id}"
                raise of_kind(
                    Problem(kind=Failure.BUSY.value, message=said, exit_code=int(ExitCode.BUSY))
                )
            means = Means(interrupts, self.keepers, lease, epoch, info.task_queue)
            return await self._worked(order, means, beating, requests)

    async def _worked(
        self, order: Invocation, means: Means, beating: Beating, requests: StopRequests
    ) -> InvocationResult:
        loop = asyncio.get_running_loop()
        beside = [
            asyncio.create_task(beating.go_on()),
            asyncio.create_task(_when_worker_ends(requests)),
        ]
        work = loop.run_in_executor(self.threads, self._work, order, means)
        try:
            while True:
                try:
                    return await asyncio.shield(work)
                except asyncio.CancelledError:
                    requests.ask(_reason())
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _work(self, order: Invocation, means: Means) -> InvocationResult:
        """Claim the run, and start or resume it."""
        epoch = means.epoch
        self._probe(epoch.run_directory.parent)
        _confirm_is_there(order, epoch)
        claim_epoch(epoch.run_directory, epoch.number, epoch.attempt)
        config = asked(order, epoch, self.terms)
        with config.hidden_in_errors():
            report = made(config, means)
        result = result_of(report, order, epoch)
        self.watch.say(
            WorkerEvent.RUN_ENDED,
            run_id=order.run_id,
            epoch=epoch.name,
            standing=result.standing,
            reason=result.reason or None,
            stop_reason=result.stop_reason,
        )
        return result

    def _probe(self, directory: Path) -> None:
        if directory in self.probed:
            return
        try:
            probe(directory)
        except CommandError as error:
            raise of_kind(
                Problem(kind=Failure.STORAGE.value, message=str(error), remedy=error.remedy)
            ) from None
        self.probed.add(directory)

    @contextlib.contextmanager
    def _as_the_engine_has_it(self, epoch: Epoch) -> Iterator[None]:
        """Raise any failure as an error for the engine, without causes: they may hold secrets."""
        try:
            yield
        except ApplicationError as error:
            self._say_refused(epoch, str(error))
            raise
        except OrchestratorError as error:
            self._say_refused(epoch, str(error))
            raise application_error(error, Masker(), _latest(epoch, error)) from None
        except ImportError as error:
            self._say_refused(epoch, str(error))
            raise application_error(not_loaded(error), Masker()) from None
        except Exception as error:  # noqa: BLE001 - a bug is told as one, and the worker lives on
            # Its message may hold a secret; its type and traceback do not.
            told = "".join((*traceback.format_tb(error.__traceback__), type(error).__name__))
            self.watch.say(WorkerEvent.BUG, epoch=epoch.name, traceback=told)
            said = f"internal error ({type(error).__name__}): see the log of the worker"
            raise of_kind(
                Problem(kind=Failure.INTERNAL.value, message=said, exit_code=70)
            ) from None

    def _say_refused(self, epoch: Epoch, said: str) -> None:
        self.watch.say(
            WorkerEvent.RUN_REFUSED,
            run_directory=os.fspath(epoch.run_directory),
            epoch=epoch.name,
            error=said,
        )


async def _when_worker_ends(requests: StopRequests) -> None:
    """Ask the invocation to end once this worker is to end: the run continues elsewhere."""
    await activity.wait_for_worker_shutdown()
    requests.ask(StopReason.SHUTDOWN)


def _reason() -> StopReason:
    """Return the reason for which the SDK has cancelled this activity."""
    details = activity.cancellation_details()
    if details is None or details.not_found or details.timed_out:
        return StopReason.LEASE_LOST
    if details.cancel_requested:
        return StopReason.CANCELLED
    return StopReason.SHUTDOWN if details.worker_shutdown else StopReason.REQUESTED


def _confirm_is_there(order: Invocation, epoch: Epoch) -> None:
    """Check that the run has the record that the engine was last notified of, or a later one.

    Each record proves itself, even an older one that was put back: the engine's history knows more.

    Raises:
        CheckpointError: it has no such record.
    """
    latest = epochs_of(epoch.run_directory)[-1:]
    if order.after is None or latest >= [order.after]:
        return
    run = copyable(epoch.run_directory)
    raise CheckpointError(
        f"the record that {run} was left with is not there: epoch {order.after}; the latest is"
        f" {latest[0] if latest else 'none'}",
        remedy="put it back, and resume the run; or, if somebody knows why it is gone, continue"
        f" from the existing record: {PRODUCT} temporal signal {run} --stop, then {PRODUCT}"
        f" temporal submit {run} --resume",
    )


def _latest(epoch: Epoch, error: OrchestratorError) -> int | None:
    """Return the number of the epoch that holds the run, if a later one does."""
    if not isinstance(error, FencedError):
        return None
    return next_invocation(epoch.run_directory) - 1
