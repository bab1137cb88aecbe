"""`--resume-or-start`, for a job that is started again and again with one command line.

A run that is not done is resumed. If there is none, or it is done, a new one is started, and the
done one is archived. A record that cannot be read is refused, as a resume refuses it: nothing ever
starts over because its record was lost.
"""

from __future__ import annotations

import os

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.vocabulary import OnChangedStage


def settled(config: RunConfig) -> RunConfig:
    """Return the request as a resume or as a new run, whichever is due in its directory.

    Raises:
        UsageError: `--resume` is given as well.
        CheckpointError: there is a run whose checkpoint cannot be used.
    """
    if config.resume:
        raise UsageError(
            "--resume and --resume-or-start were both given",
            remedy="give one of them: --resume refuses where there is nothing to resume",
        )
    if _is_due(config):
        return config.model_copy(update={"resume": True, "resume_or_start": False})
    afresh = {
        "rerun": (),
        "on_changed_stage": OnChangedStage.REFUSE,
        "reverify": None,
        "accept_record": None,
        "as_copy": False,
        "adopt": False,
    }
    return config.model_copy(update={"resume_or_start": False, **afresh})


def _is_due(config: RunConfig) -> bool:
    """Return whether there is a run that is not done."""
    output = config.output_path
    if not os.path.lexists(output / CHECKPOINT_FILE):
        return os.path.lexists(output / REPORT_FILE)  # its record is gone, or was never written
    from fsm_orchestrator.record import checkpoint_reader  # noqa: PLC0415 - not for a new directory

    saved = checkpoint_reader.load_saved(output)
    if saved.checkpoint.is_done and config.accept_record is None:
        from fsm_orchestrator.preparation.believing import believed_by  # noqa: PLC0415 - likewise

        believed_by(config, saved)
    return not saved.checkpoint.is_done
