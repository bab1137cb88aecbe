"""An invocation that was ordered: its configuration and its result."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fsm_orchestrator.api import resume, run
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.disk.epochs import Epoch
from fsm_orchestrator.inspection.inspected_run import standing_of
from fsm_orchestrator.inspection.reasons import REASON_CHARACTERS_MAX
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.processes.lease import Lease
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.temporal.request_file import directory_of
from fsm_orchestrator.temporal.shapes import Invocation, InvocationResult
from fsm_orchestrator.vocabulary import ExitCode, GateSource, OnChangedStage


class Terms(NamedTuple):
    """The settings that a worker adds to the request of a run."""

    state_key_file: str | None = None
    telemetry: bool = False


class Means(NamedTuple):
    """The means with which an invocation is made."""

    interrupts: Interrupts
    keepers: KeeperPool
    lease: Lease
    epoch: Epoch
    task_queue: str


def asked(order: Invocation, epoch: Epoch, terms: Terms) -> RunConfig:
    """Return the configuration of an invocation: a new run, or a resume of an existing one.

    The whole request applies again: its settings and the names of its secrets are needed on every
    machine. Its signals are those of the first invocation; later ones have been given since.

    Raises:
        UsageError: the request cannot be read.
    """
    read = config_reading.load(Path(order.request), order.request)
    is_begun = order.after is not None or any(
        os.path.lexists(epoch.directory / name) for name in (CHECKPOINT_FILE, REPORT_FILE)
    )
    given = RunConfig(
        output_directory=order.run_directory,
        directory=directory_of(read.content, order.request),
        resume=is_begun,
        run_id=order.run_id,
        gates=order.gates,
        **_of_a_resume(order, is_begun=is_begun),
        state_key_file=terms.state_key_file,
        telemetry=terms.telemetry,
    )
    content = read.content.model_copy(update={"resume": None, "resume_or_start": None})
    if is_begun or order.gates:
        left = {gate: one for gate, one in content.gates.items() if gate not in order.gates}
        content = content.model_copy(update={"gates": {} if is_begun else left})
    return config_file.with_file(given, content, order.request, read.sha256)


def _of_a_resume(order: Invocation, *, is_begun: bool) -> dict[str, Any]:
    """Return the settings for what the run has left, if this is a resume."""
    options = order.options
    if options is None or not is_begun:
        return {}
    said = {
        "on_changed_stage": OnChangedStage(options.on_changed_stage),
        "rerun": options.rerun,
        "reverify": options.reverify or None,
        "accept_record": options.accept_record,
    }
    return {key: value for key, value in said.items() if value}


def made(config: RunConfig, means: Means) -> Report:
    """Make the invocation by `run` or `resume`, and return its report."""
    make: Callable[..., Report] = resume if config.resume else run
    return make(
        config,
        interrupts=means.interrupts,
        keepers=means.keepers,
        lease=means.lease,
        epoch=means.epoch,
        task_queue=means.task_queue,
    )


def result_of(report: Report, order: Invocation, epoch: Epoch) -> InvocationResult:
    """Return the result of the report for the engine. All of the report is masked already."""
    causes = [f"{one.name}: {one.error}" for one in report.failures if one.error is not None]
    return InvocationResult(
        run_id=report.run_id,
        epoch=epoch.name,
        number=order.number,
        outcome=None if report.terminal_state is None else report.terminal_state.value,
        standing=standing_of(report, epoch.directory, None).value,
        exit_code=int(ExitCode.INTERNAL if report.exit_code is None else report.exit_code),
        state=report.current_state,
        closure_ready=report.closure_ready,
        stop_reason=None if report.stop_reason is None else report.stop_reason.value,
        waiting_gates=tuple(one.gate for one in report.waiting_for),
        approval_gates=tuple(one.gate for one in report.waiting_for if one.request is not None),
        refused_by_signal=tuple(
            one.gate
            for one in report.gate_decisions
            if not one.passed and one.source not in {GateSource.DEFAULT, GateSource.EVIDENCE}
        ),
        gates={rule.name: list(rule.values) for rule in report.gates.values()},
        reason="; ".join((*report.blocked_reason_codes, *causes[-1:]))[:REASON_CHARACTERS_MAX],
        next_task_queue=report.next_task_queue,
        at=report.finished_at or "",
    )
