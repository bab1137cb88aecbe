"""The logs of a run as they are shown: their order, their lengths and their masking."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from fsm_orchestrator.constants import CHECKPOINT_FILE, LOGS_DIRECTORY
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.inspection.quoting import secrets_of_record
from fsm_orchestrator.secrets.of_run import NONE_KNOWN, KnownSecrets, known_secrets
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.text.hidden import copyable

Line = TypeVar("Line")


def last_lines(lines: Iterable[Line], count: int | None) -> Iterable[Line]:
    """Return the last `count` of some lines, or all of them if it is None."""
    return lines if count is None else deque(lines, maxlen=count)


def name_of(log: StageLog) -> str:
    """Return the prefix for lines of an attempt: the stage, and the number of a later attempt."""
    name = log.stage if log.attempt == 1 else f"{log.stage}.{log.attempt}"
    return f"{name}.verify.{log.verification}" if log.verification else name


def secrets_to_mask(directory: Path) -> KnownSecrets:
    """Return the values to mask in the logs of the run in a directory.

    Raises:
        CheckpointError: the checkpoint, which names them, cannot be understood.
        UsageError: a secret is not known here, so that it could not be masked.
    """
    secrets = known_secrets(directory)
    if secrets is NONE_KNOWN:  # but its events may name some
        secrets = secrets_of_record(directory)
    if secrets is NONE_KNOWN:
        raise CheckpointError(
            "cannot show what the stages printed:"
            f" {copyable(directory / CHECKPOINT_FILE)} cannot"
            " be understood, so the values to mask are not known",
            remedy=f"read the files in {copyable(directory / LOGS_DIRECTORY)}; they are not masked",
        )
    if secrets.unknown:
        names = ", ".join(secrets.unknown)
        raise UsageError(
            f"cannot show what the stages printed: the secret {names} is not set in the"
            " environment, so it could not be masked",
            remedy=f"set {names}, or read the files in"
            f" {copyable(directory / LOGS_DIRECTORY)}; they"
            " are not masked",
        )
    return secrets


def in_order_of_work(logs: Iterable[StageLog]) -> list[StageLog]:
    """Return the logs ordered by when their attempt last printed, those of one attempt together."""
    known = list(logs)
    ended = _printed_last(known)
    return sorted(
        known,
        key=lambda log: (
            *(ended[log.stage, log.attempt], log.stage, log.attempt),
            *(log.verification, log.is_stderr),
        ),
    )


def printed_since(logs: Iterable[StageLog], instant: datetime) -> list[StageLog]:
    """Return the logs of the attempts that have printed something since an instant.

    The lines themselves have no times: all lines of such an attempt are included.
    """
    known, since_ns = list(logs), round(instant.timestamp() * 1e9)
    printed = _printed_last(known)
    return [log for log in known if printed[log.stage, log.attempt] >= since_ns]


def _printed_last(logs: Iterable[StageLog]) -> dict[tuple[str, int], int]:
    """Return when each attempt last printed, in nanoseconds."""
    ended: dict[tuple[str, int], int] = {}
    for log in logs:
        key = (log.stage, log.attempt)
        ended[key] = max(ended.get(key, 0), _changed_at_ns(log.path))
    return ended


def _changed_at_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
