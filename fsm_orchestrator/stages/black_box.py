"""The black box of an attempt: what its processes were doing when it was ended. Rarely needed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.model.execution import AttemptRecord
from fsm_orchestrator.processes import snapshots
from fsm_orchestrator.processes.postmortem import Postmortem, summary
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import postmortem_name
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.vocabulary import Operation


class Moment(NamedTuple):
    """An attempt at the moment before it is ended.

    Attributes:
        processes: its live processes, leader first.
        silent_seconds: since it last printed something; None where times are not to be shown.
    """

    at: str
    why: str
    processes: tuple[int, ...]
    silent_seconds: float | None
    stdout_tail: str
    stderr_tail: str


def write_black_box(
    output_directory: Path, run_id: str, attempt: AttemptRecord, moment: Moment, masker: Masker
) -> str:
    """Look at the processes, and write down what they do; return one line about it.

    Raises:
        RecordingError: the file cannot be written.
    """
    found, is_complete = snapshots.collect(moment.processes, masker)
    record = Postmortem(
        schema_version=1,
        run_id=run_id,
        stage=attempt.stage,
        attempt=attempt.attempt,
        at=moment.at,
        why=moment.why,
        is_complete=is_complete,
        processes=found,
        silent_seconds=moment.silent_seconds,
        stdout_tail=moment.stdout_tail,
        stderr_tail=moment.stderr_tail,
    )
    path = output_directory / postmortem_name(attempt.stage, attempt.attempt)
    data = (escaped(record.model_dump_json(indent=2)) + "\n").encode()
    try:
        files.replace_file(path, data, mode=0o600)
    except OSError as error:
        raise RecordingError(Operation.LOGS_PERSIST, str(path), files.reason(error)) from error
    return summary(record)
