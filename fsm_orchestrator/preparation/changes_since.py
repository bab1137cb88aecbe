"""The differences between a stage that is to run and its last attempt, for the operator to see.

They decide nothing: new settings are what a resume is given. They show what nobody has given, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.preparation.decision import ResumableRun
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import Compared


def attempt_warnings(
    run: ResumableRun, settled: Checkpoint, stages: Iterable[str]
) -> tuple[str, ...]:
    """Return a warning for each difference of the stages that are to run."""
    return tuple(
        f"stage {stage!r} runs with other settings than before: {difference}"
        for stage in stages
        if (attempts := settled.attempts_of(stage))
        for difference in _differences(
            attempts[-1], run.checkpoint.stages.get(stage), run.records[stage], run.masker
        )
    )


def _differences(
    last: StageExecution, kept: StageRecord | None, now: StageRecord, masker: Masker
) -> Iterator[str]:
    number = last.attempt
    if not last.command:
        return  # it was interrupted, and what it was is not known any more
    # What is secret now may not have been then: both are compared as they would be shown now.
    command, cwd = masker.mask_all((last.command, last.cwd))
    for field, old, new in (
        (Compared.COMMAND, command, now.command),
        (Compared.ARGS, list(masker.mask_all(last.args)), list(now.args)),
        (Compared.CWD, cwd, now.cwd),
    ):
        if old != new:
            yield f"{field.value}: attempt {number} had {old!r}, now {new!r}"
    keys, keys_now = set(last.env_keys), set(now.variable_names)
    digests = now.env_digests  # another value of a secret is nothing to tell
    for key in sorted(keys | keys_now):
        if key not in keys_now:
            yield f"{Compared.ENVIRONMENT.value}: attempt {number} had {key}, which is not set now"
        elif key not in keys:
            yield f"{Compared.ENVIRONMENT.value}: attempt {number} had no {key}, which is set now"
        elif kept is not None and key in digests and kept.env_digests.get(key) != digests[key]:
            yield (
                f"{Compared.ENVIRONMENT.value}: {key} has another value than in attempt {number},"
                " or one that cannot be compared"
            )
    if kept is not None:
        artifacts = list(masker.mask_all(kept.expected_artifacts))
        if artifacts != list(now.expected_artifacts):
            yield (
                f"{Compared.EXPECTED_ARTIFACTS.value}: were {artifacts}, now"
                f" {list(now.expected_artifacts)}"
            )
