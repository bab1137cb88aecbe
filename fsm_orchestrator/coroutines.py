"""Runs under asyncio: coroutines that wait for a run, and end it when they are cancelled."""

from __future__ import annotations

import contextlib
import contextvars
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.api import resume, run
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.vocabulary import StopReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fsm_orchestrator.config.run_config import RunConfig
    from fsm_orchestrator.disk.epochs import Epoch
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.processes.lease import Lease
    from fsm_orchestrator.record.event_log import Listener
    from fsm_orchestrator.record.report import Report


async def run_async(
    config: RunConfig,
    *,
    interrupts: Interrupts | None = None,
    listener: Listener | None = None,
    keepers: KeeperPool | None = None,
    lease: Lease | None = None,
    epoch: Epoch | None = None,
    task_queue: str | None = None,
) -> Report:
    """Run a lifecycle to its end in its own thread, as `run` does, and return the report.

    If the task that awaits this is cancelled, the run is interrupted as by SIGTERM: its stage gets
    its grace period to clean up, the record says that it was interrupted, and only then is
    `CancelledError` raised. It is also raised if the run had ended just before the cancellation. A
    second cancellation ends the stage at once, as a second signal does. The thread has ended when
    this returns or raises.

    The listener is called in that thread; use `loop.call_soon_threadsafe` to get back to the loop.
    Otherwise, arguments and errors are those of `run`.
    """
    return await _in_a_thread(
        lambda own: run(
            config,
            interrupts=own,
            listener=listener,
            keepers=keepers,
            lease=lease,
            epoch=epoch,
            task_queue=task_queue,
        ),
        interrupts,
    )


async def resume_async(
    config: RunConfig,
    *,
    interrupts: Interrupts | None = None,
    listener: Listener | None = None,
    keepers: KeeperPool | None = None,
    lease: Lease | None = None,
    epoch: Epoch | None = None,
    task_queue: str | None = None,
) -> Report:
    """Continue the run in `config.output_directory`, as `resume` does; wait as `run_async` does."""
    return await _in_a_thread(
        lambda own: resume(
            config,
            interrupts=own,
            listener=listener,
            keepers=keepers,
            lease=lease,
            epoch=epoch,
            task_queue=task_queue,
        ),
        interrupts,
    )


class _Ended(NamedTuple):
    report: Report | None = None
    error: BaseException | None = None


async def _in_a_thread(
    work: Callable[[Interrupts], Report], interrupts: Interrupts | None
) -> Report:
    """Do the work in a thread; `interrupts`, or cancelling this task, asks it to end."""
    import asyncio  # noqa: PLC0415 - a caller that awaits has it

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[_Ended] = loop.create_future()
    cancellation: asyncio.CancelledError | None = None
    with Interrupts() if interrupts is None else interrupts.of_one_run() as own:

        def in_thread() -> None:
            try:
                end = _Ended(report=work(own))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                end = _Ended(error=error)
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                loop.call_soon_threadsafe(_tell, ended, end)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(in_thread,), name="governed run")
        thread.start()
        try:
            while not ended.done():
                try:
                    await asyncio.wait((ended,))
                except asyncio.CancelledError as error:
                    cancellation = cancellation or error
                    own.deliver(signal.SIGTERM, StopReason.CANCELLED)
        except BaseException:  # the coroutine is closed: there is no loop left to wait in
            own.deliver(signal.SIGTERM, StopReason.CANCELLED)
            raise
        thread.join()
    end = ended.result()
    if cancellation is not None:
        raise cancellation from end.error
    if end.report is None:
        raise end.error or RuntimeError
    return end.report


def _tell(ended: asyncio.Future[_Ended], end: _Ended) -> None:
    if not ended.done():
        ended.set_result(end)
