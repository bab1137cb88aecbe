"""The explanation of a run: why it stands where it does, who can change it, what to type.

Reads the output directory, the private file and the artifacts of completed stages; starts and
writes nothing.
"""

from __future__ import annotations

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.explanation.causes import causes_of
from fsm_orchestrator.explanation.changed_files import changed_files_of
from fsm_orchestrator.explanation.explanation import Explanation
from fsm_orchestrator.explanation.next_step import next_step_of
from fsm_orchestrator.explanation.stages import explained_gates, explained_stages
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.record.closure import changed_artifacts, judge_artifacts
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.vocabulary import Standing


def explain(view: InspectedRun, shown: str) -> Explanation:
    """Explain why a run stands where it does. `shown` is OUT as commands and paths name it."""
    report = view.report
    directory = f"{shown}/{ARCHIVE_DIRECTORY}/{report.run_id}" if view.is_archived else shown
    now_wrong, changed = _now_wrong(view)
    return Explanation(
        output_directory=str(view.directory),
        run_id=report.run_id,
        lifecycle=None if report.lifecycle is None else report.lifecycle.name,
        subject=report.subject,
        standing=Standing.NOT_CLOSABLE if now_wrong else view.standing,
        current_state=report.current_state,
        exit_code=report.exit_code,
        since=view.since,
        invocations=view.invocation_count,
        invocations_moved=report.invocations_moved,
        causes=causes_of(view, directory, now_wrong, changed),
        next_step=next_step_of(view, shown, now_wrong),
        gates=explained_gates(view),
        stages=explained_stages(view, directory),
        changed_files=changed_files_of(view),
        warnings=_warnings(view),
    )


def _warnings(view: InspectedRun) -> tuple[str, ...]:
    sentence, known = view.relocation_sentence, view.report.warnings
    return known if sentence is None or sentence in known else (sentence, *known)


def _now_wrong(view: InspectedRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what keeps a done run from being closed by now, and what has only changed since.

    An archived run is not judged by what later runs made of its artifacts.
    """
    is_done = view.standing in {Standing.DONE, Standing.NOT_CLOSABLE}
    if view.saved is None or view.checkpoint is None or view.is_archived or not is_done:
        return (), ()
    kept = kept_settings(view.saved)
    verdict = judge_artifacts(view.checkpoint, kept.completed)
    if not verdict.is_good:
        wrong = kept.masker.mask(verdict.summary())
        return (f"it is done, but expected artifacts are wrong now: {wrong}",), ()
    changed = changed_artifacts(view.checkpoint, verdict, kept.completed)
    return (), tuple(
        f"{kept.masker.mask(path)} is valid, but was changed after its stage completed"
        for path in changed
    )
