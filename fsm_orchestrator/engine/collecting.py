"""Asks the sources of the gates, keeps their answers, and works out the result for each gate.

Loaded only by runs that have a source, a subject, or a lifecycle that demands evidence.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from fsm_orchestrator.approvals.inquiry import Inquiry, about_subject, taken_by
from fsm_orchestrator.constants import EVIDENCE_DIRECTORY, LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.engine.authorities import Authorities
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import CalledOffError
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.gates.evidence_status import NOT_THERE_YET
from fsm_orchestrator.gates.sources.base import AskedToEndError, Evidence
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    nothing_from,
)
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.closure import ChangedArtifact
from fsm_orchestrator.vocabulary import EventName, Operation

_NAME: Final = re.compile(r"([a-z][a-z0-9_]*)\.([1-9][0-9]{0,8})\.json")
_LOG_NAME: Final = re.compile(r"gate\.([a-z][a-z0-9_]*)\.([1-9][0-9]{0,8})\.stdout\.log")

FIRST_PAUSE_SECONDS: Final = 0.5
PAUSE_GROWTH: Final = 1.5
PAUSE_SECONDS_MAX: Final = 60.0


class Collecting:
    """The inquiries of one invocation to the sources of its gates."""

    def __init__(self, context: RunContext, interrupts: Interrupts, runner: ProcessRunner) -> None:
        self._context = context
        self._interrupts = interrupts
        self._runner = runner
        self._known: dict[str, EvidenceRecord] = {}
        """The latest answer of each source in this invocation."""
        self._said: dict[str, bytes] = {}
        """The evidence itself, for sources that are not asked again."""
        self._demanding: tuple[str, ...] = ()
        """The gate states that this invocation has entered."""
        self._asking: dict[str, State] = {}
        """The gate state in which each gate was judged last."""
        self._authorities: Authorities | None = None

    def on_entering(self, state: State) -> dict[str, EvidenceRecord]:
        """Ask the sources of the gates that a state judges; return the evidence for all gates.

        Raises:
            CalledOffError: the run was asked to end in the meantime.
            RecordingError: an answer could not be kept.
        """
        lifecycle = self._context.recorder.draft.lifecycle
        self._asking |= dict.fromkeys(lifecycle.judged_in(state), state)
        self._ask(lifecycle.judged_in(state), (state,), is_last=False)
        self._demanding = tuple(dict.fromkeys((*self._demanding, state.name)))
        return self._about_subject(self._taken((state,)))

    def before_closing(self) -> dict[str, EvidenceRecord]:
        """Ask the sources once more, except those that are not to be asked again.

        Raises:
            CalledOffError: the run was asked to end in the meantime.
            RecordingError: an answer could not be kept.
        """
        lifecycle = self._context.recorder.draft.lifecycle
        states = tuple(lifecycle.states[name] for name in self._demanding)
        self._ask(lifecycle.gates, states, is_last=True)
        return self._about_subject(self._taken(states))

    @property
    def tampering(self) -> OperationError | None:
        """The error if a stage may have changed files that gates are judged by, or None."""
        return None if self._authorities is None else self._authorities.changed

    def confirm(self) -> None:
        """Raise if a stage may have changed files that the gates are judged by.

        Raises:
            OperationError: a stage may have.
        """
        if self.tampering is not None:
            raise self.tampering

    def _ask(self, gates: Iterable[str], states: tuple[State, ...], *, is_last: bool) -> None:
        """Ask the sources of gates; those that look at the others come last."""
        allowance = self._context.allowance
        if allowance is None:
            self._ask_all(gates, states, is_last=is_last)
            return
        with allowance.bounding(self._runner):
            self._ask_all(gates, states, is_last=is_last)

    def _ask_all(self, gates: Iterable[str], states: tuple[State, ...], *, is_last: bool) -> None:
        draft = self._context.recorder.draft
        if self._authorities is None:
            self._authorities = Authorities(draft.sources.values())
        else:
            self._authorities.look()
        asked = [gate for gate in gates if gate in draft.sources]
        for gate in sorted(asked, key=lambda one: draft.sources[one].looks_at_others):
            if is_last and gate in self._known and not draft.sources[gate].asks_again:
                said = Evidence(self._said.get(gate), self._known[gate])
                now, mask = self._context.clock.now(), self._context.masker.mask
                self._known[gate] = draft.sources[gate].judged_again(said, now).masked(mask)
            else:
                self._known[gate] = self._asked(gate, states, is_entry=not is_last)
        self._authorities.note()  # while a gate waits, a signer may be added

    def _taken(self, states: tuple[State, ...]) -> dict[str, EvidenceRecord]:
        """Return the evidence known for each gate, as the given gate states take it."""
        draft = self._context.recorder.draft
        found = dict(self._known)
        for gate in draft.sources:
            if gate not in found:
                detail = "its source has not been asked yet: a later state judges the gate"
                found[gate] = _without_source(EvidenceProblem.NOT_STARTED, detail)
        return taken_by(states, found, draft)

    def _about_subject(self, found: dict[str, EvidenceRecord]) -> dict[str, EvidenceRecord]:
        """Refuse every gate if the subject of the run has changed."""
        context = self._context
        draft, mask = context.recorder.draft, context.masker.mask
        return about_subject(found, draft, context.output_directory, mask)

    def _asked(self, gate: str, states: tuple[State, ...], *, is_entry: bool) -> EvidenceRecord:
        context = self._context
        inquiry = self._inquiry(gate, states, is_entry=is_entry)
        wait_ms = inquiry.checkpoint.sources[gate].wait_ms
        if context.allowance is not None:
            wait_ms = context.allowance.at_most(wait_ms)
        wait_seconds = wait_ms / 1000
        deadline, pause_seconds = time.monotonic() + wait_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                evidence = inquiry.answer(context.clock.now())
            except AskedToEndError:
                raise CalledOffError(self._interrupts.first or 0) from None
            left_seconds = deadline - time.monotonic()
            if evidence.record.problem not in NOT_THERE_YET or left_seconds <= 0:
                break
            self._pause(gate, evidence.record, min(pause_seconds, left_seconds))
            pause_seconds = min(pause_seconds * PAUSE_GROWTH, PAUSE_SECONDS_MAX)
        return self._kept(gate, inquiry.number, evidence)

    def _inquiry(self, gate: str, states: tuple[State, ...], *, is_entry: bool) -> Inquiry:
        context = self._context
        environment: dict[str, str] = {}
        if context.is_traced:
            from fsm_orchestrator.preparation.tracing import variables_of_gates  # noqa: PLC0415 - few are traced

            environment = variables_of_gates(context.preparation.config, context.recorder.draft)
        return Inquiry(
            checkpoint=context.recorder.draft,
            settings=context.preparation.settings,
            gate=gate,
            number=self._next_number(gate),
            output=context.output_directory,
            home=context.home,
            runner=self._runner,
            mask=context.masker.mask,
            changed=self._changed,
            taken=lambda: self._taken(states),
            state=self._asking.get(gate),
            is_entry=is_entry,
            environment=environment,
        )

    def why_not(self, stage: str) -> str | None:
        """Return why an approval that released a stage no longer counts, or None if it does.

        No source is asked again.
        """
        from fsm_orchestrator.approvals.content import released_stages  # noqa: PLC0415 - rare
        from fsm_orchestrator.gates.sources.approval import ApprovalSource  # noqa: PLC0415 - rare

        draft = self._context.recorder.draft
        for gate, state in self._asking.items():
            source = draft.sources.get(gate)
            if not isinstance(source, ApprovalSource):
                continue
            if stage in released_stages(draft.lifecycle, state, gate):
                inquiry = replace(self._inquiry(gate, (state,), is_entry=False), home=None)
                found = inquiry.desk(self._context.clock.now()).look(source).judged
                if found.problem is not None:
                    return f"the approval of {gate} no longer counts: {found.detail}"
        return None

    def _changed(self) -> tuple[ChangedArtifact, ...]:
        return self._context.judge_artifacts().changed

    def _pause(self, gate: str, record: EvidenceRecord, seconds: float) -> None:
        """Log that a gate waits, and wait.

        Raises:
            CalledOffError: the run was asked to end in the meantime.
        """
        self._context.log.emit(
            EventName.GATE_WAITING,
            gate=gate,
            problem="" if record.problem is None else record.problem.value,
            detail=self._context.masker.mask(record.detail),
            wait_ms=0 if self._context.clock.is_fixed else round(seconds * 1000),
        )
        until = time.monotonic() + seconds
        while self._interrupts.first is None and time.monotonic() < until:
            readable([self._interrupts.fileno()], self._interrupts.until(until))
        if self._interrupts.first is not None:
            raise CalledOffError(self._interrupts.first)

    def _next_number(self, gate: str) -> int:
        """Return the next number for a gate's evidence and logs, counted over all invocations."""
        place = self._context.output_directory
        numbers = [
            int(found[2])
            for name, directory in ((_NAME, EVIDENCE_DIRECTORY), (_LOG_NAME, LOGS_DIRECTORY))
            for one in _entries(place / directory)
            if (found := name.fullmatch(one.name)) and found[1] == gate
        ]
        return 1 + max(numbers, default=0)

    def _kept(self, gate: str, number: int, evidence: Evidence) -> EvidenceRecord:
        """Keep evidence byte for byte and return its record; unchanged evidence is kept once."""
        record = evidence.record.masked(self._context.masker.mask)
        if evidence.raw is None:
            return record
        if not self._context.recorder.draft.sources[gate].asks_again:
            self._said[gate] = evidence.raw
        digest = hashlib.sha256(evidence.raw).hexdigest()
        before = self._known.get(gate)
        if before is not None and before.statement_sha256 == digest:
            return record.model_copy(update={"statement_sha256": digest, "file": before.file})
        name = f"{gate}.{number}.json"
        directory = self._context.output_directory / EVIDENCE_DIRECTORY
        with (
            files.recording(Operation.EVIDENCE_PERSIST, directory / name),
            files.below(self._context.home, EVIDENCE_DIRECTORY) as place,
        ):
            files.replace_file(directory / name, evidence.raw, mode=0o600, within=place)
            files.sync(self._context.home.descriptor)
        kept = {"statement_sha256": digest, "file": f"{EVIDENCE_DIRECTORY}/{name}"}
        return record.model_copy(update=kept)


def _without_source(problem: EvidenceProblem, detail: str) -> EvidenceRecord:
    return nothing_from(SourceKind.FLAG).model_copy(update={"problem": problem, "detail": detail})


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
