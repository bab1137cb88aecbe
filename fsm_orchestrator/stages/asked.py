"""The parts of an attempt of a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.clock import Clock
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.where import place_variables
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.model.endings import ProcessEnd, TimedOut
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.open_attempt import AttemptRecord, idempotency_key
from fsm_orchestrator.model.promises import TimeLimit
from fsm_orchestrator.processes.command import TOKEN_VARIABLE
from fsm_orchestrator.processes.observing import OutputReader
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import OnLeak

if TYPE_CHECKING:
    from fsm_orchestrator.stages.guarding import Guard
    from fsm_orchestrator.stages.meter import Meter
    from fsm_orchestrator.stages.verifying import Verifying


class Asked(NamedTuple):
    """The parts of an attempt.

    Attributes:
        home: the output directory, which is held.
        masker: hides secrets.
        output_masker: also hides settings, in what the stage prints.
        environment: variables of this program in addition to those that every attempt gets.
        exit_codes: the exit codes that have a declared meaning.
        is_retry: True if an attempt of this invocation has failed before it.
        on_started: called with the pid of its process.
        on_slow: called with the elapsed milliseconds and the ends of stdout and stderr.
        on_suspended: called with the milliseconds for which everything was suspended.
        reader_of: makes the reader of its outputs from their descriptors; None if nobody reads.
        asked_to_end: returns the signal by which the run was asked to end, or None.
        given_paths: returns, by path, how each path was given that is relative to something.
        on_slow_artifact: called once if its artifacts take long to judge, with the path that is
            judged and the elapsed milliseconds.
        open_meter: opens its meter; None if nothing is metered.
        time_limit: the run's limit that its timeout comes from, and all of that limit in
            milliseconds; None if the timeout is its own.
        within: returns limits cut to the time that the run has left.
        verifying: returns the observer of its verifications.
        guard: its protected paths before it; None if it has none.
    """

    run_id: str
    home: HeldDirectory
    output_directory: Path
    clock: Clock
    masker: Masker
    output_masker: Masker
    on_leak: OnLeak
    record: AttemptRecord
    settings: StageSettings
    limits: Limits
    environment: Mapping[str, str]
    exit_codes: Mapping[int, ExitMeaning]
    is_retry: bool
    on_started: Callable[[int], None]
    on_slow: Callable[[int, str, str], None]
    on_suspended: Callable[[int], None]
    reader_of: Callable[[tuple[int, int]], OutputReader | None]
    asked_to_end: Callable[[], int | None]
    given_paths: Callable[[], Mapping[str, str]]
    on_slow_artifact: Callable[[str, int], None]
    open_meter: Callable[[], AbstractContextManager[Meter]] | None
    time_limit: tuple[TimeLimit, int] | None
    within: Callable[[Limits], Limits]
    verifying: Callable[[], Verifying]
    guard: Guard | None = None

    def in_whose_time(self, end: ProcessEnd) -> ProcessEnd:
        """Return how its process ended; if its time was up, with the limit that applied."""
        if not isinstance(end, TimedOut) or self.time_limit is None:
            return end
        limit, allowed_ms = self.time_limit
        return end._replace(limit=limit, allowed_ms=allowed_ms)

    @property
    def key(self) -> str:
        """The idempotency key of the stage."""
        return idempotency_key(self.run_id, self.record.stage, self.record.cycle)

    @property
    def our_variables(self) -> dict[str, str]:
        """The variables of this program for every process of the attempt."""
        return {
            "ORCHESTRATOR_RUN_ID": self.run_id,
            "ORCHESTRATOR_STAGE": self.record.stage,
            "ORCHESTRATOR_ATTEMPT": str(self.record.attempt),
            **place_variables(self.output_directory),
            "ORCHESTRATOR_IDEMPOTENCY_KEY": self.key,
            TOKEN_VARIABLE: self.record.token,
            **self.environment,
        }
