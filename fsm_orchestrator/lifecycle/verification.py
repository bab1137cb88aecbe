"""Collects all findings about a lifecycle, or lists what is proved if there are none.

For `verify`: rules.py and proof.py find, and reading.py refuses a run at the first layer that finds
anything.
"""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.proof import violations
from fsm_orchestrator.lifecycle.rules import rule_problems
from fsm_orchestrator.vocabulary import GatesGuard

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

_CLOSURE_GUARDED: Final = "gates guard the closure, as declared: stages may come before them"


def verify(lifecycle: Lifecycle) -> tuple[Finding, ...]:
    """Return every rule and promise that the lifecycle breaks; none means proved.

    Promises are checked even if rules are broken. Never raises for a lifecycle of the right shape.
    """
    return (*rule_problems(lifecycle), *violations(lifecycle))


def proved(lifecycle: Lifecycle) -> tuple[str, ...]:
    """Return `PROVED` as it holds of this lifecycle, for which `verify` found nothing."""
    if lifecycle.gates_guard is GatesGuard.STAGES:
        return PROVED
    return (PROVED[0], _CLOSURE_GUARDED, *PROVED[2:])
