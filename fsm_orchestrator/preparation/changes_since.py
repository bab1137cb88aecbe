"""The differences between a stage that is to run and its last attempt, for the operator to see.

They decide nothing: a resume uses the new settings it is given. They also show what nobody gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm_orchestrator.config.hidden_text import Place, texts_of
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import TRACE_VARIABLES
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.preparation.changes import Change, text_differences
from fsm_orchestrator.preparation.decision import ResumableRun
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import Compared


def attempt_warnings(
    run: ResumableRun, settled: Checkpoint, stages: Iterable[str]
) -> tuple[str, ...]:
    """Return a warning for each difference in the stages that are to run."""
    return tuple(
        f"stage {stage!r} runs with other settings than before: {difference}"
        for stage in stages
        if stage in run.checkpoint.stages and (attempts := settled.attempts_of(stage))
        for difference in _differences(run, stage, attempts[-1])
    )


def _differences(run: ResumableRun, stage: str, last: StageExecution) -> Iterator[str]:
    if not last.command:
        return  # it was interrupted, and its settings are no longer known
    kept, now = run.checkpoint.stages[stage], run.records[stage]
    then = _settings_of(last, kept, run.kept.stages[stage])
    for change in text_differences(then, run.settings[stage], run.hider):
        yield _sentence(change, last.attempt)
    yield from _variables(last, kept, now)
    if kept.env_inherit != now.env_inherit:
        yield f"inherited environment: not what attempt {last.attempt} had"
    if kept.confine != now.confine:
        yield f"confinement: not what attempt {last.attempt} had"
    for field, had, has in (
        (Compared.CONTRACTS, kept.contracts, now.contracts),
        (Compared.PROTECTED, kept.protect, now.protect),
        (Compared.INPUTS, (kept.inputs, kept.input_program), (now.inputs, now.input_program)),
    ):
        if had != has:
            yield f"{field.value}: not what attempt {last.attempt} had"


def _settings_of(last: StageExecution, kept: StageRecord, exact: StageSettings) -> StageSettings:
    """Return the settings of an attempt, with its texts as they were shown.

    A text that holds a secret is the kept one, which is known exactly, or by its digest.
    """
    artifacts = kept.expected_artifacts
    hidden = {Place(one.field, one.index) for one in kept.hidden}
    as_kept = dict(texts_of(kept.command, kept.args, kept.cwd, artifacts))
    as_used = dict(texts_of(exact.command, exact.args, exact.cwd, exact.expected_artifacts))
    texts, known = [], set()
    for place, shown in texts_of(last.command, last.args, last.cwd, artifacts):
        is_kept = place in hidden and as_kept.get(place) == shown
        texts.append((place.field, as_used[place] if is_kept else shown))
        known |= {place} if is_kept else set()

    def listed(field: Compared) -> tuple[str, ...]:
        return tuple(text for one, text in texts if one is field)

    return exact._replace(
        command=listed(Compared.COMMAND)[0],
        args=listed(Compared.ARGS),
        cwd=listed(Compared.CWD)[0],
        expected_artifacts=listed(Compared.EXPECTED_ARTIFACTS),
        hidden=tuple(
            one
            for one in exact.hidden
            if one.field is Compared.VERIFICATION or Place(one.field, one.index) in known
        ),
    )


def _sentence(change: Change, attempt: int) -> str:
    if change.old is None or change.new is None:
        return f"{change.field.value}: not what attempt {attempt} had, in a part that is not shown"
    if change.field is Compared.EXPECTED_ARTIFACTS:
        return f"{change.field.value}: were {change.old}, now {change.new}"
    return f"{change.field.value}: attempt {attempt} had {change.old}, now {change.new}"


def _variables(last: StageExecution, kept: StageRecord, now: StageRecord) -> Iterator[str]:
    environment, attempt = Compared.ENVIRONMENT.value, f"attempt {last.attempt}"
    before, after = set(last.env_keys), set(now.variable_names)
    digests = now.env_digests  # another value of a secret is not reported
    for key in sorted((before | after) - TRACE_VARIABLES):
        if key not in after:
            yield f"{environment}: {attempt} had {key}, which is not set now"
        elif key not in before:
            yield f"{environment}: {attempt} had no {key}, which is set now"
        elif key in digests and kept.env_digests.get(key) != digests[key]:
            yield (
                f"{environment}: {key} has another value than in {attempt}, or one that cannot be"
                " compared"
            )
