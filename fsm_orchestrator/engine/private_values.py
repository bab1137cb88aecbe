"""The values that an invocation keeps for a resume, outside the run's directory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.secrets.state_directory import NoStateDirectoryError, state_directory
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import RunContext


def keep_values(context: RunContext, private: PrivateFile) -> None:
    """Keep the values that a resume needs; warn if that fails."""
    try:
        _save(context, private)
    except NoStateDirectoryError as error:
        _warn_of_values(context, private, f"{error}; set XDG_STATE_HOME to another full path")
    except OSError as error:
        place = state_directory(context.output_directory)
        _warn_of_values(context, private, f"{copyable(place)}: {files.reason(error)}")


def forget_values(context: RunContext, private: PrivateFile) -> None:
    """Forget the values of a run that is done.

    It is too late for the report: values that cannot be removed now are pruned later. They stay if
    somebody else has claimed the run since, who may be about to take them over.
    """
    output = context.output_directory
    if context.recorder.draft.invocation.epoch is not None and record_of(run_of(output)) != output:
        return
    with contextlib.suppress(OSError):
        _save(context, private.model_copy(update={"stages": {}}))
    found, ref = context.preparation.found, context.recorder.draft.private_ref
    before = None if found is None else found.private_ref
    if before is not None and before != ref and context.recorder.draft.invocation.epoch is not None:
        with contextlib.suppress(OSError):  # that of the previous epoch
            private_file.remove(before, context.output_directory)


def _save(context: RunContext, private: PrivateFile) -> None:
    """Save the private file after noting its digest."""
    ref, leaving = context.recorder.draft.private_ref, context.recorder.leaving
    if ref is None:
        return
    data = private_file.written(private, context.output_directory)
    leaving.note_private(sha256_of(data))
    try:
        private_file.save(ref, data, context.output_directory)
    except OSError:
        leaving.note_private("")  # it is not known which of the two is on disk
        raise


def _warn_of_values(context: RunContext, private: PrivateFile, why: str) -> None:
    if private.has_values:
        warning = "environment values cannot be kept for a resume, which will ask for them"
        context.recorder.add_warning(context.masker.mask(f"{warning}: {why}"))
