"""The invocation at work: its record, log, clock and secrets.

Shared by the modules of this room. Decides nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.constants import TRACE_PARENT_VARIABLE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.reserve import Reserve
from fsm_orchestrator.engine.machine import CalledOffError
from fsm_orchestrator.engine.surroundings import Surroundings
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.record import closure
from fsm_orchestrator.record.closure import WorkVerdict
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.record.events_mark import Loss
from fsm_orchestrator.record.leaving import Leaving
from fsm_orchestrator.record.recorder import Recorder
from fsm_orchestrator.record.settings_part import settings_since
from fsm_orchestrator.stages.artifacts import JudgingCutShortError
from fsm_orchestrator.stages.judging import Judging, SlowArtifact
from fsm_orchestrator.stages.output_files import LogSeals
from fsm_orchestrator.vocabulary import EventName, ExitCode, Operation, Outcome

if TYPE_CHECKING:
    from fsm_orchestrator.engine.allowance import Allowance

Ended: TypeAlias = Mapping[str, tuple[int, ...]]
"""The pids of ended processes that interrupted attempts had left behind, by the attempt's token."""

LAST_WORDS: Final = 8
"""The size of the disk reserve for the last record, in checkpoints: the checkpoint grows while the
run is at work, and the report repeats it with more whitespace."""


class RunContext:
    """An invocation whose output directory is locked and whose events file is open."""

    def __init__(
        self,
        preparation: Preparation,
        home: OutputLock,
        log: RunLogger,
        event_file: EventFile,
        caller: Surroundings,
        leaving: Leaving | None = None,
    ) -> None:
        draft = preparation.checkpoint
        self.preparation = preparation
        self.run_id = draft.run_id
        self.home = home
        self.output_directory = preparation.config.output_path
        self.clock = preparation.clock
        self.masker = preparation.masker
        self.log_seals = LogSeals(self.output_directory)
        self._warned: set[str] = set()
        self.log = log.bind(run_id=draft.run_id, state=draft.current_state)
        self.recorder = Recorder(
            home,
            draft,
            lambda: not self.is_judging_given_up and self.judge_artifacts().is_intact,
            event_file,
            leaving,
        )
        self._event_file = event_file
        self._reserve = Reserve(home, LAST_WORDS * self.recorder.size_bytes)
        self._listener, self._hearing = caller.listener, caller.hearing
        if self._hearing is not None:
            self._hearing.keeper_pids = self._keeper_pids
        self._interrupts = caller.interrupts
        self.allowance = self._allowed(caller)
        self._has_told_slow_artifact = False
        self.is_judging_given_up = False
        """True once the artifacts of a done run are no longer judged: it was asked to end."""

    @property
    def is_traced(self) -> bool:
        """True if a trace may be wanted: telemetry is on, or the run was started within a trace."""
        return self.preparation.config.telemetry or bool(os.environ.get(TRACE_PARENT_VARIABLE))

    def _allowed(self, caller: Surroundings) -> Allowance | None:
        """Return the allowance of the run, or None if nothing limits or meters it."""
        if self.recorder.draft.invocation.used is None:
            return None
        from fsm_orchestrator.engine.allowance import Allowance  # noqa: PLC0415 - only with a budget

        return Allowance(self, caller)

    def close(self) -> None:
        """Free the disk reserve, and note how the record was left."""
        self._reserve.close()
        self.recorder.seal()
        self.recorder.leaving.close()

    def begin(self, ended: Ended) -> None:
        """Log the start, and what was known before it; keep the secrets that a resume needs.

        `ended` names the ended processes of interrupted attempts.
        """
        draft = self.recorder.draft
        is_continued = draft.invocation.number > 1
        if is_continued:
            from fsm_orchestrator.engine import lost_events  # noqa: PLC0415 - only for a resume

            lost_events.log_gap(self, self._event_file)
        known = {"subject": draft.subject, "epoch": draft.invocation.epoch}
        about: dict[str, Any] = {key: one for key, one in known.items() if one is not None}
        self.log.emit(
            EventName.RUN_STARTED,
            execution_mode=draft.invocation.execution_mode.value,
            invocation=draft.invocation.number,
            lifecycle=draft.lifecycle.name,
            lifecycle_sha256=draft.lifecycle_sha256,
            origin=draft.invocation.origin,
            rerun=list(draft.invocation.rerun),
            stages=list(draft.lifecycle.stages),
            started_at=draft.invocation.started_at,
            version=draft.version,
            **about,
        )
        self._log_record()
        if self.preparation.leftovers:
            from fsm_orchestrator.engine import interruptions  # noqa: PLC0415 - rare

            interruptions.log_leftovers(self, ended)
        if self.preparation.slow_artifact is not None:
            self._tell_slow_artifact(self.preparation.slow_artifact)
        self._keep_secrets()
        if is_continued:
            lost_events.warn_of_missing(self, self._event_file)
        self._note_missing_key()
        for warning in self.recorder.draft.invocation.warnings:
            self.log.emit(EventName.WARNING, level="warning", message=warning)

    def _log_record(self) -> None:
        """Log the initial record: only its new parts if the log already has the rest."""
        found, draft = self.preparation.found, self.recorder.draft
        draft = draft.with_invocation(warnings=())  # they are logged one by one
        if found is None or found.home != draft.home or not self._event_file.is_continued:
            self.log.emit(EventName.RECORD_KEPT, level="debug", record=draft)
            return
        self.log.emit(
            EventName.RECORD_BEGUN,
            level="debug",
            invocation=draft.invocation,
            settings=settings_since(found, draft),
        )

    def _note_missing_key(self) -> None:
        """Warn that changes to the record before the next invocation cannot be detected."""
        if self._event_file.key is None and self._event_file.failure is None:
            self.recorder.add_warning(
                "a change to the record before it is resumed will not be noticed: no key can"
                " be kept in the private state (below XDG_STATE_HOME, or ~/.local/state)"
            )

    def move_old_invocations(self) -> None:
        """Move the oldest invocations out of a long record.

        Raises:
            RecordingError: they cannot be moved.
        """
        moved = self.recorder.move_old_invocations()
        if moved is not None:
            self.log.emit(EventName.INVOCATIONS_MOVED, level="debug", file=moved)

    def check_earlier_events(self) -> None:
        """Raise if the events of earlier invocations were cut or changed.

        Raises:
            OperationError: they were; the next invocation takes the file as it finds it.
        """
        lost = self._event_file.lost
        if self.recorder.draft.invocation.accepted is not None:
            return
        if lost is not None and lost.loss is not Loss.MISSING:
            raise OperationError(
                Operation.EVENTS_VERIFY,
                lost.sentence,
                remedy="restore the file, or resume once more: its loss is recorded",
            )

    def _keep_secrets(self) -> None:
        if self.preparation.private is not None:
            from fsm_orchestrator.engine.private_values import keep_values  # noqa: PLC0415 - not for a plain run

            keep_values(self, self.preparation.private)

    def forget_secrets(self) -> None:
        """Forget the values of a run that is done: from now on it needs only their key."""
        if self.preparation.private is not None:
            from fsm_orchestrator.engine.private_values import forget_values  # noqa: PLC0415 - likewise

            forget_values(self, self.preparation.private)

    def now(self) -> str:
        """Return the time in the format of the records."""
        return timestamp(self.clock.now())

    def warn(self, warning: str, **bound: str | bool) -> None:
        """Add a warning to the report and the log, once."""
        if warning in self._warned or warning in self.recorder.draft.invocation.warnings:
            return
        self._warned.add(warning)  # unmasked: two may look alike once they are masked
        masked = self.masker.mask(warning)
        self.recorder.add_warning(masked)
        self.log.emit(EventName.WARNING, level="warning", message=masked, **bound)

    def note_surroundings(self) -> None:
        """Warn once of an unwritable private state, a failed listener, and a doubted request."""
        failure = self.recorder.leaving.failure
        if failure is not None:
            self.warn(
                "the last state of the record cannot be noted in the private state, so an older"
                f" record put in its place will not be noticed: {files.reason(failure)}"
            )
        news = None if self._listener is None else self._listener.news()
        if news is not None:
            self.warn(news)
        doubt = None if self._hearing is None else self._hearing.doubt()
        if doubt is not None:
            self.warn(doubt)

    def _keeper_pids(self) -> tuple[int, ...]:
        """Return the pids of the keepers of the stages at work."""
        attempts = self.recorder.draft.open_attempts
        return tuple(one.keeper_pid for one in attempts if one.keeper_pid is not None)

    def judge_artifacts(self) -> WorkVerdict:
        """Judge the present artifacts of the completed stages.

        Raises:
            CalledOffError: the run was asked to end in the meantime.
        """
        judging = Judging(math.inf, self._on_slow_artifact, lambda: self._interrupts.first)
        draft, settings = self.recorder.draft, self.preparation.settings
        try:
            return closure.judge_artifacts(draft, settings, may_go_on=judging.may_go_on)
        except JudgingCutShortError:
            raise CalledOffError(self._interrupts.first or 0) from None

    def _on_slow_artifact(self, path: str, elapsed_ms: int) -> None:
        if not self._has_told_slow_artifact:  # artifacts are judged again for the report
            self._has_told_slow_artifact = True
            self._tell_slow_artifact(SlowArtifact(path, elapsed_ms))

    def _tell_slow_artifact(self, slow: SlowArtifact) -> None:
        draft, settings = self.recorder.draft, self.preparation.settings
        maker = closure.maker_of(draft, settings, slow.path)
        if maker is not None:
            log = self.log.bind(stage=maker.stage, attempt=maker.attempt)
            self.log_slow_artifact(log, slow.path, slow.elapsed_ms)

    def log_slow_artifact(self, log: RunLogger, path: str, elapsed_ms: int) -> None:
        """Log that judging artifacts takes long; the logger is bound to their attempt."""
        log.emit(
            EventName.ARTIFACT_SLOW,
            level="warning",
            path=self.masker.mask(path),
            elapsed_ms=0 if self.clock.is_fixed else elapsed_ms,
        )

    def check_events(self) -> None:
        """Raise if the log could not be written, which ends the run, as for any other record.

        Raises:
            RecordingError: an event could not be written, and nothing has failed before.
        """
        if self._event_file.failure is not None and not self.recorder.is_degraded:
            raise self._event_file.failure

    def make_room(self, failure: OperationError) -> bool:
        """Free the disk reserve if the disk was full; return whether it was."""
        is_freed = self._reserve.free_for(failure.__cause__)
        if is_freed:
            self._event_file.recover()
        return is_freed

    def log_record_again(self) -> None:
        """Log the whole record if events could not be written for a while and now can be."""
        if self._event_file.has_gaps and self._event_file.failure is None:
            self.log.emit(EventName.RECORD_KEPT, level="debug", record=self.recorder.draft)

    def add_own_failure(self, operation: Operation, error: str) -> StageExecution:
        """Record a failure of this program itself; return the record, for the log."""
        from fsm_orchestrator.model.unmeasured import own_failure  # noqa: PLC0415 - rare

        failure = own_failure(self.run_id, operation, error=self.masker.mask(error), at=self.now())
        self.recorder.add_execution(failure)
        return failure

    def ending(self, exit_code: ExitCode) -> dict[str, Any]:
        """Return the fields that an ended invocation adds to its record."""
        ended: dict[str, Any] = {"finished_at": self.now(), "exit_code": int(exit_code)}
        used = self.recorder.draft.invocation.used
        if self.allowance is not None and used is not None:
            ended["used"] = used.model_copy(update={"worked_ms": self.allowance.worked_ms})
        return ended

    def finish(self, exit_code: ExitCode) -> None:
        """Put the end into the draft."""
        self.recorder.update_invocation(**self.ending(exit_code))

    def emit_end(self, outcome: Outcome) -> None:
        """Log that the invocation has ended.

        `outcome` is what the report says; the report has been made, and the end is in the draft.
        """
        ended = self.recorder.draft.invocation
        awaited: dict[str, Any] = self._unrun()
        if outcome is Outcome.BLOCKED:
            from fsm_orchestrator.record.waiting import refusing, waiting_for  # noqa: PLC0415 - not for a good run

            draft = self.recorder.draft
            found = waiting_for(draft, refusing(draft, ended.gate_decisions))
            awaited["waiting_for"] = [one.model_dump(mode="json") for one in found]
        self.log.emit(
            EventName.RUN_ENDED,
            level="info" if ended.exit_code == ExitCode.DONE or ended.next_task_queue else "error",
            outcome=outcome.value,
            exit_code=ended.exit_code,
            closure_ready=self.recorder.is_closure_ready,
            finished_at=ended.finished_at,
            **ended.told_at_end,
            **awaited,
        )

    def _unrun(self) -> dict[str, Any]:
        """Return the last report's fields about stages that were not run; empty if all were."""
        told = self.recorder.latest
        if told is None or not told.is_unearned:
            return {}
        stages = {"unrun_stages": list(told.unrun_stages)} if told.unrun_stages else {}
        return {**stages, **({"nothing_ran": True} if told.nothing_ran else {})}

    def sync_events(self) -> None:
        """Make the log durable; events for which that fails count as not logged."""
        self._event_file.sync()
