"""The report of an invocation that could not begin: that it failed, and why."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, PRODUCT, REPORT_FILE, __version__
from fsm_orchestrator.disk import archive, files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX
from fsm_orchestrator.errors import OrchestratorError, ReportError
from fsm_orchestrator.model.unmeasured import own_failure
from fsm_orchestrator.preparation.preparation import clock_of, new_run_id
from fsm_orchestrator.preparation.starter import origin_of
from fsm_orchestrator.record import left_file
from fsm_orchestrator.record.chain import Chain, genesis
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.event_log import Listener, NoSink, RunLogger, Sink, build_logger
from fsm_orchestrator.record.left_file import Left
from fsm_orchestrator.record.report import EventsHead, Report
from fsm_orchestrator.record.report_reader import read_report
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.state_key import own_key
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import EventName, ExecutionMode, ExitCode, Operation, Outcome

OPERATIONS = (
    Operation.CHECKPOINT_LOAD,
    Operation.RECORD_VERIFY,
    Operation.LOCK_ACQUIRE,
    Operation.ARCHIVE_MOVE,
    Operation.ATTEMPT_END,
    Operation.DESCRIPTORS_RESERVE,
)


def record_refusal(
    config: RunConfig,
    home: HeldDirectory,
    operation: Operation,
    error: OrchestratorError,
    listener: Listener | None,
) -> None:
    """Write the refusal to log and report; first archive a report that says otherwise.

    A failure to write changes nothing: the command fails with `error` all the same. The checkpoint
    is not touched. If the old report cannot be archived, it is replaced only if the checkpoint,
    which has all of its contents, exists.
    """
    output = config.output_path
    clock = clock_of(config)
    now = timestamp(clock.now())
    run_id = archive.earlier_run_id(output) or new_run_id(clock)
    mode = ExecutionMode.RESUME if config.resume or config.resume_or_start else ExecutionMode.RUN
    masker = Masker(config.known_secrets())
    origin = origin_of(config.directory, clock, masker)
    failure = own_failure(run_id, operation, error=masker.mask(str(error)), at=now)
    told: dict[str, Any] = {"run_id": run_id, "error": str(error), "operation": operation}
    told |= {"execution_mode": mode.value, "execution": failure, "origin": origin}
    # A log that somebody may have changed is left unchanged.
    is_left = operation is Operation.RECORD_VERIFY
    chain = None if is_left else Chain(genesis(run_id, None), own_key(output))
    head = _logged(home, chain, lambda sink: build_logger(clock, masker, sink, listener), told)
    report = Report(
        schema_version=1,
        product=PRODUCT,
        version=__version__,
        run_id=run_id,
        lifecycle=None,
        subject=None,
        own_gates=(),
        execution_mode=mode,
        terminal_state=Outcome.FAILED,
        closure_ready=False,
        exit_code=int(ExitCode.FAILED),
        current_state=None,
        nothing_to_do=False,
        blocked_reason_codes=(),
        waiting_for=(),
        gate_decisions=(),
        stage_executions=(failure,),
        budget=None,
        transitions=(),
        containment=None,
        warnings=(),
        rebuilt=None,
        accepted=None,
        origin=origin,
        started_at=now,
        finished_at=now,
        invocations_moved=0,
        events_head=None if clock.is_fixed else head,
        earlier_invocations=(),
    )
    path = output / REPORT_FILE
    with contextlib.suppress(OSError):
        left = _left_with(path)
        _set_old_report_aside(config, home)
        if left is not None:
            left_file.note_report(output, left, report.to_json())
        files.replace_file(path, report.to_json(), within=home)


def _logged(
    home: HeldDirectory,
    chain: Chain | None,
    logger_to: Callable[[Sink], RunLogger],
    told: Mapping[str, Any],
) -> EventsHead | None:
    """Log the refusal, in the events file if there is a chain; return the head of that file."""
    with contextlib.ExitStack() as stack:
        sink: Sink = NoSink()
        if chain is not None:
            sink = stack.enter_context(contextlib.closing(EventFile(home, chain)))
        logger_to(sink).emit(EventName.RUN_REFUSED, level="error", **told)
        if isinstance(sink, EventFile):
            sink.sync()
            return EventsHead(seq=sink.last_seq, sha256=sink.head)
    return None


def _left_with(report: Path) -> Left | None:
    """Return what was left in a directory whose report has not changed since, or None."""
    found = left_file.lines_of(report.parent)
    if not found:
        return None
    with contextlib.suppress(FileNotFoundError):
        if sha256_of(files.read_bounded(report, RECORD_BYTES_MAX)) != found[-1].report:
            return None
    return found[-1]


def _set_old_report_aside(config: RunConfig, home: HeldDirectory) -> None:
    if _is_refusal(config):
        return
    try:
        archive.archive_report(home)
    except OSError:
        if not os.path.isfile(config.output_path / CHECKPOINT_FILE):
            raise


def _is_refusal(config: RunConfig) -> bool:
    """Return whether the existing report is itself of a failed start, and can be replaced."""
    try:
        report = read_report(config.output_path / REPORT_FILE)
    except ReportError:
        return False
    failed = [entry.operation for entry in report.stage_executions]
    return len(failed) == 1 and failed[0] in OPERATIONS
