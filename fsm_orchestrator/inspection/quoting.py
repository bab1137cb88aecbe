"""Decides whether the logs of a run may be quoted, and with which masker.

Quotes are shown to others, so a log is quoted only if every value that must not be shown is still
known: after a run is done its private values are gone, and those of an earlier invocation may have
been replaced.
"""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.config.stage_record import env_digest
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.secrets.of_run import NONE_KNOWN, KnownSecrets, secrets_in
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.stages.output_tail import tail_of
from fsm_orchestrator.text.terminal import last_lines


class Quoting:
    """The logs of one run, for quoting.

    Attributes:
        masker: masks the values that are known.
    """

    def __init__(self, view: InspectedRun) -> None:
        self._view = view
        secrets = NONE_KNOWN if view.saved is None else _secrets_in(view.saved)
        self.masker = secrets.masker
        self._has_values = _has_values(view)
        self._are_values_known = _are_values_known(view, secrets)

    def may_quote(self, invocation: int) -> bool:
        """Return whether the logs of an invocation may be quoted."""
        is_latest = invocation == self._view.invocation_count
        return not self._has_values or (self._are_values_known and is_latest)

    def last_of_stdout(self, execution: StageExecution, invocation: int, count: int) -> list[str]:
        """Return the last lines that an attempt printed to stdout, as far as they may be quoted."""
        if execution.stdout_log is None or not self.may_quote(invocation):
            return []
        path = self._view.directory / execution.stdout_log
        log = StageLog(execution.attempt, execution.stage, is_stderr=False, path=path)
        tail = tail_of(log, self.masker)
        if tail is None:
            return []
        lines = last_lines(tail.text, count + 1 if tail.is_cut else count)
        return lines[-count:] if len(lines) > 1 or not tail.is_cut else []


def secrets_of_record(directory: Path) -> KnownSecrets:
    """Return the known values of the run in a directory, from its record or its events."""
    try:
        return _secrets_in(load_saved(directory))
    except CheckpointError:
        return NONE_KNOWN


def words_in_stdout(view: InspectedRun, count: int) -> list[str]:
    """Return the last stdout lines of the stage that is to blame, if its stderr is empty."""
    for execution in reversed(view.report.failures):
        if execution.attempt == 0:
            continue
        if last_lines(execution.stderr_tail, 1):
            return []
        return Quoting(view).last_of_stdout(execution, view.invocation_count, count)
    return []


def _secrets_in(saved: SavedRun) -> KnownSecrets:
    is_expected = saved.checkpoint.private_ref is not None
    return secrets_in(saved.private, saved.checkpoint.secret_keys, is_expected=is_expected)


def _has_values(view: InspectedRun) -> bool:
    """Return whether any stage was, or may have been, given environment values."""
    if view.checkpoint is None:
        return True
    ran = any(one.env_keys for visit in view.invocations for one in visit.stage_executions)
    records = view.checkpoint.stages.values()
    return ran or any(one.variable_names for one in records)


def _are_values_known(view: InspectedRun, secrets: KnownSecrets) -> bool:
    """Return whether every value that a stage has now is still known."""
    if view.saved is None or secrets.unknown:
        return False
    private = view.saved.private
    key = None if private is None else private.digest_key_bytes
    return all(
        secrets.cover(stage, record.variable_names)
        and all(
            _is_of_then(name, digest, secrets, key)
            for name, digest in record.secret_digests.items()
        )
        for stage, record in view.saved.checkpoint.stages.items()
    )


def _is_of_then(name: str, digest: str, secrets: KnownSecrets, key: bytes | None) -> bool:
    """Return whether the value of a secret that a stage was given is among the known ones."""
    values = secrets.secrets.get(name, frozenset())
    return key is not None and digest in {env_digest(key, name, value) for value in values}
