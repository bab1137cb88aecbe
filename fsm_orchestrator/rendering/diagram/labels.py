"""The words in a picture: those of an edge, and those that a state declares.

Pure. The modules that draw decide where the words go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fsm_orchestrator.constants import GATES_NAMED_MAX
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.model.base import OnFinallyFailure
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.text.phrases import first_of
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Guard, StateKind


@dataclass(frozen=True, slots=True)
class Label:
    """The words on an arrow: `+ trigger` and, below or after it, the condition and a note."""

    trigger: str
    condition: str = ""

    @property
    def text(self) -> str:
        """The whole label on one line."""
        return f"{self.trigger} {self.condition}" if self.condition else self.trigger


def label_of(edge: Edge) -> Label:
    """Return the words on an edge: the trigger and its condition."""
    return Label(edge.trigger.value, condition_of(edge))


def condition_of(edge: Edge) -> str:
    """Return the condition of an edge; empty if it has none."""
    conditions = (("if", edge.guard), ("unless", edge.unless))
    words = [f"{word} {guard.value}" for word, guard in conditions if isinstance(guard, Guard)]
    if edge.at_most is not None:
        words.append(f"at most {edge.at_most} time{'' if edge.at_most == 1 else 's'}")
    return " ".join(words)


def details_of(lifecycle: Lifecycle, state: State) -> Iterator[str]:
    """Yield each declaration of a state apart from its name and kind, a line each."""
    match state.kind:
        case StateKind.GATE:
            yield from _gates(lifecycle, state)
            if state.evidence is not None:
                yield "by evidence only"
        case StateKind.TERMINAL if state.outcome is not None and state.outcome != state.name:
            yield f"outcome: {state.outcome.value}"
        case StateKind.STAGE:
            if state.is_finally:
                yield "always, at every end"
                if state.on_finally_failure is OnFinallyFailure.WARN:
                    yield "its failure only warns"
            if not state.has_effects:
                yield "claims no effects"
            if state.timeout_ms is not None:
                yield f"timeout {span_words(state.timeout_ms)}"
            if state.task_queue is not None:
                yield f"task queue {state.task_queue}"
            if state.retry is not None:
                yield _retry_words(state.retry)
            for code, meaning in state.meanings.items():
                yield f"exit {code}: {meaning.value.replace('_', ' ')}"
        case StateKind.GROUP:
            yield "side by side:" if state.fail_fast else "side by side, each to its end:"
        case _:
            pass


def member_line(lifecycle: Lifecycle, stage: str, more: Sequence[str]) -> str:
    """Return the line for a stage within the node of its group."""
    state = lifecycle.states.get(stage)
    declared = () if state is None else tuple(details_of(lifecycle, state))
    return stage + (f" ({', '.join(declared)})" if declared else "") + _listed(more)


def _listed(more: Sequence[str]) -> str:
    return f": {', '.join(more)}" if more else ""


def _gates(lifecycle: Lifecycle, state: State) -> Iterator[str]:
    """Yield the gates of a gate state: the mandatory ones together, the others by their titles."""
    rules = [lifecycle.gates[gate] for gate in lifecycle.judged_in(state)]
    mandatory = [one.name for one in rules if one.name in MANDATORY_RULES]
    own = [one.words for one in rules if one.name not in MANDATORY_RULES]
    if mandatory:
        yield ", ".join(mandatory)
    yield from first_of(own, GATES_NAMED_MAX)


def _retry_words(policy: RetryPolicy) -> str:
    after = [f"exit {code}" for code in policy.exit_codes or ()]
    after += [one.value for one in policy.killed_by or ()]
    if policy.timeouts:
        after.append("timeout")
    attempts = "" if policy.max_attempts is None else f"{policy.max_attempts} attempts"
    return f"{attempts or 'retried'}{' after ' if after else ''}{', '.join(after)}"
