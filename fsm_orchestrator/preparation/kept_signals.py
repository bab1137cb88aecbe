"""The age of kept gate signals: when they were given, by whom, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm_orchestrator.clock import Clock, timestamp
from fsm_orchestrator.config.origins import Origins
from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.model.gate_rules import GateRules
from fsm_orchestrator.model.invocation import SignalGiven
from fsm_orchestrator.text.phrases import DAY_MS, ago, listed, span_ms
from fsm_orchestrator.vocabulary import GateSource


def given_words(given: SignalGiven, until: str | None) -> str:
    """Return `given 17 days ago by ann in invocation 2`; without `until`, the time itself."""
    when = given.at if until is None else ago(given.at, until)
    return f"given {when}{_by(given)} in invocation {given.invocation}"


def _by(given: SignalGiven) -> str:
    if given.uid is None:
        return ""
    return f" by {given.user or f'uid {given.uid}'}"


def outlived_signals(
    rules: GateRules,
    signals: Iterable[GateSignal],
    to_run: tuple[str, ...],
    origins: Origins,
    clock: Clock,
) -> Iterator[str]:
    """Warn of stages that were changed after the signals that let them run, if a day has passed."""
    now = timestamp(clock.now())
    gates_of: dict[SignalGiven, list[str]] = {}
    for one in signals:
        is_kept = one.source is GateSource.CHECKPOINT and one.given is not None
        if is_kept and one.given and one.status == rules[one.gate].passing:
            gates_of.setdefault(one.given, []).append(one.gate)
    for given, gates in gates_of.items():
        if span_ms(given.at, now) < DAY_MS:
            continue
        changed = [one for one in to_run if origins.stages_since[one] > given.invocation]
        if changed:
            stages = listed([repr(stage) for stage in changed])
            noun = "stage" if len(changed) == 1 else "stages"
            yield (
                f"the kept signals of {listed(gates)} were"
                f" {given_words(given, now)}, before {noun} {stages} got the"
                " settings with which it would run now: give them again if they hold for it too"
            )
