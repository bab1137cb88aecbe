"""Collects all findings about a lifecycle, or lists what is proved if there are none.

For `verify`: the findings come from rules.py and proof.py; reading.py refuses a run at the first
layer that has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.guarantees import Fact, FactKind, Facts, Guarantees
from fsm_orchestrator.lifecycle.model import GatesGuard, Lifecycle
from fsm_orchestrator.lifecycle.proof import violations
from fsm_orchestrator.lifecycle.rules import rule_problems
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import Outcome

PROVED: Final = (
    "no path to done without every mandatory gate passed in this invocation",
    "no path to a stage without every mandatory gate passed in this invocation",
    "every stage that was entered has succeeded before done",
    "no trap: every state has a way to an end of the run",
    "no dead state or edge: each is entered or taken by some run",
    "every ending of every stage and both verdicts of every gate state are handled",
    "every loop is bounded, over resumes too",
    "every state that can be saved resumes to where start leads",
)
"""The claims that hold of a lifecycle for which `verify` finds nothing; see also `proved`."""

_GUARDED: Final = {
    GatesGuard.STAGES: (PROVED[1],),
    GatesGuard.EFFECTS: (
        "no path to a stage with effects without every mandatory gate passed in this invocation",
        "no loop back to a stage with effects that does not lead through the gates after a stage",
        "every gate state after a stage is bound to the artifacts that the stage has left",
    ),
    GatesGuard.CLOSURE: ("gates guard the closure, as declared: stages may come before them",),
}
"""The claims about stages before the gates, by what the gates guard."""


def verify(lifecycle: Lifecycle) -> tuple[Finding, ...]:
    """Return every rule and promise that the lifecycle breaks; none means proved.

    Promises are checked even if rules are broken. Never raises for a lifecycle of the right shape.
    """
    return (*rule_problems(lifecycle), *violations(lifecycle))


def proved(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return `PROVED` as it holds of this lifecycle, for which `verify` found nothing."""
    claims = (PROVED[0], *_before_stages(lifecycle), _succeeded(lifecycle), *PROVED[3:])
    certain = Guarantees(lifecycle).certain
    more = (*_own_gates(lifecycle, certain), *_demands(lifecycle, certain))
    return (*claims, *_groups(lifecycle), *more, *_always(lifecycle))


def _groups(lifecycle: Lifecycle) -> Iterator[str]:
    """Yield the claims about stages that run side by side."""
    for one in lifecycle.state:
        if one.stages:
            yield (
                f"{one.name} succeeds only if all its stages do: {listed(one.stages)}, side by side"
            )


def _before_stages(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return the claims about stages before the gates; a stage that always runs is excepted."""
    claims = _GUARDED[lifecycle.gates_guard]
    stage = lifecycle.finally_stage
    if stage is None or lifecycle.gates_guard is GatesGuard.CLOSURE:
        return claims
    return tuple(f"{claim} (except for {stage}, below)" for claim in claims[:1]) + claims[1:]


def _always(lifecycle: Lifecycle) -> Iterator[str]:
    """Yield the claim about the stage that always runs."""
    if lifecycle.finally_stage is not None:
        yield (
            f"{lifecycle.finally_stage} runs at every end of a run in which another stage was"
            " entered; no edge enters or leaves it, and the outcome is fixed before it"
        )


def _succeeded(lifecycle: Lifecycle) -> str:
    """Return the claim about stages before done; a stage with nothing to do has not succeeded."""
    may_decline = [
        name
        for name in lifecycle.stages
        if ExitMeaning.NOTHING_TO_DO in lifecycle.states[name].meanings.values()
    ]
    if not may_decline:
        return PROVED[2]
    return f"{PROVED[2]}, or had nothing to do and left by its edge for that: {listed(may_decline)}"


def claimed(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return the statements of a lifecycle about its stages that nothing proves."""
    if not lifecycle.without_effects:
        return ()
    stages = lifecycle.without_effects
    verb, whose = ("changes", "its") if len(stages) == 1 else ("change", "their")
    return (f"{listed(stages)} {verb} nothing but {whose} artifacts (effects = false)",)


def _own_gates(lifecycle: Lifecycle, certain: Mapping[str, Facts]) -> Iterator[str]:
    """Yield the states that a run reaches only through a gate that the lifecycle declares."""
    for gate in lifecycle.gate:
        passed = Fact(FactKind.GATE_PASSED, gate.name)
        behind = [stage for stage in lifecycle.stages if passed in certain.get(stage, ())]
        yield (
            f"no path to {listed([*behind, 'done'])} without gate {gate.name} passed in this"
            " invocation"
        )


def _demands(lifecycle: Lifecycle, certain: Mapping[str, Facts]) -> Iterator[str]:
    """Yield its demands on signals, besides that they pass."""
    done = [
        facts for name, facts in certain.items() if lifecycle.states[name].outcome is Outcome.DONE
    ]
    by_evidence = [
        gate
        for gate in lifecycle.gates
        if done and all(Fact(FactKind.GATE_BY_EVIDENCE, gate) in facts for facts in done)
    ]
    if by_evidence:
        yield f"no path to done without evidence for {listed(by_evidence)}: no typed signal passes"
    if lifecycle.gates_after_stages:
        yield (
            "gates after a stage pass by signals that were typed before it, as declared"
            if lifecycle.accepts_early_signals
            else "no gate state after a stage passes by a signal typed before it was reached"
        )
