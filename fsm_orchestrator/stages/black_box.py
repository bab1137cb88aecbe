"""The black box of an attempt: what its processes do when it is ended for taking too long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import TimedOut, WentQuiet
from fsm_orchestrator.processes.postmortem import Postmortem, summary
from fsm_orchestrator.processes.snapshots import collect
from fsm_orchestrator.stages.output_files import postmortem_name
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.vocabulary import Operation

if TYPE_CHECKING:
    from fsm_orchestrator.stages.attempt import Attempt


def write(
    attempt: Attempt,
    stopped: TimedOut | WentQuiet,
    processes: tuple[int, ...],
    silent_seconds: float,
    tails: tuple[str, str],
) -> str:
    """Write the black box of an attempt; return one line about it, empty if the clock is fixed.

    Raises:
        RecordingError: it cannot be written.
    """
    record, clock = attempt.record, attempt.clock
    at, problem = clock.now(), problem_of(stopped)
    found, is_complete = collect(processes, attempt.masker)
    black_box = Postmortem(
        schema_version=1,
        run_id=attempt.run_id,
        stage=record.stage,
        attempt=record.attempt,
        at=timestamp(at),
        why="" if problem is None else problem.cause,
        is_complete=is_complete,
        processes=found,
        silent_seconds=None if clock.is_fixed else round(silent_seconds, 3),
        stdout_tail=tails[0],
        stderr_tail=tails[1],
    )
    name = Path(postmortem_name(record.stage, record.attempt))
    data = (escaped(black_box.model_dump_json(indent=2)) + "\n").encode()
    with (
        files.recording(Operation.LOGS_PERSIST, attempt.output_directory / name),
        files.below(attempt.home, LOGS_DIRECTORY) as logs,
    ):
        files.replace_file(logs.path / name.name, data, mode=0o600, within=logs)
    return "" if clock.is_fixed else summary(black_box)
