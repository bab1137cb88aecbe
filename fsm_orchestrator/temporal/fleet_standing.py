"""Decides what a fleet does with a run that the engine has, by the standing of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.fleet.standing import Action, Decision, Retries, decide, decide_by
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.temporal.listing import Listed, WorkflowCourse
from fsm_orchestrator.vocabulary import Standing

_GOES_ON: Final = frozenset({WorkflowCourse.WORKING, WorkflowCourse.RETRYING})


class Had(NamedTuple):
    """A run that was submitted before.

    Attributes:
        listed: the run as the engine knows it; None if it does not know it, or no longer does.
    """

    run_id: str
    listed: Listed | None

    @property
    def is_at_work(self) -> bool:
        """True if the engine continues the run on its own."""
        return self.listed is not None and self.listed.course in _GOES_ON

    @property
    def hears(self) -> bool:
        """True if the run's workflow exists and waits for people."""
        return self.listed is not None and self.listed.course is WorkflowCourse.WAITING


def decision_of(directory: Path, had: Had | None, retries: Retries) -> Decision:
    """Return what to do with the run in a directory, which need not exist.

    `WAIT` is for a run that the engine continues: it is followed.
    """
    if had is None:
        return _of_one_that_was_not_submitted(directory, retries)
    if had.listed is None:
        return _of_one_that_is_not_known(directory, retries)
    overview = overview_of(had.listed, directory)
    match had.listed.course:
        case WorkflowCourse.WORKING | WorkflowCourse.RETRYING:
            return Decision(Action.WAIT, "the engine continues it", overview)
        case WorkflowCourse.TERMINATED if overview.standing is not Standing.DONE:
            return Decision(Action.RESUME, "its workflow was ended by force", overview)
        case (
            WorkflowCourse.WAITING
            | WorkflowCourse.ENDED
            | WorkflowCourse.CANCELLED
            | WorkflowCourse.TERMINATED
        ):
            if overview.standing is not None:
                return decide_by(overview, retries)
            action = Action.RESUME if retries.failed else Action.LEAVE
            return Decision(action, overview.reason, overview)
        case _:
            assert_never(had.listed.course)


def _of_one_that_was_not_submitted(directory: Path, retries: Retries) -> Decision:
    found = decide(directory, retries)
    if found.action in {Action.START, Action.SKIP}:
        return found
    return Decision(Action.REFUSE, "its directory holds a run that no engine has", found.overview)


def _of_one_that_is_not_known(directory: Path, retries: Retries) -> Decision:
    """Return the decision by the record: the submission was cut short, or the engine forgot it."""
    found = decide(directory, retries)
    match found.action:
        case Action.SKIP | Action.LEAVE:
            return found
        case Action.START | Action.RESUME | Action.WAIT | Action.REFUSE:
            return Decision(Action.RESUME, "the engine does not know it", found.overview)
        case _:
            assert_never(found.action)


def overview_of(listed: Listed, directory: Path) -> RunOverview:
    """Return the overview of a run that the engine knows."""
    return RunOverview(
        str(directory),
        run_id=listed.stand.run_id,
        standing=listed.standing,
        reason=listed.reason,
        current_state=listed.state,
        exit_code=listed.exit_code,
    )
