"""The looks of standings, endings and fates: a word, a tone and an icon each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fsm_orchestrator.explanation.explanation import StageFate
from fsm_orchestrator.explanation.gate_table import row_in_force
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.vocabulary import Ending, Outcome, StageStatus, Standing


class Tone(StrEnum):
    """The meaning of an item to the reader, never shown by color alone."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    LATE = "late"
    INFO = "info"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Look:
    """The look of an item: a word, a tone and an icon with its own shape."""

    word: str
    tone: Tone
    icon: str


STANDINGS: Final[Mapping[Standing, Look]] = {
    Standing.WORKING: Look(Standing.WORKING.words, Tone.INFO, "work"),
    Standing.SUSPENDED: Look(Standing.SUSPENDED.words, Tone.WARN, "work"),
    Standing.INTERRUPTED: Look(Standing.INTERRUPTED.words, Tone.WARN, "cut"),
    Standing.WAITING: Look(Standing.WAITING.words, Tone.WARN, "barred"),
    Standing.BLOCKED: Look(Standing.BLOCKED.words, Tone.WARN, "barred"),
    Standing.FAILED: Look(Standing.FAILED.words, Tone.BAD, "cross"),
    Standing.TIMEOUT: Look(Standing.TIMEOUT.words, Tone.LATE, "clock"),
    Standing.DONE: Look(Standing.DONE.words, Tone.GOOD, "check"),
    Standing.NOT_CLOSABLE: Look(Standing.NOT_CLOSABLE.words, Tone.WARN, "alert"),
}
OUTCOMES: Final[Mapping[Outcome, Look]] = {
    outcome: STANDINGS[Standing(outcome.value)] for outcome in Outcome
}
STATUSES: Final[Mapping[StageStatus, Look]] = {
    StageStatus.SUCCESS: Look("success", Tone.GOOD, "check"),
    StageStatus.SKIPPED: Look("skipped", Tone.PLAIN, "skip"),
    StageStatus.FAILED: Look("failed", Tone.BAD, "cross"),
    StageStatus.TIMEOUT: Look("timeout", Tone.LATE, "clock"),
    StageStatus.SPAWN_FAILED: Look("not started", Tone.BAD, "cross"),
    StageStatus.ARTIFACT_MISSING: Look("artifact missing", Tone.BAD, "cross"),
    StageStatus.INTERRUPTED: Look("interrupted", Tone.WARN, "cut"),
}
FATES: Final[Mapping[StageFate, Look]] = {
    StageFate.RUNNING: Look("running", Tone.INFO, "work"),
    StageFate.SUCCEEDED: Look("succeeded", Tone.GOOD, "check"),
    StageFate.FAILED: Look("failed", Tone.BAD, "cross"),
    StageFate.DECLINED: Look("nothing to do", Tone.PLAIN, "skip"),
    StageFate.BLOCKED: Look("blocked", Tone.WARN, "barred"),
    StageFate.SKIPPED: Look("skipped", Tone.PLAIN, "skip"),
    StageFate.PASSED_OVER: Look("passed over", Tone.PLAIN, "skip"),
    StageFate.INTERRUPTED: Look("interrupted", Tone.WARN, "cut"),
    StageFate.NOT_REACHED: Look("not reached", Tone.PLAIN, "none"),
}
MEANINGS: Final[Mapping[ExitMeaning, Look]] = {
    ExitMeaning.REWORK: Look("asked for rework", Tone.INFO, "back"),
    ExitMeaning.NOTHING_TO_DO: Look("nothing to do", Tone.PLAIN, "skip"),
    ExitMeaning.BLOCKED: Look("blocked", Tone.WARN, "barred"),
}
GATES_PASSED: Final = Look("passed", Tone.GOOD, "check")
GATES_REFUSED: Final = Look("refused", Tone.WARN, "barred")
WAITED: Final = Look("waited for the retry", Tone.PLAIN, "clock")
AT_WORK: Final = Look("at work", Tone.INFO, "work")


def look_of_gate(gate: GateInForce) -> Look:
    """Return the look of a verdict."""
    verdict = row_in_force(gate).verdict
    if gate.is_to_come or not gate.is_judged:
        return Look(verdict, Tone.PLAIN, "none")
    return Look(verdict, *((Tone.GOOD, "check") if gate.decision.passed else (Tone.WARN, "barred")))


def look_of_open(*, is_working: bool) -> Look:
    """Return the look of an attempt without a recorded end."""
    return AT_WORK if is_working else STATUSES[StageStatus.INTERRUPTED]


def look_of(status: StageStatus, ending: Ending | None) -> Look:
    """Return the look of an execution of a stage."""
    said = ExitMeaning.of(ending)
    return STATUSES[status] if said is None else MEANINGS[said]
