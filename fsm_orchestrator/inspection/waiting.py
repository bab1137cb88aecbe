"""Waits until the gates that block a run are decided: nothing is held, started or written.

The run itself judges them when it is resumed. A signal that is typed comes with another resume: the
standing of the run then changes, and that ends the waiting as well.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.standing import Decided, asked_gates
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    CHECKPOINT_FILE,
    EPOCHS_DIRECTORY,
    LOCK_FILE,
)
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.gates.judging import is_awaited
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.inspection.asked_gates import AskedGate, GateAsking
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.inspection.watching import LOOK_SECONDS, Watcher
from fsm_orchestrator.model.evidence import EvidenceProblem, SourceKind
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.waiting import blocking_gates
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.vocabulary import Standing

_LATE_SECONDS: Final = 0.1
"""The time after the expiry of a request until it is checked: by then it has expired, whatever the
clocks say."""
ASK_SECONDS: Final = 10.0
"""The seconds between two questions to a source whose answer is not in a file."""


class Prospect(StrEnum):
    """The progress of a run's gates."""

    PASSED = "passed"
    """A resume gets past them."""
    AWAITED = "awaited"
    """Somebody can still give them, and none is refused."""
    REFUSED = "refused"
    """One is refused outright."""
    EXPIRED = "expired"
    """A request for one, or its evidence, has expired: a resume asks again."""
    STALE = "stale"
    """The work that people are asked to approve has changed: a resume asks again."""
    AT_WORK = "at_work"
    """An orchestrator is at work: it judges them."""
    NOT_BLOCKED = "not_blocked"
    """The run has another standing: nothing waits for a gate."""


_BY_WEIGHT: Final = (Prospect.REFUSED, Prospect.EXPIRED, Prospect.STALE, Prospect.AWAITED)
"""The prospects, in the order in which one gate decides for all."""


class Outlook(NamedTuple):
    """The knowledge of a run and its gates.

    Attributes:
        gates: the gates that block it.
        deciding: the gates that decide the prospect.
    """

    prospect: Prospect
    view: InspectedRun
    gates: tuple[AskedGate, ...] = ()
    deciding: tuple[AskedGate, ...] = ()

    @property
    def awaited(self) -> tuple[AskedGate, ...]:
        """The gates that are awaited, if nothing else has decided."""
        return self.deciding if self.prospect is Prospect.AWAITED else ()


class Waited(NamedTuple):
    """The result of waiting.

    Attributes:
        outlook: the last outlook.
        is_over: True if its time ran out.
        signum: the signal that ended it; None if there was none.
        has_waited: True if it had to wait at all.
    """

    outlook: Outlook
    is_over: bool = False
    signum: int | None = None
    has_waited: bool = False


class Waiting:
    """Waits for the gates of the run in an output directory."""

    def __init__(self, output: Path, interrupts: Interrupts) -> None:
        self._run = run_of(output)
        self._interrupts = interrupts
        self._asking: GateAsking | None = None
        self._asked_of: Checkpoint | None = None

    def wait(
        self, deadline: float, on_look: Callable[[Outlook], float] = lambda _: float("inf")
    ) -> Waited:
        """Wait until the gates are decided, or the run has another standing.

        Args:
            deadline: a reading of the monotonic clock, in seconds.
            on_look: called with the outlook, even if nothing has changed; returns in how many
                seconds it wants to be called again.

        Raises:
            UsageError: a resume would be refused, whatever the gates say.
            ReportError: the run cannot be read.
        """
        watcher, has_waited = Watcher(self._patterns()), False
        try:
            while True:
                watcher.note()
                outlook = self.look()
                has_run_out = time.monotonic() >= deadline
                is_open = outlook.prospect in {Prospect.AWAITED, Prospect.AT_WORK}
                if not is_open or has_run_out:
                    return Waited(outlook, is_over=is_open, has_waited=has_waited)
                self._wait(watcher, outlook, deadline, on_look)
                has_waited = True
                if self._interrupts.first is not None:
                    return Waited(outlook, signum=self._interrupts.first)
        except AskedToEndError:
            return Waited(outlook, signum=self._interrupts.first)
        finally:
            watcher.close()

    @property
    def _output(self) -> Path:
        """The present place of the record: under an engine, the latest epoch."""
        return record_of(self._run)

    @property
    def standing(self) -> Standing:
        """The present standing of the run."""
        return inspect_run(self._output).standing

    def look(self) -> Outlook:
        """Ask for the present verdicts of the gates.

        Raises:
            UsageError: a resume would be refused, whatever they say.
            ReportError: the run cannot be read.
        """
        output = self._output
        view = inspect_run(output)
        match view.standing:
            case Standing.WORKING | Standing.SUSPENDED:
                return Outlook(Prospect.AT_WORK, view)
            case Standing.BLOCKED | Standing.WAITING if view.saved is not None:
                pass
            case _:
                return Outlook(Prospect.NOT_BLOCKED, view)
        directory = str(output)
        config = RunConfig(output_directory=directory, directory=directory, resume=True)
        preparation = prepare(config, view.saved, may_lack_values=True)
        checkpoint = view.saved.checkpoint
        if self._asking is None or checkpoint != self._asked_of:
            self._asking, self._asked_of = GateAsking(preparation, self._interrupts), checkpoint
        here = blocking_gates(checkpoint)
        gates = tuple(one for one in self._asking.ask() if one.decision.gate in here)
        decided = _decided(view, preparation.clock.now())
        prospects = [_prospect_of(one.decision, decided.get(one.decision.gate)) for one in gates]
        prospect = next((one for one in _BY_WEIGHT if one in prospects), Prospect.PASSED)
        deciding = (one for one, its in zip(gates, prospects, strict=True) if its is prospect)
        return Outlook(prospect, view, gates, tuple(deciding))

    def _wait(
        self,
        watcher: Watcher,
        outlook: Outlook,
        deadline: float,
        on_look: Callable[[Outlook], float],
    ) -> None:
        """Wait until it is worth looking again, or a request to end comes."""
        until = min(deadline, time.monotonic() + self._longest_seconds(outlook))
        while self._interrupts.first is None:
            again = time.monotonic() + on_look(outlook)
            if watcher.wait(self._interrupts.fileno(), min(until, again)):
                return
            if time.monotonic() >= until:
                return

    def _longest_seconds(self, outlook: Outlook) -> float:
        if outlook.prospect is Prospect.AT_WORK:
            return LOOK_SECONDS  # nothing reports that the orchestrator was killed
        checkpoint = self._asked_of
        sources = {} if checkpoint is None else checkpoint.sources
        longest = float("inf")
        for one in outlook.awaited:
            source, evidence = sources.get(one.decision.gate), one.decision.evidence
            approval = None if evidence is None else evidence.approval
            if source is not None and source.kind is not SourceKind.APPROVAL and not source.files:
                longest = min(longest, ASK_SECONDS)
            if approval is not None and approval.expires_at is not None:
                left = instant(approval.expires_at) - SystemClock().now()
                longest = min(longest, max(left.total_seconds(), 0.0) + _LATE_SECONDS)
        return longest

    def _patterns(self) -> tuple[str, ...]:
        output = self._output
        view = inspect_run(output)
        place = glob.escape(str(output))
        if view.has_engine:  # in whatever epoch it continues
            place = f"{glob.escape(str(self._run / EPOCHS_DIRECTORY))}/*"
        sources = {} if view.checkpoint is None else view.checkpoint.sources
        return (
            *(f"{place}/{name}" for name in (CHECKPOINT_FILE, LOCK_FILE)),
            f"{place}/{APPROVALS_DIRECTORY}/*",
            *(pattern for one in sources.values() for pattern in one.files),
        )


def _prospect_of(decision: GateDecision, decided: Decided | None) -> Prospect:
    """Return the prospect of a gate; `decided` is the decision of people, if they are asked."""
    if decision.passed:
        return Prospect.PASSED
    match decided:
        case Decided.EXPIRED:
            return Prospect.EXPIRED
        case Decided.STALE:
            return Prospect.STALE
        case Decided.REFUSED:
            return Prospect.REFUSED
        case Decided.PASSED | Decided.AWAITED | None:
            pass
    evidence = decision.evidence
    if decided is None and evidence is not None and evidence.problem is EvidenceProblem.EXPIRED:
        return Prospect.EXPIRED
    return Prospect.AWAITED if is_awaited(decision) else Prospect.REFUSED


def _decided(view: InspectedRun, now: datetime) -> dict[str, Decided]:
    """Return the decision of people on each gate that they are asked for."""
    saved = view.saved
    kinds = [] if saved is None else [one.kind for one in saved.checkpoint.sources.values()]
    if saved is None or SourceKind.APPROVAL not in kinds:
        return {}
    return {one.gate: one.decided for one in asked_gates(saved, view.directory, now)}
