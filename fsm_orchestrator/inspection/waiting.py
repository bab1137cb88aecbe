"""Waiting until the gates that block a run are decided: nothing is held, started or written.

What the run makes of it, it judges itself when it is resumed. A signal that is typed comes with
another resume: then the run does not stand where it stood, and that ends the waiting as well.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, LOCK_FILE
from fsm_orchestrator.gates.evidence_status import CLEAR_NO
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.inspection.asked_gates import AskedGate, GateAsking
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.inspection.watching import LOOK_SECONDS, Watcher
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.model.gate_rules import GateRule
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import GateSource, Standing, StateKind

ASK_SECONDS: Final = 10.0
"""How often a source is asked that no file tells of."""
_FINAL: Final = CLEAR_NO | {EvidenceProblem.EXPIRED}
"""The problems that nothing ends but another beginning: what is awaited is decided by them."""


class Prospect(StrEnum):
    """How far the gates of a run have come."""

    PASSED = "passed"
    """A resume gets past them."""
    AWAITED = "awaited"
    """Somebody can still give them, and none is refused."""
    REFUSED = "refused"
    """One is refused outright, or what it was asked for has expired."""
    AT_WORK = "at_work"
    """An orchestrator is at work: it judges them."""
    NOT_BLOCKED = "not_blocked"
    """The run stands elsewhere: nothing waits for a gate."""


class Outlook(NamedTuple):
    """What is known of a run and its gates.

    Attributes:
        gates: those that block it.
        awaited: those of them that are not decided.
    """

    prospect: Prospect
    view: InspectedRun
    gates: tuple[AskedGate, ...] = ()
    awaited: tuple[AskedGate, ...] = ()


class Waited(NamedTuple):
    """How a waiting ended.

    Attributes:
        outlook: what was known last.
        is_over: whether its time was over.
        signum: the request that ended it; None where there was none.
        has_waited: whether anything had to come first.
    """

    outlook: Outlook
    is_over: bool = False
    signum: int | None = None
    has_waited: bool = False


class Waiting:
    """Waits for the gates of the run in an output directory."""

    def __init__(self, output: Path, interrupts: Interrupts) -> None:
        self._output = output
        self._interrupts = interrupts
        self._asking: GateAsking | None = None
        self._asked_of: Checkpoint | None = None

    def wait(
        self, deadline: float, on_look: Callable[[Outlook], float] = lambda _: float("inf")
    ) -> Waited:
        """Wait until the gates are decided, or the run stands elsewhere.

        Args:
            deadline: a reading of the monotonic clock, in seconds.
            on_look: called with what is known, also when that is nothing new; returns in how many
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
    def standing(self) -> Standing:
        """Where the run stands now."""
        return inspect_run(self._output).standing

    def look(self) -> Outlook:
        """Ask what the gates would say now.

        Raises:
            UsageError: a resume would be refused, whatever they say.
            ReportError: the run cannot be read.
        """
        view = inspect_run(self._output)
        match view.standing:
            case Standing.WORKING | Standing.SUSPENDED:
                return Outlook(Prospect.AT_WORK, view)
            case Standing.BLOCKED if view.saved is not None:
                pass
            case _:
                return Outlook(Prospect.NOT_BLOCKED, view)
        directory = str(self._output)
        config = RunConfig(output_directory=directory, directory=directory, resume=True)
        preparation = prepare(config, view.saved, may_lack_values=True)
        checkpoint = view.saved.checkpoint
        if self._asking is None or checkpoint != self._asked_of:
            self._asking, self._asked_of = GateAsking(preparation, self._interrupts), checkpoint
        gates = _blocking(checkpoint, self._asking.ask())
        rules = checkpoint.lifecycle.gates
        prospects = [_prospect_of(one.decision, rules[one.decision.gate]) for one in gates]
        awaited = tuple(
            one
            for one, prospect in zip(gates, prospects, strict=True)
            if prospect is Prospect.AWAITED
        )
        known = (one for one in (Prospect.REFUSED, Prospect.AWAITED) if one in prospects)
        return Outlook(next(known, Prospect.PASSED), view, gates, awaited)

    def _wait(
        self,
        watcher: Watcher,
        outlook: Outlook,
        deadline: float,
        on_look: Callable[[Outlook], float],
    ) -> None:
        """Wait until it is worth to look again, or it was asked to end."""
        until = min(deadline, time.monotonic() + self._longest_seconds(outlook))
        while self._interrupts.first is None:
            again = time.monotonic() + on_look(outlook)
            if watcher.wait(self._interrupts.fileno(), min(until, again)):
                return
            if time.monotonic() >= until:
                return

    def _longest_seconds(self, outlook: Outlook) -> float:
        if outlook.prospect is Prospect.AT_WORK:
            return LOOK_SECONDS  # nothing tells that it was killed
        checkpoint = self._asked_of
        sources = {} if checkpoint is None else checkpoint.sources
        asked = (sources.get(one.decision.gate) for one in outlook.awaited)
        is_untold = any(one is not None and not one.files for one in asked)
        return ASK_SECONDS if is_untold else float("inf")

    def _patterns(self) -> tuple[str, ...]:
        own = (self._output / name for name in (CHECKPOINT_FILE, LOCK_FILE))
        view = inspect_run(self._output)
        sources = {} if view.checkpoint is None else view.checkpoint.sources
        return (
            *(glob.escape(str(one)) for one in own),
            *(pattern for one in sources.values() for pattern in one.files),
        )


def _prospect_of(decision: GateDecision, rule: GateRule) -> Prospect:
    """Return whether a gate has passed, is refused outright, or can still be given."""
    if decision.passed:
        return Prospect.PASSED
    if decision.evidence is not None and decision.source is GateSource.EVIDENCE:
        is_final = decision.evidence.problem in _FINAL
        return Prospect.REFUSED if is_final else Prospect.AWAITED
    is_tightest = decision.status == rule.refusals[-1]
    is_refused = is_tightest and decision.source is not GateSource.DEFAULT
    return Prospect.REFUSED if is_refused else Prospect.AWAITED


def _blocking(checkpoint: Checkpoint, gates: tuple[AskedGate, ...]) -> tuple[AskedGate, ...]:
    """Return the gates of the gate state that has blocked a run; all where none has."""
    taken = checkpoint.invocation.transitions
    here: State | None = checkpoint.lifecycle.states.get(taken[-1].source) if taken else None
    if here is None or here.kind is not StateKind.GATE:
        return gates
    judged = checkpoint.lifecycle.judged_in(here)
    return tuple(one for one in gates if one.decision.gate in judged)
