"""A run in one line of a long list: its standing, since when, why, and the stages at work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from fsm_orchestrator.errors import Holder
from fsm_orchestrator.inspection.at_work import StageAtWork
from fsm_orchestrator.model.waiting import WaitingFor
from fsm_orchestrator.vocabulary import Standing


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run's standing, in one line.

    Attributes:
        output_directory: the run's directory, as it was named.
        standing: the standing of the run; None if its report cannot be read.
        reason: the reason for it, in one line; empty if there is nothing to say.
        current_state: the last state that was made durable; None if it is not known.
        since: since when it has been in that state, in UTC; None if it is not known.
        started_at: when its latest invocation began.
        finished_at: when that ended; None while it works, and always if it was killed.
        stage: the stage that is at work, failed, or was run last; None if there is none.
        attempt: the number of that stage's attempt; 0 without one.
        at_work: the stages at work now: several only in a group.
        waiting_for: the gates that somebody can still give, if the run waits for them.
        blocked_reason_codes: reason codes of the gates that refused.
        exit_code: the exit code of the latest command.
        last_line: the last line that a stage printed, masked; empty if it is of no use, or
            may hold a value that is no longer known.
        holder: the process at work there.
        trouble: why part of this is not known, or not believed; None if there is no trouble.
    """

    output_directory: str
    run_id: str | None = None
    standing: Standing | None = None
    reason: str = ""
    current_state: str | None = None
    since: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    stage: str | None = None
    attempt: int = 0
    at_work: tuple[StageAtWork, ...] = ()
    waiting_for: tuple[WaitingFor, ...] = ()
    blocked_reason_codes: tuple[str, ...] = ()
    exit_code: int | None = None
    last_line: str = ""
    holder: Holder | None = None
    trouble: str | None = None

    @property
    def name(self) -> str:
        """The name of its directory."""
        return os.path.basename(os.path.normpath(self.output_directory))

    @property
    def told(self) -> str:
        """The text to show besides the standing: the reason, and the last words."""
        return self.trouble or ": ".join(filter(None, (self.reason, self.last_line)))

    def to_document(self) -> dict[str, Any]:
        """Return the overview as a JSON object."""
        at_work = [{**one._asdict(), "doing": one.doing.value} for one in self.at_work]
        return {
            "output_directory": self.output_directory,
            "name": self.name,
            "run_id": self.run_id,
            "standing": None if self.standing is None else self.standing.value,
            "reason": self.reason,
            "current_state": self.current_state,
            "since": self.since,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "stage": self.stage,
            "attempt": self.attempt,
            "at_work": at_work,
            "waiting_for": [one.model_dump(mode="json") for one in self.waiting_for],
            "blocked_reason_codes": list(self.blocked_reason_codes),
            "exit_code": self.exit_code,
            "last_line": self.last_line,
            "trouble": self.trouble,
        }
