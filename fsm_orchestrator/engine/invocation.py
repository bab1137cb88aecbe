"""One invocation from its lock to its report.

RunConfig → prepare → lock → archive → Driver (machine, callbacks) → Report
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.disk import archive, files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import (
    CheckpointError,
    InternalError,
    OperationError,
    OrchestratorError,
    UsageError,
)
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import ARCHIVE_DIRECTORY, Operation

if TYPE_CHECKING:
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.record.event_log import Listener


class Surroundings(NamedTuple):
    """The means that a run gets from its caller."""

    interrupts: Interrupts
    listener: Listener | None
    keepers: KeeperPool | None


def run_invocation(config: RunConfig, caller: Surroundings) -> Report:
    """Run one invocation to its end, and return its report.

    Raises as `fsm_orchestrator.run` does.
    """
    with config.hidden_in_errors():
        return _run_invocation(config, caller)


def _run_invocation(config: RunConfig, caller: Surroundings) -> Report:
    output = config.output_path
    lock = OutputLock.acquire(output) if os.path.isdir(output) else None
    try:
        try:
            preparation = prepare(config)
            if lock is None:
                lock = _claim(output)
                if os.listdir(output):  # another run has been here meanwhile
                    preparation = prepare(config)
        except CheckpointError as error:
            if os.path.isdir(output):
                lock = lock or OutputLock.acquire(output)
                _record_refusal(config, Operation.CHECKPOINT_LOAD, error, caller.listener)
            raise
        return _drive(preparation, lock, caller)
    finally:
        if lock is not None:
            lock.release()


def _claim(output: Path) -> OutputLock:
    """Make the output directory and take its lock."""
    try:
        was_made = files.make_directory(output)
    except OSError as error:
        raise UsageError(
            f"the output directory {output} cannot be made: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    lock = OutputLock.acquire(output)
    lock.is_named = was_made
    return lock


def _drive(
    preparation: Preparation,
    lock: OutputLock,
    caller: Surroundings,
) -> Report:
    output = preparation.config.output_path
    ended_pids, failure = _end_leftovers(preparation)
    try:
        if not lock.is_named:
            _sync_above(output)
        lock.write_holder(
            since=timestamp(preparation.clock.now()), run_id=preparation.checkpoint.run_id
        )
        if preparation.archives and failure is not None:
            raise failure
        if preparation.checkpoint.invocation.number == 1:
            with files.recording(Operation.ARCHIVE_MOVE, output / ARCHIVE_DIRECTORY):
                archive.archive_run(output)
    except OperationError as error:
        _record_refusal(preparation.config, error.operation, error, caller.listener)
        raise
    runner, is_recorded = ProcessRunner(caller.interrupts, keepers=caller.keepers), False
    try:
        if preparation.may_spawn:
            runner.warm_up()
        report, is_recorded = _execute(preparation, runner, caller, (ended_pids, failure))
    finally:
        runner.close(is_recorded=is_recorded)
    return report


def _sync_above(output: Path) -> None:
    """Sync the directory's own name: the run that made it may have been killed before that."""
    with (
        files.recording(Operation.LOCK_ACQUIRE, output),
        contextlib.suppress(PermissionError),  # one may work below what one may not read
    ):
        files.sync_directory(output.parent)


def _execute(
    preparation: Preparation,
    runner: ProcessRunner,
    caller: Surroundings,
    leftovers: tuple[tuple[int, ...], OperationError | None],
) -> tuple[Report, bool]:
    """Drive the invocation; return its report, and whether all of it could be recorded."""
    # Loaded while the keeper comes up: the machine and the log take about as long as it does.
    from fsm_orchestrator.engine.driver import Driver  # noqa: PLC0415
    from fsm_orchestrator.record.event_log import EventFile, build_logger  # noqa: PLC0415

    with contextlib.closing(EventFile(preparation.config.output_path)) as event_file:
        log = build_logger(preparation.clock, preparation.masker, event_file, caller.listener)
        driver = Driver(preparation, caller.interrupts, runner, log, event_file)
        try:
            report = driver.execute(*leftovers)
        except Exception as error:
            driver.crash(error)
            said = preparation.masker.mask(f"{type(error).__name__}: {error}")
            raise InternalError(said, traceback_in=str(event_file.path)) from error
        return report, driver.is_recorded


def _end_leftovers(preparation: Preparation) -> tuple[tuple[int, ...], OperationError | None]:
    """End what an interrupted attempt left alive; return the pids, and why it could not be done."""
    if preparation.leftover is None:
        return (), None
    from fsm_orchestrator.processes.leftovers import end_leftovers  # noqa: PLC0415 - rare, and loads psutil

    try:
        return end_leftovers(preparation.leftover, preparation.kill_grace_ms), None
    except OperationError as error:
        return (), error


def _record_refusal(
    config: RunConfig, operation: Operation, error: OrchestratorError, listener: Listener | None
) -> None:
    from fsm_orchestrator.engine.start_failure import record_refusal  # noqa: PLC0415 - loads the log

    record_refusal(config, operation, error, listener)
