"""What has become of a done run since: artifacts that are gone, broken or only changed."""

from __future__ import annotations

from typing import NamedTuple

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.record.closure import changed_artifacts, judge_artifacts
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.vocabulary import Standing


class StateNow(NamedTuple):
    """What differs by now from how a done run was closed, as sentences.

    Attributes:
        wrong: what keeps it from being closed.
        changed: what is valid, and not what it was.
    """

    wrong: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def state_now(view: InspectedRun) -> StateNow:
    """Return what has become of a run since it was done; nothing of one that is not.

    An archived run is not judged by what later runs made of its artifacts.
    """
    is_done = view.standing in {Standing.DONE, Standing.NOT_CLOSABLE}
    if view.saved is None or view.is_archived or not is_done:
        return StateNow()
    checkpoint, kept = view.saved.checkpoint, kept_settings(view.saved)
    verdict = judge_artifacts(checkpoint, kept.completed)
    if not verdict.is_good:
        wrong = kept.masker.mask(verdict.summary())
        return StateNow(wrong=(f"it is done, but expected artifacts are wrong now: {wrong}",))
    changed = changed_artifacts(checkpoint, verdict, kept.completed)
    return StateNow(
        changed=tuple(
            f"{kept.masker.mask(path)} is valid, but was changed after its stage completed"
            for path in changed
        )
    )
