"""A run as it is seen while it works: the progress of each stage, derived from its events.

Knows no terminal. Times are those of the caller's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fsm_orchestrator.vocabulary import Ending, EventName, StageStatus, Trigger


class RunningStage(NamedTuple):
    """A stage at work.

    Attributes:
        began_at: when its attempt, or the wait for the next one, began.
        again_at: when it is tried again; None while an attempt works.
        error: why the attempt before failed; empty for none.
        verifying: the verification of its work that is running; empty while it works itself.
    """

    name: str
    attempt: int
    of_attempts: int
    limit_ms: int
    grace_ms: int
    began_at: float
    words: str = ""
    again_at: float | None = None
    error: str = ""
    verifying: str = ""


class EndedStage(NamedTuple):
    """A stage that is over for now."""

    name: str
    status: StageStatus
    ending: Ending | None
    took_ms: int
    attempt: int
    of_attempts: int
    error: str


class SkippedStages(NamedTuple):
    """Stages, one after another, that were not run: completed before, or without a program."""

    names: tuple[str, ...]
    is_passed_over: bool


class Gates(NamedTuple):
    """The verdicts on all gates, and whether those that count in this state have passed."""

    decisions: tuple[Mapping[str, Any], ...]
    have_passed: bool


class Begun(NamedTuple):
    """The beginning of an invocation."""

    run_id: str
    lifecycle: str
    is_resume: bool


class Said(NamedTuple):
    """A line of text that stays: a warning, an error, a line that a stage prints.

    Attributes:
        document: the text shown below it, with its lines unchanged; None if there is none.
    """

    text: str
    level: str
    document: str | None = None


Settled = EndedStage | SkippedStages | Gates | Begun | Said
"""The decided matters that stay on the screen."""


class RunView:
    """The progress of a run, and the settled parts of it that are not yet shown.

    Attributes:
        stages: all stages of the lifecycle, in order.
        seen: those that are over, or at work.
        requests: how often it was asked to end.
        settled: the lines to show next, permanently.
        spent: the amounts that the run has spent: each unit, the amount, and its limit.
    """

    def __init__(self) -> None:
        self.stages: tuple[str, ...] = ()
        self.seen: set[str] = set()
        self.at_work: dict[str, RunningStage] = {}  # by name, in the order in which they began
        self.requests = 0
        self.settled: list[Settled] = []
        self.waiting: str | None = None  # the evidence that a gate waits for
        self.spent: tuple[tuple[str, str, str | None], ...] = ()
        self._gates: list[Mapping[str, Any]] = []
        self._ended: dict[str, EndedStage] = {}
        self._skipped: list[str] = []
        self._is_passed_over = False

    @property
    def to_come(self) -> tuple[str, ...]:
        """The stages that have not been reached."""
        return tuple(one for one in self.stages if one not in self.seen)

    def suspended(self, seconds: float) -> None:
        """Stop the clocks for as long as the run was suspended."""
        for name, one in self.at_work.items():
            again_at = None if one.again_at is None else one.again_at + seconds
            began_at = one.began_at + seconds
            self.at_work[name] = one._replace(began_at=began_at, again_at=again_at)

    def printed(self, stage: str, words: str) -> None:
        """Note the last line that a stage at work has printed."""
        if stage in self.at_work:
            self.at_work[stage] = self.at_work[stage]._replace(words=words)

    def note(self, event: Mapping[str, Any], now: float) -> None:
        """Record an event."""
        name = EventName(event["event"])
        if name not in _KEEPS_OPEN:
            self._settle_stages(event.get("stage"))
        if name is not EventName.GATE_DECIDED:
            followed = event.get("transition", {}).get("trigger")
            self._settle_gates(do_pass=followed == Trigger.GATES_PASSED)
        if name not in _KEEPS_SKIPS:
            self._settle_skips()
        waits = name is EventName.GATE_WAITING
        self.waiting = f"gate {event['gate']} waits: {event['detail']}" if waits else None
        match name:
            case EventName.RUN_STARTED:
                self.stages = tuple(event["stages"])
                is_resume = event["execution_mode"] == "resume"
                self.settled.append(Begun(event["run_id"], event["lifecycle"], is_resume))
            case EventName.GATE_DECIDED:
                if any(one["gate"] == event["decision"]["gate"] for one in self._gates):
                    self._settle_gates()
                self._gates.append(event["decision"])
            case EventName.STAGE_STARTED | EventName.VERIFICATION_STARTED:
                self._start(event, now)
            case EventName.STAGE_RETRYING:
                self._retry(event, now)
            case EventName.STAGE_ENDED:
                self._end(event["execution"])
            case EventName.STAGE_SKIPPED:
                self._skip(event["stage"], is_passed_over=False)
            case EventName.WARNING if event.get("is_passed_over"):
                self._skip(event["stage"], is_passed_over=True)
            case EventName.STAGE_OUTPUT:
                self.printed(event["stage"], event["text"])
            case EventName.ATTEMPT_INTERRUPTED if event["stage"] in self._ended:
                self._end(event["execution"])  # it did not succeed after all
            case _:
                pass

    def say(self, text: str, level: str, document: str | None = None) -> None:
        """Add a line of text that stays, and a document below it."""
        self.settled.append(Said(text, level, document))

    def finish(self) -> None:
        """Settle whatever is still open: no more events will come."""
        self._settle_stages(None)
        self._settle_gates()
        self._settle_skips()
        self.at_work.clear()

    def _start(self, event: Mapping[str, Any], now: float) -> None:
        if "verification" in event:
            self._verify(event, now)
            return
        self.seen.add(event["stage"])
        self.at_work[event["stage"]] = RunningStage(
            name=event["stage"],
            attempt=event["attempt_of_cycle"],
            of_attempts=event["max_attempts"],
            limit_ms=event["timeout_ms"],
            grace_ms=event["kill_grace_ms"],
            began_at=now,
        )

    def _verify(self, event: Mapping[str, Any], now: float) -> None:
        running = self.at_work.get(event["stage"])
        if running is not None:
            self.at_work[running.name] = running._replace(
                limit_ms=event["timeout_ms"],
                grace_ms=event["kill_grace_ms"],
                began_at=now,
                words="",
                verifying=f"verification {event['verification']} of {event['of_verifications']}",
            )

    def _retry(self, event: Mapping[str, Any], now: float) -> None:
        name = event["stage"]
        failed, running = self._ended.pop(name, None), self.at_work.get(name)
        if running is not None and failed is not None:
            self.at_work[name] = running._replace(
                attempt=running.attempt + 1,
                began_at=now,
                again_at=now + event["wait_ms"] / 1000,
                error=failed.error,
                words="",
                verifying="",
            )

    def _end(self, execution: Mapping[str, Any]) -> None:
        name, ending = execution["stage"], execution["ending"]
        running = self.at_work.get(name)
        self._ended[name] = EndedStage(
            name=name,
            status=StageStatus(execution["status"]),
            ending=None if ending is None else Ending(ending),
            took_ms=execution["duration_ms"],
            attempt=1 if running is None else running.attempt,
            of_attempts=1 if running is None else running.of_attempts,
            error=execution["error"] or "",
        )

    def _skip(self, stage: str, *, is_passed_over: bool) -> None:
        if is_passed_over is not self._is_passed_over:
            self._settle_skips()
        self._is_passed_over = is_passed_over
        self.seen.add(stage)
        self._skipped.append(stage)

    def _settle_stages(self, told: str | None) -> None:
        """Settle the ended stages; those that may continue stay if `told` names another stage."""
        for name, one in [*self._ended.items()]:
            may_go_on = one.status is not StageStatus.SUCCESS and one.attempt < one.of_attempts
            if told not in {None, name} and may_go_on:
                continue
            self.settled.append(self._ended.pop(name))
            self.at_work.pop(name, None)

    def _settle_gates(self, *, do_pass: bool = False) -> None:
        if self._gates:
            every = all(one["passed"] for one in self._gates)
            self.settled.append(Gates(tuple(self._gates), do_pass or every))
            self._gates.clear()

    def _settle_skips(self) -> None:
        if self._skipped:
            self.settled.append(SkippedStages(tuple(self._skipped), self._is_passed_over))
            self._skipped.clear()


_KEEPS_OPEN: Final = frozenset(
    {
        *(EventName.STAGE_RETRYING, EventName.PROCESS_LEAKED, EventName.WARNING),
        EventName.ATTEMPT_INTERRUPTED,
    }
)
"""The events that can come between the end of an attempt and the start of another."""
_KEEPS_SKIPS: Final = frozenset({EventName.STAGE_SKIPPED, EventName.TRANSITION, EventName.WARNING})
