"""One invocation from configuration to report: lock, prepare, archive, drive, release.

RunConfig → prepare → lock → archive → Driver (machine, callbacks) → report
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from fsm_orchestrator import archive, files
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config import RunConfig
from fsm_orchestrator.driver import Driver
from fsm_orchestrator.errors import (
    CheckpointError,
    InternalError,
    OrchestratorError,
    RecordingError,
    UsageError,
)
from fsm_orchestrator.event_log import EventFile, Listener, build_logger
from fsm_orchestrator.interrupts import Interrupts
from fsm_orchestrator.lock import OutputLock
from fsm_orchestrator.preparation import Preparation
from fsm_orchestrator.refusal import record_refusal
from fsm_orchestrator.report import Report
from fsm_orchestrator.requests import prepare


def run(
    config: RunConfig, *, interrupts: Interrupts | None = None, listener: Listener | None = None
) -> Report:
    """Run or resume, and return the report; its `exit_code` is the command's.

    Starts the stages as children of this process and waits for them; installs no signal
    handlers, changes no directory, prints nothing. `interrupts` takes requests to end the run
    from elsewhere; `listener` is called with every event.

    Raises:
        UsageError: the request is wrong or refused; nothing was started, nothing written.
        BusyError: another orchestrator holds the directory; nothing was touched.
        CheckpointError: a resume without a checkpoint that can be used; the report says so.
        OperationError: an earlier run could not be archived, or the lock not be taken.
        InternalError: a bug; the log has its traceback.
    """
    output = config.output_path
    lock = OutputLock.acquire_existing(output) if output.is_dir() else None
    try:
        try:
            preparation = prepare(config)
            if lock is None:
                lock = _claim(output)
                preparation = prepare(config)  # somebody may have been here meanwhile
        except CheckpointError as error:
            if output.is_dir():
                lock = lock or OutputLock.acquire(output)
                record_refusal(config, error, listener)
            raise
        return _drive(preparation, lock, interrupts or Interrupts(), listener)
    finally:
        if lock is not None:
            lock.release()


def _claim(output: Path) -> OutputLock:
    """Make the output directory and take its lock."""
    try:
        files.make_directory(output)
    except OSError as error:
        raise UsageError(
            f"the output directory {output} cannot be made: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    return OutputLock.acquire(output)


def _drive(
    preparation: Preparation,
    lock: OutputLock,
    interrupts: Interrupts,
    listener: Listener | None,
) -> Report:
    output = preparation.config.output_path
    lock.write_holder(
        since=timestamp(preparation.clock.now()), run_id=preparation.checkpoint.run_id
    )
    if preparation.archives:
        try:
            archive.archive_run(output)
        except OSError as error:
            raise RecordingError(
                "archive.move", str(output / "archive"), files.reason(error)
            ) from error
    with contextlib.closing(EventFile(output)) as event_file:
        log = build_logger(preparation.clock, preparation.masker, event_file, listener)
        driver = Driver(preparation, interrupts, log, event_file)
        try:
            return driver.execute()
        except OrchestratorError as error:
            driver.crash(error)
            raise
        except Exception as error:
            driver.crash(error)
            raise InternalError(f"{type(error).__name__}: {error}") from error
