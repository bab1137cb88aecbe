"""Findings about a lifecycle as values: the broken rule or promise, its place, and a walk.

Each kind of finding has its sentence here; rules.py, edge_rules.py and proof.py find them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from fsm_orchestrator.lifecycle.labels import (
    gate_label,
    sentence,
    state_label,
    trace,
    transition_label,
)
from fsm_orchestrator.lifecycle.walks import Walk


class FindingKind(Enum):
    """A rule or promise that can be broken; its value is the sentence that reports it.

    The fields in braces are the finding's values, see `labels.sentence`; `{other}` is the number of
    another transition.
    """

    # Declarations
    DUPLICATE_STATE = "duplicate name, declared more than once"
    GATES_OUT_OF_PLACE = "key 'gates' is for states of kind gate, not {kind}"
    EVIDENCE_OUT_OF_PLACE = "key 'evidence' is for states of kind gate, not {kind}"
    NO_GATES = "key 'gates' is empty; leave it out to judge all of them"
    DUPLICATE_GATE = "duplicate {gate!r} in key 'gates'"
    UNKNOWN_GATE = "key 'gates' lists {gate!r}, which is none of {known:and}{hint}"
    NO_OUTCOME = "key 'outcome' is missing; a terminal state says how the run ended"
    OUTCOME_OUT_OF_PLACE = "key 'outcome' is for states of kind terminal, not {kind}"
    KEY_OUT_OF_PLACE = "key {key!r} is for states of kind stage, not {kind}"
    RETRY_AFTER_NOTHING = (
        "key 'retry' has none of exit_codes, killed_by and timeouts, so nothing is ever tried again"
    )
    RETRY_OF_MEANING = "exit code {code} means {meaning}, so it cannot be in retry.exit_codes too"
    CODE_OF_SHELL = "key 'exit_codes' gives {code} a meaning, but {why}; choose another code"
    NOT_FINALLY = "key 'on_finally_failure' is for a stage with finally = true"
    SECOND_FINALLY = "has finally = true, as {first!r} has; only one stage may"
    SAID_AFTER_THE_END = (
        "has finally = true, so the outcome is fixed before it: it cannot have the key 'exit_codes'"
    )
    ELSEWHERE_AFTER_THE_END = (
        "has finally = true, so it runs where the run has ended: it cannot have the key"
        " 'task_queue'"
    )
    NO_SOURCE = "key 'source' is empty"
    DUPLICATE_SOURCE = "duplicate {name!r} in key 'source'"
    UNKNOWN_SOURCE = "unknown source {name!r}{hint}"
    UNKNOWN_DEST = "unknown dest {name!r}{hint}"
    SHARED_OPTION = "its option {option} is also an option of {owner!r}"
    UNKNOWN_INITIAL = "key 'initial' names an unknown state {name!r}{hint}"
    INITIAL_OF_OTHER_KIND = "key 'initial' names this state, but it is of kind {kind}, not initial"
    SECOND_INITIAL = "is a second state of kind initial besides {name!r}"
    NO_DONE = "no terminal state has outcome done"
    SECOND_DONE = "has outcome done, as {first!r} has; only one state may"

    # Groups
    NO_STAGES = "key 'stages' is missing; a group says which stages run at once"
    STAGES_OUT_OF_PLACE = "key 'stages' is for states of kind group, not {kind}"
    FAIL_FAST_OUT_OF_PLACE = "key 'fail_fast' is for states of kind group, not {kind}"
    DUPLICATE_MEMBER = "duplicate {name!r} in key 'stages'"
    UNKNOWN_MEMBER = "key 'stages' lists an unknown state {name!r}{hint}"
    MEMBER_OF_OTHER_KIND = "key 'stages' lists {name!r}, {found:state}; only a stage can be in it"
    MEMBER_TWICE = "key 'stages' lists {name!r}, which is in the group {other_group!r} too"
    MEMBER_WITH_EXIT_CODES = (
        "runs in the group {group!r}, so it can say nothing by an exit code (exit_codes): a stage"
        " after the group can"
    )
    MEMBER_THAT_ALWAYS_RUNS = (
        "runs in the group {group!r}, so it cannot be the stage that always runs (finally)"
    )
    SOURCE_IN_GROUP = (
        "leaves {name!r}, which runs in the group {group!r}: no edge leaves a stage of a group"
    )
    DEST_IN_GROUP = (
        "leads to {name!r}, which runs in the group {group!r}: only the group enters its stages"
    )

    # Gates
    GATE_TAKEN = "every lifecycle has a gate of that name"
    DUPLICATE_DECLARATION = "duplicate name, another gate is declared with it"
    GATE_LIKE_STAGE = "a stage has that name too, and options of both would be confused"
    DUPLICATE_VALUE = "duplicate {value!r} in key 'values'"
    REASON_CODE_TAKEN = "key 'reason_code' is {code}, which is that of {gate!r}"
    NOT_JUDGED = "no gate state judges it, so it would never pass; list it in key 'gates' of one"

    # Edges
    MISSING_EDGE = "lacks an edge for {trigger}"
    EXIT_OF_DONE = "a state with outcome done has no exit"
    EXIT_OF_TERMINAL = "a terminal state has no exit other than resume"
    TRIGGER_OUT_OF_PLACE = (
        "{trigger} cannot happen in a state of kind {kind}; only {possible:and} can"
    )
    CONDITION_OUT_OF_PLACE = "has a condition; only edges for {conditional:and} may have one"
    SEVERAL_CONDITIONS = "has {conditions:and}; an edge has at most one condition"
    WRONG_OUTCOME = (
        "leads to {dest!r}, {found:state}, not to a terminal state with outcome {outcomes:or}"
    )
    UNBOUNDED_REWORK = (
        "leads to {dest!r}, {found:state}, not to a terminal state with outcome failed,"
        " and has no key 'at_most'"
    )
    WRONG_START = (
        "leads to {dest!r}, {found:state}, not to a state of kind {kinds:or}"
        " (gates_guard is {gates_guard})"
    )
    WRONG_RESUME = "leads to {dest!r}, but start leads to {start!r}, and a resume must too"
    SECOND_EDGE = "duplicates transition {other}: only one unguarded edge is allowed here"
    GUARDED_LAST = "is the last one tried, so it may have no condition"
    UNGUARDED_EARLY = "has no condition, so transition {other} is never tried"
    COMPLEMENT = "holds whenever transition {other} does not, so no later edge is ever tried"
    SAME_CONDITION = "has the condition of transition {other}"
    INVERTED_CLOSURE = "leads to {dest!r} only where {guard} does not hold"

    # Reach
    UNREACHABLE = "unreachable from {initial!r}"
    TRAP = "has no way to a terminal state"
    UNBOUNDED_LOOP = "is on an unbounded loop"
    BOUND_WITHOUT_LOOP = "has the key 'at_most', but is on no loop"
    EXHAUSTED = (
        "can never be taken: {source!r} is entered at most {entries} times in a run,"
        " and the edges before it take them all"
    )

    # Promises
    STAGE_WITHOUT_GATES = "can be entered before {missing:gate} passed in this invocation"
    REPEATED_WITHOUT_GATES = (
        "can be entered again, by a loop, before {missing:gate} passed once more in this invocation"
    )
    GATE_BEFORE_WORK = (
        "comes after {stage!r} and is passed by signals that were typed before it"
        " (accepts_early_signals), so it is bound to no artifact of it"
    )
    FINALLY_ON_A_WALK = (
        "has finally = true: it is entered at every end, by no edge, and leads nowhere, so no edge"
        " may enter or leave it"
    )
    DONE_WITHOUT_GATES = "can be reached before {missing:gate} passed in this invocation"
    DONE_WITHOUT_STAGE = "can be reached although {stage!r} was entered and did not succeed"


class TransitionPlace(NamedTuple):
    """A transition in a file; `number` counts the `[[transition]]` tables from 1."""

    number: int
    trigger: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule or a promise that a lifecycle breaks.

    Attributes:
        kind: the rule or promise.
        state: the state with the fault; for a transition, its source if it has only one.
        transition: the transition with the fault, if it is one.
        other: the number of another transition that the finding is about.
        values: the other values in the sentence.
        walk: a shortest walk that shows the fault, ending in `state`, if a walk can.
        gate: the declared gate with the fault, if it is one.
    """

    kind: FindingKind
    state: str | None = None
    transition: TransitionPlace | None = None
    other: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    walk: Walk | None = None
    gate: str | None = None

    @property
    def key(self) -> Hashable:
        """The identity of the finding, without the numbers of transitions, which edits change."""
        place = self.transition and self.transition[1:]
        return self.kind, self.state, self.gate, place, tuple(self.values.items())

    @property
    def part(self) -> str:
        """The label of the state, gate or transition; "" for the file as a whole."""
        if self.transition is not None:
            return transition_label(*self.transition)
        if self.gate is not None:
            return gate_label(self.gate)
        return "" if self.state is None else state_label(self.state)

    @property
    def reason(self) -> str:
        """The sentence that follows the label."""
        return sentence(self.kind.value, {**self.values, "other": self.other})

    def __str__(self) -> str:
        label = f"{self.part}: " if self.part else ""
        return f"{label}{self.reason}" + (f": {trace(self.walk)}" if self.walk else "")


def of_state(kind: FindingKind, name: str, walk: Walk | None = None, /, **values: Any) -> Finding:
    """Make a finding about a state."""
    return Finding(kind, state=name, values=values, walk=walk)


def of_gate(kind: FindingKind, name: str, /, **values: Any) -> Finding:
    """Make a finding about a gate that the lifecycle declares."""
    return Finding(kind, gate=name, values=values)


def of_transition(
    kind: FindingKind, place: TransitionPlace, other: int | None = None, /, **values: Any
) -> Finding:
    """Make a finding about a transition."""
    state = place.sources[0] if len(place.sources) == 1 else None
    return Finding(kind, state, place, other, values)
