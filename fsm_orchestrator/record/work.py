"""The basis for judging evidence: a run's work, its gate states, and when it reached them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.evidence import SubjectEntry
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.closure import ChangedArtifact
from fsm_orchestrator.vocabulary import StateKind


def work_for(
    checkpoint: Checkpoint,
    gate: str,
    mask: Callable[[str], str],
    changed: Callable[[], Iterable[ChangedArtifact]],
) -> tuple[SubjectEntry, ...]:
    """Return the artifacts that evidence for a gate has to name: none if no stage comes before it.

    `changed` finds those that are not what their stage left: evidence is for what is there now.
    """
    lifecycle = checkpoint.lifecycle
    follows = any(
        gate in lifecycle.judged_in(lifecycle.states[name]) for name in lifecycle.gates_after_stages
    )
    if not follows:
        return ()
    now = {(mask(one.path), one.then): one.now for one in changed()}
    return tuple(
        SubjectEntry(
            name=mask(one.path), digest={"sha256": now.get((one.path, one.sha256), one.sha256)}
        )
        for completion in checkpoint.completed
        for one in completion.artifacts
    )


def first_reached(checkpoint: Checkpoint, state: str) -> int:
    """Return the invocation that first reached a state with the current work.

    Only kept invocations count; the latest if none did. A signal typed before that is about other
    work.
    """
    made = (
        one.invocation
        for one in checkpoint.completions
        if checkpoint.lifecycle.comes_before(one.stage, state)
    )
    return max(next(_visits(checkpoint, state), checkpoint.invocation.number), *made, 0)


def is_to_come(checkpoint: Checkpoint, gate: str) -> bool:
    """Return whether a gate is judged only in states that the run has yet to reach, after a stage.

    A signal typed before that does not count there.
    """
    lifecycle = checkpoint.lifecycle
    judging = [
        one.name
        for one in lifecycle.state
        if one.kind is StateKind.GATE and gate in lifecycle.judged_in(one)
    ]
    return not lifecycle.accepts_early_signals and all(
        name in lifecycle.gates_after_stages and next(_visits(checkpoint, name), None) is None
        for name in judging
    )


def _visits(checkpoint: Checkpoint, state: str) -> Iterator[int]:
    return (
        invocation.number
        for invocation in checkpoint.invocations
        for one in invocation.transitions
        if one.dest == state
    )


def asking_state(checkpoint: Checkpoint, gate: str) -> State:
    """Return the gate state that asks for a gate: the last one the run reached, else the first."""
    by_name = {
        one.name: one
        for one in checkpoint.lifecycle.state
        if one.kind is StateKind.GATE and gate in checkpoint.lifecycle.judged_in(one)
    }
    visited = reversed([one.dest for one in checkpoint.invocation.transitions])
    return next(by_name[name] for name in (*visited, *by_name) if name in by_name)
